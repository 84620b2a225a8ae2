/* A million channels with one publication each: what the cache of recent publications then really takes, by
 * what malloc(3) itself says, is within its limit, and what it says of itself is true. Without sanitizers,
 * whose malloc is another one. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "recent.h"

enum { CHANNELS = 1000000, LIMIT = 64 << 20, PAYLOAD_MAX = 600 };

static size_t allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "recent_memory: %s\n", what);
	exit(1);
}

/* Says how many channels have kept theirs. */
static unsigned fill(struct recent_pool *pool, struct recent *all, size_t payload_len)
{
	static const char payload[PAYLOAD_MAX];
	size_t before = allocated();
	unsigned kept = 0;
	size_t taken;

	for (unsigned i = 0; i < CHANNELS; i++) {
		recent_init(&all[i], pool, 300);
		recent_append(&all[i], 1, (struct bytes){payload, payload_len});
		check(pool->bytes <= LIMIT, "the cache says that it is above its limit");
	}
	taken = allocated() - before;
	for (unsigned i = 0; i < CHANNELS; i++)
		kept += all[i].count;
	printf("%zu bytes: %u of %u kept, %zu bytes taken, %zu counted, limit %d\n", payload_len, kept,
	       CHANNELS, taken, pool->bytes, LIMIT);
	check(taken <= LIMIT, "the cache takes more than its limit");
	check(taken <= pool->bytes && pool->bytes - taken < LIMIT / 20,
	      "the cache does not know what it takes");
	check(pool->bytes > LIMIT / 10 * 9, "the cache does not use what it may");
	return kept;
}

int main(void)
{
	static const size_t lengths[] = {20, 100, PAYLOAD_MAX};
	struct recent *all = mem_alloc(CHANNELS * sizeof(*all));
	struct recent_pool pool;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		recent_pool_init(&pool, LIMIT);
		check(fill(&pool, all, lengths[i]) >= LIMIT / (lengths[i] + 100), "it keeps too few");
		for (unsigned n = 0; n < CHANNELS; n++)
			recent_clear(&all[n]);
		check(pool.bytes == 0, "something is left");
	}
	mem_free(all);
	return 0;
}
