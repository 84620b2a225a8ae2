#include "metrics.h"

#include <string.h>
#include <sys/mman.h>

static struct metrics_slot private_slot;
struct metrics_slot *metrics_mine = &private_slot;

static const struct {
	const char *name;
	const char *help;
	bool gauge;
} metrics[METRIC_COUNT] = {
#define METRIC_COUNTER(name, help) {#name, help, false},
#define METRIC_GAUGE(name, help)   {#name, help, true},
	METRICS(METRIC_COUNTER, METRIC_GAUGE)};

struct metrics_slot *metrics_map(size_t slots)
{
	void *page = mmap(NULL, slots * sizeof(struct metrics_slot), PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

void metrics_retire(struct metrics_slot *slot)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		if (metrics[i].gauge)
			__atomic_store_n(&slot->values[i], 0, __ATOMIC_RELAXED);
	}
}

void metrics_use(struct metrics_slot *slot)
{
	metrics_retire(slot);
	metrics_mine = slot;
}

uint64_t metrics_sum(const struct metrics_slot *slots, size_t count, enum metric metric)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += __atomic_load_n(&slots[i].values[metric], __ATOMIC_RELAXED);
	return sum;
}

void metrics_print(const struct metrics_slot *slots, size_t count, struct buf *out)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const char *suffix = metrics[i].gauge ? "" : "_total";

		buf_putf(out, "# HELP fanfare_%s%s %s\n", metrics[i].name, suffix, metrics[i].help);
		buf_putf(out, "# TYPE fanfare_%s%s %s\n", metrics[i].name, suffix,
		         metrics[i].gauge ? "gauge" : "counter");
		buf_putf(out, "fanfare_%s%s %llu\n", metrics[i].name, suffix,
		         (unsigned long long)metrics_sum(slots, count, (enum metric)i));
	}
}
