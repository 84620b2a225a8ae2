/* Opens many WebSocket connections that connect and subscribe to one channel, publishes once, and counts who
 * got it; prints what an idle subscribed connection costs the broker in user memory.
 *
 *     bench_connections [tls:]PORT COUNT [PID…]      PID: the processes of the broker whose memory counts
 *
 * The connections are spread over processes, because one may hold no more than 20,000 descriptors. Exit code
 * 0 when every connection got the publication exactly once. The broker must let anonymous clients subscribe
 * and publish (dev mode). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PER_PROCESS = 5000,
	IN_FLIGHT = 200, /* connections that are being made at once, by each process */
	INPUT_MAX = 1024,
	WAIT_MS = 60000,
};

#define CHANNEL "bench"
#define MARKER  "the-one-publication"

static const char hello[] = "GET /connection/websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
			    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			    "Sec-WebSocket-Version: 13\r\n\r\n";
static const char commands[] = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"" CHANNEL
			       "\"}}";
static const char publish[] = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"publish\":{\"channel\":\"" CHANNEL
			      "\",\"data\":\"" MARKER "\"}}";

static SSL_CTX *tls; /* NULL: the connections are plain */

struct client {
	int fd;
	SSL *ssl;
	bool subscribed;
	unsigned received;
	size_t len;
	char input[INPUT_MAX]; /* what was read and not looked through to its end */
};

/* What a process tells the parent. */
struct report {
	unsigned subscribed;
	unsigned received_once;
	unsigned received_more;
};

static void die(const char *what)
{
	fprintf(stderr, "bench_connections: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A text frame with a mask of zeros, which is a mask and leaves the text as it is. */
static size_t text_frame(char *out, const char *text)
{
	size_t len = strlen(text);
	size_t head = 2;

	out[0] = (char)0x81;
	out[1] = (char)(0x80 | (len < 126 ? len : 126));
	if (len >= 126) {
		out[2] = (char)(len >> 8);
		out[3] = (char)len;
		head = 4;
	}
	memset(out + head, 0, 4);
	memcpy(out + head + 4, text, len);
	return head + 4 + len;
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	return fd;
}

/* Whom it speaks to does not matter here. */
static void secure(struct client *c)
{
	c->ssl = SSL_new(tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
		die("TLS handshake");
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
}

static ssize_t send_all(struct client *c, const char *data, size_t len)
{
	return c->ssl != NULL ? SSL_write(c->ssl, data, (int)len) : write(c->fd, data, len);
}

/* As recv(2) of a socket that does not block. */
static ssize_t receive(struct client *c, char *data, size_t len)
{
	int n;

	if (c->ssl == NULL)
		return recv(c->fd, data, len, MSG_DONTWAIT);
	n = SSL_read(c->ssl, data, (int)len);
	if (n < 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
		errno = EAGAIN;
	return n;
}

/* Handshake and commands in one write: the server must not lose what comes behind the request. */
static void open_client(struct client *c, uint16_t port, const char *text)
{
	char out[1024];
	size_t len = strlen(hello);

	c->fd = dial(port);
	if (tls != NULL)
		secure(c);
	memcpy(out, hello, len);
	len += text_frame(out + len, text);
	if (send_all(c, out, len) != (ssize_t)len)
		die("write");
}

/* Counts occurrences and forgets what lies before the last of them. */
static unsigned count(struct client *c, const char *word)
{
	unsigned n = 0;
	char *at;

	while ((at = memmem(c->input, c->len, word, strlen(word))) != NULL) {
		size_t past = (size_t)(at - c->input) + strlen(word);

		n++;
		memmove(c->input, c->input + past, c->len - past);
		c->len -= past;
	}
	return n;
}

static void read_client(struct client *c)
{
	ssize_t n = receive(c, c->input + c->len, INPUT_MAX - c->len);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die(n == 0 ? "the broker hung up" : "read");
	c->len += (size_t)n;
	if (!c->subscribed && count(c, "\"subscribe\":{") > 0)
		c->subscribed = true;
	if (c->subscribed)
		c->received += count(c, MARKER);
	if (c->len == INPUT_MAX)
		die("the broker says more than was asked for");
}

static struct report tally(const struct client *clients, unsigned n)
{
	struct report r = {0};

	for (unsigned i = 0; i < n; i++) {
		r.subscribed += clients[i].subscribed;
		r.received_once += clients[i].received == 1;
		r.received_more += clients[i].received > 1;
	}
	return r;
}

/* Reads what comes within the time, at most. */
static void poll_clients(int ep, int wait_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(ep, events, 256, wait_ms);

	for (int i = 0; i < n; i++)
		read_client(events[i].data.ptr);
}

static void add_client(int ep, struct client *c, uint16_t port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	open_client(c, port, commands);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event) < 0)
		die("epoll_ctl");
}

/* One process of clients: subscribes all, says so, and waits until all have the publication and a little
 * longer, for a second one that must not come. */
static void run_clients(uint16_t port, unsigned n, int to_parent, int from_parent)
{
	struct client *clients = calloc(n, sizeof(*clients));
	uint64_t deadline = now_ms() + WAIT_MS;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct report r = {0};
	unsigned opened = 0;
	char go;

	if (clients == NULL || ep < 0)
		die("clients");
	while (r.subscribed < n && now_ms() < deadline) {
		while (opened < n && opened - r.subscribed < IN_FLIGHT)
			add_client(ep, &clients[opened++], port);
		poll_clients(ep, 20);
		r = tally(clients, opened);
	}
	if (write(to_parent, &r, sizeof(r)) != sizeof(r) || read(from_parent, &go, 1) != 1)
		exit(2);
	for (unsigned quiet = 0; quiet < 10 && now_ms() < deadline + WAIT_MS; quiet++) {
		poll_clients(ep, 20);
		r = tally(clients, n);
		if (r.received_once + r.received_more < n)
			quiet = 0;
	}
	if (write(to_parent, &r, sizeof(r)) != sizeof(r))
		exit(2);
	exit(0);
}

/* Private memory of a process in bytes: what it has for itself, without what it shares with its siblings
 * since the fork. */
static uint64_t private_memory(const char *pid)
{
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/smaps_rollup", pid);
	f = fopen(path, "r");
	if (f == NULL)
		die(path);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned long long n;

		if (sscanf(line, "Private_Clean: %llu", &n) == 1 ||
		    sscanf(line, "Private_Dirty: %llu", &n) == 1)
			kib += n;
	}
	fclose(f);
	return kib * 1024;
}

static uint64_t memory_of(char **pids)
{
	uint64_t sum = 0;

	for (; *pids != NULL; pids++)
		sum += private_memory(*pids);
	return sum;
}

static struct report collect(const int *pipes, unsigned processes)
{
	struct report sum = {0};

	for (unsigned i = 0; i < processes; i++) {
		struct report r;

		if (read(pipes[i], &r, sizeof(r)) != sizeof(r))
			die("a process of clients failed");
		sum.subscribed += r.subscribed;
		sum.received_once += r.received_once;
		sum.received_more += r.received_more;
	}
	return sum;
}

static void spawn(uint16_t port, unsigned n, int *from_child, int *to_child)
{
	int up[2], down[2];

	if (pipe(up) < 0 || pipe(down) < 0)
		die("pipe");
	fflush(stdout);
	switch (fork()) {
	case -1: die("fork"); break;
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(up[0]);
		close(down[1]);
		run_clients(port, n, up[1], down[0]);
	}
	close(up[1]);
	close(down[0]);
	*from_child = up[0];
	*to_child = down[1];
}

int main(int argc, char **argv)
{
	bool with_tls = argc > 2 && strncmp(argv[1], "tls:", 4) == 0;
	uint16_t port = argc > 2 ? (uint16_t)atoi(argv[1] + (with_tls ? 4 : 0)) : 0;
	unsigned total = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	unsigned processes = (total + PER_PROCESS - 1) / PER_PROCESS;
	int from_child[64], to_child[64];
	struct client publisher = {0};
	struct report r;
	uint64_t before, after, started;

	if (port == 0 || total == 0 || processes > 64) {
		fprintf(stderr, "usage: bench_connections [tls:]PORT COUNT [PID...]\n");
		return 2;
	}
	if (with_tls) {
		tls = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	}
	before = memory_of(argv + 3);
	started = now_ms();
	for (unsigned i = 0; i < processes; i++)
		spawn(port, total / processes + (i < total % processes), &from_child[i], &to_child[i]);
	r = collect(from_child, processes);
	printf("subscribed:               %u of %u in %llu ms\n", r.subscribed, total,
	       (unsigned long long)(now_ms() - started));
	after = memory_of(argv + 3);
	if (argv[3] != NULL)
		printf("user memory a connection: %.0f bytes\n", ((double)after - (double)before) / total);
	for (unsigned i = 0; i < processes; i++) {
		if (write(to_child[i], "g", 1) != 1)
			die("write");
	}
	open_client(&publisher, port, publish);
	r = collect(from_child, processes);
	printf("received:                 %u once, %u more than once, %u never\n", r.received_once,
	       r.received_more, total - r.received_once - r.received_more);
	while (wait(NULL) > 0)
		continue;
	return r.received_once == total ? 0 : 1;
}
