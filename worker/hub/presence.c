#include "presence.h"

#include <assert.h>
#include <string.h>

#include "channel.h"
#include "clock.h"
#include "config.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "message_json.h"
#include "metrics.h"
#include "redis.h"
#include "redis_args.h"
#include "redis_trouble.h"
#include "workers.h"

enum {
	CALLS_MAX = 64,   /* on their way at once */
	CHECKS_MAX = 256, /* begun in a tick */
	/* In a call. */
	STEPS_MAX = 48,
	STEPS_BYTES = 256 << 10,
	/* That wait, of one channel; beyond, all of it is said anew. */
	WAITING_BYTES = 32 << 20,
	RENEWALS_MAX = 2, /* one after the other */
};

/* Key, worker, flags, grace, the dead; and for a step sign, client, user and info. */
enum { ARGS_BEFORE = 5, ARGS_OF_STEP = 4, ARGS_MAX = ARGS_BEFORE + STEPS_MAX * ARGS_OF_STEP };

enum { CAME = '+', IS_THERE = '=', LEFT = '-' };

/* Somebody came or left, as it stands in a buf; the user and the info stand behind. */
struct step {
	uint32_t user_len;
	uint32_t info_len;
	char sign;
	char client[UUID_TEXT_LEN];
};

struct presence {
	struct presences *all;
	struct channel *channel; /* NULL: gone */
	const struct channel_options *options;
	struct buf steps;    /* the oldest first */
	size_t sent;         /* bytes of them that are in the call */
	uint64_t taken;      /* bytes that Redis knows, of all steps ever */
	struct list readers; /* struct presence_wait */
	uint32_t members;
	/* While all members are said anew: those with a smaller index in the channel are still to be. From
	 * the end to the beginning, as who comes is behind, and said by a step; and who leaves is replaced by
	 * the last, who was said already. */
	bool renewing;
	bool clear; /* what Redis has of us is no good at all */
	uint32_t left;
	uint32_t left_before; /* the call */
	uint8_t renewals;     /* that did not help */
	bool check;           /* to be compared */
	bool checking;        /* by the call */
	bool refused;         /* the last call was */
	uint64_t checked_ms;
	struct redis_call *call;
	struct list node;    /* in all->queue or all->failed */
	struct list checked; /* in all->checked, while there are members */
	struct list due;     /* in all->due, until due_ms */
	uint64_t due_ms;
	size_t name_len;
	char name[];
};

static struct bytes name_of(const struct presence *p)
{
	return (struct bytes){p->name, p->name_len};
}

static bool has_work(const struct presence *p)
{
	return p->steps.len > 0 || p->renewing || p->check;
}

static void free_if_idle(struct presence *p)
{
	if (p->channel != NULL || p->call != NULL || has_work(p) || list_linked(&p->due))
		return;
	map_remove(&p->all->by_name, name_of(p));
	list_remove(&p->node);
	list_remove(&p->checked);
	buf_free(&p->steps);
	mem_free(p);
}

/* --- steps --- */

static void put_step(struct buf *out, char sign, const struct member *m)
{
	struct step step = {.sign = sign};
	size_t at = out->len;

	memcpy(step.client, m->client, sizeof(step.client));
	buf_put(out, &step, sizeof(step));
	if (sign == LEFT || !buf_ok(out))
		return;
	step.user_len = (uint32_t)m->info.user.len;
	buf_put_bytes(out, m->info.user);
	message_json_put_client_info(out, &m->info);
	if (!buf_ok(out)) {
		out->len = at;
		return;
	}
	step.info_len = (uint32_t)(out->len - at - sizeof(step) - step.user_len);
	memcpy(out->data + at, &step, sizeof(step));
}

/* Takes the step at *at off a text, as arguments of the call. */
static size_t read_step(struct bytes text, size_t *at, struct bytes argv[ARGS_OF_STEP])
{
	const char *here = text.ptr + *at;
	struct step step;

	memcpy(&step, here, sizeof(step));
	argv[0] = (struct bytes){here + offsetof(struct step, sign), 1};
	argv[1] = (struct bytes){here + offsetof(struct step, client), sizeof(step.client)};
	argv[2] = (struct bytes){here + sizeof(step), step.user_len};
	argv[3] = (struct bytes){here + sizeof(step) + step.user_len, step.info_len};
	*at += sizeof(step) + step.user_len + step.info_len;
	return step.sign == LEFT ? 2 : ARGS_OF_STEP;
}

/* From the beginning, whatever becomes of a call that is under way. */
static void renew(struct presence *p)
{
	p->renewing = true;
	p->left = p->left_before = p->channel != NULL ? p->channel->count : 0;
}

static void want_call(struct presence *p);

static void tell_readers(struct presence *p, uint64_t mark)
{
	list_for_each (node, &p->readers) {
		struct presence_wait *wait = container_of(node, struct presence_wait, node);

		if (wait->mark > mark)
			continue;
		list_remove(&wait->node);
		wait->done(wait);
	}
}

static void add_step(struct presence *p, char sign, const struct subscription *s)
{
	struct member m = {.client = ""};

	p->channel->hub->events.describe(s, &m);
	put_step(&p->steps, sign, &m);
	if (!buf_ok(&p->steps)) {
		log_chan(LOG_WARNING, p->channel, "more came and left than Redis was told: it is told anew");
		p->steps.failed = false;
		p->steps.len = p->sent;
		p->clear = true;
		renew(p);
		tell_readers(p, UINT64_MAX);
	}
	want_call(p);
}

/* --- a call --- */

struct call {
	size_t argc;
	size_t steps;
	struct bytes argv[ARGS_MAX];
};

static void take_steps(struct presence *p, struct call *c, struct bytes text, size_t *at)
{
	while (*at < text.len && c->steps < STEPS_MAX && *at < STEPS_BYTES) {
		c->argc += read_step(text, at, &c->argv[c->argc]);
		c->steps++;
	}
}

/* Those that are still to be said, in scratch. */
static void take_members(struct presence *p, struct call *c, struct buf *scratch)
{
	size_t at = 0;

	for (size_t n = c->steps; p->left > 0 && n < STEPS_MAX && scratch->len < STEPS_BYTES;) {
		const struct subscription *s;
		struct member m = {.client = ""};

		if (--p->left >= p->channel->count)
			continue;
		s = p->channel->subscribers[p->left];
		if (s == NULL || !s->is_member)
			continue;
		p->channel->hub->events.describe(s, &m);
		put_step(scratch, IS_THERE, &m);
		n++;
	}
	take_steps(p, c, buf_bytes(scratch), &at);
}

static void on_reply(void *arg, const struct redis_reply *reply);

static void send(struct presence *p)
{
	char grace[REDIS_NUMBER_MAX], flags[8];
	struct call c = {.argc = ARGS_BEFORE};
	struct buf dead, scratch;
	size_t n = 0;

	buf_init(&dead, WORKERS_DEAD_MAX * (WORKERS_ID_MAX + 1 + REDIS_NUMBER_MAX));
	buf_init(&scratch, WAITING_BYTES);
	workers_put_dead(p->all->workers, &dead);
	p->sent = 0;
	p->left_before = p->left;
	take_steps(p, &c, buf_bytes(&p->steps), &p->sent);
	if (p->renewing && p->clear)
		flags[n++] = 'c';
	if (p->renewing && p->channel != NULL)
		take_members(p, &c, &scratch);
	if (p->renewing && p->left == 0)
		flags[n++] = 'd';
	if (p->options->join_leave)
		flags[n++] = 'j';
	if (p->check)
		flags[n++] = 'w';
	p->checking = p->check;
	p->check = false;
	c.argv[0] = name_of(p);
	c.argv[1] = BYTES_OF_STR(p->all->workers->id);
	c.argv[2] = (struct bytes){flags, n};
	c.argv[3] = redis_number(grace, p->options->join_leave_grace_ms);
	c.argv[4] = buf_bytes(&dead);
	p->all->in_flight++;
	p->call = redis_fcall(p->all->redis, "fanfare_presence_update", c.argv, c.argc, on_reply, p);
	tell_readers(p, p->taken + p->sent);
	buf_free(&dead);
	buf_free(&scratch);
}

static void pump(struct presences *all)
{
	struct list *node;

	while (all->workers->registered && all->in_flight < CALLS_MAX &&
	       (node = list_pop(&all->queue)) != NULL)
		send(container_of(node, struct presence, node));
}

static void want_call(struct presence *p)
{
	if (p->call != NULL || list_linked(&p->node))
		return;
	list_append(&p->all->queue, &p->node);
	pump(p->all);
}

/* --- the answer --- */

/* At the next tick. */
static void check_soon(struct presence *p)
{
	if (!list_linked(&p->checked))
		return;
	p->checked_ms = 0;
	list_remove(&p->checked);
	list_append(p->all->checked.next, &p->checked);
}

static void wait_for_due(struct presence *p, int64_t in_ms)
{
	list_remove(&p->due);
	if (in_ms < 0)
		return;
	p->due_ms = clock_ms() + (uint64_t)in_ms;
	list_append(&p->all->due, &p->due);
}

/* Whom nobody knows may have come after we heard last who is there. Of the dead, only so many members are
 * taken away at once: it is looked soon whether there are more. */
static void look_at(struct presence *p, const struct redis_reply *workers)
{
	for (size_t i = 0; i < workers->count; i++) {
		const struct redis_reply *name = workers->elements[i];

		if (name->type != REDIS_STRING || workers_are_alive(p->all->workers, name->text))
			continue;
		workers_suspect(p->all->workers, name->text);
		check_soon(p);
	}
}

static void compare(struct presence *p, int64_t count)
{
	static struct log_limit limit;

	if (p->steps.len > 0 || p->renewing)
		return;
	if (count == p->members) {
		p->renewals = 0;
		return;
	}
	if (p->renewals >= RENEWALS_MAX) {
		if (log_allowed(&limit))
			log_warning("presence of %.*s: Redis has %lld members of this worker, which has %u",
			            BYTES_FMT(name_of(p)), (long long)count, p->members);
		p->renewals = 0;
		return;
	}
	p->clear = p->renewals++ > 0;
	renew(p);
}

static bool take_reply(struct presence *p, const struct redis_reply *reply)
{
	static struct log_limit limit;

	if (reply != NULL && reply->type == REDIS_ARRAY && reply->count == 3 &&
	    reply->elements[0]->type == REDIS_INTEGER && reply->elements[1]->type == REDIS_ARRAY &&
	    reply->elements[2]->type == REDIS_INTEGER)
		return true;
	if (reply == NULL)
		return false;
	metrics_inc(presence_updates_refused);
	if (log_allowed(&limit))
		log_error("cannot tell Redis who is there in %.*s: %.*s%s", BYTES_FMT(name_of(p)),
		          BYTES_FMT(redis_error_text(reply)), redis_error_remedy(reply));
	return false;
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct presence *p = arg;
	struct presences *all = p->all;

	p->call = NULL;
	all->in_flight--;
	p->refused = !take_reply(p, reply);
	if (p->refused) {
		p->left = p->left_before;
		p->check = p->check || p->checking;
		p->sent = 0;
		list_append(&all->failed, &p->node);
		tell_readers(p, UINT64_MAX);
		return;
	}
	buf_consume(&p->steps, p->sent);
	p->taken += p->sent;
	p->sent = 0;
	if (p->steps.len == 0)
		buf_free(&p->steps);
	p->clear = p->clear && !p->renewing;
	p->renewing = p->renewing && p->left > 0;
	look_at(p, reply->elements[1]);
	wait_for_due(p, reply->elements[2]->integer);
	compare(p, reply->elements[0]->integer);
	if (has_work(p))
		want_call(p);
	free_if_idle(p);
	pump(all);
}

/* --- the face --- */

void presences_init(struct presences *all, struct redis *redis, struct workers *workers,
                    const struct config *config)
{
	*all = (struct presences){
		.redis = redis,
		.workers = workers,
		.interval_ms = config->client.presence_update_interval_ms,
	};
	map_init(&all->by_name);
	list_init(&all->queue);
	list_init(&all->failed);
	list_init(&all->checked);
	list_init(&all->due);
}

/* What could not be told any more, others find out: this worker does not renew its lease. */
void presences_free(struct presences *all)
{
	size_t cursor = 0;
	struct presence *p;

	while ((p = map_next(&all->by_name, &cursor)) != NULL) {
		assert(p->channel == NULL);
		redis_call_cancel(&p->call);
		buf_free(&p->steps);
		mem_free(p);
	}
	map_free(&all->by_name);
}

static void check(struct presence *p)
{
	p->check = true;
	p->checked_ms = clock_ms();
	list_remove(&p->checked);
	list_append(&p->all->checked, &p->checked);
	want_call(p);
}

static void tell_due(struct presences *all)
{
	list_for_each (node, &all->due) {
		struct presence *p = container_of(node, struct presence, due);

		if (clock_ms() < p->due_ms)
			continue;
		list_remove(&p->due);
		p->check = true;
		want_call(p);
	}
}

void presences_tick(struct presences *all)
{
	list_move_all(&all->queue, &all->failed);
	for (int i = 0; i < CHECKS_MAX && !list_empty(&all->checked); i++) {
		struct presence *p = container_of(all->checked.next, struct presence, checked);

		if (p->checked_ms != 0 && clock_ms() - p->checked_ms < all->interval_ms)
			break;
		check(p);
	}
	tell_due(all);
	pump(all);
}

void presences_check(void *ctx)
{
	struct presences *all = ctx;

	list_for_each (node, &all->checked)
		container_of(node, struct presence, checked)->checked_ms = 0;
}

/* As many as fit in a call cost hardly more to be said anew than to be counted, and where one is missing and
 * another one too many the number does not tell. Those who are too many are found by the number behind it. */
void presence_doubt(struct presence *p)
{
	if (p == NULL || p->members == 0)
		return;
	check_soon(p);
	if (p->members > STEPS_MAX || p->renewing)
		return;
	p->renewals = 1;
	renew(p);
}

bool presences_are_busy(const struct presences *all)
{
	return all->in_flight > 0 || !list_empty(&all->queue) || !list_empty(&all->failed);
}

static struct presence *presence_new(struct presences *all, struct bytes name)
{
	struct presence *p = mem_alloc(sizeof(*p) + name.len);

	p->all = all;
	p->name_len = name.len;
	memcpy(p->name, name.ptr, name.len);
	buf_init(&p->steps, WAITING_BYTES);
	list_init(&p->readers);
	map_add(&all->by_name, name_of(p), p);
	return p;
}

struct presence *presence_open(struct presences *all, struct channel *ch,
                               const struct channel_options *options)
{
	struct bytes name = channel_redis_name(ch);
	struct presence *p = map_get(&all->by_name, name);

	if (p == NULL)
		p = presence_new(all, name);
	assert(p->channel == NULL && p->members == 0);
	p->channel = ch;
	p->options = options;
	return p;
}

void presence_close(struct presence **presence)
{
	struct presence *p = *presence;

	*presence = NULL;
	if (p == NULL)
		return;
	assert(p->members == 0);
	p->channel = NULL;
	p->left = p->left_before = 0;
	p->check = false;
	list_remove(&p->checked);
	free_if_idle(p);
}

void presence_join(struct presence *p, struct subscription *s)
{
	if (p->members++ == 0) {
		p->checked_ms = clock_ms();
		list_append(&p->all->checked, &p->checked);
	}
	add_step(p, CAME, s);
}

void presence_leave(struct presence *p, struct subscription *s)
{
	assert(p->members > 0);
	if (--p->members == 0)
		list_remove(&p->checked);
	add_step(p, LEFT, s);
}

bool presence_wait(struct presences *all, struct bytes redis_name, struct presence_wait *wait)
{
	struct presence *p = map_get(&all->by_name, redis_name);

	if (p == NULL || p->steps.len == p->sent || !all->workers->registered)
		return false;
	wait->mark = p->taken + p->steps.len;
	list_append(&p->readers, &wait->node);
	return true;
}

bool presence_is_refused(const struct presences *all, struct bytes redis_name)
{
	const struct presence *p = map_get(&all->by_name, redis_name);

	return p != NULL && (p->refused || !all->workers->registered) && (p->steps.len > 0 || p->renewing);
}

void presence_forget(struct presence_wait *wait)
{
	list_remove(&wait->node);
}
