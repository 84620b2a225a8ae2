/* The supervisor, with real processes that are no real workers: what each does is chosen by the test, and it
 * reports through its counters, which outlive it. */
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "control.h"
#include "log.h"
#include "supervisor.h"

enum { WORKERS = 2, LIMIT_S = 120 };

/* Counters that tell here what they are not made for. */
#define PID    METRIC_bytes_sent
#define STARTS METRIC_connections_accepted
#define FDS    METRIC_bytes_received

enum behaviour { OBEY, DIE_YOUNG, DIE_YOUNG_TWICE, NEVER_READY, IGNORE_ALL };

struct fixture {
	enum behaviour behaviour;
	struct config config;
	struct listeners *listeners;
	struct metrics_slot *metrics;
	struct supervisor *supervisor;
	ev_timer limit;
	unsigned ready, gone;
	bool out_of_time;
};

static struct fixture fx;

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the directory */
}

static int obey(int control_fd)
{
	struct pollfd p = {.fd = control_fd, .events = POLLIN};
	enum control_kind kind;

	for (;;) {
		poll(&p, 1, -1);
		if (control_receive(control_fd, &kind) < 0)
			return 3;
		if (fx.behaviour != IGNORE_ALL)
			return 0;
		p.events = 0;
	}
}

static int fake_worker(const struct worker_args *args)
{
	metrics_use(&args->metrics[args->index]);
	metrics_inc(connections_accepted);
	metrics_set(bytes_sent, getpid());
	metrics_set(bytes_received, count_descriptors());
	metrics_inc(connections);
	if (fx.behaviour == DIE_YOUNG ||
	    (fx.behaviour == DIE_YOUNG_TWICE && metrics_mine->values[STARTS] <= 2))
		return 1;
	if (fx.behaviour != NEVER_READY && control_send(args->control_fd, CONTROL_READY) < 0)
		return 2;
	return obey(args->control_fd);
}

static void on_forked(void *arg)
{
	ev_loop_destroy(EV_DEFAULT);
}

static void on_all_ready(void *arg)
{
	fx.ready++;
	ev_break(EV_DEFAULT, EVBREAK_ALL);
}

static void on_all_gone(void *arg)
{
	fx.gone++;
	ev_break(EV_DEFAULT, EVBREAK_ALL);
}

static void on_limit(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	fx.out_of_time = true;
	ev_break(loop, EVBREAK_ALL);
}

static void run_loop(void)
{
	ev_run(EV_DEFAULT, 0);
	clock_refresh();
	assert_false(fx.out_of_time);
}

static void start(enum behaviour behaviour)
{
	struct supervisor_args args = {
		.loop = ev_default_loop(0),
		.config = &fx.config,
		.listeners = fx.listeners,
		.metrics = fx.metrics,
		.workers = WORKERS,
		.run_worker = fake_worker,
		.on_forked = on_forked,
		.on_all_ready = on_all_ready,
		.on_all_gone = on_all_gone,
	};

	fx.behaviour = behaviour;
	fx.supervisor = supervisor_new(&args);
	ev_timer_init(&fx.limit, on_limit, LIMIT_S, 0);
	ev_timer_start(EV_DEFAULT, &fx.limit);
	supervisor_start(fx.supervisor);
}

static int setup(void **state)
{
	static char *items[] = {(char *)"127.0.0.1:0", (char *)"127.0.0.1:0"};
	struct strings addresses = {items, 2};

	log_setup(LOG_ERROR + 1, LOG_TEXT);
	clock_refresh();
	fx = (struct fixture){.config.shutdown.timeout_ms = 1000};
	fx.listeners = listeners_open(&addresses, WORKERS);
	fx.metrics = metrics_map(WORKERS);
	return fx.listeners == NULL || fx.metrics == NULL;
}

static int teardown(void **state)
{
	ev_timer_stop(EV_DEFAULT, &fx.limit);
	supervisor_free(&fx.supervisor);
	listeners_close(&fx.listeners);
	/* Whatever was forked was reaped. */
	return waitpid(-1, NULL, WNOHANG) != -1;
}

static pid_t pid_of(unsigned worker)
{
	return (pid_t)fx.metrics[worker].values[PID];
}

static void ready_workers_drain_and_go(void **state)
{
	start(OBEY);
	run_loop();
	assert_int_equal(fx.ready, 1);
	assert_int_not_equal(pid_of(0), pid_of(1));
	supervisor_drain(fx.supervisor);
	run_loop();
	assert_int_equal(fx.gone, 1);
	assert_int_equal(metrics_sum(fx.metrics, WORKERS, STARTS), WORKERS);
}

static void worker_holds_only_what_is_its_own(void **state)
{
	unsigned mine = count_descriptors();

	start(OBEY);
	run_loop();
	assert_true(mine > 7);
	/* The standard streams, two listening sockets, the control socket. */
	assert_int_equal(fx.metrics[0].values[FDS], 6);
	assert_int_equal(fx.metrics[1].values[FDS], 6);
	supervisor_stop(fx.supervisor);
	run_loop();
}

static void killed_worker_is_replaced_and_its_gauges_with_it(void **state)
{
	pid_t killed;

	start(OBEY);
	run_loop();
	killed = pid_of(1);
	kill(killed, SIGKILL);
	run_loop();
	assert_int_equal(fx.ready, 2);
	assert_int_not_equal(pid_of(1), killed);
	assert_int_equal(metrics_sum(fx.metrics, WORKERS, METRIC_connections), WORKERS);
	supervisor_stop(fx.supervisor);
	run_loop();
	assert_int_equal(metrics_sum(fx.metrics, WORKERS, METRIC_connections), 0);
	assert_int_equal(fx.gone, 1);
}

static void dying_young_is_tried_again(void **state)
{
	uint64_t before_ms = clock_ms();

	start(DIE_YOUNG_TWICE);
	run_loop();
	assert_int_equal(fx.metrics[0].values[STARTS], 3);
	assert_int_equal(fx.metrics[1].values[STARTS], 3);
	/* At least half of 100 ms and of 200 ms. */
	assert_true(clock_ms() - before_ms >= 150);
	supervisor_drain(fx.supervisor);
	run_loop();
}

/* Both have counted themselves, and the loop has reaped both: between two lives. */
static bool nobody_runs(void)
{
	return metrics_sum(fx.metrics, WORKERS, STARTS) >= WORKERS && kill(pid_of(0), 0) < 0 &&
	       kill(pid_of(1), 0) < 0;
}

static void stopping_while_nobody_runs_ends_at_once(void **state)
{
	start(DIE_YOUNG);
	while (!nobody_runs()) {
		ev_run(EV_DEFAULT, EVRUN_ONCE);
		assert_false(fx.out_of_time);
	}
	supervisor_drain(fx.supervisor);
	run_loop();
	assert_int_equal(fx.gone, 1);
	assert_int_equal(fx.ready, 0);
}

static void stopping_ends_workers_that_are_not_ready(void **state)
{
	start(NEVER_READY);
	supervisor_drain(fx.supervisor);
	run_loop();
	assert_int_equal(fx.gone, 1);
	assert_int_equal(fx.ready, 0);
}

static void worker_that_does_not_listen_is_killed(void **state)
{
	start(IGNORE_ALL);
	run_loop();
	supervisor_drain(fx.supervisor);
	supervisor_stop(fx.supervisor); /* a second signal cuts the drain short */
	run_loop();
	assert_int_equal(fx.gone, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ready_workers_drain_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(worker_holds_only_what_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_worker_is_replaced_and_its_gauges_with_it, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(dying_young_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(stopping_while_nobody_runs_ends_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(stopping_ends_workers_that_are_not_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(worker_that_does_not_listen_is_killed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
