#include "conns.h"

#include "clock.h"
#include "codes.h"
#include "conn_internal.h"
#include "gate.h"
#include "listener.h"
#include "mem.h"
#include "metrics.h"
#include "proxied.h"
#include "slab.h"

enum { DRAIN_STEP_MS = 20 };

static void on_all_gone(struct task *t)
{
	struct conns *set = container_of(t, struct conns, drained);

	if (set->count == 0)
		set->params.on_drained(set->params.ctx);
}

static void on_drain_timer(struct timer *t);

/* There is no descriptor to keep it with while it is told. */
static void refuse(struct conns *set, int fd, const struct peer *peer, const struct conns_door *door,
                   enum refusal why)
{
	char who[PEER_TEXT_MAX];

	peer_format(peer, who);
	gate_refused(set->gate, why, who);
	listener_refuse(fd, gate_answer(why, door->tls != NULL));
}

/* The client itself, whoever connected for it. */
static void on_client(void *ctx, int fd, const struct address *address, const void *note)
{
	struct conns *set = ctx;
	const struct conns_door *door = note;
	struct peer client;
	enum refusal why;
	bool counted;

	peer_remember(&client, address);
	why = gate_admit(set->gate, &client, &counted);
	if (why == REFUSED_NOT)
		conn_open(set, fd, &client, counted, door);
	else
		refuse(set, fd, &client, door, why);
}

struct conns *conns_new(const struct conns_params *params)
{
	struct conns *set = mem_alloc(sizeof(*set));

	set->params = *params;
	set->gate = gate_new(params->config);
	set->slab = slab_new(sizeof(struct conn));
	set->proxied = proxied_new(params->loop, on_client, set);
	list_init(&set->all);
	list_init(&set->answers);
	set->drain_timer.fire = on_drain_timer;
	set->drained.run = on_all_gone;
	return set;
}

void conns_free(struct conns **set)
{
	if (*set == NULL)
		return;
	(*set)->freeing = true;
	proxied_free(&(*set)->proxied);
	list_for_each (node, &(*set)->all)
		conn_die(container_of(node, struct conn, node), true);
	timer_stop(&(*set)->drain_timer);
	task_cancel(&(*set)->drained);
	gate_free(&(*set)->gate);
	slab_close(&(*set)->slab);
	mem_free(*set);
	*set = NULL;
}

void conns_accept(struct conns *set, int fd, const struct address *address, const struct conns_door *door)
{
	static const struct conns_door plain;
	struct peer peer;
	enum refusal why = gate_knock(set->gate, set->count + proxied_count(set->proxied));

	if (door == NULL)
		door = &plain;
	peer_remember(&peer, address);
	if (why != REFUSED_NOT)
		refuse(set, fd, &peer, door, why);
	else if (gate_expects_header(set->gate, &peer))
		proxied_accept(set->proxied, fd, address, door, set->params.config->limits.head_timeout_ms);
	else
		on_client(set, fd, address, door);
}

struct bytes conns_refusal(const struct conns_door *door)
{
	return gate_answer(REFUSED_DESCRIPTORS, door->tls != NULL);
}

size_t conns_count(const struct conns *set)
{
	return set->count;
}

bool conns_draining(const struct conns *set)
{
	return set->draining;
}

/* Closes the oldest ones first, as many as the time gone by demands; the first at once. Those that came since
 * the start are closed when they are upgraded, and at the end with all others. */
static void on_drain_timer(struct timer *t)
{
	struct conns *set = container_of(t, struct conns, drain_timer);
	uint64_t elapsed = clock_ms() - set->drain_started_ms;
	bool over = elapsed >= set->drain_duration_ms;
	size_t due = over ? SIZE_MAX : (size_t)(set->drain_total * elapsed / set->drain_duration_ms) + 1;

	list_for_each (node, &set->all) {
		struct conn *c = container_of(node, struct conn, node);

		if (set->drain_closed >= due || (!over && c->number > set->drain_last))
			break;
		if (c->phase >= PHASE_CLOSING)
			continue;
		set->drain_closed++;
		conn_close(c, c->phase == PHASE_HTTP ? 0 : DISCONNECT_SHUTDOWN,
		           disconnect_reason(DISCONNECT_SHUTDOWN), "shutdown");
	}
	if (!over)
		timer_start(set->params.loop, t, DRAIN_STEP_MS);
}

void conns_drain(struct conns *set, uint64_t duration_ms)
{
	if (set->draining)
		return;
	set->draining = true;
	set->drain_started_ms = clock_ms();
	set->drain_duration_ms = duration_ms;
	set->drain_total = set->count;
	set->drain_last = set->accepted;
	timer_start(set->params.loop, &set->drain_timer, 0);
	if (set->count == 0)
		loop_defer(set->params.loop, &set->drained);
}
