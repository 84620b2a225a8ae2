#include "embedded_redis.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "child.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "respawn.h"
#include "runtime_dir.h"

enum {
	TICK_MS = 20,            /* between two knocks at a server that starts */
	LOCK_PATIENCE_MS = 5000, /* see lock_is_ours() */
	LOG_KEEP_BYTES = 1 << 20,
	SETTINGS_MAX = 8192,
	SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1,
};

/* What is not said here is Redis' default. Nothing is thrown away to make room: a publication that does not
 * fit is refused, loudly. A worker that does not read is cut off before it costs the others their memory. */
static const char settings[] = "port 0\n"
			       "unixsocketperm 700\n"
			       "daemonize no\n"
			       "logfile \"\"\n"
			       "loglevel notice\n"
			       "save \"\"\n"
			       "appendonly yes\n"
			       "appendfsync everysec\n"
			       "maxmemory-policy noeviction\n"
			       "client-output-buffer-limit pubsub 256mb 64mb 60\n";

enum server_phase {
	SERVER_IDLE,     /* never started, or stopped for good */
	SERVER_WAITING,  /* no process; the timer starts one */
	SERVER_STARTING, /* forked; the timer knocks */
	SERVER_SERVING,
	SERVER_STOPPING, /* told to end; the timer is the limit */
};

struct embedded_redis {
	struct ev_loop *loop;
	const struct privileges *privileges;
	char *program, *socket_path, *data_dir, *log_path, *lock_path;
	enum server_phase phase;
	pid_t pid;
	uint64_t started_at_ms, ready_at_ms, answered_at_ms;
	uint64_t locked_out_at_ms; /* since when the data is another's; 0: it is not */
	bool told_of_loading;
	struct respawn respawn;
	ev_child child;
	ev_timer timer;
	int knock_fd; /* -1: no PING is on its way */
	ev_io knock;
	void (*on_stopped)(void *arg);
	void *on_stopped_arg;
};

static void set_phase(struct embedded_redis *r, enum server_phase phase)
{
	switch (phase) {
	case SERVER_IDLE: assert(r->phase == SERVER_WAITING || r->phase == SERVER_STOPPING); break;
	case SERVER_WAITING: assert(r->phase != SERVER_STOPPING); break;
	case SERVER_STARTING: assert(r->phase == SERVER_WAITING); break;
	case SERVER_SERVING: assert(r->phase == SERVER_STARTING); break;
	case SERVER_STOPPING: break;
	}
	r->phase = phase;
}

static void start_timer(struct embedded_redis *r, uint64_t ms)
{
	ev_timer_stop(r->loop, &r->timer);
	ev_now_update(r->loop);
	ev_timer_set(&r->timer, (double)ms / 1000, 0);
	ev_timer_start(r->loop, &r->timer);
}

/* --- knocking: PING until the answer is PONG --- */

static void stop_knocking(struct embedded_redis *r)
{
	if (r->knock_fd < 0)
		return;
	ev_io_stop(r->loop, &r->knock);
	close(r->knock_fd);
	r->knock_fd = -1;
}

/* A connection to the server's socket, -1 if nobody listens there. With EAGAIN somebody does, but so many
 * others wait that there is no room. */
static int connect_to_server(const struct embedded_redis *r)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int saved;

	if (fd < 0)
		return -1;
	memcpy(un.sun_path, r->socket_path, strlen(r->socket_path) + 1);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static void send_knock(struct embedded_redis *r)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";

	r->knock_fd = connect_to_server(r);
	if (r->knock_fd < 0)
		return;
	ev_io_set(&r->knock, r->knock_fd, EV_READ);
	ev_io_start(r->loop, &r->knock);
	if (send(r->knock_fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ping) - 1)
		stop_knocking(r);
}

static void server_ready(struct embedded_redis *r)
{
	set_phase(r, SERVER_SERVING);
	ev_timer_stop(r->loop, &r->timer);
	r->ready_at_ms = clock_ms();
	log_info("embedded Redis (pid %d) is ready on unix:%s after %llu ms", (int)r->pid, r->socket_path,
	         (unsigned long long)(r->ready_at_ms - r->started_at_ms));
}

static void server_loading(struct embedded_redis *r)
{
	if (!r->told_of_loading)
		log_info("embedded Redis (pid %d) is loading its data", (int)r->pid);
	r->told_of_loading = true;
}

static void on_knock_answered(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct embedded_redis *r = container_of(watcher, struct embedded_redis, knock);
	char answer[64];
	ssize_t n = recv(r->knock_fd, answer, sizeof(answer), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	stop_knocking(r);
	if (n <= 0)
		return;
	r->answered_at_ms = clock_ms();
	/* The few bytes of an answer come in one piece on a unix socket. */
	if (answer[0] == '+')
		server_ready(r);
	else
		server_loading(r);
}

static void knock_again(struct embedded_redis *r)
{
	if (clock_ms() - r->answered_at_ms >= EMBEDDED_REDIS_ANSWER_LIMIT_MS) {
		log_error("embedded Redis (pid %d) does not answer and is killed, see %s", (int)r->pid,
		          r->log_path);
		kill(r->pid, SIGKILL);
		return;
	}
	if (r->knock_fd < 0)
		send_knock(r);
	start_timer(r, TICK_MS);
}

/* --- starting --- */

/* Strings of redis.conf in double quotes, in which a path may hold anything. */
static void put_setting(struct buf *b, const char *name, const char *value)
{
	buf_putf(b, "%s \"", name);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			buf_putc(b, '\\');
		buf_putc(b, *value);
	}
	buf_puts(b, "\"\n");
}

/* A pipe that holds the settings, from its read end; less than a pipe takes at once. -1 with errno. */
static int open_settings(const struct embedded_redis *r)
{
	struct buf b;
	int fds[2];
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	buf_init(&b, SETTINGS_MAX);
	buf_puts(&b, settings);
	put_setting(&b, "unixsocket", r->socket_path);
	put_setting(&b, "dir", r->data_dir);
	n = buf_ok(&b) ? write(fds[1], b.data, b.len) : -1;
	if (n != (ssize_t)b.len) {
		close(fds[0]);
		fds[0] = -1;
	} else {
		fcntl(fds[0], F_SETFL, 0); /* the server reads it with stdio */
	}
	close(fds[1]);
	buf_free(&b);
	return fds[0];
}

/* It is appended to over restarts; one old file is kept when it gets long. */
static int open_log(const struct embedded_redis *r)
{
	struct stat st;
	char *old;

	if (stat(r->log_path, &st) == 0 && st.st_size > LOG_KEEP_BYTES) {
		old = mem_printf("%s.old", r->log_path);
		if (rename(r->log_path, old) < 0)
			log_warning("cannot rename %s: %s", r->log_path, strerror(errno));
		mem_free(old);
	}
	return open(r->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Becomes the server. It gets a session of its own, as a Ctrl-C at the terminal is the master's to handle:
 * workers that drain still need their Redis. */
static _Noreturn void become_server(const struct embedded_redis *r, pid_t master, const int fds[3],
                                    int lock_fd)
{
	static char name[] = "redis-server", from_stdin[] = "-";
	char *argv[] = {name, from_stdin, NULL};

	setsid();
	if (!privileges_drop(r->privileges))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* here, as a change of the user clears it */
	if (getppid() != master)          /* it died before the line above */
		_exit(1);
	for (int i = 0; i < 3; i++) {
		if (dup2(fds[i], i) < 0)
			_exit(126);
	}
	fcntl(lock_fd, F_SETFD, 0);
	child_forget_settings();
	execv(r->program, argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", r->program, strerror(errno));
	_exit(127);
}

static pid_t fork_server(struct embedded_redis *r, int lock_fd)
{
	int in = open_settings(r);
	int log = in < 0 ? -1 : open_log(r);
	pid_t master = getpid(), pid = log < 0 ? -1 : child_fork();
	int saved = errno;

	if (pid == 0)
		become_server(r, master, (int[]){in, log, log}, lock_fd);
	if (in >= 0)
		close(in);
	if (log >= 0)
		close(log);
	errno = saved;
	return pid;
}

static void wait_for_respawn(struct embedded_redis *r, bool was_healthy)
{
	uint64_t delay_ms = respawn_delay_ms(&r->respawn, was_healthy, arc4random());

	set_phase(r, SERVER_WAITING);
	start_timer(r, delay_ms);
}

/* The lock is inherited by the server and its own children. After a kill -9 of the server a child of it that
 * rewrites the append-only file may hold it for a while, but disturbs nobody; a server that still listens
 * does. -1: not yet. */
static int lock_data(struct embedded_redis *r)
{
	int fd = open(r->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int knock;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) {
		r->locked_out_at_ms = 0;
		return fd;
	}
	if (r->locked_out_at_ms == 0) {
		log_warning("another redis-server still uses %s: waiting for its end", r->data_dir);
		r->locked_out_at_ms = clock_ms();
	}
	knock = connect_to_server(r);
	if (knock < 0 && errno != EAGAIN && clock_ms() - r->locked_out_at_ms >= LOCK_PATIENCE_MS)
		return fd;
	if (knock >= 0)
		close(knock);
	close(fd);
	return -1;
}

static void watch_server(struct embedded_redis *r, pid_t pid)
{
	r->pid = pid;
	r->started_at_ms = r->answered_at_ms = clock_ms();
	r->told_of_loading = false;
	set_phase(r, SERVER_STARTING);
	ev_child_set(&r->child, pid, 0);
	ev_child_start(r->loop, &r->child);
	start_timer(r, TICK_MS);
}

static void server_spawn(struct embedded_redis *r)
{
	int lock_fd = lock_data(r);
	pid_t pid;

	if (lock_fd < 0 && r->locked_out_at_ms != 0) {
		start_timer(r, TICK_MS);
		return;
	}
	pid = lock_fd < 0 ? -1 : fork_server(r, lock_fd);
	if (pid < 0) {
		log_error("embedded Redis cannot be started: %s", strerror(errno));
		wait_for_respawn(r, false);
	} else {
		watch_server(r, pid);
	}
	if (lock_fd >= 0)
		close(lock_fd);
}

/* --- ending --- */

static void stopped(struct embedded_redis *r)
{
	set_phase(r, SERVER_IDLE);
	r->on_stopped(r->on_stopped_arg);
}

static void on_exit_of_server(struct ev_loop *loop, ev_child *watcher, int revents)
{
	struct embedded_redis *r = container_of(watcher, struct embedded_redis, child);
	bool was_healthy = r->phase == SERVER_SERVING && clock_ms() - r->ready_at_ms >= RESPAWN_HEALTHY_MS;
	char text[CHILD_END_TEXT_MAX];

	ev_child_stop(loop, watcher);
	ev_timer_stop(loop, &r->timer);
	stop_knocking(r);
	child_describe_end(watcher->rstatus, text);
	if (r->phase == SERVER_STOPPING) {
		log_info("embedded Redis (pid %d) %s", (int)r->pid, text);
		stopped(r);
		return;
	}
	log_error("embedded Redis (pid %d) %s and is started again, see %s", (int)r->pid, text, r->log_path);
	wait_for_respawn(r, was_healthy);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct embedded_redis *r = container_of(watcher, struct embedded_redis, timer);

	switch (r->phase) {
	case SERVER_WAITING: server_spawn(r); return;
	case SERVER_STARTING: knock_again(r); return;
	case SERVER_STOPPING:
		if (r->pid == 0) {
			stopped(r);
			return;
		}
		log_error("embedded Redis (pid %d) did not stop and is killed", (int)r->pid);
		kill(r->pid, SIGKILL);
		return;
	case SERVER_IDLE:
	case SERVER_SERVING: return;
	}
}

/* --- making --- */

char *embedded_redis_address(const char *runtime_dir)
{
	char *path = runtime_dir_path(runtime_dir, "redis/redis.sock");
	char *address = mem_printf("unix:%s", path);

	mem_free(path);
	return address;
}

/* The full path of a program in PATH; NULL when there is none. Free with mem_free(). */
static char *find_program(const char *name)
{
	const char *search = getenv("PATH");

	if (search == NULL || search[0] == '\0')
		search = "/usr/local/bin:/usr/bin:/bin";
	for (size_t len; *search != '\0'; search += len + (search[len] == ':')) {
		char *path;

		len = strcspn(search, ":");
		path = mem_printf("%.*s/%s", (int)(len > 0 ? len : 1), len > 0 ? search : ".", name);
		if (access(path, X_OK) == 0)
			return path;
		mem_free(path);
	}
	return NULL;
}

static bool give_away(const struct embedded_redis *r)
{
	if (runtime_dir_give(r->data_dir, privileges_uid(r->privileges), privileges_gid(r->privileges)))
		return privileges_try(r->privileges, r->data_dir);
	log_error("cannot give %s to the user of the embedded Redis: %s", r->data_dir, strerror(errno));
	return false;
}

/* False after telling why. */
static bool check(struct embedded_redis *r)
{
	if (r->program == NULL) {
		log_error("there is no redis-server in PATH for the embedded Redis: install it (Debian: apt "
		          "install redis-server), or name a Redis with --redis");
		return false;
	}
	if (strlen(r->socket_path) > SOCKET_PATH_MAX) {
		log_error(
			"the path of the embedded Redis' socket, %s, is longer than the %zu bytes that a unix "
			"socket may have: choose a shorter --runtime-dir",
			r->socket_path, (size_t)SOCKET_PATH_MAX);
		return false;
	}
	if (!runtime_dir_make(r->data_dir)) {
		log_error("cannot make %s for the data of the embedded Redis: %s", r->data_dir,
		          strerror(errno));
		return false;
	}
	return !privileges_change(r->privileges) || give_away(r);
}

struct embedded_redis *embedded_redis_new(struct ev_loop *loop, const char *runtime_dir,
                                          const struct privileges *privileges)
{
	struct embedded_redis *r = mem_alloc(sizeof(*r));

	r->loop = loop;
	r->privileges = privileges;
	r->knock_fd = -1;
	r->program = find_program("redis-server");
	r->socket_path = runtime_dir_path(runtime_dir, "redis/redis.sock");
	r->data_dir = runtime_dir_path(runtime_dir, "redis");
	r->log_path = runtime_dir_path(runtime_dir, "redis.log");
	r->lock_path = runtime_dir_path(runtime_dir, "redis/lock");
	ev_init(&r->child, on_exit_of_server);
	ev_init(&r->timer, on_timer);
	ev_init(&r->knock, on_knock_answered);
	if (!check(r))
		embedded_redis_free(&r);
	return r;
}

void embedded_redis_start(struct embedded_redis *r)
{
	set_phase(r, SERVER_WAITING);
	server_spawn(r);
}

void embedded_redis_stop(struct embedded_redis *r, void (*on_stopped)(void *arg), void *arg)
{
	bool runs = r->phase == SERVER_STARTING || r->phase == SERVER_SERVING;

	r->on_stopped = on_stopped;
	r->on_stopped_arg = arg;
	/* Asked a second time, by somebody in a hurry: what it holds is written out all the same. */
	if (r->phase == SERVER_STOPPING)
		return;
	stop_knocking(r);
	set_phase(r, SERVER_STOPPING);
	if (runs)
		kill(r->pid, SIGTERM);
	else
		r->pid = 0;
	start_timer(r, runs ? EMBEDDED_REDIS_STOP_LIMIT_MS : 0);
}

void embedded_redis_free(struct embedded_redis **r)
{
	if (*r == NULL)
		return;
	assert((*r)->phase == SERVER_IDLE);
	mem_free((*r)->program);
	mem_free((*r)->socket_path);
	mem_free((*r)->data_dir);
	mem_free((*r)->log_path);
	mem_free((*r)->lock_path);
	mem_free(*r);
	*r = NULL;
}
