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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_has_come_goes_before_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
