/* The load of those who only are there. */
#include <stdio.h>

#include "crowd.h"
#include "load.h"
#include "meter.h"

static void no_feed(void *context)
{
	(void)context;
}

/* One client comes and goes: what the server does for the first time brings its libraries into memory, which
 * is not to be told as that of clients. */
static void open_first(const struct options *o, struct plan *plan)
{
	struct crowd first = {.dialect = dialect_find(o->dialect), .plan = plan, .fleeting = true};

	crowd_open(&first, 1, 1);
	crowd_calm(&first, CROWD_CALM_MS, no_feed, NULL);
}

void load_idle(const struct options *o)
{
	struct crowd crowd = {.dialect = dialect_find(o->dialect), .deflate = o->deflate};
	struct plan plan;
	struct cpu before, opened, idle;
	uint64_t started, memory;

	plan_begin(&plan, (unsigned)o->first, (unsigned)o->channels, o->zipf);
	crowd.plan = &plan;
	open_first(o, &plan);
	memory = meter_memory(o->pids);
	before = meter_cpu(o->pids);
	crowd_open(&crowd, (unsigned)o->clients, (unsigned)o->seats);
	crowd_calm(&crowd, 1000, no_feed, NULL);
	opened = meter_cpu(o->pids);
	memory = meter_memory(o->pids) - memory;
	started = now_ms();
	crowd_calm(&crowd, (unsigned)o->seconds * 1000, no_feed, NULL);
	idle = meter_since(opened, meter_cpu(o->pids));
	opened = meter_since(before, opened);
	printf("{\"clients\":%u,\"seats\":%u,\"memory\":%llu,\"open_ns\":%llu,\"idle_ns\":%llu,\"idle_ms\":%llu}\n",
	       crowd.count, crowd.seats, (unsigned long long)memory, (unsigned long long)opened.ns,
	       (unsigned long long)idle.ns, (unsigned long long)(now_ms() - started));
}
