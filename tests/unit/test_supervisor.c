/* The supervisor, with real processes that are no real workers: what each does is chosen by the test, and it
 * reports through its counters, which outlive it. */
#include <dirent.h>
#include <linux/sockios.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
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
#define NAME   METRIC_publications_received /* its own */
#define TOLD   METRIC_publications_invalid  /* that of the last one it was told of */
#define LIED   METRIC_publications_repeated

enum behaviour { OBEY, DIE_YOUNG, DIE_YOUNG_TWICE, NEVER_READY, IGNORE_ALL, LIE, ONE_DIES };

struct fixture {
	enum behaviour behaviour;
	struct config config;
	struct listeners *listeners;
	struct metrics_slot *metrics;
	struct supervisor *supervisor;
	ev_timer limit;
	ev_timer beat; /* so that run_until() looks again */
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

/* The beginning of it. */
static uint64_t number_of(const char *name)
{
	char start[9] = "";

	memcpy(start, name, 8);
	return strtoull(start, NULL, 16);
}

static int obey(int control_fd)
{
	struct pollfd p = {.fd = control_fd, .events = POLLIN};
	struct control_message m;

	for (;;) {
		poll(&p, 1, -1);
		if (control_receive_message(control_fd, &m, NULL) < 0)
			return 3;
		if (m.kind == CONTROL_DEAD) {
			metrics_set(publications_invalid, number_of(m.text));
			continue;
		}
		if (fx.behaviour != IGNORE_ALL)
			return 0;
		p.events = 0;
	}
}

/* Until the master has read it. */
static bool lie(int control_fd)
{
	int left = 1;

	if (control_send_text(control_fd, CONTROL_DEAD, "somebody") < 0)
		return false;
	while (left > 0) {
		poll(NULL, 0, 1);
		if (ioctl(control_fd, SIOCOUTQ, &left) < 0)
			return false;
	}
	metrics_set(publications_repeated, 1);
	return true;
}

static int fake_worker(const struct worker_args *args)
{
	metrics_use(&args->metrics[args->index]);
	metrics_inc(connections_accepted);
	metrics_set(bytes_sent, getpid());
	metrics_set(bytes_received, count_descriptors());
	metrics_set(publications_received, number_of(args->node_id));
	metrics_inc(connections);
	if (fx.behaviour == DIE_YOUNG || (fx.behaviour == ONE_DIES && args->index == 1) ||
	    (fx.behaviour == DIE_YOUNG_TWICE && metrics_mine->values[STARTS] <= 2))
		return 1;
	if (fx.behaviour != NEVER_READY && control_send(args->control_fd, CONTROL_READY) < 0)
		return 2;
	if (fx.behaviour == LIE && !lie(args->control_fd))
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

static void on_beat(struct ev_loop *loop, ev_timer *watcher, int revents)
{
}

static void run_until(bool (*done)(void))
{
	ev_timer_start(EV_DEFAULT, &fx.beat);
	while (!done()) {
		ev_run(EV_DEFAULT, EVRUN_ONCE);
		assert_false(fx.out_of_time);
	}
	ev_timer_stop(EV_DEFAULT, &fx.beat);
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
	ev_timer_init(&fx.beat, on_beat, 0.01, 0.01);
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
	ev_timer_stop(EV_DEFAULT, &fx.beat);
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
	run_until(nobody_runs);
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

static bool all_listen(unsigned worker)
{
	size_t count;
	const int *fds = listeners_of(fx.listeners, worker, &count);
	size_t listening = 0;

	for (size_t i = 0; i < count; i++) {
		int yes = 0;
		socklen_t len = sizeof(yes);

		assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_ACCEPTCONN, &yes, &len), 0);
		listening += yes != 0;
	}
	assert_true(listening == 0 || listening == count);
	return listening > 0;
}

static bool one_is_parked(void)
{
	return !all_listen(1);
}

static bool one_is_parked_and_the_other_knows(void)
{
	return one_is_parked() && fx.metrics[0].values[TOLD] == fx.metrics[1].values[NAME];
}

static bool nobody_serves(void)
{
	return kill(pid_of(0), 0) < 0;
}

static void who_keeps_dying_gets_no_connections_while_it_waits(void **state)
{
	start(ONE_DIES);
	run_until(one_is_parked_and_the_other_knows);
	/* Deaths that follow each other closely do not get that far. */
	assert_true(fx.metrics[1].values[STARTS] >= 4);
	assert_true(all_listen(0));
	fx.behaviour = OBEY;
	run_loop();
	assert_int_equal(fx.ready, 1);
	assert_true(all_listen(1));
	supervisor_stop(fx.supervisor);
	run_loop();
}

static void where_nobody_serves_connections_wait(void **state)
{
	start(ONE_DIES);
	run_until(one_is_parked);
	kill(pid_of(0), SIGKILL);
	run_until(nobody_serves);
	assert_true(all_listen(0));
	assert_true(all_listen(1));
	supervisor_stop(fx.supervisor);
	run_loop();
}

static bool all_have_lied(void)
{
	return fx.ready == 1 && metrics_sum(fx.metrics, WORKERS, LIED) == WORKERS;
}

static void a_worker_calls_nobody_dead(void **state)
{
	start(LIE);
	run_until(all_have_lied);
	supervisor_stop(fx.supervisor);
	run_loop(); /* they have read what was sent to them before */
	assert_int_equal(metrics_sum(fx.metrics, WORKERS, TOLD), 0);
	assert_int_equal(metrics_sum(fx.metrics, WORKERS, STARTS), WORKERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ready_workers_drain_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(worker_holds_only_what_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_worker_is_replaced_and_its_gauges_with_it, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(dying_young_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(who_keeps_dying_gets_no_connections_while_it_waits, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(where_nobody_serves_connections_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_calls_nobody_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(stopping_while_nobody_runs_ends_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(stopping_ends_workers_that_are_not_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(worker_that_does_not_listen_is_killed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
