/* What the tests of worker/redis stand on: a loop, a private redis-server on a unix socket in a directory of
 * its own, a struct redis that talks to it, and waiting for conditions. Included by one test program each. */
#pragma once

#include <ev.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "metrics.h"
#include "redis.h"
#include "tls_client.h"
#include "unused_ok.h"

struct world {
	struct loop *loop;
	char dir[64];
	char socket[96];
	char address[112];
	char prefix[8];
	pid_t server;
	struct config config;
	struct redis_tls tls;
	struct redis *redis;
	unsigned ready_changes;
	struct ev_timer tick;
	struct ev_check turn;
	uint64_t turned_ms; /* the real time of the last turn */
	uint64_t turn_ms;   /* what a turn may take of the world's time; 0: that stands */
};

/* A subscription and what came on it: messages are numbers, which must grow by one each. */
struct listener_sub {
	struct redis_sub *sub;
	char channel[64];
	unsigned confirmed;
	unsigned long messages;
	long last;
	unsigned long lost;
	unsigned long doubled;
};

static void on_message(void *owner, struct bytes payload)
{
	struct listener_sub *l = owner;
	char text[32] = "";
	long n;

	memcpy(text, payload.ptr, payload.len < sizeof(text) ? payload.len : sizeof(text) - 1);
	n = atol(text);
	l->messages++;
	if (n <= l->last)
		l->doubled++;
	else
		l->lost += (unsigned long)(n - l->last - 1);
	if (n > l->last)
		l->last = n;
}

static void on_confirmed(void *owner)
{
	struct listener_sub *l = owner;

	l->confirmed++;
}

/* What came of a call. */
struct answer {
	unsigned count;
	bool null;
	int type;
	long long integer; /* of an array, that of its first element */
	char text[256];
};

static UNUSED_OK void on_answer(void *arg, const struct redis_reply *reply)
{
	struct answer *a = arg;

	a->count++;
	a->null = reply == NULL;
	if (reply == NULL)
		return;
	a->type = reply->type;
	a->integer = reply->integer;
	if (reply->type == REDIS_ARRAY && reply->count > 0)
		a->integer = reply->elements[0]->integer;
	snprintf(a->text, sizeof(a->text), "%.*s", BYTES_FMT(reply->text));
}

static void on_ready(void *ctx, bool ready, const char *reason)
{
	struct world *w = ctx;

	w->ready_changes++;
	assert_true(ready || reason[0] != '\0');
}

static void on_tick(struct ev_loop *ev, struct ev_timer *t, int events)
{
}

/* --- time --- */

/* The world's time is the real one, but no turn of the loop takes more than a little of it: a process that
 * has to wait for a CPU finds no deadline passed that it had no chance to keep, neither one of worker/redis
 * nor one of the test. The tick comes more often. And it hardly passes while the server is at work or waits
 * for a CPU: an answer is late only when the server owes it and sleeps, is stopped, or is gone. */
enum { TICK_MS = 10, TURN_MS = 12, TURN_OF_BUSY_SERVER_MS = 1 };

static uint64_t real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Whether it can run or waits for the disk, by the letter behind the name in /proc/PID/stat. */
static bool server_is_busy(const struct world *w)
{
	char path[32], line[256] = "";
	const char *name_end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)w->server);
	f = w->server > 0 ? fopen(path, "re") : NULL;
	if (f == NULL)
		return false;
	name_end = fgets(line, sizeof(line), f) != NULL ? strrchr(line, ')') : NULL;
	fclose(f);
	return name_end != NULL && (name_end[2] == 'R' || name_end[2] == 'D');
}

static void on_turn(struct ev_loop *ev, struct ev_check *turn, int events)
{
	struct world *w = container_of(turn, struct world, turn);
	uint64_t now_ms = real_ms();
	uint64_t passed_ms = now_ms - w->turned_ms;

	w->turned_ms = now_ms;
	if (passed_ms > w->turn_ms)
		passed_ms = w->turn_ms;
	if (passed_ms > TURN_OF_BUSY_SERVER_MS && server_is_busy(w))
		passed_ms = TURN_OF_BUSY_SERVER_MS;
	clock_freeze(clock_ms() + passed_ms, clock_unix_ms() + passed_ms);
}

static void start_time(struct world *w)
{
	w->turned_ms = real_ms();
	w->turn_ms = TURN_MS;
	clock_freeze(clock_ms(), clock_unix_ms());
	ev_check_init(&w->turn, on_turn);
	ev_set_priority(&w->turn, EV_MAXPRI);
	ev_check_start(loop_ev(w->loop), &w->turn);
	ev_timer_init(&w->tick, on_tick, TICK_MS / 1000.0, TICK_MS / 1000.0);
	ev_timer_start(loop_ev(w->loop), &w->tick);
}

/* Turns the loop until the condition holds; fails after that much of the world's time. */
#define WAIT_FOR(w, timeout_ms, condition)                                                       \
	do {                                                                                     \
		uint64_t wait_until_ = clock_ms() + (timeout_ms);                                \
		while (!(condition)) {                                                           \
			if (clock_ms() > wait_until_)                                            \
				fail_msg("not within %d ms: %s", (int)(timeout_ms), #condition); \
			ev_run(loop_ev((w)->loop), EVRUN_ONCE);                                  \
		}                                                                                \
	} while (0)

/* Turns the loop for a while, in which the condition must hold. */
#define STAYS_SO(w, duration_ms, condition)                        \
	do {                                                       \
		uint64_t stay_until_ = clock_ms() + (duration_ms); \
		while (clock_ms() < stay_until_) {                 \
			assert_true(condition);                    \
			ev_run(loop_ev((w)->loop), EVRUN_ONCE);    \
		}                                                  \
	} while (0)

static UNUSED_OK bool is_ready(const struct world *w)
{
	const char *reason;

	return redis_ready(w->redis, &reason);
}

static UNUSED_OK const char *reason(const struct world *w)
{
	const char *text;

	redis_ready(w->redis, &text);
	return text;
}

/* --- the server --- */

static UNUSED_OK void server_start(struct world *w, const char *option, const char *value)
{
	w->server = fork();
	assert_true(w->server >= 0);
	if (w->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", w->socket, "--save", "",
		       "--appendonly", "no", "--dir", w->dir, "--logfile", "redis.log", "--daemonize", "no",
		       option, value, (char *)NULL);
		_exit(127);
	}
}

static UNUSED_OK void server_stop(struct world *w)
{
	if (w->server <= 0)
		return;
	kill(w->server, SIGCONT);
	kill(w->server, SIGKILL);
	waitpid(w->server, NULL, 0);
	w->server = 0;
	unlink(w->socket);
}

/* A blocking connection for what the test itself does in Redis. */
static UNUSED_OK redisContext *admin_connect(const struct world *w)
{
	redisContext *c = NULL;

	for (int tries = 0; tries < 500; tries++) {
		c = redisConnectUnix(w->socket);
		if (c != NULL && c->err == 0)
			return c;
		if (c != NULL)
			redisFree(c);
		poll(NULL, 0, 10);
	}
	fail_msg("no redis-server at %s", w->socket);
	return NULL;
}

static UNUSED_OK long long admin_integer(redisContext *c, const char *command)
{
	redisReply *reply = redisCommand(c, command);
	long long n = -1;

	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_INTEGER)
		n = reply->integer;
	freeReplyObject(reply);
	return n;
}

static UNUSED_OK void admin_ok(redisContext *c, const char *command)
{
	redisReply *reply = redisCommand(c, command);

	assert_non_null(reply);
	assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
	freeReplyObject(reply);
}

static UNUSED_OK void publish_number(redisContext *c, const char *channel, long n)
{
	redisReply *reply = redisCommand(c, "PUBLISH %s %ld", channel, n);

	assert_non_null(reply);
	freeReplyObject(reply);
}

/* A process that publishes 1, 2, … count on the channel as fast as Redis lets it, in batches of 10. */
static UNUSED_OK pid_t publisher_start(const struct world *w, const char *channel, long count)
{
	pid_t pid = fork();
	redisContext *c;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c = redisConnectUnix(w->socket);
	for (long n = 1; n <= count; n++) {
		redisReply *reply;
		redisAppendCommand(c, "PUBLISH %s %ld", channel, n);
		if (n % 10 != 0 && n != count)
			continue;
		for (long i = n - (n - 1) % 10; i <= n; i++) {
			if (redisGetReply(c, (void **)&reply) != REDIS_OK)
				_exit(1);
			freeReplyObject(reply);
		}
	}
	_exit(0);
}

static UNUSED_OK void publisher_done(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- the world --- */

static UNUSED_OK void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	log_setup(getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
	w->loop = loop_new();
	assert_non_null(w->loop);
	snprintf(w->dir, sizeof(w->dir), "/tmp/fanfare-redis-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->socket, sizeof(w->socket), "%s/s", w->dir);
	snprintf(w->address, sizeof(w->address), "unix:%s", w->socket);
	w->config.redis.address = w->address;
	snprintf(w->prefix, sizeof(w->prefix), "t:");
	w->config.redis.prefix = w->prefix;
	w->config.redis.connect_timeout_ms = 300;
	w->config.redis.call_timeout_ms = 300;
	w->config.redis.canary_interval_ms = 100;
	w->config.redis.canary_timeout_ms = 500;
	w->config.redis.unsubscribe_linger_ms = 100;
	start_time(w);
}

static UNUSED_OK void world_redis(struct world *w)
{
	struct redis_events events = {on_message, on_confirmed, on_ready, w};

	w->redis = redis_new(w->loop, &w->config, &w->tls, "n1", &events);
}

static UNUSED_OK int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static UNUSED_OK void world_free(struct world *w)
{
	redis_free(&w->redis);
	tls_client_free(&w->tls.nodes);
	tls_client_free(&w->tls.sentinels);
	server_stop(w);
	ev_timer_stop(loop_ev(w->loop), &w->tick);
	ev_check_stop(loop_ev(w->loop), &w->turn);
	loop_free(&w->loop);
	assert_int_equal(nftw(w->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static UNUSED_OK void listen_on(struct world *w, struct listener_sub *l, const char *channel)
{
	memset(l, 0, sizeof(*l));
	snprintf(l->channel, sizeof(l->channel), "%s", channel);
	l->sub = redis_sub_open(w->redis, BYTES_OF_STR(l->channel), l);
}

static UNUSED_OK int world_setup(void **state)
{
	static struct world w;

	world_init(&w);
	server_start(&w, "--loglevel", "notice");
	redisFree(admin_connect(&w));
	*state = &w;
	return 0;
}

static UNUSED_OK int world_teardown(void **state)
{
	world_free(*state);
	return 0;
}
