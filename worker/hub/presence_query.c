/* What clients ask of presence: one read each, of what Redis has of all workers. Members of a worker that is
 * not alive are left out. But who is not known may be new: then it is asked who is alive, and read again.
 * What Redis has is not true, and is not passed on, where it has refused what was told to it before. */
#include <string.h>

#include "buf.h"
#include "envelope.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "redis_trouble.h"
#include "workers.h"

enum { READS_MAX = 3 };

struct hub_presence {
	struct hub *hub;
	struct redis_call *call;
	struct workers_wait wait;
	struct presence_wait told; /* what is known here is known in Redis */
	void (*done)(void *arg, enum error_code error, const struct presence_result *result,
	             const struct presence_stats_result *stats);
	void *arg;
	bool stats;
	int reads;
	size_t name_len;
	char name[];
};

static struct bytes name_of(const struct hub_presence *q)
{
	return (struct bytes){q->name, q->name_len};
}

static void answer(struct hub_presence *q, enum error_code error, const struct presence_result *result,
                   const struct presence_stats_result *stats)
{
	struct hub_presence asked = *q;

	workers_forget(&q->wait);
	mem_free(q);
	asked.done(asked.arg, error, result, stats);
}

/* --- reading replies --- */

static bool is_text(const struct redis_reply *r)
{
	return r->type == REDIS_STRING;
}

/* By turns a worker and what is said of it, from the first element on. */
static bool is_well_formed(const struct redis_reply *reply, bool stats)
{
	size_t first = stats ? 1 : 0;

	if (reply == NULL || reply->type != REDIS_ARRAY || reply->count % 2 != first)
		return false;
	if (stats && reply->elements[0]->type != REDIS_INTEGER)
		return false;
	for (size_t i = first; i < reply->count; i += 2) {
		const struct redis_reply *said = reply->elements[i + 1];

		if (!is_text(reply->elements[i]) || said->type != (stats ? REDIS_INTEGER : REDIS_ARRAY) ||
		    (!stats && said->count % 2 != 0))
			return false;
	}
	return true;
}

static bool is_alive(const struct hub_presence *q, const struct redis_reply *worker)
{
	return workers_are_alive(&q->hub->workers, worker->text);
}

/* Those who are not alive are reaped by whoever looks at the channel next. */
static bool all_are_alive(const struct hub_presence *q, const struct redis_reply *reply)
{
	bool all = true;

	for (size_t i = q->stats ? 1 : 0; i < reply->count; i += 2) {
		if (is_alive(q, reply->elements[i]))
			continue;
		workers_suspect(&q->hub->workers, reply->elements[i]->text);
		all = false;
	}
	return all;
}

static uint32_t number(int64_t n)
{
	return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void answer_stats(struct hub_presence *q, const struct redis_reply *reply)
{
	struct presence_stats_result result = {.num_users = number(reply->elements[0]->integer)};
	int64_t clients = 0;

	for (size_t i = 1; i < reply->count; i += 2) {
		if (is_alive(q, reply->elements[i]))
			clients += number(reply->elements[i + 1]->integer);
	}
	result.num_clients = number(clients);
	/* Those of the dead are counted, too, until they are reaped. */
	if (result.num_users > result.num_clients)
		result.num_users = result.num_clients;
	answer(q, ERROR_NONE, NULL, &result);
}

/* What the members of the living take. */
static void measure(const struct hub_presence *q, const struct redis_reply *reply, size_t *count,
                    size_t *bytes)
{
	*count = *bytes = 0;
	for (size_t i = 0; i < reply->count; i += 2) {
		const struct redis_reply *members = reply->elements[i + 1];

		if (!is_alive(q, reply->elements[i]))
			continue;
		*count += members->count / 2;
		for (size_t k = 1; k < members->count; k += 2)
			*bytes += is_text(members->elements[k]) ? members->elements[k]->text.len : 0;
	}
}

static void read_members(const struct redis_reply *members, struct buf *scratch, struct client_info *infos,
                         size_t *count)
{
	static struct log_limit limit;

	for (size_t i = 1; i < members->count; i += 2) {
		const struct redis_reply *info = members->elements[i];

		if (is_text(info) && envelope_read_info(info->text, scratch, &infos[*count]))
			(*count)++;
		else if (log_allowed(&limit))
			log_error("presence holds what is no member");
	}
}

static void answer_members(struct hub_presence *q, const struct redis_reply *reply)
{
	struct presence_result result = {0};
	struct client_info *infos;
	struct buf scratch;
	size_t count, bytes;

	measure(q, reply, &count, &bytes);
	infos = mem_try_alloc((count + 1) * sizeof(*infos));
	buf_init(&scratch, bytes + 1);
	if (infos == NULL || buf_reserve(&scratch, bytes + 1) == NULL) {
		mem_free(infos);
		answer(q, ERROR_INTERNAL, NULL, NULL);
		return;
	}
	for (size_t i = 0; i < reply->count; i += 2) {
		if (is_alive(q, reply->elements[i]))
			read_members(reply->elements[i + 1], &scratch, infos, &result.count);
	}
	result.members = infos;
	answer(q, ERROR_NONE, &result, NULL);
	buf_free(&scratch);
	mem_free(infos);
}

/* --- asking --- */

static void read_again(struct workers_wait *wait);

static bool are_too_many(const struct redis_reply *reply)
{
	return reply != NULL && reply->type == REDIS_ERROR &&
	       memmem(reply->text.ptr, reply->text.len, "too many members", 16) != NULL;
}

static void refuse(struct hub_presence *q, const struct redis_reply *reply)
{
	static struct log_limit limit;

	if (are_too_many(reply)) {
		answer(q, ERROR_LIMIT_EXCEEDED, NULL, NULL);
		return;
	}
	if (reply != NULL)
		metrics_inc(presence_reads_refused);
	if (reply != NULL && log_allowed(&limit))
		log_error("cannot read who is there in %.*s: %.*s%s", BYTES_FMT(name_of(q)),
		          BYTES_FMT(redis_error_text(reply)), redis_error_remedy(reply));
	answer(q, ERROR_INTERNAL, NULL, NULL);
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct hub_presence *q = arg;

	q->call = NULL;
	if (!is_well_formed(reply, q->stats))
		refuse(q, reply);
	else if (presence_is_refused(&q->hub->presences, name_of(q)))
		answer(q, ERROR_INTERNAL, NULL, NULL);
	else if (!all_are_alive(q, reply) && ++q->reads < READS_MAX)
		workers_ask(&q->hub->workers, &q->wait);
	else if (q->stats)
		answer_stats(q, reply);
	else
		answer_members(q, reply);
}

static void read(struct hub_presence *q)
{
	const struct bytes argv[] = {name_of(q)};

	q->call = redis_fcall(q->hub->redis, q->stats ? "fanfare_presence_stats" : "fanfare_presence", argv,
	                      1, on_reply, q);
}

/* Behind what is known here and Redis was not told yet. */
static void read_in_turn(struct hub_presence *q)
{
	if (!presence_wait(&q->hub->presences, name_of(q), &q->told))
		read(q);
}

static void read_again(struct workers_wait *wait)
{
	read_in_turn(container_of(wait, struct hub_presence, wait));
}

static void on_told(struct presence_wait *told)
{
	read(container_of(told, struct hub_presence, told));
}

struct hub_presence *hub_presence(struct hub *h, struct bytes channel, bool stats,
                                  void (*done)(void *arg, enum error_code error,
                                               const struct presence_result *result,
                                               const struct presence_stats_result *stats),
                                  void *arg)
{
	struct hub_presence *q = mem_try_alloc(sizeof(*q) + h->prefix.len + channel.len);

	if (q == NULL)
		return NULL;
	*q = (struct hub_presence){
		.hub = h,
		.wait.done = read_again,
		.told.done = on_told,
		.done = done,
		.arg = arg,
		.stats = stats,
		.name_len = h->prefix.len + channel.len,
	};
	memcpy(q->name, h->prefix.ptr, h->prefix.len);
	memcpy(q->name + h->prefix.len, channel.ptr, channel.len);
	if (h->workers.registered)
		read_in_turn(q);
	else
		workers_ask(&h->workers, &q->wait);
	return q;
}

void hub_presence_cancel(struct hub_presence **q)
{
	if (*q == NULL)
		return;
	redis_call_cancel(&(*q)->call);
	workers_forget(&(*q)->wait);
	presence_forget(&(*q)->told);
	mem_free(*q);
	*q = NULL;
}
