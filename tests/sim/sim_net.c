#include "sim_net.h"

#include <errno.h>
#include <string.h>

#include "sim_net_internal.h"

enum { WIRE_FIRST = 1024, PIECES_MAX = 64 << 10 };

static struct sim_link *all;

void sim_net_start(void)
{
	all = NULL;
	sim_files_start();
}

/* --- rings --- */

static void ring_init(struct sim_ring *r, size_t cap)
{
	*r = (struct sim_ring){.data = sim_alloc_bytes(cap), .cap = cap};
}

size_t sim_ring_room(const struct sim_ring *r)
{
	return r->cap - r->len;
}

void sim_ring_put(struct sim_ring *r, const char *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t at = (r->head + r->len) % r->cap;
		size_t piece = r->cap - at < len - done ? r->cap - at : len - done;

		memcpy(r->data + at, data + done, piece);
		r->len += piece;
		done += piece;
	}
}

void sim_ring_peek(const struct sim_ring *r, char *data, size_t len)
{
	size_t piece = r->cap - r->head < len ? r->cap - r->head : len;

	memcpy(data, r->data + r->head, piece);
	memcpy(data + piece, r->data, len - piece);
}

void sim_ring_drop(struct sim_ring *r, size_t len)
{
	r->len -= len;
	r->head = (r->head + len) % r->cap;
}

static void ring_grow(struct sim_ring *r, size_t len)
{
	size_t cap = r->cap;
	struct sim_ring old = *r;

	if (sim_ring_room(r) >= len)
		return;
	while (cap - r->len < len)
		cap *= 2;
	ring_init(r, cap);
	sim_ring_peek(&old, r->data, old.len);
	r->len = old.len;
}

/* --- the end of an actor --- */

static void tell_end(struct sim_link *l, bool reset)
{
	const struct sim_actor *actor = l->actor;

	if (l->ended)
		return;
	l->ended = true;
	if (actor != NULL)
		actor->on_end(l, reset);
}

static void on_reset_arrives(void *ctx)
{
	tell_end(ctx, true);
}

/* Redis is near. */
static uint64_t latency(const struct sim_link *l)
{
	return sim_below(sim.weather.latency_us / (l->redis ? 10 : 1) + 1);
}

/* --- from the worker --- */

static bool in_hole(const struct sim_link *l)
{
	return l->hole_until_us > sim.now_us;
}

static uint64_t out_delay(const struct sim_link *l)
{
	if (in_hole(l))
		return l->hole_until_us - sim.now_us;
	return latency(l) + l->pause_us;
}

static void on_leave(void *ctx)
{
	static char piece[PIECES_MAX];
	struct sim_link *l = ctx;
	size_t len = l->out.len < l->pace ? l->out.len : l->pace;

	l->leaving = false;
	if (l->ended || !l->reading)
		return;
	if (in_hole(l)) {
		sim_link_left(l);
		return;
	}
	if (len > sizeof(piece))
		len = sizeof(piece);
	sim_ring_peek(&l->out, piece, len);
	sim_ring_drop(&l->out, len);
	if (len > 0 && l->actor != NULL)
		l->actor->on_data(l, piece, len);
	else if (len > 0)
		sim_link_break(l, ECONNRESET);
	if (l->out.len == 0 && l->out_end)
		tell_end(l, false);
	sim_link_left(l);
}

void sim_link_left(struct sim_link *l)
{
	if (l->leaving || l->ended || !l->reading || l->connecting || (l->out.len == 0 && !l->out_end))
		return;
	l->leaving = true;
	sim_after(out_delay(l), on_leave, l);
}

/* --- to the worker --- */

void sim_link_break(struct sim_link *l, int error)
{
	if (l->broken)
		return;
	l->broken = true;
	l->error = error;
	l->hurt = true;
	l->wire.len = 0;
	l->out.len = 0;
	sim_note("link %d breaks: %s", l->fd, strerror(error));
}

/* The worker is gone: whoever sends to it gets a reset, which overtakes what it had written. */
static void bounce(struct sim_link *l)
{
	bool sent = l->wire.len > 0;

	l->wire.len = 0;
	l->wire_end = false;
	if (sent && !l->ended) {
		l->out.len = 0;
		sim_after(latency(l), on_reset_arrives, l);
	}
}

static void on_arrive(void *ctx)
{
	struct sim_link *l = ctx;
	static char piece[PIECES_MAX];
	size_t len = l->wire.len < sizeof(piece) ? l->wire.len : sizeof(piece);

	l->arriving = false;
	if (l->broken)
		return;
	if (in_hole(l) || l->connecting) {
		sim_link_arrived(l);
		return;
	}
	if (l->closed) {
		bounce(l);
		return;
	}
	if (len > sim_ring_room(&l->in))
		len = sim_ring_room(&l->in);
	if (len > 1 && sim_lies(sim.weather.short_read))
		len = sim_between(1, (uint32_t)len);
	sim_ring_peek(&l->wire, piece, len);
	sim_ring_drop(&l->wire, len);
	sim_ring_put(&l->in, piece, len);
	if (l->wire.len == 0 && l->wire_end)
		l->in_end = true;
	else
		sim_link_arrived(l);
}

void sim_link_arrived(struct sim_link *l)
{
	if (l->arriving || l->broken || l->in_end || (l->wire.len == 0 && !l->wire_end))
		return;
	if (l->wire.len > 0 && sim_ring_room(&l->in) == 0 && !l->closed)
		return; /* sim_link_took() comes back to it */
	l->arriving = true;
	sim_after(in_hole(l) ? l->hole_until_us - sim.now_us : latency(l) + (l->connecting ? SIM_MS : 0),
	          on_arrive, l);
}

void sim_link_took(struct sim_link *l, size_t len)
{
	l->consumed += len;
	sim_link_arrived(l);
}

/* --- the worker closes --- */

void sim_link_closed(struct sim_link *l, bool reset)
{
	l->fd = -1;
	l->closed = true;
	if (l->connecting || l->broken || l->ended) {
		sim_after(latency(l), on_reset_arrives, l);
	} else if (reset || l->in.len > 0) {
		/* What had left already may arrive, or not. */
		l->out.len = sim_below((uint32_t)l->out.len + 1);
		sim_after(latency(l), on_reset_arrives, l);
		sim_link_left(l);
	} else {
		l->out_end = true;
		sim_link_left(l);
		sim_link_arrived(l);
	}
}

void sim_link_lost(struct sim_link *l)
{
	l->broken = true;
	l->hurt = true;
	l->wire.len = 0;
	l->in.len = 0;
	l->out.len = 0;
	sim_after(latency(l), on_reset_arrives, l);
}

/* --- the face for actors --- */

static size_t draw_capacity(bool redis)
{
	static const uint32_t usual[] = {512, 2048, 4096, 16384, 65536};

	return usual[redis ? 3 + sim_below(2) : sim_below(ARRAY_LEN(usual))];
}

struct sim_link *sim_link_new(const struct sim_actor *actor, void *ctx, bool redis)
{
	struct sim_link *l = sim_alloc(sizeof(*l));

	l->actor = actor;
	l->ctx = ctx;
	l->fd = -1;
	l->reading = true;
	l->pace = PIECES_MAX;
	l->redis = redis;
	ring_init(&l->wire, WIRE_FIRST);
	ring_init(&l->in, draw_capacity(redis));
	ring_init(&l->out, draw_capacity(redis));
	l->next = all;
	all = l;
	return l;
}

void sim_link_send(struct sim_link *l, const char *data, size_t len)
{
	if (len == 0 || l->broken || l->wire_end)
		return;
	ring_grow(&l->wire, len);
	sim_ring_put(&l->wire, data, len);
	l->pushed += len;
	sim_link_arrived(l);
}

void sim_link_finish(struct sim_link *l)
{
	l->wire_end = true;
	sim_link_arrived(l);
}

void sim_link_close(struct sim_link *l)
{
	l->actor = NULL;
	l->reading = true;
	l->pace = PIECES_MAX;
	l->pause_us = 0;
	sim_link_finish(l);
	sim_link_left(l);
}

static void on_reset_for_worker(void *ctx)
{
	struct sim_link *l = ctx;

	if (!l->closed)
		sim_link_break(l, ECONNRESET);
}

void sim_link_reset(struct sim_link *l)
{
	l->actor = NULL;
	l->ended = true;
	l->hurt = true;
	l->wire.len = 0;
	l->wire_end = true;
	sim_after(latency(l), on_reset_for_worker, l);
}

void sim_link_cut(struct sim_link *l)
{
	l->wire.len = sim_below((uint32_t)l->wire.len + 1);
	l->hurt = true;
	if (sim_chance(5000)) {
		sim_link_close(l);
		return;
	}
	l->actor = NULL;
	l->ended = true;
	l->wire_end = true;
	sim_after(latency(l), on_reset_for_worker, l);
}

void sim_link_set_reading(struct sim_link *l, bool reading)
{
	l->reading = reading;
	sim_link_left(l);
}

void sim_link_hole(struct sim_link *l, uint64_t duration_us)
{
	if (l->reliable)
		return;
	sim.counts.holes++;
	l->holed = true;
	l->hole_until_us = sim.now_us + duration_us;
	sim_note("link %d: nothing comes through for %.3f s", l->fd, (double)duration_us / SIM_SECOND);
}

static void on_mended(void *ctx)
{
	sim_link_left(ctx);
	sim_link_arrived(ctx);
}

void sim_link_mend(struct sim_link *l)
{
	if (!in_hole(l))
		return;
	l->hole_until_us = 0;
	l->leaving = l->arriving = false;
	sim_after(0, on_mended, l);
}

bool sim_link_dead(const struct sim_link *l)
{
	return l->closed || l->broken;
}

struct sim_link *sim_links(void)
{
	return all;
}
