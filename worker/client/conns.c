#include "conns.h"

#include <sys/resource.h>

#include "clock.h"
#include "codes.h"
#include "conn_internal.h"
#include "listener.h"
#include "mem.h"
#include "metrics.h"

enum {
	DRAIN_STEP_MS = 20,
	DESCRIPTORS_KEPT = 64, /* for Redis, above all: a worker full of clients must be able to reconnect */
};

static void on_all_gone(struct task *t)
{
	struct conns *set = container_of(t, struct conns, drained);

	if (set->count == 0)
		set->params.on_drained(set->params.ctx);
}

static void on_drain_timer(struct timer *t);

static size_t descriptors_for_connections(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	return limit.rlim_cur < 2 * DESCRIPTORS_KEPT ? limit.rlim_cur / 2 : limit.rlim_cur - DESCRIPTORS_KEPT;
}

struct conns *conns_new(const struct conns_params *params)
{
	struct conns *set = mem_alloc(sizeof(*set));

	set->params = *params;
	set->most = descriptors_for_connections();
	list_init(&set->all);
	set->drain_timer.fire = on_drain_timer;
	set->drained.run = on_all_gone;
	return set;
}

void conns_free(struct conns **set)
{
	if (*set == NULL)
		return;
	(*set)->freeing = true;
	list_for_each (node, &(*set)->all)
		conn_die(container_of(node, struct conn, node), true);
	timer_stop(&(*set)->drain_timer);
	task_cancel(&(*set)->drained);
	mem_free(*set);
	*set = NULL;
}

/* Who speaks TLS would not understand the answer, and a handshake for it is what there is no room for. */
static void refuse(int fd, bool tls)
{
	struct bytes answer = BYTES("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
	                            "Connection: close\r\n\r\n");
	static struct log_limit limit;

	metrics_inc(connections_refused);
	if (log_allowed(&limit))
		log_warning("connection refused: at client.connection_limit, or short of descriptors");
	listener_refuse(fd, tls ? BYTES_NONE : answer);
}

static bool is_full(const struct conns *set)
{
	size_t limit = (size_t)set->params.config->client.connection_limit;

	return set->count >= set->most || (limit > 0 && set->count >= limit);
}

void conns_accept(struct conns *set, int fd, const struct address *peer, struct tls_server *tls)
{
	if (is_full(set))
		refuse(fd, tls != NULL);
	else
		conn_open(set, fd, peer, tls);
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
