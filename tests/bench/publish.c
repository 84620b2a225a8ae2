/* The load of messages: a plan is published burst by burst, and what it costs the server is set against what
 * the clients got. */
#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"
#include "feed.h"
#include "load.h"
#include "meter.h"

enum {
	REST_MS = 60,     /* before processors' times are read, which a running process is told late */
	STALL_MS = 10000, /* without a delivery: what is missing is lost */
};

struct run {
	const struct options *options;
	struct plan plan;
	struct crowd crowd;
	struct feed feed;
	uint64_t wanted; /* deliveries of all that was published */
};

static void publish_burst(struct run *r, unsigned from, unsigned until)
{
	for (unsigned i = from; i < until; i++) {
		struct message *m = &r->plan.messages[i];

		r->wanted += m->readers_left;
		feed_put(&r->feed, m);
	}
	for (unsigned i = from; i < until; i++)
		r->plan.messages[i].published_ns = now_ns();
	feed_flush(&r->feed);
}

/* Publishes these messages, in bursts and at their times; returns when all are delivered, or will never be.
 */
static void run_messages(struct run *r, unsigned from, unsigned until)
{
	const struct options *o = r->options;
	uint64_t interval = 1000000000 / o->rate;
	uint64_t due = now_ns();

	r->crowd.account.last_ns = due;
	while (from < until || r->crowd.account.received < r->wanted) {
		bool all_there = r->crowd.account.received >= r->wanted;
		uint64_t now = now_ns();
		uint64_t pause = STALL_MS * 1000000ull / 10;

		if (from < until && now >= due && (all_there || !o->wait)) {
			unsigned next = until - from < o->burst ? until : from + (unsigned)o->burst;

			publish_burst(r, from, next);
			from = next;
			due = o->wait && now > due ? now + interval : due + interval;
		}
		if (from < until && (all_there || !o->wait))
			pause = due > now ? due - now : 0;
		crowd_read(&r->crowd, pause, feed_drain, &r->feed);
		if (now > r->crowd.account.last_ns + STALL_MS * 1000000ull)
			break;
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* From a message's publishing until its last reader has it. */
static void print_latencies(const struct plan *p, unsigned from)
{
	uint64_t *latencies = calloc(p->count - from, sizeof(*latencies));
	unsigned n = 0;

	for (unsigned i = from; latencies != NULL && i < p->count; i++) {
		const struct message *m = &p->messages[i];

		if (m->received_ns > m->published_ns)
			latencies[n++] = m->received_ns - m->published_ns;
	}
	if (n > 0) {
		qsort(latencies, n, sizeof(*latencies), compare);
		printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,", (double)latencies[n / 2] / 1e3,
		       (double)latencies[(size_t)n * 99 / 100] / 1e3,
		       (double)latencies[(size_t)n * 999 / 1000] / 1e3);
	}
	free(latencies);
}

static void measure(struct run *r)
{
	const struct options *o = r->options;
	struct cpu before, apart_before, spent, apart;
	struct account start, *account = &r->crowd.account;
	uint64_t start_ns, own_ns, busy_ns;

	run_messages(r, 0, (unsigned)o->warmup);
	crowd_calm(&r->crowd, REST_MS, feed_drain, &r->feed);
	before = meter_cpu(o->pids);
	apart_before = meter_cpu(o->apart);
	start = *account;
	own_ns = meter_own_ns();
	start_ns = now_ns();
	run_messages(r, (unsigned)o->warmup, r->plan.count);
	own_ns = meter_own_ns() - own_ns;
	busy_ns = now_ns() - start_ns;
	crowd_calm(&r->crowd, REST_MS, feed_drain, &r->feed);
	spent = meter_since(before, meter_cpu(o->pids));
	apart = meter_since(apart_before, meter_cpu(o->apart));
	print_latencies(&r->plan, (unsigned)o->warmup);
	printf("\"deliveries\":%llu,\"reads\":%llu,\"bytes\":%llu,\"cpu_ns\":%llu,\"user_ns\":%.0f,\"apart_ns\":%llu,"
	       "\"wall_ns\":%llu,\"load_ns\":%llu,",
	       (unsigned long long)(account->received - start.received),
	       (unsigned long long)(account->reads - start.reads),
	       (unsigned long long)(account->bytes - start.bytes), (unsigned long long)spent.ns,
	       meter_user_ns(spent), (unsigned long long)apart.ns, (unsigned long long)busy_ns,
	       (unsigned long long)own_ns);
}

void load_publish(const struct options *o)
{
	struct run r = {.options = o, .crowd = {.dialect = dialect_find(o->dialect), .deflate = o->deflate}};

	if (o->rate == 0 || o->burst == 0 || o->size < DATA_MIN || o->size > DATA_MAX)
		die("these options do not go together");
	plan_begin(&r.plan, (unsigned)o->first, (unsigned)o->channels, o->zipf);
	r.crowd.plan = &r.plan;
	crowd_open(&r.crowd, (unsigned)o->clients, (unsigned)o->seats);
	plan_end(&r.plan, (unsigned)(o->warmup + o->messages));
	crowd_expect(&r.crowd);
	feed_open(&r.feed, r.crowd.dialect, o->feed, o->size, r.crowd.epoll);
	crowd_calm(&r.crowd, CROWD_CALM_MS, feed_drain, &r.feed);
	printf("{");
	measure(&r);
	printf("\"lost\":%llu,\"duplicated\":%llu,\"reordered\":%llu}\n",
	       (unsigned long long)(r.wanted - r.crowd.account.received),
	       (unsigned long long)r.crowd.account.duplicated, (unsigned long long)r.crowd.account.reordered);
}
