/* Descriptors: numbers are given as the kernel gives them, the lowest free one first, so that a stale one is
 * soon somebody else's. */
#include "sim_files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "control.h"
#include "sim_net_internal.h"

enum {
	FILES_MAX = 1024,
	FIRST_FD = 64, /* below are those of the process */
	IDLE_TURNS_MAX = 1000,
	TURNS_MAX = 3000000,
	MESSAGES_MAX = 16,
	BACKLOG_MAX = 1024,
};

enum kind { FREE, EPOLL, LISTENER, CONTROL, STREAM };

struct file {
	enum kind kind;
	struct sim_link *link;
	bool resets;  /* SO_LINGER of 0 */
	bool watched; /* in the epoll set */
	uint32_t interest;
	uint64_t data;
	bool hung_up; /* CONTROL: the master is gone */
};

static struct {
	struct file files[FILES_MAX];
	unsigned open, limit;
	int top; /* above are only free ones */
	struct sim_link *backlog[BACKLOG_MAX];
	unsigned waiting;
	uint32_t messages[MESSAGES_MAX];
	unsigned message_count;
	bool ready;
	int control;
	int (*on_connect)(struct sim_link *l);
	void (*on_turn)(void);
	bool progress; /* since the last wait, something was done, or lied about */
	unsigned idle_turns;
	uint64_t turns;
} net;

void sim_files_start(void)
{
	memset(&net, 0, sizeof(net));
	net.limit = FILES_MAX;
}

static struct file *file_of(int fd)
{
	return fd >= FIRST_FD && fd < FIRST_FD + FILES_MAX ? &net.files[fd - FIRST_FD] : NULL;
}

bool sim_owns(int fd)
{
	return file_of(fd) != NULL;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* A lie lets the worker come back soon, which is no spinning. */
static int lie(int error, uint64_t *count)
{
	(*count)++;
	net.progress = true;
	sim_trace((uint64_t)error << 32);
	return fail(error);
}

static int file_new(enum kind kind, struct sim_link *link)
{
	int i = 0;

	if (net.open >= net.limit)
		return fail(EMFILE);
	while (net.files[i].kind != FREE)
		i++;
	net.files[i] = (struct file){.kind = kind, .link = link};
	net.open++;
	if (i >= net.top)
		net.top = i + 1;
	if (link != NULL)
		link->fd = FIRST_FD + i;
	return FIRST_FD + i;
}

static struct file *file_get(int fd, enum kind kind, const char *call)
{
	struct file *f = file_of(fd);

	SIM_CHECK(f != NULL && f->kind != FREE, "%s on descriptor %d, which is closed", call, fd);
	SIM_CHECK(f->kind == kind, "%s on descriptor %d, which is something else", call, fd);
	return f;
}

unsigned sim_open_files(void)
{
	return net.open;
}

void sim_set_file_limit(unsigned limit)
{
	net.limit = limit;
}

unsigned sim_file_limit(void)
{
	return net.limit;
}

/* --- the master --- */

int sim_listener_open(void)
{
	return file_new(LISTENER, NULL);
}

int sim_control_open(void)
{
	net.control = file_new(CONTROL, NULL);
	return net.control;
}

void sim_control_send(uint32_t kind)
{
	SIM_CHECK(net.message_count < MESSAGES_MAX, "the worker does not listen to its master");
	net.messages[net.message_count++] = kind;
}

void sim_control_hang_up(void)
{
	file_of(net.control)->hung_up = true;
}

bool sim_control_ready(void)
{
	return net.ready;
}

static ssize_t control_recv(const struct file *f, void *data, size_t len)
{
	struct control_message m = {.version = CONTROL_VERSION};

	SIM_CHECK(len >= sizeof(m), "the worker reads %zu bytes from its master", len);
	if (net.message_count == 0)
		return f->hung_up ? 0 : fail(EAGAIN);
	m.kind = net.messages[0];
	memmove(net.messages, net.messages + 1, --net.message_count * sizeof(net.messages[0]));
	memcpy(data, &m, sizeof(m));
	return sizeof(m);
}

static ssize_t control_send_ready(const struct iovec *iov)
{
	struct control_message m;

	SIM_CHECK(iov->iov_len == sizeof(m), "a message of %zu bytes to the master", iov->iov_len);
	memcpy(&m, iov->iov_base, sizeof(m));
	SIM_CHECK(m.kind == CONTROL_READY && !net.ready, "the worker says %u to its master", m.kind);
	net.ready = true;
	return sizeof(m);
}

/* --- connecting --- */

struct sim_link *sim_dial(const struct sim_actor *actor, void *ctx)
{
	struct sim_link *l = sim_link_new(actor, ctx, false);

	SIM_CHECK(net.waiting < BACKLOG_MAX, "too many connections wait for being accepted");
	net.backlog[net.waiting++] = l;
	return l;
}

static struct sim_link *take_waiting(void)
{
	struct sim_link *l = net.backlog[0];

	memmove(net.backlog, net.backlog + 1, --net.waiting * sizeof(net.backlog[0]));
	return l;
}

static int accept_error(void)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM,   ECONNABORTED, EPROTO,
	                             EPERM,  EINTR,  EAGAIN,  ENETDOWN, EHOSTUNREACH};
	int error = errors[sim_below(ARRAY_LEN(errors))];

	if (error == ECONNABORTED)
		sim_link_lost(take_waiting());
	return error;
}

static void fill_peer(struct sockaddr *peer, socklen_t *len)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)sim_between(1024, 65535))};

	in.sin_addr.s_addr = htonl(0x7f000000 | sim_between(1, 200));
	if (peer == NULL)
		return;
	memcpy(peer, &in, *len < sizeof(in) ? *len : sizeof(in));
	*len = sizeof(in);
}

int sim_accept(int fd, struct sockaddr *peer, socklen_t *len)
{
	struct sim_link *l;

	file_get(fd, LISTENER, "accept");
	if (net.waiting == 0)
		return fail(EAGAIN);
	if (sim_lies(sim.weather.accept_fails))
		return lie(accept_error(), &sim.counts.accept_failures);
	if (net.open >= net.limit)
		return fail(EMFILE);
	l = take_waiting();
	net.progress = true;
	fill_peer(peer, len);
	return file_new(STREAM, l);
}

int sim_socket(void)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

	if (sim_lies(sim.weather.socket_fails))
		return lie(errors[sim_below(ARRAY_LEN(errors))], &sim.counts.socket_failures);
	return file_new(STREAM, sim_link_new(NULL, NULL, true));
}

void sim_on_connect(int (*answer)(struct sim_link *l))
{
	net.on_connect = answer;
}

static void on_refused(void *ctx)
{
	struct sim_link *l = ctx;

	l->connecting = false;
	if (!l->closed)
		sim_link_break(l, ECONNREFUSED);
}

static void on_connected(void *ctx)
{
	struct sim_link *l = ctx;

	l->connecting = false;
	sim_link_left(l);
	sim_link_arrived(l);
}

int sim_connect(int fd)
{
	struct sim_link *l = file_get(fd, STREAM, "connect")->link;
	int error = sim_lies(sim.weather.socket_fails) ? ECONNREFUSED : net.on_connect(l);
	bool at_once = sim_chance(3000);

	net.progress = true;
	if (error == 0 && at_once)
		return 0;
	if (error == 0) {
		l->connecting = true;
		sim_after(sim_below(sim.weather.latency_us + 1), on_connected, l);
		return fail(EINPROGRESS);
	}
	sim.counts.connect_failures++;
	if (error != SIM_SILENT && at_once)
		return fail(error);
	l->connecting = true;
	if (error != SIM_SILENT)
		sim_after(sim_below(sim.weather.latency_us + 1), on_refused, l);
	return fail(EINPROGRESS);
}

/* --- reading and writing --- */

static bool lies_about(const struct sim_link *l, unsigned in_10000)
{
	return !l->calm && sim_lies(in_10000);
}

/* What both calls may say instead of doing anything; 0: nothing. */
static int false_error(struct sim_link *l, unsigned again, const int errors[3])
{
	if (lies_about(l, sim.weather.interrupted))
		return lie(EINTR, &sim.counts.interrupted), EINTR;
	if (lies_about(l, again))
		return lie(EAGAIN, &sim.counts.false_again), EAGAIN;
	if (l->reliable || l->connecting || l->broken ||
	    !sim_lies(l->redis ? sim.weather.redis_breaks : sim.weather.client_breaks))
		return 0;
	sim_link_lost(l);
	sim_note("descriptor %d breaks in a call", l->fd);
	lie(0, l->redis ? &sim.counts.broken_redis : &sim.counts.broken_clients);
	return errors[sim_below(3)];
}

/* An error is told once; -1 when there is one. */
static int take_error(struct sim_link *l)
{
	int error = l->error;

	l->error = 0;
	return error != 0 ? fail(error) : 0;
}

static ssize_t stream_recv(struct sim_link *l, char *data, size_t len, int flags)
{
	static const int errors[] = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
	int error = false_error(l, sim.weather.again_read, errors);

	if (error != 0)
		return fail(error);
	if (len > l->in.len)
		len = l->in.len;
	if (len > 0 && len < 2 * l->in.len && !l->calm && len > 1 && sim_lies(sim.weather.short_read)) {
		sim.counts.short_reads++;
		len = sim_chance(3000) ? 1 : sim_between(1, (uint32_t)len);
	}
	if (len == 0 && take_error(l) < 0)
		return -1;
	if (len == 0)
		return l->in_end || l->broken ? 0 : fail(EAGAIN);
	sim_ring_peek(&l->in, data, len);
	if (flags & MSG_PEEK)
		return (ssize_t)len;
	sim_ring_drop(&l->in, len);
	sim_link_took(l, len);
	return (ssize_t)len;
}

ssize_t sim_recv(int fd, void *data, size_t len, int flags)
{
	struct file *f = file_of(fd);
	ssize_t n;

	if (f->kind == CONTROL) {
		if (sim_lies(sim.weather.interrupted))
			return lie(EINTR, &sim.counts.interrupted);
		n = control_recv(f, data, len);
	} else {
		n = stream_recv(file_get(fd, STREAM, "recv")->link, data, len, flags);
	}
	if (n >= 0 || errno != EAGAIN)
		net.progress = true;
	sim_trace((uint64_t)fd << 32 ^ (uint64_t)n);
	return n;
}

static size_t total(const struct iovec *iov, size_t count)
{
	size_t len = 0;

	for (size_t i = 0; i < count; i++)
		len += iov[i].iov_len;
	return len;
}

static size_t put_all(struct sim_ring *out, const struct iovec *iov, size_t count, size_t len)
{
	size_t done = 0;

	for (size_t i = 0; i < count && done < len; i++) {
		size_t piece = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		sim_ring_put(out, iov[i].iov_base, piece);
		sim_trace_bytes(iov[i].iov_base, piece);
		done += piece;
	}
	return done;
}

static ssize_t stream_sendv(struct sim_link *l, const struct iovec *iov, size_t count)
{
	static const int errors[] = {ECONNRESET, ETIMEDOUT, EPIPE};
	size_t wanted = total(iov, count), len = wanted;
	int error = false_error(l, sim.weather.again_write, errors);

	SIM_CHECK(wanted > 0, "an empty write");
	SIM_CHECK(!l->connecting, "a write before the connection is there");
	SIM_CHECK(!l->out_end, "a write after the end");
	if (error == EAGAIN)
		l->was_full = true;
	if (error != 0)
		return fail(error);
	if (take_error(l) < 0)
		return -1;
	if (l->broken)
		return fail(EPIPE);
	if (len > 1 && lies_about(l, sim.weather.short_write)) {
		sim.counts.short_writes++;
		len = sim_chance(3000) ? 1 : sim_between(1, (uint32_t)len);
	}
	if (len > sim_ring_room(&l->out))
		len = sim_ring_room(&l->out);
	l->was_full = l->was_full || len < wanted;
	if (len == 0)
		return fail(EAGAIN);
	if (!l->ended)
		put_all(&l->out, iov, count, len);
	sim_link_left(l);
	return (ssize_t)len;
}

ssize_t sim_sendv(int fd, const struct iovec *iov, size_t count)
{
	ssize_t n;

	if (file_of(fd)->kind == CONTROL)
		n = control_send_ready(iov);
	else
		n = stream_sendv(file_get(fd, STREAM, "send")->link, iov, count);
	if (n >= 0 || errno != EAGAIN)
		net.progress = true;
	sim_trace((uint64_t)fd << 33 ^ (uint64_t)n);
	return n;
}

/* --- the end --- */

int sim_shutdown(int fd)
{
	struct sim_link *l = file_get(fd, STREAM, "shutdown")->link;

	net.progress = true;
	if (l->broken)
		return fail(ENOTCONN);
	l->out_end = true;
	sim_link_left(l);
	return 0;
}

int sim_close(int fd)
{
	struct file *f = file_of(fd);
	bool resets = f->resets;
	struct sim_link *l = f->link;

	SIM_CHECK(f->kind != FREE, "close of descriptor %d, which is closed", fd);
	*f = (struct file){.kind = FREE};
	net.open--;
	net.progress = true;
	sim_trace((uint64_t)fd << 34);
	if (l != NULL)
		sim_link_closed(l, resets);
	/* The descriptor is gone, whatever is said (close(2)). */
	return sim_lies(sim.weather.option_fails) ? lie(EINTR, &sim.counts.option_failures) : 0;
}

int sim_setsockopt(int fd, int level, int name, const void *value)
{
	struct file *f = file_get(fd, STREAM, "setsockopt");
	struct linger linger;

	if (level == SOL_SOCKET && name == SO_LINGER) {
		memcpy(&linger, value, sizeof(linger));
		f->resets = linger.l_onoff != 0 && linger.l_linger == 0;
	} else if (sim_lies(sim.weather.option_fails)) {
		return lie(EINVAL, &sim.counts.option_failures);
	}
	return 0;
}

int sim_getsockopt(int fd, int level, int name, void *value)
{
	struct sim_link *l = file_get(fd, STREAM, "getsockopt")->link;
	int error = l->error;

	if (level != SOL_SOCKET || name != SO_ERROR)
		return fail(ENOPROTOOPT);
	SIM_CHECK(!l->connecting, "the worker asks how connecting went before it is told that it has");
	l->error = 0;
	memcpy(value, &error, sizeof(error));
	return 0;
}

/* --- epoll --- */

int sim_epoll_create(void)
{
	return file_new(EPOLL, NULL);
}

int sim_epoll_ctl(int op, int fd, const struct epoll_event *event)
{
	struct file *f = file_of(fd);

	if (f == NULL || f->kind == FREE)
		return fail(EBADF);
	if (op == EPOLL_CTL_ADD ? f->watched : !f->watched)
		return fail(f->watched ? EEXIST : ENOENT);
	f->watched = op != EPOLL_CTL_DEL;
	if (op == EPOLL_CTL_DEL)
		return 0;
	f->interest = event->events;
	f->data = event->data.u64;
	return 0;
}

/* As tcp_poll() and sk_stream_is_writeable() of Linux have it. */
static uint32_t stream_events(const struct sim_link *l)
{
	uint32_t events = 0;

	if (l->connecting)
		return 0;
	if (l->in.len > 0 || l->in_end || l->broken)
		events |= EPOLLIN;
	if (sim_ring_room(&l->out) * 3 >= l->out.cap || l->broken || l->out_end)
		events |= EPOLLOUT;
	if (l->in_end || l->broken)
		events |= EPOLLRDHUP;
	if (l->broken || (l->in_end && l->out_end))
		events |= EPOLLHUP;
	if (l->error != 0)
		events |= EPOLLERR;
	return events;
}

static uint32_t events_of(const struct file *f)
{
	switch (f->kind) {
	case STREAM: return stream_events(f->link) & (f->interest | EPOLLHUP | EPOLLERR);
	case LISTENER: return net.waiting > 0 ? EPOLLIN & f->interest : 0;
	case CONTROL: return net.message_count > 0 || f->hung_up ? EPOLLIN & f->interest : 0;
	default: return 0;
	}
}

/* Also takes back, at times, what is true, and tells what is not. */
static uint32_t told_of(const struct file *f, bool *held_back)
{
	uint32_t events = events_of(f);

	if (f->kind == STREAM && f->link->calm)
		return events;
	if (events != 0 && sim_lies(sim.weather.late)) {
		sim.counts.late++;
		*held_back = true;
		return 0;
	}
	/* A socket that still connects is asked only for its error, and has none. */
	if (f->kind == STREAM && !f->link->connecting && (f->interest & ~events) != 0 &&
	    sim_lies(sim.weather.spurious)) {
		sim.counts.spurious++;
		net.progress = true;
		events |= f->interest;
	}
	return events;
}

static int collect(struct epoll_event *events, int max, bool *held_back)
{
	int start = net.top > 0 ? (int)sim_below((uint32_t)net.top) : 0;
	int count = 0;

	for (int n = 0; n < net.top && count < max; n++) {
		const struct file *f = &net.files[(start + n) % net.top];
		uint32_t told = f->watched ? told_of(f, held_back) : 0;

		if (told != 0)
			events[count++] = (struct epoll_event){.events = told, .data.u64 = f->data};
	}
	return count;
}

void sim_on_turn(void (*run)(void))
{
	net.on_turn = run;
}

static void look_at_turn(void)
{
	sim.counts.turns++;
	SIM_CHECK(++net.turns < TURNS_MAX, "the worker does not come to an end");
	net.idle_turns = net.progress ? 0 : net.idle_turns + 1;
	SIM_CHECK(net.idle_turns < IDLE_TURNS_MAX, "the worker spins: %u turns, and nothing was done",
	          net.idle_turns);
	net.progress = false;
	sim_advance(sim.now_us + 1 + sim_below(sim.weather.turn_us + 1));
	net.on_turn();
}

int sim_epoll_wait(struct epoll_event *events, int max, int timeout_ms)
{
	uint64_t deadline_us;
	bool held_back = false;
	int count;

	look_at_turn();
	deadline_us = timeout_ms < 0 ? SIM_NEVER : sim.now_us + (uint64_t)timeout_ms * SIM_MS;
	if (sim_lies(sim.weather.interrupted / 4))
		return lie(EINTR, &sim.counts.interrupted);
	while ((count = collect(events, max, &held_back)) == 0 && sim.now_us < deadline_us) {
		uint64_t next_us = sim_next_us() < deadline_us ? sim_next_us() : deadline_us;

		SIM_CHECK(next_us != SIM_NEVER, "the worker sleeps for ever");
		if (held_back && next_us > sim.now_us + SIM_MS)
			next_us = sim.now_us + SIM_MS;
		if (next_us > sim.now_us)
			net.progress = true;
		sim_advance(next_us);
		held_back = false;
	}
	sim_trace(sim.now_us ^ (uint64_t)count << 56);
	return count;
}
