/* The turn of the loop: what comes before what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ev.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"
#include "stream.h"

static char order[8];
static unsigned done;

static void on_readable(struct stream *s)
{
	char byte;

	assert_int_equal(stream_read(s, &byte, 1), 1);
	order[done++] = 'r';
}

static void on_writable(struct stream *s)
{
}

static const struct stream_events events = {on_readable, on_writable};

static void on_timer(struct timer *t)
{
	order[done++] = 't';
}

static void on_task(struct task *t)
{
	order[done++] = 'd';
}

/* After a stall, what has come in the meantime is read before anybody is blamed for not having sent it. */
static void what_has_come_goes_before_deadlines(void **state)
{
	struct loop *l;
	struct timer timer = {.fire = on_timer};
	struct task task = {.run = on_task};
	struct stream s;
	int fds[2];

	clock_freeze(1000000, 0);
	l = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	stream_init(&s, l, &events);
	stream_attach(&s, fds[0]);
	timer_start(l, &timer, 1);
	loop_defer(l, &task);
	assert_int_equal(send(fds[1], "x", 1, 0), 1);
	clock_freeze(1060000, 0);
	while (done < 3)
		ev_run(loop_ev(l), EVRUN_ONCE);
	order[done] = '\0';
	assert_string_equal(order, "drt");
	stream_close(&s, false);
	close(fds[1]);
	loop_free(&l);
}

static struct loop *rest_loop;
static unsigned rest;

static void on_rest(struct task *t)
{
	if (--rest > 0)
		loop_defer_next(rest_loop, t);
	else
		loop_stop(rest_loop);
}

/* Nothing else happens, so a loop that slept would sleep for ever. */
static void the_rest_of_a_turn_does_not_wait_for_anything(void **state)
{
	struct task task = {.run = on_rest};
	int fds[2];
	struct stream s;

	rest_loop = loop_new();
	rest = 3;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	stream_init(&s, rest_loop, &events);
	stream_attach(&s, fds[0]);
	loop_defer_next(rest_loop, &task);
	assert_int_equal(rest, 3);
	loop_run(rest_loop);
	assert_int_equal(rest, 0);
	stream_close(&s, false);
	close(fds[1]);
	loop_free(&rest_loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_has_come_goes_before_deadlines),
		cmocka_unit_test(the_rest_of_a_turn_does_not_wait_for_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
