#include "sim_stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "sim_truth.h"

enum { ENTRIES_MAX = 4000, SIZE = 1000 };

static struct {
	unsigned epoch;
	uint64_t top;
	uint32_t *numbers; /* by offset */
} st;

void sim_stream_start(void)
{
	st.epoch = 1;
	st.top = 0;
	st.numbers = sim_alloc(ENTRIES_MAX * sizeof(*st.numbers));
}

void sim_stream_lose(void)
{
	sim.counts.epoch_losses++;
	sim_note("Redis loses the stream");
	st.epoch++;
	st.top = 0;
}

unsigned sim_stream_epoch(void)
{
	return st.epoch;
}

uint64_t sim_stream_top(void)
{
	return st.top;
}

static struct bytes envelope(uint64_t offset)
{
	static char text[STREAM_ENVELOPE_MAX];
	int head = snprintf(text, sizeof(text), "{\"fanfare\":1,\"offset\":%llu,\"epoch\":\"e%u\",\"data\":",
	                    (unsigned long long)offset, st.epoch);
	size_t len = truth_write(st.numbers[offset], text + head);

	text[(size_t)head + len] = '}';
	return (struct bytes){text, (size_t)head + len + 1};
}

struct bytes sim_stream_add(uint32_t number)
{
	SIM_CHECK(st.top + 1 < ENTRIES_MAX, "too many publications in the stream");
	st.numbers[++st.top] = number;
	return envelope(st.top);
}

/* --- answers --- */

struct answer {
	void (*say)(void *ctx, struct bytes text);
	void *ctx;
};

static void PRINTF_LIKE(2, 3) put(const struct answer *a, const char *fmt, ...)
{
	char text[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	a->say(a->ctx, BYTES_OF_STR(text));
}

static void put_epoch(const struct answer *a)
{
	char epoch[16];
	int len = snprintf(epoch, sizeof(epoch), "e%u", st.epoch);

	put(a, "$%d\r\n%s\r\n", len, epoch);
}

static void put_entry(const struct answer *a, uint64_t offset)
{
	struct bytes text = envelope(offset);

	put(a, ":%llu\r\n$%zu\r\n", (unsigned long long)offset, text.len);
	a->say(a->ctx, text);
	put(a, "\r\n");
}

void sim_stream_tell_position(void (*say)(void *ctx, struct bytes text), void *ctx)
{
	const struct answer a = {say, ctx};

	put(&a, "*2\r\n:%llu\r\n", (unsigned long long)st.top);
	put_epoch(&a);
}

static uint64_t option(const struct bytes *options, unsigned count, const char *name, uint64_t absent)
{
	for (unsigned i = 0; i + 1 < count; i += 2)
		if (bytes_eq(options[i], BYTES_OF_STR(name)))
			return strtoull(options[i + 1].ptr, NULL, 10);
	return absent;
}

void sim_stream_read(const struct bytes *options, unsigned count, void (*say)(void *ctx, struct bytes text),
                     void *ctx)
{
	const struct answer a = {say, ctx};
	uint64_t newest = option(options, count, "newest", 0), limit = option(options, count, "limit", 0);
	uint64_t first = option(options, count, "since", 0) + 1;
	uint64_t last = option(options, count, "before", st.top + 1) - 1;
	bool cut;

	if (first + SIZE <= st.top)
		first = st.top - SIZE + 1;
	if (newest > 0 && first + newest <= last)
		first = last - newest + 1;
	if (newest == 0 && first + limit <= st.top + 1)
		last = first + limit - 1;
	/* As if they were large. */
	cut = last > first + 2 && sim_chance(3000);
	if (cut && newest > 0)
		first = last - 1 - sim_below((uint32_t)(last - first - 1));
	else if (cut)
		last = first + 1 + sim_below((uint32_t)(last - first - 1));
	put(&a, "*4\r\n");
	put_epoch(&a);
	put(&a, ":%llu\r\n*%llu\r\n", (unsigned long long)st.top,
	    (unsigned long long)(last >= first ? 2 * (last - first + 1) : 0));
	for (uint64_t offset = first; offset <= last; offset++)
		put_entry(&a, offset);
	put(&a, ":%d\r\n", cut);
}
