/* Builds the parts, wires their callbacks, runs, drains, and takes them down in reverse. */
#include "worker.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "conn.h"
#include "conns.h"
#include "control.h"
#include "deflate.h"
#include "http.h"
#include "hub.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "metrics.h"
#include "sandbox.h"
#include "session.h"
#include "worker_tls.h"

/* Where connections come in. */
struct entrance {
	struct worker *worker;
	struct listener *listener;
	struct conns_door door;
};

struct worker {
	const struct worker_args *args;
	struct loop *loop;
	struct inflater *inflater;
	struct deflater *deflater;
	struct hub *hub;
	struct clients *clients;
	struct http *http;
	struct conns *conns;
	struct entrance *entrances;
	struct ev_io control;
	int spare_fd; /* see receive() */
	struct timer tls_keys;
	struct timer drain_over;
	struct timer redis_wait; /* armed until the worker serves */
	struct timer hub_tick;
	struct task hub_turn;
	struct timer farewell;
	struct timer resigning;
	uint64_t farewell_until_ms;
};

/* How long a starting worker waits for Redis before it serves all the same. New connections wait in the
 * sockets of the master, and then find a worker that can do what they ask for. */
enum { REDIS_WAIT_MS = 1000, HUB_TICK_MS = 250 };

/* How long a worker whose clients are gone waits until Redis knows it, and how often it looks; and how long
 * one that ends waits until Redis knows that, which is one call. */
enum { FAREWELL_MS = 1000, FAREWELL_LOOK_MS = 10, RESIGN_MS = 200 };

static void on_request(void *ctx, struct conn *c, const struct http1_request *req)
{
	struct worker *w = ctx;

	http_handle(w->http, c, req, conns_draining(w->conns));
}

static void on_accept(void *ctx, int fd, const struct address *peer)
{
	struct entrance *e = ctx;

	conns_accept(e->worker->conns, fd, peer, &e->door);
}

static void on_resigned(void *ctx)
{
	struct worker *w = ctx;

	loop_stop(w->loop);
}

static void on_resign_over(struct timer *t)
{
	on_resigned(container_of(t, struct worker, resigning));
}

/* Once, whoever comes first. */
static void resign(struct worker *w)
{
	if (timer_armed(&w->resigning))
		return;
	timer_stop(&w->farewell);
	if (hub_resign(w->hub, on_resigned, w))
		timer_start(w->loop, &w->resigning, RESIGN_MS);
	else
		loop_stop(w->loop);
}

static void on_farewell(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, farewell);

	if (hub_is_busy(w->hub) && clock_ms() < w->farewell_until_ms)
		timer_start(w->loop, t, FAREWELL_LOOK_MS);
	else
		resign(w);
}

static void on_drained(void *ctx)
{
	struct worker *w = ctx;

	log_info("drained");
	w->farewell_until_ms = clock_ms() + FAREWELL_MS;
	on_farewell(&w->farewell);
}

static void stop_listening(struct worker *w)
{
	for (size_t i = 0; i < w->args->listen_count; i++)
		listener_free(&w->entrances[i].listener);
}

/* Whoever comes from now on is served by a successor, if the master has one. */
static void on_drain_over(struct timer *t)
{
	stop_listening(container_of(t, struct worker, drain_over));
}

/* Connections are still accepted while the old ones are closed, and told to go elsewhere: the sockets belong
 * to the master, so that nobody else would answer them. But see on_master_gone(). */
static void drain(struct worker *w, const char *why)
{
	uint64_t timeout_ms = w->args->config->shutdown.timeout_ms;
	size_t count = conns_count(w->conns);

	if (conns_draining(w->conns))
		return;
	timer_stop(&w->redis_wait);
	log_info("%s: draining %zu connection%s within %g s", why, count, count == 1 ? "" : "s",
	         (double)timeout_ms / 1000);
	timer_start(w->loop, &w->drain_over, timeout_ms);
	conns_drain(w->conns, timeout_ms);
}

/* Nobody holds the sockets any more but its workers, and as long as they do, no other master can bind there:
 * who starts the broker again need not wait until all have drained. */
static void on_master_gone(struct worker *w)
{
	ev_io_stop(loop_ev(w->loop), &w->control);
	stop_listening(w);
	for (size_t i = 0; i < w->args->listen_count; i++)
		close(w->args->listen_fds[i]);
	drain(w, "the master is gone");
}

static void on_message(struct worker *w, const struct control_message *m, int file)
{
	switch ((enum control_kind)m->kind) {
	case CONTROL_DRAIN: drain(w, "told to stop"); return;
	case CONTROL_STOP: resign(w); return;
	case CONTROL_TLS_FILES: worker_take_tls(w->args->config, w->args->tls, file); return;
	case CONTROL_DEAD: hub_call_dead(w->hub, m->text); return;
	case CONTROL_READY: return;
	}
}

/* A worker with as many connections as it may have descriptors must be able to take one more. */
static int receive(struct worker *w, struct control_message *m, int *file)
{
	int rc;

	if (w->spare_fd >= 0)
		close(w->spare_fd);
	rc = control_receive_message(w->args->control_fd, m, file);
	w->spare_fd = dup(w->args->control_fd);
	return rc;
}

static void on_control(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct worker *w = container_of(io, struct worker, control);
	struct control_message m;
	int file;

	switch (receive(w, &m, &file)) {
	case 0: return;
	case -1: on_master_gone(w); break;
	default: on_message(w, &m, file); break;
	}
	if (file >= 0)
		close(file);
}

static void open_entrance(struct worker *w, size_t i)
{
	struct entrance *e = &w->entrances[i];
	struct address_manner manner;

	address_manner(w->args->config->listen.items[i], &manner);
	e->worker = w;
	e->door.tls = manner.tls ? w->args->tls : NULL;
	e->door.deflate = manner.deflate;
	e->listener = listener_new(w->loop, w->args->listen_fds[i], on_accept, e);
	listener_answer(e->listener, conns_refusal(&e->door));
}

static void start_listening(struct worker *w)
{
	for (size_t i = 0; i < w->args->listen_count; i++)
		open_entrance(w, i);
}

/* Once. A master that is not there any more is noticed by its end of the socket, not here. */
static void serve(struct worker *w)
{
	timer_stop(&w->redis_wait);
	start_listening(w);
	if (control_send(w->args->control_fd, CONTROL_READY) < 0)
		log_error("cannot reach the master: %s", strerror(errno));
}

/* Also in a worker without handshakes, so that it does not keep the keys of long ago. */
static void on_tls_keys_due(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, tls_keys);

	timer_start(w->loop, t, worker_turn_tls_keys(w->args->tls));
}

static void on_redis_wait_over(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, redis_wait);
	const char *reason;

	if (!hub_ready(w->hub, &reason))
		log_warning("serving without Redis: %s", reason);
	serve(w);
}

/* What matters here is the first time. Later changes are asked for over HTTP, and logged by worker/redis. */
static void on_ready(void *ctx, bool ready, const char *reason)
{
	struct worker *w = ctx;

	if (ready && timer_armed(&w->redis_wait))
		serve(w);
}

static void on_hub_tick(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, hub_tick);

	hub_tick(w->hub);
	timer_start(w->loop, t, HUB_TICK_MS);
}

static void on_turn_began(void *ctx)
{
	struct worker *w = ctx;

	loop_defer(w->loop, &w->hub_turn);
}

static void end_hub_turn(struct task *t)
{
	struct worker *w = container_of(t, struct worker, hub_turn);

	if (hub_end_turn(w->hub))
		loop_defer_next(w->loop, t);
}

static void build(struct worker *w)
{
	const struct worker_args *args = w->args;
	struct hub_events events = {.turn_began = on_turn_began, .ready = on_ready, .ctx = w};

	session_hub_events(&events);
	w->hub = hub_new(w->loop, args->config, args->redis_tls, args->node_id, args->dead_id, w->deflater,
	                 &events);
	w->clients = clients_new(w->loop, args->config, w->hub);
	w->http = http_new(&(struct http_params){
		.config = args->config,
		.hub = w->hub,
		.clients = w->clients,
		.metrics = args->metrics,
		.metrics_count = args->metrics_count,
	});
	w->conns = conns_new(&(struct conns_params){
		.loop = w->loop,
		.config = args->config,
		.inflater = w->inflater,
		.deflater = w->deflater,
		.on_request = on_request,
		.on_drained = on_drained,
		.ctx = w,
	});
	w->hub_turn.run = end_hub_turn;
	w->spare_fd = dup(args->control_fd);
	w->tls_keys.fire = on_tls_keys_due;
	if (args->tls != NULL)
		on_tls_keys_due(&w->tls_keys);
	w->drain_over.fire = on_drain_over;
	w->redis_wait.fire = on_redis_wait_over;
	timer_start(w->loop, &w->redis_wait, REDIS_WAIT_MS);
	w->hub_tick.fire = on_hub_tick;
	w->farewell.fire = on_farewell;
	w->resigning.fire = on_resign_over;
	timer_start(w->loop, &w->hub_tick, HUB_TICK_MS);
	w->entrances = mem_alloc(args->listen_count * sizeof(struct entrance));
	ev_io_init(&w->control, on_control, args->control_fd, EV_READ);
	ev_io_start(loop_ev(w->loop), &w->control);
}

static void take_down(struct worker *w)
{
	ev_io_stop(loop_ev(w->loop), &w->control);
	if (w->spare_fd >= 0)
		close(w->spare_fd);
	timer_stop(&w->tls_keys);
	timer_stop(&w->drain_over);
	timer_stop(&w->redis_wait);
	timer_stop(&w->hub_tick);
	task_cancel(&w->hub_turn);
	timer_stop(&w->farewell);
	timer_stop(&w->resigning);
	stop_listening(w);
	conns_free(&w->conns);
	mem_free(w->entrances);
	http_free(&w->http);
	clients_free(&w->clients);
	hub_free(&w->hub);
	deflater_free(&w->deflater);
	inflater_free(&w->inflater);
	loop_free(&w->loop);
}

#ifdef __SANITIZE_ADDRESS__
enum { LEAK_CHECK = true };
#else
enum { LEAK_CHECK = false };
#endif

/* A kernel that cannot do it serves as well as it always did. */
static void confine(const struct config *config)
{
	if (config->sandbox && !sandbox_enter(LEAK_CHECK))
		log_warning("cannot enter the sandbox: %s", strerror(errno));
}

int worker_run(const struct worker_args *args)
{
	struct worker w = {.args = args};

	signal(SIGPIPE, SIG_IGN);
	metrics_use(&args->metrics[args->index]);
	w.loop = loop_new();
	if (w.loop == NULL) {
		log_error("cannot make an event loop: %s", strerror(errno));
		return 1;
	}
	w.inflater = inflater_new();
	w.deflater = deflater_new();
	build(&w);
	confine(args->config);
	loop_run(w.loop);
	take_down(&w);
	return 0;
}
