#include "workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "redis.h"
#include "redis_args.h"
#include "redis_trouble.h"

/* How often a lease is renewed in its time, and how long after the last one at most, since that is how long
 * it takes until a death is known everywhere; and how soon after that did not work. */
enum { RENEWALS = 5, RENEWAL_MAX_MS = 2000, AGAIN_MS = 500 };

/* --- the names --- */

static int compare(const void *a, const void *b)
{
	const struct bytes *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->ptr, y->ptr, len);

	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

bool workers_are_alive(const struct workers *w, struct bytes id)
{
	return w->count > 0 && bsearch(&id, w->names, w->count, sizeof(id), compare) != NULL;
}

static bool is_name(const struct redis_reply *r)
{
	return r->type == REDIS_STRING && r->text.len > 0 && r->text.len <= WORKERS_ID_MAX &&
	       memchr(r->text.ptr, ' ', r->text.len) == NULL;
}

static void free_names(struct buf *text, struct bytes **names)
{
	buf_free(text);
	mem_free(*names);
	*names = NULL;
}

/* Names that are none are left out: there is nothing that we could say to them. */
static size_t read_names(const struct redis_reply *list, struct buf *text, struct bytes **names)
{
	size_t told = list->count < WORKERS_MAX ? list->count : WORKERS_MAX;
	size_t count = 0;
	size_t at = 0;

	buf_init(text, (size_t)WORKERS_MAX * WORKERS_ID_MAX);
	*names = mem_alloc((told + 1) * sizeof(**names));
	for (size_t i = 0; i < told; i++) {
		if (!is_name(list->elements[i]))
			continue;
		buf_put_bytes(text, list->elements[i]->text);
		(*names)[count++].len = list->elements[i]->text.len;
	}
	for (size_t i = 0; i < count; i++) {
		(*names)[i].ptr = text->data + at;
		at += (*names)[i].len;
	}
	if (!buf_ok(text))
		count = 0;
	qsort(*names, count, sizeof(**names), compare);
	return count;
}

/* --- the dead --- */

static void set_name(char place[WORKERS_ID_MAX + 1], struct bytes id)
{
	memcpy(place, id.ptr, id.len);
	place[id.len] = '\0';
}

/* Whether that is news. Who came back unseen and died once more did so later. */
static bool bury(struct workers *w, struct bytes id, uint64_t redis_ms)
{
	size_t place = w->dead_count % WORKERS_DEAD_MAX;

	for (size_t i = 0; i < WORKERS_DEAD_MAX; i++) {
		if (!bytes_eq(BYTES_OF_STR(w->dead[i]), id))
			continue;
		w->dead_ms[i] = redis_ms;
		return false;
	}
	w->dead_count++;
	set_name(w->dead[place], id);
	w->dead_ms[place] = redis_ms;
	return true;
}

static void revive(struct workers *w, struct bytes id)
{
	for (size_t i = 0; i < WORKERS_DEAD_MAX; i++) {
		if (bytes_eq(BYTES_OF_STR(w->dead[i]), id))
			w->dead[i][0] = '\0';
	}
}

void workers_put_dead(const struct workers *w, struct buf *out)
{
	size_t start = out->len;

	for (size_t i = 0; i < WORKERS_DEAD_MAX; i++) {
		if (w->dead[i][0] == '\0')
			continue;
		if (out->len > start)
			buf_putc(out, ' ');
		buf_puts(out, w->dead[i]);
		buf_putc(out, '@');
		buf_put_u64(out, w->dead_ms[i]);
	}
}

/* --- renewing --- */

/* Whether somebody is missing who was there. */
static bool take_names(struct workers *w, const struct redis_reply *list, uint64_t redis_ms)
{
	struct buf old_text = w->alive;
	struct bytes *old = w->names;
	size_t old_count = w->count;
	bool missing = false;

	w->count = read_names(list, &w->alive, &w->names);
	for (size_t i = 0; i < w->count; i++)
		revive(w, w->names[i]);
	for (size_t i = 0; i < old_count; i++) {
		if (workers_are_alive(w, old[i]) || bytes_eq(old[i], BYTES_OF_STR(w->id)))
			continue;
		bury(w, old[i], redis_ms);
		missing = true;
	}
	free_names(&old_text, &old);
	return missing;
}

/* Into the next call, which is made soon. */
static void put_in(struct workers_list *l, struct workers *w, struct bytes id)
{
	if (id.len == 0 || id.len > WORKERS_ID_MAX || l->count == WORKERS_LISTED_MAX)
		return;
	for (size_t i = 0; i < l->count; i++) {
		if (bytes_eq(BYTES_OF_STR(l->names[i]), id))
			return;
	}
	set_name(l->names[l->count++], id);
	w->due_ms = 0;
}

/* Those who were put in since the call was made are left for the next one. */
static void drop_called(struct workers_list *l)
{
	l->count -= l->called;
	memmove(l->names, l->names[l->called], l->count * sizeof(l->names[0]));
	l->called = 0;
}

void workers_suspect(struct workers *w, struct bytes id)
{
	put_in(&w->suspects, w, id);
}

void workers_call_dead(struct workers *w, struct bytes id)
{
	put_in(&w->doomed, w, id);
}

/* Whether somebody's death is news. Of the suspects those are dead who are not alive; the doomed are, even if
 * they died before they were known at all. */
static bool bury_called(struct workers *w, uint64_t redis_ms)
{
	bool any = false;

	for (size_t i = 0; i < w->suspects.called; i++) {
		struct bytes id = BYTES_OF_STR(w->suspects.names[i]);

		any |= !workers_are_alive(w, id) && bury(w, id, redis_ms);
	}
	for (size_t i = 0; i < w->doomed.called; i++)
		any |= bury(w, BYTES_OF_STR(w->doomed.names[i]), redis_ms);
	drop_called(&w->suspects);
	drop_called(&w->doomed);
	return any;
}

static bool take_reply(struct workers *w, const struct redis_reply *reply)
{
	const struct redis_reply *had, *digest, *list, *now;
	bool changed;

	if (reply == NULL || reply->type != REDIS_ARRAY || reply->count != 4)
		return false;
	had = reply->elements[0];
	digest = reply->elements[1];
	list = reply->elements[2];
	now = reply->elements[3];
	if (had->type != REDIS_INTEGER || digest->type != REDIS_STRING ||
	    digest->text.len > sizeof(w->digest) || list->type != REDIS_ARRAY || now->type != REDIS_INTEGER ||
	    now->integer < 0)
		return false;
	changed = w->registered && had->integer == 0;
	if (list->count > 0)
		changed |= take_names(w, list, (uint64_t)now->integer);
	w->digest_len = digest->text.len;
	memcpy(w->digest, digest->text.ptr, digest->text.len);
	w->registered = true;
	changed |= bury_called(w, (uint64_t)now->integer);
	if (changed)
		w->on_change(w->ctx);
	return true;
}

static void renew(struct workers *w);

/* Those who asked before the call was made have their answer; for the others another one is made. */
static void tell_waiting(struct workers *w)
{
	struct list told;
	struct list *node;

	list_init(&told);
	list_for_each (wait, &w->waiting) {
		if (!container_of(wait, struct workers_wait, node)->asked)
			continue;
		list_remove(wait);
		list_append(&told, wait);
	}
	while ((node = list_pop(&told)) != NULL) {
		struct workers_wait *wait = container_of(node, struct workers_wait, node);

		wait->done(wait);
	}
	if (!list_empty(&w->waiting) && w->call == NULL)
		renew(w);
}

static uint64_t renewal_interval(const struct workers *w)
{
	uint64_t part = w->lease_ms / RENEWALS;

	return part < RENEWAL_MAX_MS ? part : RENEWAL_MAX_MS;
}

/* Without a lease nobody is told who is there. */
static void tell_refusal(const struct redis_reply *reply)
{
	static struct log_limit limit;

	if (reply == NULL)
		return;
	metrics_inc(presence_updates_refused);
	if (log_allowed(&limit))
		log_error("cannot renew the lease of this worker, so presence stands still: %.*s%s",
		          BYTES_FMT(redis_error_text(reply)), redis_error_remedy(reply));
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct workers *w = arg;
	uint64_t next_ms = renewal_interval(w);

	w->call = NULL;
	if (!take_reply(w, reply)) {
		tell_refusal(reply);
		next_ms = AGAIN_MS;
	}
	if (w->suspects.count > 0 || w->doomed.count > w->doomed.called)
		next_ms = 0;
	w->due_ms = clock_ms() + next_ms;
	tell_waiting(w);
}

static struct redis_call *call(struct workers *w, uint64_t lease_ms, struct bytes known,
                               void (*done)(void *arg, const struct redis_reply *reply))
{
	char lease[REDIS_NUMBER_MAX];
	struct bytes argv[4 + WORKERS_LISTED_MAX] = {
		BYTES_OF_STR(w->key),
		BYTES_OF_STR(w->id),
		redis_number(lease, lease_ms),
		known,
	};

	w->doomed.called = w->doomed.count;
	for (size_t i = 0; i < w->doomed.called; i++)
		argv[4 + i] = BYTES_OF_STR(w->doomed.names[i]);
	return redis_fcall(w->redis, "fanfare_workers", argv, 4 + w->doomed.called, done, w);
}

static void renew(struct workers *w)
{
	if (w->on_resigned != NULL)
		return;
	list_for_each (node, &w->waiting)
		container_of(node, struct workers_wait, node)->asked = true;
	w->suspects.called = w->suspects.count;
	w->call = call(w, w->lease_ms, (struct bytes){w->digest, w->digest_len}, on_reply);
}

static void on_resigned(void *arg, const struct redis_reply *reply)
{
	struct workers *w = arg;

	w->call = NULL;
	w->on_resigned(w->resigned_ctx);
}

bool workers_resign(struct workers *w, void (*done)(void *ctx), void *ctx)
{
	if (!w->registered && w->call == NULL) /* one that is on its way may still take the lease */
		return false;
	w->registered = false;
	w->on_resigned = done;
	w->resigned_ctx = ctx;
	redis_call_cancel(&w->call);
	w->call = call(w, 0, BYTES(""), on_resigned);
	return true;
}

void workers_tick(struct workers *w)
{
	if (w->needed && w->call == NULL && clock_ms() >= w->due_ms)
		renew(w);
}

/* --- the face --- */

void workers_ask(struct workers *w, struct workers_wait *wait)
{
	wait->asked = false;
	list_append(&w->waiting, &wait->node);
	if (w->call == NULL)
		renew(w);
}

void workers_forget(struct workers_wait *wait)
{
	list_remove(&wait->node);
}

void workers_init(struct workers *w, struct redis *redis, const struct config *config, const char *id,
                  const char *dead_id, void (*on_change)(void *ctx), void *ctx)
{
	*w = (struct workers){
		.redis = redis,
		.id = id,
		.needed = config_any_channel(config, config_has_presence),
		.lease_ms = config->redis.presence_ttl_ms,
		.on_change = on_change,
		.ctx = ctx,
	};
	/* No key of a channel ends like this (functions.lua). */
	w->key = mem_printf("{%s}workers", config->redis.prefix);
	list_init(&w->waiting);
	if (dead_id != NULL)
		workers_call_dead(w, BYTES_OF_STR(dead_id));
}

void workers_free(struct workers *w)
{
	redis_call_cancel(&w->call);
	free_names(&w->alive, &w->names);
	mem_free(w->key);
}
