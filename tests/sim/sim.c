#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EVENTS_MAX = 1 << 16 };
#define ARENA_SIZE ((size_t)256 << 20)

struct sim sim;

struct event {
	uint64_t at_us;
	uint64_t order; /* of two at one moment, the one that was wanted first */
	void (*run)(void *ctx);
	void *ctx;
};

/* A heap: the next one is the first. */
static struct event events[EVENTS_MAX];
static size_t event_count;
static uint64_t event_order;

static char *arena;
static size_t arena_used;

/* Also for what is drawn before main(): the secret of the hash tables. */
static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

void sim_start(uint64_t seed)
{
	struct sim_counts counts = sim.counts;
	bool verbose = sim.verbose;

	if (arena == NULL) {
		arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
		             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (arena == MAP_FAILED)
			abort();
	}
	arena_used = 0;
	event_count = 0;
	event_order = 0;
	random_state = seed * 0xd1342543de82ef95ULL + 0x2545f4914f6cdd1dULL;
	sim = (struct sim){
		.seed = seed,
		.now_us = (uint64_t)1000 * SIM_SECOND,
		.unix_offset_us = (int64_t)1800000000 * SIM_SECOND,
		.verbose = verbose,
		.counts = counts,
	};
}

void *sim_alloc(size_t size)
{
	return memset(sim_alloc_bytes(size), 0, size);
}

void *sim_alloc_bytes(size_t size)
{
	char *p = arena + arena_used;

	size = (size + 15) & ~(size_t)15;
	if (ARENA_SIZE - arena_used < size)
		sim_fail("the world has no memory left");
	arena_used += size;
	return p;
}

/* --- chance --- */

/* splitmix64 (Steele, Lea and Flood, 2014) */
uint64_t sim_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint32_t sim_below(uint32_t n)
{
	return (uint32_t)((sim_random() >> 32) * n >> 32);
}

uint32_t sim_between(uint32_t from, uint32_t to)
{
	return from + sim_below(to - from + 1);
}

bool sim_chance(unsigned in_10000)
{
	return in_10000 > 0 && sim_below(10000) < in_10000;
}

bool sim_lies(unsigned in_10000)
{
	return sim.weather.lies && sim_chance(in_10000);
}

/* --- time --- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(size_t a, size_t b)
{
	struct event e = events[a];

	events[a] = events[b];
	events[b] = e;
}

void sim_after(uint64_t delay_us, void (*run)(void *ctx), void *ctx)
{
	size_t i = event_count++;

	SIM_CHECK(event_count < EVENTS_MAX, "too many events are to come");
	events[i] = (struct event){sim.now_us + delay_us, event_order++, run, ctx};
	for (; i > 0 && before(&events[i], &events[(i - 1) / 2]); i = (i - 1) / 2)
		swap(i, (i - 1) / 2);
}

static struct event take_next(void)
{
	struct event first = events[0];
	size_t i = 0;

	events[0] = events[--event_count];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= event_count)
			return first;
		if (child + 1 < event_count && before(&events[child + 1], &events[child]))
			child++;
		if (!before(&events[child], &events[i]))
			return first;
		swap(i, child);
		i = child;
	}
}

uint64_t sim_next_us(void)
{
	return event_count > 0 ? events[0].at_us : SIM_NEVER;
}

void sim_advance(uint64_t to_us)
{
	while (sim_next_us() <= to_us) {
		struct event e = take_next();

		if (e.at_us > sim.now_us)
			sim.now_us = e.at_us;
		e.run(e.ctx);
	}
	if (to_us > sim.now_us)
		sim.now_us = to_us;
}

/* --- what is told --- */

void sim_trace(uint64_t value)
{
	sim.trace = (sim.trace ^ value) * 0x100000001b3ULL;
	sim.trace ^= sim.trace >> 29;
}

void sim_trace_bytes(const char *data, size_t len)
{
	uint64_t word = 0;

	for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sim_trace(word);
	}
	word = 0;
	memcpy(&word, data, len);
	sim_trace(word);
}

static double seconds(void)
{
	return (double)sim.now_us / SIM_SECOND - 1000;
}

void sim_fail(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "seed %llu, after %.6f s: ", (unsigned long long)sim.seed, seconds());
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nto see it again: sim_worker -v %llu\n", (unsigned long long)sim.seed);
	fflush(NULL);
	_exit(1);
}

void sim_note(const char *fmt, ...)
{
	va_list args;

	if (!sim.verbose)
		return;
	fprintf(stderr, "%10.6f ", seconds());
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}
