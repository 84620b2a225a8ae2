#include "history_reads.h"

#include <assert.h>

#include "channel.h"
#include "clock.h"
#include "config.h"
#include "history.h"
#include "history_fill.h"
#include "history_reply.h"
#include "hub_internal.h"
#include "log.h"
#include "redis_args.h"

/* On their way at once: enough to keep Redis busy over any distance, and few beside its other work. Redis
 * carries out in one go what it finds on a link, and keeps the answers until we have read them, so where they
 * are large, there are few: at first, and as long as they are whole pieces, four of them. No more, too, than
 * can be delivered in a turn, since what an answer has beyond that is read again. */
enum { READS_MAX = 64, ANSWERS_MAX = 4 * HISTORY_PIECE };

void history_reads_init(struct history_reads *r, struct redis *redis, const struct backlog *backlog,
                        uint64_t check_delay_ms)
{
	*r = (struct history_reads){
		.redis = redis,
		.backlog = backlog,
		.check_delay_ms = check_delay_ms,
		.large = HISTORY_PIECE,
	};
	list_init(&r->queue);
	list_init(&r->later);
	list_init(&r->failed);
	list_init(&r->verified);
}

/* --- replies --- */

/* Of delivering what is newer than the position. */
static size_t work_of(const struct history *h, const struct history_reply *reply)
{
	size_t fresh = 0, work;

	if (h->position.epoch_len == 0)
		return 0;
	while (fresh < reply->count && reply->entries[reply->count - 1 - fresh].offset > h->position.offset)
		fresh++;
	work = fresh * (BACKLOG_MESSAGE + h->channel->count);
	return work < BACKLOG_CHANNEL ? work : BACKLOG_CHANNEL;
}

static void learn(size_t *learned, size_t n)
{
	*learned = n > *learned / 2 ? n : *learned / 2;
}

/* Believes at once that answers are large, and only by and by that they are small. */
static void learn_from(struct history *h, const struct history_reply *reply)
{
	size_t size = 0;

	for (size_t i = 0; i < reply->count; i++)
		size += reply->entries[i].payload.len;
	learn(&h->reads->large, size);
	learn(&h->reads->laborious, work_of(h, reply));
}

static size_t most_in_flight(const struct history_reads *r)
{
	size_t of_size = ANSWERS_MAX / (r->large + 1) + 1;
	size_t of_work = BACKLOG_TURN / (r->laborious + 1) + 1;
	size_t most = of_size < of_work ? of_size : of_work;

	return most < READS_MAX ? most : READS_MAX;
}

/* False when there is no history in it. */
static bool take_reply(struct history *h, const struct redis_reply *answer)
{
	static struct log_limit limit;
	struct history_reply reply;
	struct bytes reason;

	if (!history_reply_read(answer, false, &reply, &reason)) {
		if (reason.len > 0 && log_allowed(&limit))
			log_chan(LOG_ERROR, h->channel, "cannot read its history: %.*s", BYTES_FMT(reason));
		return false;
	}
	learn_from(h, &reply);
	history_take(h, &reply);
	history_reply_free(&reply);
	return true;
}

static void pump(struct history_reads *r);

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct history *h = arg;
	struct history_reads *r = h->reads;
	struct channel *ch = h->channel;

	h->call = NULL;
	r->in_flight--;
	channel_walk_begin(ch);
	if (!take_reply(h, reply)) {
		history_no_reply(h);
		history_reads_want_later(h);
	}
	hub_let_go(ch);
	/* Where calls are refused at once, the others wait for the next tick: else all were tried in one
	 * turn. */
	if (reply != NULL)
		pump(r);
}

/* --- requests --- */

static void put_option(struct bytes *argv, size_t *argc, const char *name, char text[REDIS_NUMBER_MAX],
                       uint64_t n)
{
	argv[(*argc)++] = BYTES_OF_STR(name);
	argv[(*argc)++] = redis_number(text, n);
}

static void send(struct history_reads *r, struct history *h)
{
	char numbers[4][REDIS_NUMBER_MAX];
	struct history_read read;
	struct bytes argv[11];
	size_t argc = 0;

	history_begin_read(h, &read);
	argv[argc++] = channel_redis_name(h->channel);
	put_option(argv, &argc, "meta_ttl", numbers[0], h->options->history_meta_ttl_ms / 1000);
	if (read.newest) {
		put_option(argv, &argc, "newest", numbers[1], read.limit);
		if (read.before > 0)
			put_option(argv, &argc, "before", numbers[2], read.before);
	} else {
		put_option(argv, &argc, "limit", numbers[1], read.limit);
		put_option(argv, &argc, "since", numbers[2], read.since);
	}
	if (read.parted) {
		argv[argc++] = BYTES("parted");
		argv[argc++] = (struct bytes){h->position.epoch, h->position.epoch_len};
	}
	put_option(argv, &argc, "piece", numbers[3], HISTORY_PIECE);
	assert(argc <= ARRAY_LEN(argv));
	r->in_flight++;
	h->call = redis_fcall(r->redis, "fanfare_history", argv, argc, on_reply, h);
}

/* The next one in the queue, if any can be sent now. */
static struct list *next_of(struct history_reads *r)
{
	if (r->in_flight >= most_in_flight(r) || !backlog_turn_has_room(r->backlog))
		return NULL;
	return list_pop(&r->queue);
}

static void pump(struct history_reads *r)
{
	struct list *node;

	while ((node = next_of(r)) != NULL) {
		struct history *h = container_of(node, struct history, node);

		if (!backlog_has_room(r->backlog, h->channel))
			list_append(&r->later, node);
		else if (history_wants_read(h))
			send(r, h);
	}
}

void history_reads_next_turn(struct history_reads *r)
{
	list_move_all(&r->later, &r->queue);
	list_move_all(&r->queue, &r->later);
	pump(r);
}

void history_reads_want(struct history *h)
{
	if (h->call != NULL || list_linked(&h->node) || !history_wants_read(h))
		return;
	list_append(&h->reads->queue, &h->node);
	pump(h->reads);
}

void history_reads_want_now(struct history *h)
{
	list_remove(&h->node);
	history_reads_want(h);
}

void history_reads_want_later(struct history *h)
{
	assert(h->call == NULL && !list_linked(&h->node));
	list_append(&h->reads->failed, &h->node);
}

void history_reads_forget(struct history *h)
{
	list_remove(&h->node);
	list_remove(&h->verified);
	if (h->call == NULL)
		return;
	redis_call_cancel(&h->call);
	h->reads->in_flight--;
	pump(h->reads);
}

void history_reads_verified(struct history *h)
{
	list_remove(&h->verified);
	list_append(&h->reads->verified, &h->verified);
	h->verified_ms = clock_ms();
}

/* Each is doubted once for each delay: it goes to the end as if it were true, which its read will tell. */
static void check_old(struct history_reads *r)
{
	while (!list_empty(&r->verified)) {
		struct history *h = container_of(r->verified.next, struct history, verified);

		if (clock_ms() - h->verified_ms < r->check_delay_ms)
			return;
		history_reads_verified(h);
		history_doubt(h);
	}
}

void history_reads_tick(struct history_reads *r)
{
	list_move_all(&r->queue, &r->failed);
	pump(r);
	if (r->check_delay_ms > 0)
		check_old(r);
}
