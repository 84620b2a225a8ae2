/* Opens many WebSocket connections that connect and subscribe to one channel, publishes once, and counts who
 * got it; prints what an idle subscribed connection costs the broker in user memory.
 *
 *     bench_connections [tls:]PORT COUNT [PID…]      PID: the processes of the broker whose memory counts
 *
 * Exit code 0 when every connection got the publication exactly once. The broker must let anonymous clients
 * subscribe and publish (dev mode). */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "crew.h"
#include "wire.h"

enum {
	IN_FLIGHT = 200, /* connections that are being made at once, by each process */
	INPUT_MAX = 1024,
	WAIT_MS = 60000,
};

#define CHANNEL "bench"
#define MARKER  "the-one-publication"

static const char commands[] = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"" CHANNEL
			       "\"}}";
static const char publish[] = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"publish\":{\"channel\":\"" CHANNEL
			      "\",\"data\":\"" MARKER "\"}}";

struct client {
	struct wire wire;
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
	ssize_t n = wire_receive(&c->wire, c->input + c->len, INPUT_MAX - c->len);

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

static void add_client(int ep, struct client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	wire_open(&c->wire, commands);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->wire.fd, &event) < 0)
		die("epoll_ctl");
}

/* One process of clients: subscribes all, says so, and waits until all have the publication and a little
 * longer, for a second one that must not come. */
static void run_clients(struct crew_member *self, unsigned n)
{
	struct client *clients = calloc(n, sizeof(*clients));
	uint64_t deadline = now_ms() + WAIT_MS;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct report r = {0};
	unsigned opened = 0;

	if (clients == NULL || ep < 0)
		die("clients");
	while (r.subscribed < n && now_ms() < deadline) {
		while (opened < n && opened - r.subscribed < IN_FLIGHT)
			add_client(ep, &clients[opened++]);
		poll_clients(ep, 20);
		r = tally(clients, opened);
	}
	crew_report(self, &r, sizeof(r));
	crew_wait(self);
	for (unsigned quiet = 0; quiet < 10 && now_ms() < deadline + WAIT_MS; quiet++) {
		poll_clients(ep, 20);
		r = tally(clients, n);
		if (r.received_once + r.received_more < n)
			quiet = 0;
	}
	crew_report(self, &r, sizeof(r));
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

static void add_report(void *sum, const void *report)
{
	const struct report *r = report;
	struct report *all = sum;

	all->subscribed += r->subscribed;
	all->received_once += r->received_once;
	all->received_more += r->received_more;
}

static struct report collect(struct crew *crew)
{
	struct report sum = {0};

	crew_collect(crew, sizeof(sum), add_report, &sum);
	return sum;
}

int main(int argc, char **argv)
{
	unsigned total = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	struct wire publisher = {0};
	struct crew crew;
	struct report r;
	uint64_t before, after, started;

	if (total == 0 || total > CREW_MAX * CREW_PER_PROCESS) {
		fprintf(stderr, "usage: bench_connections [tls:]PORT COUNT [PID...]\n");
		return 2;
	}
	wire_set_broker(argv[1]);
	before = memory_of(argv + 3);
	started = now_ms();
	crew_start(&crew, total, run_clients);
	r = collect(&crew);
	printf("subscribed:               %u of %u in %llu ms\n", r.subscribed, total,
	       (unsigned long long)(now_ms() - started));
	after = memory_of(argv + 3);
	if (argv[3] != NULL)
		printf("user memory a connection: %.0f bytes\n", ((double)after - (double)before) / total);
	crew_go(&crew);
	wire_open(&publisher, publish);
	r = collect(&crew);
	printf("received:                 %u once, %u more than once, %u never\n", r.received_once,
	       r.received_more, total - r.received_once - r.received_more);
	crew_end();
	return r.received_once == total ? 0 : 1;
}
