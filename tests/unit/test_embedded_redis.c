/* The embedded Redis, with a real redis-server. */
#include <ev.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "clock.h"
#include "embedded_redis.h"
#include "log.h"
#include "mem.h"

enum { LIMIT_MS = 60000, TICK_MS = 10 };

static char dir[] = "/tmp/fanfare-redis-XXXXXX";
/* What a path may hold has to pass through the quotes of redis.conf. */
static char *runtime_dir, *socket_path;
static unsigned stopped_count;

/* Runs the loop until the condition holds; it is looked at every few milliseconds. */
static void on_tick(struct ev_loop *loop, ev_timer *watcher, int revents)
{
}

static void run_until(bool (*condition)(void *arg), void *arg)
{
	uint64_t deadline_ms;
	ev_timer tick;

	clock_refresh();
	deadline_ms = clock_ms() + LIMIT_MS;
	ev_timer_init(&tick, on_tick, TICK_MS / 1000.0, TICK_MS / 1000.0);
	ev_timer_start(EV_DEFAULT, &tick);
	while (!condition(arg)) {
		assert_true(clock_ms() < deadline_ms);
		ev_run(EV_DEFAULT, EVRUN_ONCE);
		clock_refresh();
	}
	ev_timer_stop(EV_DEFAULT, &tick);
}

/* The answer to one command as a text, NULL without a server or an answer. Free with mem_free(). */
static char *ask(int argc, const char **argv)
{
	struct timeval limit = {.tv_sec = 5};
	redisContext *c = redisConnectUnixWithTimeout(socket_path, limit);
	redisReply *reply = c != NULL && c->err == 0 ? redisCommandArgv(c, argc, argv, NULL) : NULL;
	char *text = NULL;

	if (reply != NULL && reply->type != REDIS_REPLY_ERROR && reply->str != NULL)
		text = mem_strdup(reply->str);
	freeReplyObject(reply);
	if (c != NULL)
		redisFree(c);
	return text;
}

/* The process that answers, 0 when none does. INFO alone would not tell: a server that still loads its data
 * answers that, too. */
static pid_t server_pid(void)
{
	char *pong = ask(1, (const char *[]){"PING"});
	char *info = pong != NULL ? ask(2, (const char *[]){"INFO", "server"}) : NULL;
	const char *at = info != NULL ? strstr(info, "process_id:") : NULL;
	pid_t pid = at != NULL ? (pid_t)strtol(at + strlen("process_id:"), NULL, 10) : 0;

	mem_free(info);
	mem_free(pong);
	return pid;
}

static bool another_answers(void *arg)
{
	pid_t pid = server_pid();

	return pid != 0 && pid != *(pid_t *)arg;
}

static pid_t wait_for_another(pid_t than)
{
	run_until(another_answers, &than);
	return server_pid();
}

static void on_stopped(void *arg)
{
	++*(unsigned *)arg;
}

static bool is_set(void *arg)
{
	return *(unsigned *)arg > 0;
}

static void stop(struct embedded_redis **r)
{
	stopped_count = 0;
	embedded_redis_stop(*r, on_stopped, &stopped_count);
	run_until(is_set, &stopped_count);
	assert_int_equal(stopped_count, 1);
	embedded_redis_free(r);
	assert_null(*r);
}

static struct embedded_redis *start(void)
{
	struct embedded_redis *r = embedded_redis_new(ev_default_loop(0), runtime_dir, NULL);

	assert_non_null(r);
	embedded_redis_start(r);
	return r;
}

static int make_dir(void **state)
{
	log_setup(LOG_ERROR + 1, LOG_TEXT);
	if (mkdtemp(dir) == NULL)
		return -1;
	runtime_dir = mem_printf("%s/it's \"a\\b\" #1", dir);
	socket_path = mem_printf("%s/redis/redis.sock", runtime_dir);
	return mkdir(runtime_dir, 0700);
}

static int remove_dir(void **state)
{
	char *const argv[] = {(char *)"rm", (char *)"-rf", dir, NULL};
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(1);
	}
	mem_free(runtime_dir);
	mem_free(socket_path);
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static void set_key(const char *value)
{
	char *answer = ask(3, (const char *[]){"SET", "key", value});

	assert_non_null(answer);
	mem_free(answer);
}

static void check_key(const char *expected)
{
	char *answer = ask(2, (const char *[]){"GET", "key"});

	assert_non_null(answer);
	assert_string_equal(answer, expected);
	mem_free(answer);
}

static void address_leads_to_its_socket(void **state)
{
	char *address = embedded_redis_address(runtime_dir);

	assert_memory_equal(address, "unix:", 5);
	assert_string_equal(address + 5, socket_path);
	mem_free(address);
}

static void it_starts_and_stops_and_keeps_its_data(void **state)
{
	struct embedded_redis *r = start();
	struct stat st;
	pid_t pid = wait_for_another(0);

	assert_int_equal(stat(socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	set_key("kept");
	stop(&r);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(stat(socket_path, &st), -1);
	r = start();
	wait_for_another(0);
	check_key("kept");
	stop(&r);
}

static void killed_it_comes_back_with_its_data(void **state)
{
	struct embedded_redis *r = start();
	pid_t pid = wait_for_another(0);

	set_key("survived");
	kill(pid, SIGKILL);
	wait_for_another(pid);
	check_key("survived");
	stop(&r);
}

/* As after a kill -9 of the master, whose server may still write when the next master starts. */
static void second_waits_for_the_end_of_the_first(void **state)
{
	struct embedded_redis *first = start(), *second;
	pid_t pid = wait_for_another(0);

	second = start();
	for (int turn = 0; turn < 20; turn++) {
		ev_run(EV_DEFAULT, EVRUN_ONCE);
		assert_int_equal(server_pid(), pid);
	}
	set_key("handed over");
	stop(&first);
	wait_for_another(pid);
	check_key("handed over");
	stop(&second);
}

static bool over_without_a_server(void *arg)
{
	assert_int_equal(server_pid(), 0);
	return clock_ms() >= *(uint64_t *)arg;
}

/* A server that is frozen answers nobody, and soon nobody can even knock. */
static void two_servers_never_share_the_data(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char *lock = mem_printf("%s/redis/lock", runtime_dir);
	int other = socket(AF_UNIX, SOCK_STREAM, 0), waiting = socket(AF_UNIX, SOCK_STREAM, 0);
	int lock_fd = open(lock, O_RDWR | O_CREAT, 0600);
	struct embedded_redis *r;
	uint64_t until_ms = clock_ms() + 5500;

	memcpy(un.sun_path, socket_path, strlen(socket_path) + 1);
	assert_int_equal(bind(other, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(other, 0), 0);
	assert_int_equal(connect(waiting, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(flock(lock_fd, LOCK_EX), 0);
	r = start();
	run_until(over_without_a_server, &until_ms);
	close(waiting);
	close(other);
	close(lock_fd);
	wait_for_another(0);
	stop(&r);
	mem_free(lock);
}

static void stopping_before_it_answers_is_no_trouble(void **state)
{
	struct embedded_redis *r = start();

	stop(&r);
	assert_int_equal(server_pid(), 0);
	/* Nor is freeing one that was never started. */
	r = embedded_redis_new(EV_DEFAULT, runtime_dir, NULL);
	embedded_redis_free(&r);
	embedded_redis_free(&r);
}

static void stopping_twice_waits_for_its_end_once(void **state)
{
	struct embedded_redis *r = start();
	unsigned first = 0;
	pid_t pid = wait_for_another(0);

	embedded_redis_stop(r, on_stopped, &first);
	stop(&r);
	assert_int_equal(first, 0);
	assert_int_equal(kill(pid, 0), -1);
}

static void what_is_missing_is_told_before_the_start(void **state)
{
	char *path = mem_strdup(getenv("PATH"));
	char *too_long = mem_printf("%s/%0100d", dir, 0);

	assert_null(embedded_redis_new(ev_default_loop(0), too_long, NULL));
	setenv("PATH", dir, 1);
	assert_null(embedded_redis_new(ev_default_loop(0), runtime_dir, NULL));
	setenv("PATH", path, 1);
	mem_free(too_long);
	mem_free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_leads_to_its_socket),
		cmocka_unit_test(it_starts_and_stops_and_keeps_its_data),
		cmocka_unit_test(killed_it_comes_back_with_its_data),
		cmocka_unit_test(second_waits_for_the_end_of_the_first),
		cmocka_unit_test(two_servers_never_share_the_data),
		cmocka_unit_test(stopping_before_it_answers_is_no_trouble),
		cmocka_unit_test(stopping_twice_waits_for_its_end_once),
		cmocka_unit_test(what_is_missing_is_told_before_the_start),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
