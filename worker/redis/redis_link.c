#include "redis_link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "mem.h"
#include "tls_client.h"

static const char hung_up[] =
	"closed by Redis without an answer; if it expects TLS, its address is rediss://";

/* Memory for output that is kept while there is none. */
enum { OUT_KEPT = 64 << 10 };

bool redis_link_up(const struct redis_link *l)
{
	return l->phase == LINK_UP;
}

bool redis_link_shakes_hands(const struct redis_link *l)
{
	struct address peer;

	return l->phase == LINK_CONNECTING && l->endpoint->tls != NULL && stream_peer(&l->stream, &peer);
}

/* --- the end --- */

/* While replies are dispatched their memory stays; dispatch() frees it then. */
static void free_input(struct redis_link *l)
{
	if (l->reading)
		return;
	resp_free(&l->resp);
	mem_free(l->in);
	l->in = NULL;
}

void redis_link_close(struct redis_link *l)
{
	l->phase = LINK_DOWN;
	redis_race_stop(&l->race);
	redis_resolver_stop(&l->resolver);
	stream_close(&l->stream, false);
	timer_stop(&l->deadline);
	task_cancel(&l->flush);
	buf_free(&l->out);
	l->out_sent = 0;
	free_input(l);
}

/* With the reason in l->error. */
static void go_down(struct redis_link *l, enum redis_trouble trouble)
{
	bool was_up = l->phase == LINK_UP;

	l->trouble = trouble;
	redis_link_close(l);
	l->events->on_down(l, was_up);
}

static const char *kind(const struct redis_link *l)
{
	return l->endpoint->is_sentinel ? "the sentinel" : "Redis";
}

/* What the connection is for, as long as it is one: before, what is wrong is not its own. */
static const char *use(const struct redis_link *l)
{
	return l->phase == LINK_UP && l->use != NULL ? l->use->name : "";
}

/* Begins the error with what it is about. Returns its length. */
static size_t put_subject(struct redis_link *l)
{
	bool is_named = use(l)[0] != '\0';

	snprintf(l->error, sizeof(l->error), "%s at %s %s%s%s", kind(l), l->endpoint->text,
	         is_named ? "(" : "", use(l), is_named ? " connection) " : "");
	return strlen(l->error);
}

void redis_link_fail(struct redis_link *l, enum redis_trouble trouble, const char *fmt, ...)
{
	size_t len = put_subject(l);
	va_list args;

	va_start(args, fmt);
	vsnprintf(l->error + len, sizeof(l->error) - len, fmt, args);
	va_end(args);
	go_down(l, trouble);
}

void redis_link_fail_unasked(struct redis_link *l, const struct redis_reply *reply)
{
	if (reply->type == REDIS_ERROR)
		redis_link_fail(l, REDIS_AWAY, "sent a reply to nothing: %.*s",
		                BYTES_FMT(redis_error_text(reply)));
	else
		redis_link_fail(l, REDIS_AWAY, "sent a reply to nothing");
}

static void fail_with(struct redis_link *l, enum redis_trouble trouble, const char *why)
{
	if (l->phase == LINK_UP)
		snprintf(l->error, sizeof(l->error), "lost the %s%sconnection to %s at %s: %s", use(l),
		         use(l)[0] != '\0' ? " " : "", kind(l), l->endpoint->text, why);
	else
		snprintf(l->error, sizeof(l->error), "cannot connect to %s at %s: %s", kind(l),
		         l->endpoint->text, why);
	go_down(l, trouble);
}

static void fail_away(struct redis_link *l, const char *why)
{
	fail_with(l, REDIS_AWAY, why);
}

/* As a Redis does that expects TLS and gets none. */
static bool hung_up_on_greeting(const struct redis_link *l)
{
	return l->endpoint->tls == NULL && l->phase == LINK_LOGIN && l->login.answered == 0;
}

/* Whom Redis would owe more than client-output-buffer-limit allows, it closes without a word: mostly before
 * any of it was sent, also in the middle. */
static void fail_closed(struct redis_link *l, const char *how)
{
	char why[REDIS_ERROR_MAX];
	bool mid_reply = l->phase == LINK_UP && resp_begun(l->resp) > 0;

	if (l->phase != LINK_UP || l->use == NULL || !(mid_reply || l->use->owed(l))) {
		fail_away(l, how);
		return;
	}
	snprintf(why, sizeof(why), "%s%s; its log tells whether client-output-buffer-limit %s is too small",
	         how, mid_reply ? " in the middle of a reply" : "", l->use->limits);
	fail_away(l, why);
}

/* The stream failed, and errno tells with what. Who does not come to terms with us over TLS in the beginning
 * will not do so by being asked often. */
static void fail_broken(struct redis_link *l)
{
	if (errno == EPROTO && l->endpoint->tls != NULL && l->phase != LINK_UP)
		fail_with(l, REDIS_REFUSING, stream_reason(&l->stream));
	else if (errno == ECONNRESET && hung_up_on_greeting(l))
		fail_away(l, hung_up);
	else if (errno == ECONNRESET)
		fail_closed(l, stream_reason(&l->stream));
	else
		fail_away(l, stream_reason(&l->stream));
}

static void fail_at_end(struct redis_link *l)
{
	if (hung_up_on_greeting(l))
		fail_away(l, hung_up);
	else
		fail_closed(l, "closed by Redis");
}

static void fail_slow(struct redis_link *l)
{
	errno = ETIMEDOUT;
	fail_away(l, stream_reason(&l->stream));
}

static void on_deadline(struct timer *t)
{
	struct redis_link *l = container_of(t, struct redis_link, deadline);

	if (l->unopened != NULL)
		fail_away(l, l->unopened);
	else if (l->phase == LINK_RESOLVING)
		fail_away(l, "the name servers do not answer");
	else if (l->phase == LINK_CONNECTING)
		fail_slow(l);
	else
		redis_link_fail(l, REDIS_SILENT, "does not answer");
}

/* --- output --- */

size_t redis_link_room(const struct redis_link *l)
{
	return l->out.max - l->out.len;
}

static struct buf *out(struct redis_link *l)
{
	loop_defer(stream_loop(&l->stream), &l->flush);
	return &l->out;
}

struct buf *redis_link_out(struct redis_link *l)
{
	assert(l->phase == LINK_UP);
	return out(l);
}

/* --- logging in --- */

static void log_in(struct redis_link *l)
{
	redis_login_begin(&l->login, l->endpoint, l->name, out(l));
	l->phase = LINK_LOGIN;
}

static void come_up(struct redis_link *l)
{
	timer_stop(&l->deadline);
	redis_race_stop(&l->race);
	l->phase = LINK_UP;
	l->trouble = REDIS_FINE;
	l->events->on_up(l);
}

static void on_login_reply(struct redis_link *l, const struct redis_reply *reply)
{
	char why[REDIS_ERROR_MAX];
	enum redis_trouble trouble = redis_login_reply(&l->login, reply, why);

	if (trouble == REDIS_FINE)
		come_up(l);
	else if (trouble != REDIS_CONNECTING)
		redis_link_fail(l, trouble, "%s", why);
}

/* --- input --- */

/* A callback may close the link, but not open it again: the phase tells whether to go on. */
static void dispatch(struct redis_link *l)
{
	const struct redis_reply *reply;
	enum resp_result result;

	while ((result = resp_next(l->resp, &reply)) == RESP_REPLY) {
		l->heard_ms = clock_ms();
		if (l->phase == LINK_LOGIN)
			on_login_reply(l, reply);
		else
			l->events->on_reply(l, reply);
		if (l->phase == LINK_DOWN)
			return;
	}
	if (result == RESP_BAD)
		redis_link_fail(l, REDIS_AWAY, "does not speak its protocol: %s", resp_error(l->resp));
}

static void take(struct redis_link *l, size_t len)
{
	l->reading = true;
	l->moved_ms = clock_ms();
	for (size_t done = 0; done < len && l->phase != LINK_DOWN; done += RESP_FEED) {
		size_t piece = len - done < RESP_FEED ? len - done : RESP_FEED;

		if (!resp_feed(l->resp, l->in + done, piece)) {
			fail_away(l, "no memory for what it sends");
			break;
		}
		dispatch(l);
	}
	l->reading = false;
	if (l->phase == LINK_DOWN)
		free_input(l);
}

static void on_readable(struct stream *s)
{
	struct redis_link *l = container_of(s, struct redis_link, stream);

	for (unsigned i = 0; i < l->reads; i++) {
		ssize_t n = stream_read(s, l->in, REDIS_LINK_READ);

		if (n == STREAM_AGAIN)
			return;
		if (n == STREAM_ERROR) {
			fail_broken(l);
			return;
		}
		if (n == 0) {
			fail_at_end(l);
			return;
		}
		take(l, (size_t)n);
		if (l->phase == LINK_DOWN || n < REDIS_LINK_READ)
			return;
	}
}

/* --- sending --- */

/* Who hangs up has often said why. Over TLS nothing can be read any more after an error. */
static void hear_last_words(struct redis_link *l, int error)
{
	if (l->endpoint->tls == NULL)
		on_readable(&l->stream);
	if (l->phase == LINK_DOWN)
		return;
	errno = error;
	fail_broken(l);
}

/* Moving bytes costs, so it waits until more than half of them can go. */
static void keep_rest(struct redis_link *l)
{
	if (l->out_sent > l->out.len / 2) {
		buf_consume(&l->out, l->out_sent);
		l->out_sent = 0;
	}
	stream_want_write(&l->stream, true);
}

static void flush(struct redis_link *l)
{
	struct iovec iov = {l->out.data + l->out_sent, l->out.len - l->out_sent};
	ssize_t n;

	/* The beginning of a command may be there, and what follows would be taken for its rest. */
	if (!buf_ok(&l->out)) {
		fail_away(l, "no memory for what is to be sent");
		return;
	}
	n = stream_writev(&l->stream, &iov, 1);
	if (n == STREAM_ERROR) {
		hear_last_words(l, errno);
		return;
	}
	if (n > 0)
		l->out_sent += (size_t)n;
	if (l->out_sent < l->out.len) {
		keep_rest(l);
		return;
	}
	l->out_sent = 0;
	if (l->out.cap > OUT_KEPT)
		buf_free(&l->out);
	else
		buf_reset(&l->out);
}

static void on_flush(struct task *t)
{
	struct redis_link *l = container_of(t, struct redis_link, flush);

	if (l->phase >= LINK_LOGIN && (l->out.len > 0 || !buf_ok(&l->out)))
		flush(l);
}

/* --- the beginning --- */

/* The system notices within seconds that the other host is gone: the peer is asked after 5 s of silence, and
 * what it does not acknowledge for 10 s breaks the connection. */
static void tune_tcp(const struct redis_link *l)
{
	int on = 1;
	int idle_s = 5;
	int interval_s = 2;
	int probes = 3;
	unsigned timeout_ms = 10000;
	int fd = stream_fd(&l->stream);

	if (l->endpoint->url.is_unix)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static void on_connected(struct redis_link *l)
{
	int error = stream_connected(&l->stream);

	if (error != 0) {
		errno = error;
		fail_broken(l);
		return;
	}
	tune_tcp(l);
	stream_want_read(&l->stream, true);
	l->heard_ms = l->moved_ms = clock_ms();
	log_in(l);
}

static void on_writable(struct stream *s)
{
	struct redis_link *l = container_of(s, struct redis_link, stream);

	if (l->phase == LINK_CONNECTING)
		on_connected(l);
	else if (l->out.len > 0) /* else on_flush() has sent it all meanwhile */
		flush(l);
}

/* The failure of a try that could not even begin is told in the next turn. */
static void fail_soon(struct redis_link *l, const char *why)
{
	l->unopened = why;
	timer_start(stream_loop(&l->stream), &l->deadline, 0);
}

static void connect_to(struct redis_link *l, const struct address *to)
{
	struct tls_client *tls = l->endpoint->tls;

	l->phase = LINK_CONNECTING;
	if (!(tls != NULL ? tls_connect(tls, &l->stream, to, l->endpoint->url.host)
	                  : stream_connect(&l->stream, to)))
		fail_soon(l, strerror(errno));
}

static void on_resolved(struct redis_resolver *r)
{
	struct redis_link *l = container_of(r, struct redis_link, resolver);

	if (r->error != NULL)
		fail_soon(l, r->error);
	else
		connect_to(l, &r->address);
}

void redis_link_replace(struct redis_link *l, struct redis_link *by)
{
	size_t out_max = by->out.max;

	assert(l->phase != LINK_DOWN && l->phase != LINK_UP && !l->reading && by->phase == LINK_UP);
	redis_resolver_stop(&l->resolver);
	stream_close(&l->stream, false);
	buf_free(&l->out);
	free_input(l);
	stream_move(&l->stream, &by->stream);
	l->out = by->out;
	l->out_sent = by->out_sent;
	l->resp = by->resp;
	l->in = by->in;
	l->heard_ms = by->heard_ms;
	l->moved_ms = by->moved_ms;
	buf_init(&by->out, out_max);
	by->resp = NULL;
	by->in = NULL;
	come_up(l);
}

void redis_link_doubt(struct redis_link *l)
{
	assert(l->phase == LINK_UP);
	redis_race_doubt(&l->race);
}

void redis_link_open(struct redis_link *l)
{
	const struct redis_endpoint *e = l->endpoint;

	assert(l->phase == LINK_DOWN && !l->reading);
	l->phase = LINK_RESOLVING;
	l->unopened = NULL;
	l->resp = resp_new();
	l->in = mem_alloc(REDIS_LINK_READ);
	timer_start(stream_loop(&l->stream), &l->deadline, l->connect_timeout_ms);
	redis_race_start(&l->race);
	if (l->resp == NULL)
		fail_soon(l, "out of memory");
	else if (e->error != NULL)
		fail_soon(l, e->error);
	else if (!e->named)
		connect_to(l, &e->address);
	else if (redis_resolver_start(&l->resolver, e->url.host, e->url.port))
		on_resolved(&l->resolver);
}

static const struct stream_events stream_events = {on_readable, on_writable};

void redis_link_init(struct redis_link *l, struct loop *loop, const struct redis_endpoint *endpoint,
                     const struct redis_link_events *events, const char *name, uint64_t connect_timeout_ms,
                     size_t out_max)
{
	*l = (struct redis_link){
		.endpoint = endpoint,
		.events = events,
		.name = name,
		.connect_timeout_ms = connect_timeout_ms,
		.reads = REDIS_LINK_READS,
		.flush.run = on_flush,
		.deadline.fire = on_deadline,
		.trouble = REDIS_CONNECTING,
	};
	stream_init(&l->stream, loop, &stream_events);
	redis_resolver_init(&l->resolver, loop, on_resolved);
	redis_race_init(&l->race, l);
	buf_init(&l->out, out_max);
}
