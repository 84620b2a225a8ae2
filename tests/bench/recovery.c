/* Many clients on one channel with history lose their worker, while publications go on: they all come back at
 * once and recover. Prints how long it takes until each has everything, and how often Redis was read for
 * that.
 *
 *     bench_recovery PORT COUNT MESSAGES REDIS_SOCKET WORKER_PID
 *
 * PORT: of a broker with one worker, which is killed. REDIS_SOCKET: the unix socket of its Redis. Exit code 0
 * when every client recovered, and had every publication once and in order. The channel's history must be
 * long enough, and anonymous clients must be let in. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "crew.h"
#include "wire.h"

enum {
	IN_FLIGHT = 1000, /* connections that are being made at once, by each process */
	EPOCH_LEN = 8,
	REST_MAX = 64, /* more than a word that is looked for */
	INPUT_MAX = 1 << 16,
	REPLIES_MAX = 1 << 16,
	WAIT_MS = 120000,
	QUIET_MS = 300, /* for what must not come */
};

#define CHANNEL    "recovery:all"
#define SUBSCRIBED "\"subscribe\":{"
#define EPOCH      "\"epoch\":\""
#define RECOVERED  "\"recovered\":true"

struct client {
	struct wire wire;
	bool open;
	bool subscribed; /* on this connection */
	bool recovered;
	char epoch[EPOCH_LEN + 1]; /* empty: it was not subscribed yet */
	unsigned last;             /* number that it has */
	unsigned lost;
	unsigned repeated; /* or out of order */
	size_t rest_len;
	char rest[REST_MAX]; /* the end of what was read: a word may have begun there */
};

/* What a process tells the parent. */
struct report {
	unsigned subscribed;
	unsigned recovered;
	unsigned complete;
	unsigned lost;
	unsigned repeated;
	uint64_t finished_ms;
};

/* One process of clients. */
struct party {
	struct client *clients;
	unsigned count;
	unsigned in_flight;
	unsigned subscribed;
	unsigned complete; /* have the last publication */
	unsigned next;     /* that may have to be opened */
	int epoll;
};

static unsigned messages;

/* --- what the broker says --- */

/* The number in "n17;", which is the data of a publication. */
static void take_number(struct party *p, struct client *c, unsigned number)
{
	if (number <= c->last) {
		c->repeated++;
		return;
	}
	c->lost += number - c->last - 1;
	c->last = number;
	p->complete += number == messages;
}

/* Returns where the looking may go on: behind the last number that is there as a whole. */
static const char *take_numbers(struct party *p, struct client *c, const char *at, const char *end)
{
	const char *word;

	while ((word = memmem(at, (size_t)(end - at), "\"n", 2)) != NULL) {
		unsigned number = 0;

		for (word += 2; word < end && *word >= '0' && *word <= '9'; word++)
			number = number * 10 + (unsigned)(*word - '0');
		if (word == end)
			break;
		if (*word == ';')
			take_number(p, c, number);
		at = word;
	}
	return at;
}

static void take_subscribed(struct party *p, struct client *c, const char *at, const char *end)
{
	const char *epoch = memmem(at, (size_t)(end - at), EPOCH, strlen(EPOCH));

	if (epoch == NULL || end - epoch < (ptrdiff_t)strlen(EPOCH) + EPOCH_LEN)
		return;
	memcpy(c->epoch, epoch + strlen(EPOCH), EPOCH_LEN);
	c->subscribed = true;
	p->subscribed++;
	p->in_flight--;
}

/* The rest of the last piece, with a new one behind it. */
static void take_piece(struct party *p, struct client *c, const char *piece, size_t len)
{
	const char *end = piece + len;
	const char *at;

	if (!c->subscribed)
		take_subscribed(p, c, piece, end);
	if (!c->recovered && memmem(piece, len, RECOVERED, strlen(RECOVERED)) != NULL)
		c->recovered = true;
	at = take_numbers(p, c, piece, end);
	c->rest_len = (size_t)(end - at) < REST_MAX ? (size_t)(end - at) : REST_MAX;
	memcpy(c->rest, end - c->rest_len, c->rest_len);
}

static void close_client(struct party *p, struct client *c)
{
	wire_close(&c->wire);
	if (c->subscribed)
		p->subscribed--;
	else
		p->in_flight--;
	c->open = c->subscribed = false;
	c->rest_len = 0;
}

static void read_client(struct party *p, struct client *c)
{
	static char piece[REST_MAX + INPUT_MAX];
	ssize_t n;

	memcpy(piece, c->rest, c->rest_len);
	n = wire_receive(&c->wire, piece + c->rest_len, INPUT_MAX);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		close_client(p, c);
	else
		take_piece(p, c, piece, c->rest_len + (size_t)n);
}

/* --- clients --- */

static void open_client(struct party *p, struct client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	char position[128] = "";
	char commands[512];

	if (c->epoch[0] != '\0')
		snprintf(position, sizeof(position), ",\"recover\":true,\"epoch\":\"%s\",\"offset\":%u",
		         c->epoch, c->last);
	snprintf(commands, sizeof(commands),
	         "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"" CHANNEL "\"%s}}",
	         position);
	wire_open(&c->wire, commands);
	if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, c->wire.fd, &event) < 0)
		die("epoll_ctl");
	c->open = true;
	p->in_flight++;
}

/* Opens what is closed, each in its turn, and reads what comes. */
static void drive(struct party *p)
{
	struct epoll_event events[256];
	int n;

	for (unsigned i = 0; i < p->count && p->in_flight < IN_FLIGHT; i++) {
		struct client *c = &p->clients[p->next++ % p->count];

		if (!c->open)
			open_client(p, c);
	}
	n = epoll_wait(p->epoll, events, 256, 20);
	for (int i = 0; i < n; i++)
		read_client(p, events[i].data.ptr);
}

static struct report tally(const struct party *p)
{
	struct report r = {
		.subscribed = p->subscribed,
		.complete = p->complete,
		.finished_ms = now_ms(),
	};

	for (unsigned i = 0; i < p->count; i++) {
		const struct client *c = &p->clients[i];

		r.recovered += c->recovered;
		r.lost += c->lost;
		r.repeated += c->repeated;
	}
	return r;
}

/* All are subscribed; then all are killed, and have everything. */
static void run_clients(struct crew_member *self, unsigned count)
{
	struct party p = {
		.clients = calloc(count, sizeof(*p.clients)),
		.count = count,
		.epoll = epoll_create1(EPOLL_CLOEXEC),
	};
	uint64_t deadline = now_ms() + WAIT_MS;
	struct report r;
	uint64_t finished_ms;

	if (p.clients == NULL || p.epoll < 0)
		die("clients");
	while (p.subscribed < count && now_ms() < deadline)
		drive(&p);
	r = tally(&p);
	crew_report(self, &r, sizeof(r));
	crew_wait(self);
	while (p.complete < count && now_ms() < deadline)
		drive(&p);
	finished_ms = now_ms();
	while (now_ms() < finished_ms + QUIET_MS)
		drive(&p);
	r = tally(&p);
	r.finished_ms = finished_ms;
	crew_report(self, &r, sizeof(r));
	crew_wait(self);
}

/* --- Redis --- */

static void say(int fd, const char *line)
{
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		die("Redis");
}

/* What it says until the word comes. */
static const char *hear(int fd, const char *word)
{
	static char text[REPLIES_MAX];
	size_t len = 0;

	do {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

		if (n <= 0)
			die("Redis");
		len += (size_t)n;
		text[len] = '\0';
	} while (strstr(text, word) == NULL);
	return text;
}

static void publish_all(int redis)
{
	char line[128];

	for (unsigned number = 1; number <= messages; number++) {
		snprintf(line, sizeof(line), "FCALL fanfare_publish 1 fanfare:" CHANNEL " n%u;\r\n", number);
		say(redis, line);
		hear(redis, "*2\r\n");
	}
}

static unsigned calls_of(const char *statistics, const char *command)
{
	char line[64];
	const char *at;

	snprintf(line, sizeof(line), "cmdstat_%s:calls=", command);
	at = strstr(statistics, line);
	return at != NULL ? (unsigned)atoi(at + strlen(line)) : 0;
}

/* What the function library has called: one HMGET for each publication and each read, and for each read that
 * is not of the position alone some of the others, one for each step in which it reads. */
struct reads {
	unsigned all;
	unsigned of_publications;
};

static struct reads count_reads(int redis)
{
	const char *statistics;

	say(redis, "INFO commandstats\r\nECHO over\r\n");
	statistics = hear(redis, "$4\r\nover\r\n");
	return (struct reads){
		.all = calls_of(statistics, "hmget"),
		.of_publications = calls_of(statistics, "xrange") + calls_of(statistics, "xrevrange"),
	};
}

/* --- the whole --- */

static void add_report(void *sum, const void *report)
{
	const struct report *r = report;
	struct report *all = sum;

	all->subscribed += r->subscribed;
	all->recovered += r->recovered;
	all->complete += r->complete;
	all->lost += r->lost;
	all->repeated += r->repeated;
	if (r->finished_ms > all->finished_ms)
		all->finished_ms = r->finished_ms;
}

static struct report collect(struct crew *crew)
{
	struct report sum = {0};

	crew_collect(crew, sizeof(sum), add_report, &sum);
	return sum;
}

static bool lose_the_worker(struct crew *crew, unsigned total, int redis, pid_t worker)
{
	struct reads before = count_reads(redis);
	uint64_t killed = now_ms();
	struct reads after;
	struct report r;

	if (kill(worker, SIGKILL) < 0)
		die("kill");
	crew_go(crew);
	publish_all(redis);
	printf("published:                %u in %llu ms\n", messages,
	       (unsigned long long)(now_ms() - killed));
	r = collect(crew);
	after = count_reads(redis);
	crew_go(crew);
	printf("recovered:                %u of %u, all with everything %llu ms after the worker was killed\n",
	       r.complete, total, (unsigned long long)(r.finished_ms - killed));
	printf("publications:             %u lost, %u doubled or out of order\n", r.lost, r.repeated);
	printf("reads of the history:     %u, %u of them with publications\n",
	       after.all - before.all - messages, after.of_publications - before.of_publications);
	return r.complete == total && r.recovered == total && r.lost == 0 && r.repeated == 0;
}

int main(int argc, char **argv)
{
	unsigned total = argc == 6 ? (unsigned)atoi(argv[2]) : 0;
	struct crew crew;
	uint64_t started;
	unsigned subscribed;
	bool good;
	int redis;

	if (total == 0 || total > CREW_MAX * CREW_PER_PROCESS || atoi(argv[3]) <= 0 || atoi(argv[5]) <= 0) {
		fprintf(stderr, "usage: bench_recovery PORT COUNT MESSAGES REDIS_SOCKET WORKER_PID\n");
		return 2;
	}
	messages = (unsigned)atoi(argv[3]);
	wire_set_broker(argv[1]);
	redis = dial_unix(argv[4]);
	started = now_ms();
	crew_start(&crew, total, run_clients);
	subscribed = collect(&crew).subscribed;
	printf("subscribed:               %u of %u in %llu ms\n", subscribed, total,
	       (unsigned long long)(now_ms() - started));
	good = lose_the_worker(&crew, total, redis, (pid_t)atoi(argv[5]));
	crew_end();
	return good ? 0 : 1;
}
