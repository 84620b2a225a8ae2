#include "master.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "certificates.h"
#include "clock.h"
#include "config.h"
#include "embedded_redis.h"
#include "listeners.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "pid_file.h"
#include "privileges.h"
#include "runtime_dir.h"
#include "supervisor.h"
#include "worker.h"

static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

struct master {
	struct config *config;
	void (*on_ready)(void *arg); /* NULL: nobody waits, or it was called */
	void *on_ready_arg;
	unsigned workers;
	struct ev_loop *loop;
	struct pid_file *pid_file;
	struct privileges *privileges;
	struct listeners *listeners;
	struct certificates *certificates;
	struct redis_tls *redis_tls; /* of the workers */
	struct metrics_slot *metrics;
	struct embedded_redis *redis; /* NULL: Redis is somebody else's */
	struct supervisor *supervisor;
	enum { RUNNING, DRAINING, STOPPING } state;
	ev_signal signals[ARRAY_LEN(signals)];
	ev_check woken;
};

/* The descriptors 0 to 2 belong to the standard streams even if whoever started us has closed them. Otherwise
 * a socket would get such a number, and what is written to the log with it (Mosquitto 647). */
static bool open_standard_streams(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	}
	return true;
}

/* Each connection is a descriptor, and the default of most systems is 1024. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of open files: %s", strerror(errno));
}

static unsigned usable_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
}

/* --- signals and stopping --- */

static void on_redis_stopped(void *arg)
{
	struct master *m = arg;

	ev_break(m->loop, EVBREAK_ALL);
}

/* Redis ends last: workers that drain may still need it. */
static void on_all_workers_gone(void *arg)
{
	struct master *m = arg;

	if (m->redis != NULL)
		embedded_redis_stop(m->redis, on_redis_stopped, m);
	else
		ev_break(m->loop, EVBREAK_ALL);
}

static void drain(struct master *m, int signum)
{
	if (m->state != RUNNING)
		return;
	log_info(
		"SIG%s: draining within %g s, and at most %d s more for clients that do not answer; a second "
		"signal stops at once",
		sigabbrev_np(signum), (double)m->config->shutdown.timeout_ms / 1000,
		WORKER_DRAIN_GRACE_MS / 1000);
	m->state = DRAINING;
	supervisor_drain(m->supervisor);
}

static void stop(struct master *m, int signum)
{
	if (m->state == STOPPING)
		return;
	log_info("SIG%s: stopping at once", sigabbrev_np(signum));
	m->state = STOPPING;
	supervisor_stop(m->supervisor);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct master *m = watcher->data;

	switch (watcher->signum) {
	case SIGTERM:
	case SIGINT:
		if (m->state == RUNNING)
			drain(m, watcher->signum);
		else
			stop(m, watcher->signum);
		return;
	case SIGQUIT: stop(m, watcher->signum); return;
	case SIGHUP:
		log_info("SIGHUP: reading the certificates anew; other options are read at the next start");
		certificates_reload(m->certificates, m->supervisor);
		return;
	case SIGUSR1: log_info("SIGUSR1: the log goes to standard error, there is nothing to reopen"); return;
	case SIGUSR2: log_warning("SIGUSR2: this version cannot be upgraded while it runs"); return;
	}
}

static void watch_signals(struct master *m)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		ev_signal_init(&m->signals[i], on_signal, signals[i]);
		m->signals[i].data = m;
		ev_signal_start(m->loop, &m->signals[i]);
	}
}

static void unwatch_signals(struct master *m)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		ev_signal_stop(m->loop, &m->signals[i]);
}

static void on_woken(struct ev_loop *loop, ev_check *watcher, int revents)
{
	clock_refresh();
}

/* In a forked worker. Signals are watched in a table of the process, not of the loop, so they are taken out
 * one by one; the loop with all its other watchers is given up whole, and its descriptors closed. */
static void on_worker_forked(void *arg)
{
	struct master *m = arg;

	unwatch_signals(m);
	ev_loop_destroy(m->loop);
}

/* --- starting --- */

static void on_all_workers_ready(void *arg)
{
	struct master *m = arg;
	void (*on_ready)(void *arg) = m->on_ready;

	if (m->workers == 1)
		log_info("1 worker is ready");
	else
		log_info("all %u workers are ready", m->workers);
	m->on_ready = NULL;
	if (on_ready != NULL)
		on_ready(m->on_ready_arg);
}

static bool let_pass(const struct master *m, const char *dir)
{
	if (runtime_dir_let_pass(dir, privileges_gid(m->privileges)))
		return true;
	log_error("cannot let the group of the workers into the runtime directory %s: %s", dir,
	          strerror(errno));
	return false;
}

static bool find_privileges(struct master *m)
{
	m->privileges = privileges_new(m->config);
	if (m->privileges == NULL)
		return false;
	privileges_protect_master(m->privileges);
	return privileges_try(m->privileges, NULL);
}

/* Only the embedded Redis cannot do without the directory. A broker with a Redis elsewhere may well run where
 * nothing can be written. */
static bool take_runtime_dir(struct master *m)
{
	const char *dir = m->config->runtime_dir;
	bool needed = config_has_embedded_redis(m->config);
	enum pid_file_result result = PID_FILE_FAILED;
	pid_t holder = 0;
	char *path;

	if (runtime_dir_make(dir)) {
		path = runtime_dir_path(dir, "fanfare.pid");
		result = pid_file_take(path, &m->pid_file, &holder);
		mem_free(path);
	}
	if (result == PID_FILE_TAKEN)
		return !privileges_change(m->privileges) || let_pass(m, dir);
	if (result == PID_FILE_HELD) {
		log_error("another broker (pid %d) runs with the runtime directory %s: stop it, or choose "
		          "another with --runtime-dir",
		          (int)holder, dir);
		return false;
	}
	log_line(needed ? LOG_ERROR : LOG_WARNING, NULL, "cannot use the runtime directory %s: %s", dir,
	         strerror(errno));
	return !needed;
}

static bool open_listeners(struct master *m)
{
	if (m->config->listen.count == 0) {
		log_error("there is no address to listen on");
		return false;
	}
	privileges_begin_group(m->privileges);
	m->listeners = listeners_open(&m->config->listen, m->workers);
	privileges_end_group();
	if (m->listeners == NULL)
		return false;
	/* From here on the configuration says which port the kernel chose for port 0. */
	for (size_t i = 0; i < m->config->listen.count; i++) {
		mem_free(m->config->listen.items[i]);
		m->config->listen.items[i] = mem_strdup(listeners_name(m->listeners, i));
	}
	return true;
}

static bool load_certificates(struct master *m)
{
	m->certificates = certificates_load(m->config);
	return m->certificates != NULL;
}

static bool open_metrics(struct master *m)
{
	m->metrics = metrics_map(m->workers);
	if (m->metrics == NULL)
		log_error("cannot map the metrics: %s", strerror(errno));
	return m->metrics != NULL;
}

static bool prepare_redis(struct master *m)
{
	if (!config_has_embedded_redis(m->config))
		return true;
	m->redis = embedded_redis_new(m->loop, m->config->runtime_dir, m->privileges);
	if (m->redis == NULL)
		return false;
	m->config->redis.address = embedded_redis_address(m->config->runtime_dir);
	return true;
}

static bool load_redis_tls(struct master *m)
{
	enum { TEXT_MAX = 65536 };
	struct buf errors;
	bool ok;

	buf_init(&errors, TEXT_MAX);
	ok = worker_load_redis_tls(m->config, &m->redis_tls, &errors);
	log_lines(LOG_ERROR, errors.data, errors.len);
	buf_free(&errors);
	if (m->config->redis.tls.insecure_skip_verify)
		log_warning(
			"redis.tls.insecure_skip_verify: any certificate of Redis is taken, so that who is in "
			"between can read and change everything");
	if (m->config->redis.sentinel_tls.insecure_skip_verify)
		log_warning(
			"redis.sentinel_tls.insecure_skip_verify: any certificate of a sentinel is taken, so "
			"that who is in between can name another master");
	return ok;
}

static bool open_loop(struct master *m)
{
	m->loop = ev_default_loop(EVFLAG_AUTO);
	if (m->loop == NULL) {
		log_error("cannot make an event loop");
		return false;
	}
	ev_check_init(&m->woken, on_woken);
	ev_check_start(m->loop, &m->woken);
	watch_signals(m);
	return true;
}

static void make_supervisor(struct master *m)
{
	struct supervisor_args args = {
		.loop = m->loop,
		.config = m->config,
		.listeners = m->listeners,
		.tls = certificates_tls(m->certificates),
		.redis_tls = m->redis_tls,
		.metrics = m->metrics,
		.privileges = m->privileges,
		.workers = m->workers,
		.run_worker = worker_run,
		.on_forked = on_worker_forked,
		.on_all_ready = on_all_workers_ready,
		.on_all_gone = on_all_workers_gone,
		.arg = m,
	};

	m->supervisor = supervisor_new(&args);
}

/* The loop comes first: a signal that is sent before it runs waits for it, so that whoever stops a broker
 * while it starts stops it in order, too. */
static bool prepare(struct master *m)
{
	m->workers = m->config->workers > 0 ? (unsigned)m->config->workers : usable_cpus();
	if (!open_loop(m) || !find_privileges(m) || !take_runtime_dir(m) || !load_certificates(m) ||
	    !open_listeners(m) || !open_metrics(m) || !load_redis_tls(m) || !prepare_redis(m))
		return false;
	certificates_watch(m->certificates, m->loop);
	make_supervisor(m);
	return true;
}

static void run(struct master *m)
{
	log_info("fanfare %s, pid %d, %u worker%s", FANFARE_VERSION, (int)getpid(), m->workers,
	         m->workers == 1 ? "" : "s");
	for (size_t i = 0; i < m->config->listen.count; i++)
		log_info("listening on %s", listeners_name(m->listeners, i));
	if (m->redis != NULL)
		embedded_redis_start(m->redis);
	supervisor_start(m->supervisor);
	ev_run(m->loop, 0);
	log_info("stopped");
}

static void tear_down(struct master *m)
{
	supervisor_free(&m->supervisor);
	embedded_redis_free(&m->redis);
	certificates_free(&m->certificates);
	if (m->loop != NULL) {
		unwatch_signals(m);
		ev_loop_destroy(m->loop);
	}
	listeners_close(&m->listeners);
	worker_free_redis_tls(&m->redis_tls);
	pid_file_release(&m->pid_file);
	privileges_free(&m->privileges);
}

int master_run(struct config *config, void (*on_ready)(void *arg), void *arg)
{
	struct master m = {.config = config, .on_ready = on_ready, .on_ready_arg = arg};
	bool ok;

	if (!open_standard_streams())
		return 1;
	log_set_who("master");
	clock_refresh();
	raise_descriptor_limit();
	ok = prepare(&m);
	if (ok)
		run(&m);
	tear_down(&m);
	return ok ? 0 : 1;
}
