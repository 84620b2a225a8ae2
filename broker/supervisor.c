#include "supervisor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "random.h"
#include "respawn.h"

enum worker_phase {
	WORKER_WAITING,  /* no process; the timer starts one */
	WORKER_STARTING, /* forked; the timer is the limit until READY */
	WORKER_SERVING,  /* ready; the timer runs only after its control socket ended */
	WORKER_GONE,     /* no process, and there will be none */
};

struct worker {
	struct supervisor *supervisor;
	unsigned index;
	enum worker_phase phase;
	pid_t pid;
	char ids[2][UUID_TEXT_LEN + 1]; /* of the process, and of the one before it; empty: there was none */
	uint64_t ready_at_ms;
	struct respawn respawn;
	int control_fd; /* -1 without a process, and after its end of the socket was closed */
	ev_io control;
	ev_child child;
	ev_timer timer;
};

struct supervisor {
	struct supervisor_args args;
	struct worker *workers;
	enum { RUNNING, DRAINING, STOPPING } state;
	ev_timer deadline; /* of draining or stopping */
};

static void worker_spawn(struct worker *w);

static void set_phase(struct worker *w, enum worker_phase phase)
{
	switch (phase) {
	case WORKER_WAITING: assert(w->phase != WORKER_GONE); break;
	case WORKER_STARTING: assert(w->phase == WORKER_WAITING); break;
	case WORKER_SERVING: assert(w->phase == WORKER_STARTING); break;
	case WORKER_GONE: break;
	}
	w->phase = phase;
}

static bool has_process(const struct worker *w)
{
	return w->phase == WORKER_STARTING || w->phase == WORKER_SERVING;
}

static unsigned count_in_phase(const struct supervisor *s, enum worker_phase phase)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->args.workers; i++)
		n += s->workers[i].phase == phase;
	return n;
}

static bool all_in_phase(const struct supervisor *s, enum worker_phase phase)
{
	return count_in_phase(s, phase) == s->args.workers;
}

static void start_timer(struct supervisor *s, ev_timer *timer, uint64_t ms)
{
	ev_timer_stop(s->args.loop, timer);
	/* Relative to now, not to the moment the loop last looked at the clock. */
	ev_now_update(s->args.loop);
	ev_timer_set(timer, (double)ms / 1000, 0);
	ev_timer_start(s->args.loop, timer);
}

static void close_control(struct worker *w)
{
	if (w->control_fd < 0)
		return;
	ev_io_stop(w->supervisor->args.loop, &w->control);
	close(w->control_fd);
	w->control_fd = -1;
}

static const char *request(enum control_kind kind)
{
	switch (kind) {
	case CONTROL_DRAIN: return "drain";
	case CONTROL_STOP: return "stop";
	case CONTROL_TLS_FILES: return "use new TLS files";
	case CONTROL_DEAD: return "see to what a dead one left";
	case CONTROL_READY: break;
	}
	return "?";
}

static void log_untold(const struct worker *w, enum control_kind kind)
{
	log_warning("worker %u (pid %d) cannot be told to %s: %s", w->index, (int)w->pid, request(kind),
	            strerror(errno));
}

/* An order to end that does not get through is no loss: the deadline is behind it. */
static void tell(struct worker *w, enum control_kind kind, int file)
{
	if (w->control_fd >= 0 && control_send_file(w->control_fd, kind, file) < 0)
		log_untold(w, kind);
}

static void tell_serving(const struct supervisor *s, const char *dead_id)
{
	if (dead_id[0] == '\0')
		return;
	for (unsigned i = 0; i < s->args.workers; i++) {
		const struct worker *w = &s->workers[i];

		if (w->phase == WORKER_SERVING && w->control_fd >= 0 &&
		    control_send_text(w->control_fd, CONTROL_DEAD, dead_id) < 0)
			log_untold(w, CONTROL_DEAD);
	}
}

/* And of the one before it, which it may not have called dead yet. */
static void tell_serving_of(const struct worker *dead)
{
	tell_serving(dead->supervisor, dead->ids[1]);
	tell_serving(dead->supervisor, dead->ids[0]);
}

static bool stays_away(struct worker *w)
{
	return ev_timer_remaining(w->supervisor->args.loop, &w->timer) * 1000 >= RESPAWN_LONG_MS;
}

/* Whom a worker that stays away would keep waiting can be served by another one. Where none serves, to wait
 * is better than to be refused; a socket that cannot be had back now is asked for again at the start. */
static void share_out_connections(struct supervisor *s)
{
	bool served = count_in_phase(s, WORKER_SERVING) > 0;

	for (unsigned i = 0; i < s->args.workers; i++) {
		struct worker *w = &s->workers[i];

		if (w->phase != WORKER_WAITING)
			continue;
		if (!served)
			listeners_unpark(s->args.listeners, w->index);
		else if (stays_away(w))
			listeners_park(s->args.listeners, w->index);
	}
}

static void wait_for_respawn(struct worker *w, bool was_healthy)
{
	uint64_t delay_ms = respawn_delay_ms(&w->respawn, was_healthy, arc4random());

	set_phase(w, WORKER_WAITING);
	if (delay_ms > 0)
		log_warning("worker %u is started again in %llu ms", w->index, (unsigned long long)delay_ms);
	start_timer(w->supervisor, &w->timer, delay_ms);
	share_out_connections(w->supervisor);
	if (delay_ms > 0)
		tell_serving_of(w);
}

static void log_end(const struct worker *w, int status)
{
	char text[CHILD_END_TEXT_MAX];
	bool expected = w->supervisor->state != RUNNING && status == 0;

	child_describe_end(status, text);
	log_line(expected ? LOG_INFO : LOG_ERROR, NULL, "worker %u (pid %d) %s", w->index, (int)w->pid, text);
}

static void on_exit_of_worker(struct ev_loop *loop, ev_child *watcher, int revents)
{
	struct worker *w = container_of(watcher, struct worker, child);
	struct supervisor *s = w->supervisor;
	bool was_healthy = w->phase == WORKER_SERVING && clock_ms() - w->ready_at_ms >= RESPAWN_HEALTHY_MS;

	log_end(w, watcher->rstatus);
	ev_child_stop(loop, watcher);
	ev_timer_stop(loop, &w->timer);
	close_control(w);
	metrics_retire(&s->args.metrics[w->index]);
	if (s->state == RUNNING) {
		wait_for_respawn(w, was_healthy);
		return;
	}
	set_phase(w, WORKER_GONE);
	if (all_in_phase(s, WORKER_GONE)) {
		ev_timer_stop(loop, &s->deadline);
		s->args.on_all_gone(s->args.arg);
	}
}

static void on_worker_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct worker *w = container_of(watcher, struct worker, timer);

	if (w->phase == WORKER_WAITING) {
		worker_spawn(w);
		return;
	}
	assert(has_process(w));
	if (w->control_fd < 0)
		log_error("worker %u (pid %d) left its control socket, but did not end, and is killed",
		          w->index, (int)w->pid);
	else
		log_error("worker %u (pid %d) did not get ready in %d s and is killed", w->index, (int)w->pid,
		          WORKER_READY_LIMIT_MS / 1000);
	kill(w->pid, SIGKILL);
}

static void worker_ready(struct worker *w)
{
	struct supervisor *s = w->supervisor;

	if (w->phase != WORKER_STARTING)
		return;
	ev_timer_stop(s->args.loop, &w->timer);
	w->ready_at_ms = clock_ms();
	set_phase(w, WORKER_SERVING);
	log_info("worker %u (pid %d) is ready", w->index, (int)w->pid);
	if (s->state == RUNNING)
		share_out_connections(s);
	if (s->state == RUNNING && all_in_phase(s, WORKER_SERVING))
		s->args.on_all_ready(s->args.arg);
}

static void on_control(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct worker *w = container_of(watcher, struct worker, control);
	enum control_kind kind;
	/* One a turn: a worker that was taken over could send without end. */
	int rc = control_receive(w->control_fd, &kind);

	if (rc > 0 && kind == CONTROL_READY)
		worker_ready(w);
	if (rc >= 0)
		return;
	/* It is about to end, and should be given the time to end in its own way: its exit code tells. */
	close_control(w);
	start_timer(w->supervisor, &w->timer, WORKER_END_LIMIT_MS);
}

static void ignore_signals_for_the_master(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		signal(signals[i], SIG_IGN);
}

static void keep_own_descriptors(const struct worker_args *args)
{
	int *fds = mem_alloc((args->listen_count + 1) * sizeof(*fds));

	memcpy(fds, args->listen_fds, args->listen_count * sizeof(*fds));
	fds[args->listen_count] = args->control_fd;
	child_close_all_but(fds, args->listen_count + 1);
	mem_free(fds);
}

/* The life of the child. */
static _Noreturn void become_worker(struct worker *w, int control_fd)
{
	struct supervisor *s = w->supervisor;
	struct worker_args args = {
		.config = s->args.config,
		.index = w->index,
		.node_id = w->ids[0],
		.dead_id = w->ids[1][0] != '\0' ? w->ids[1] : NULL,
		.control_fd = control_fd,
		.tls = s->args.tls,
		.redis_tls = s->args.redis_tls,
		.metrics = s->args.metrics,
		.metrics_count = s->args.workers,
	};
	char who[32];

	args.listen_fds = listeners_of(s->args.listeners, w->index, &args.listen_count);
	s->args.on_forked(s->args.arg);
	ignore_signals_for_the_master();
	keep_own_descriptors(&args);
	snprintf(who, sizeof(who), "worker %u", w->index);
	log_set_who(who);
	if (!privileges_drop(s->args.privileges))
		exit(1);
	exit(s->args.run_worker(&args));
}

static void watch_process(struct worker *w, pid_t pid, int control_fd)
{
	struct ev_loop *loop = w->supervisor->args.loop;

	w->pid = pid;
	w->control_fd = control_fd;
	ev_child_set(&w->child, pid, 0);
	ev_child_start(loop, &w->child);
	ev_io_set(&w->control, control_fd, EV_READ);
	ev_io_start(loop, &w->control);
	start_timer(w->supervisor, &w->timer, WORKER_READY_LIMIT_MS);
	set_phase(w, WORKER_STARTING);
}

static void name_process(struct worker *w)
{
	unsigned char uuid[UUID_LEN];

	memcpy(w->ids[1], w->ids[0], sizeof(w->ids[1]));
	uuid_make(uuid);
	uuid_format(uuid, w->ids[0]);
}

static void worker_spawn(struct worker *w)
{
	int fds[2];
	pid_t pid;

	if (!listeners_unpark(w->supervisor->args.listeners, w->index)) {
		wait_for_respawn(w, false);
		return;
	}
	if (control_pair(fds) < 0) {
		log_error("worker %u cannot be started: socketpair: %s", w->index, strerror(errno));
		wait_for_respawn(w, false);
		return;
	}
	name_process(w);
	pid = child_fork();
	if (pid == 0)
		become_worker(w, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		log_error("worker %u cannot be started: fork: %s", w->index, strerror(errno));
		close(fds[0]);
		wait_for_respawn(w, false);
		return;
	}
	watch_process(w, pid, fds[0]);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct supervisor *s = container_of(watcher, struct supervisor, deadline);
	unsigned left;

	if (all_in_phase(s, WORKER_GONE)) {
		s->args.on_all_gone(s->args.arg);
		return;
	}
	if (s->state == DRAINING) {
		left = s->args.workers - count_in_phase(s, WORKER_GONE);
		log_warning("%u worker%s did not drain in time and %s stopped", left, left == 1 ? "" : "s",
		            left == 1 ? "is" : "are");
		supervisor_stop(s);
		return;
	}
	for (unsigned i = 0; i < s->args.workers; i++) {
		struct worker *w = &s->workers[i];

		if (!has_process(w))
			continue;
		log_error("worker %u (pid %d) did not stop and is killed", w->index, (int)w->pid);
		kill(w->pid, SIGKILL);
	}
}

static void worker_init(struct supervisor *s, unsigned index)
{
	struct worker *w = &s->workers[index];

	w->supervisor = s;
	w->index = index;
	w->control_fd = -1;
	ev_init(&w->control, on_control);
	ev_init(&w->child, on_exit_of_worker);
	ev_init(&w->timer, on_worker_timer);
}

struct supervisor *supervisor_new(const struct supervisor_args *args)
{
	struct supervisor *s = mem_alloc(sizeof(*s));

	s->args = *args;
	s->workers = mem_alloc(args->workers * sizeof(*s->workers));
	ev_init(&s->deadline, on_deadline);
	for (unsigned i = 0; i < args->workers; i++)
		worker_init(s, i);
	return s;
}

void supervisor_start(struct supervisor *s)
{
	for (unsigned i = 0; i < s->args.workers; i++)
		worker_spawn(&s->workers[i]);
}

static void end_all(struct supervisor *s, enum control_kind kind)
{
	for (unsigned i = 0; i < s->args.workers; i++) {
		struct worker *w = &s->workers[i];

		if (has_process(w)) {
			tell(w, kind, -1);
			continue;
		}
		ev_timer_stop(s->args.loop, &w->timer);
		set_phase(w, WORKER_GONE);
	}
}

/* Without any process the end comes at once, but out of the loop, not out of the caller's own call. */
static void limit_end(struct supervisor *s, uint64_t ms)
{
	start_timer(s, &s->deadline, all_in_phase(s, WORKER_GONE) ? 0 : ms);
}

void supervisor_drain(struct supervisor *s)
{
	if (s->state != RUNNING)
		return;
	s->state = DRAINING;
	end_all(s, CONTROL_DRAIN);
	limit_end(s, s->args.config->shutdown.timeout_ms + WORKER_DRAIN_GRACE_MS);
}

void supervisor_stop(struct supervisor *s)
{
	if (s->state == STOPPING)
		return;
	s->state = STOPPING;
	end_all(s, CONTROL_STOP);
	limit_end(s, WORKER_STOP_LIMIT_MS);
}

void supervisor_send_file(struct supervisor *s, enum control_kind kind, int file)
{
	for (unsigned i = 0; i < s->args.workers; i++)
		tell(&s->workers[i], kind, file);
}

void supervisor_free(struct supervisor **s)
{
	if (*s == NULL)
		return;
	for (unsigned i = 0; i < (*s)->args.workers; i++)
		assert(!has_process(&(*s)->workers[i]));
	mem_free((*s)->workers);
	mem_free(*s);
	*s = NULL;
}
