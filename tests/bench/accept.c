/* The load of those who come, subscribe and go. */
#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"
#include "load.h"
#include "meter.h"

/* Who is there meanwhile, and has nothing to do with it. */
static void open_others(const struct options *o, struct plan *plan, struct crowd *others)
{
	*others = (struct crowd){.dialect = dialect_find(o->dialect), .plan = plan};
	if (o->beside == 0)
		return;
	crowd_open(others, (unsigned)o->beside, (unsigned)o->seats);
	crowd_calm(others, CROWD_CALM_MS, NULL, NULL);
}

void load_accept(const struct options *o)
{
	struct plan plan;
	struct crowd crowd = {.dialect = dialect_find(o->dialect),
	                      .plan = &plan,
	                      .fleeting = true,
	                      .at_once = (unsigned)o->at_once};
	struct crowd others;
	struct cpu before, spent;
	uint64_t own_ns, wall_ns;

	plan_begin(&plan, (unsigned)o->first, (unsigned)o->channels, false);
	open_others(o, &plan, &others);
	before = meter_cpu(o->pids);
	own_ns = meter_own_ns();
	wall_ns = now_ns();
	crowd_open(&crowd, (unsigned)o->clients, (unsigned)o->seats);
	own_ns = meter_own_ns() - own_ns;
	wall_ns = now_ns() - wall_ns;
	crowd_calm(&crowd, CROWD_CALM_MS, NULL, NULL);
	spent = meter_since(before, meter_cpu(o->pids));
	printf("{\"clients\":%u,\"cpu_ns\":%llu,\"wall_ns\":%llu,\"load_ns\":%llu}\n", crowd.count,
	       (unsigned long long)spent.ns, (unsigned long long)wall_ns, (unsigned long long)own_ns);
}
