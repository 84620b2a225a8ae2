#include "sim_truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_stream.h"

enum {
	DRAFTS_MAX = 4000,
	CARRIERS_MAX = 6,
	AUTHORS_MAX = 2000,
	/* A marker that was under way already when the link was lost may come before the one that counts. */
	MARKER_GRACE_US = 2 * SIM_SECOND,
	LOSS_MAX_US = 20 * SIM_SECOND,
};

/* One publication: written by its author, then, perhaps, taken by Redis. */
struct draft {
	uint32_t size;
	uint16_t author;
	uint8_t channel;
	bool published;
	size_t index;    /* on its channel */
	unsigned epoch;  /* of the stream, where there is one */
	uint64_t offset; /* likewise */
	uint64_t at_us;
	bool in_loss; /* while a link was known, or not yet known, to be lost */
	unsigned carriers;
	struct {
		const struct sim_link *link;
		uint64_t end; /* in the bytes that were pushed on it */
	} carrier[CARRIERS_MAX];
};

static struct {
	struct draft *drafts; /* by number; 0 is none */
	uint32_t draft_count;
	uint32_t *numbers[TRUTH_CHANNELS]; /* by index */
	size_t count[TRUTH_CHANNELS];
	struct {
		uint32_t last;
		const struct sim_link *link;
	} authors[AUTHORS_MAX][TRUTH_CHANNELS];
	bool loss;
	uint64_t lost_us;
	uint64_t marker_us; /* since the loss; 0: none */
	bool (*worker_ignorant)(void);
} t;

static const char *const names[TRUTH_CHANNELS] = {
	"a",          "b",         "news",
	"ns:x",       "ns:{tag}y", "a-channel-with-a-rather-long-name-that-does-not-fit-anywhere",
	"0123456789", "q\\\"uote", "kept:z"};

void truth_start(void)
{
	memset(&t, 0, sizeof(t));
	t.drafts = sim_alloc(DRAFTS_MAX * sizeof(*t.drafts));
	t.draft_count = 1;
	for (unsigned i = 0; i < TRUTH_CHANNELS; i++)
		t.numbers[i] = sim_alloc(DRAFTS_MAX * sizeof(*t.numbers[i]));
}

const char *truth_channel(unsigned channel)
{
	return names[channel];
}

int truth_find_channel(struct bytes name)
{
	for (unsigned i = 0; i < TRUTH_CHANNELS; i++)
		if (bytes_eq(name, BYTES_OF_STR(names[i])))
			return (int)i;
	return -1;
}

uint32_t truth_draft(unsigned channel, unsigned author, size_t size)
{
	SIM_CHECK(t.draft_count < DRAFTS_MAX && author < AUTHORS_MAX, "too many publications");
	t.drafts[t.draft_count] = (struct draft){
		.size = (uint32_t)size, .author = (uint16_t)author, .channel = (uint8_t)channel};
	return t.draft_count++;
}

size_t truth_write(uint32_t number, char data[TRUTH_DATA_MAX])
{
	size_t size = t.drafts[number].size;
	int len = snprintf(data, TRUTH_DATA_MAX, "{\"n\":%u,\"pad\":\"", number);

	for (size_t i = 0; i < size; i++)
		data[len++] = (char)('a' + (number + i * 7) % 26);
	len += snprintf(data + len, TRUTH_DATA_MAX - (size_t)len, "\"}");
	return (size_t)len;
}

/* --- in Redis --- */

static bool in_loss(void)
{
	if (!t.loss)
		return false;
	if (t.worker_ignorant())
		return true;
	if (sim.now_us - t.lost_us > LOSS_MAX_US ||
	    (t.marker_us != 0 && sim.now_us - t.marker_us > MARKER_GRACE_US))
		t.loss = false;
	return t.loss;
}

void truth_link_lost(void)
{
	t.loss = true;
	t.lost_us = sim.now_us;
	t.marker_us = 0;
}

void truth_link_made(void)
{
	if (!t.worker_ignorant())
		t.loss = false;
}

void truth_marker(void)
{
	if (!t.worker_ignorant() && t.marker_us == 0)
		t.marker_us = sim.now_us;
}

void truth_on_worker_ignorant(bool (*ask)(void))
{
	t.worker_ignorant = ask;
}

uint32_t truth_number_in(struct bytes payload)
{
	static const char mark[] = "{\"n\":";
	const char *at = memmem(payload.ptr, payload.len, mark, strlen(mark));

	SIM_CHECK(at != NULL, "Redis is given a publication of nobody: %.*s", BYTES_FMT(payload));
	return (uint32_t)strtoul(at + strlen(mark), NULL, 10);
}

static void check_author(const struct draft *d, uint32_t number, const struct sim_link *from)
{
	if (from == NULL || t.authors[d->author][d->channel].link != from)
		t.authors[d->author][d->channel].last = 0;
	SIM_CHECK(d->author == 0 || t.authors[d->author][d->channel].last < number,
	          "publication %u of author %u overtakes %u", number, d->author,
	          t.authors[d->author][d->channel].last);
	t.authors[d->author][d->channel].last = number;
	t.authors[d->author][d->channel].link = from;
}

void truth_published(unsigned channel, struct bytes payload, const struct sim_link *from)
{
	uint32_t number = truth_number_in(payload);
	struct draft *d = &t.drafts[number];

	SIM_CHECK(number > 0 && number < t.draft_count, "nobody wrote publication %u", number);
	SIM_CHECK(d->channel == channel, "publication %u comes to %s, not %s", number, names[channel],
	          names[d->channel]);
	SIM_CHECK(!d->published, "publication %u is published twice", number);
	check_author(d, number, from);
	d->published = true;
	d->index = t.count[channel]++;
	d->at_us = sim.now_us;
	d->in_loss = in_loss();
	t.numbers[channel][d->index] = number;
	sim.counts.publications++;
	sim_note("published %u on %s, index %zu%s", number, names[channel], d->index,
	         d->in_loss ? ", in a loss" : "");
}

void truth_carried(unsigned channel, struct sim_link *link)
{
	struct draft *e = &t.drafts[t.numbers[channel][t.count[channel] - 1]];

	SIM_CHECK(e->carriers < CARRIERS_MAX, "the worker has too many subscriber links");
	e->carrier[e->carriers].link = link;
	e->carrier[e->carriers++].end = link->pushed;
}

bool truth_is_published(uint32_t number)
{
	return t.drafts[number].published;
}

/* --- at a subscriber --- */

static bool may_be_missing(const struct draft *e)
{
	if (e->in_loss || e->carriers == 0)
		return true;
	for (unsigned i = 0; i < e->carriers; i++)
		if (e->carrier[i].link->consumed < e->carrier[i].end)
			return true;
	return false;
}

static void check_data(uint32_t number, const json_t *data, const char *who)
{
	static char expected[TRUTH_DATA_MAX];
	const char *pad = json_string_value(json_object_get(data, "pad"));
	size_t len = truth_write(number, expected);
	size_t start = (size_t)(strstr(expected, "pad\":\"") - expected) + strlen("pad\":\"");

	SIM_CHECK(pad != NULL && strlen(pad) == t.drafts[number].size &&
	                  memcmp(pad, expected + start, len - start - 2) == 0,
	          "%s: publication %u came damaged", who, number);
}

void truth_seen(struct truth_view *view, unsigned channel, const json_t *data, bool may_miss, const char *who)
{
	uint32_t number = (uint32_t)json_integer_value(json_object_get(data, "n"));
	const struct draft *d = &t.drafts[number];

	SIM_CHECK(number > 0 && number < t.draft_count && d->published && d->channel == channel,
	          "%s: there is no publication %u on %s", who, number, names[channel]);
	check_data(number, data, who);
	SIM_CHECK(view->live, "%s: publication %u on %s, which is not subscribed", who, number,
	          names[channel]);
	SIM_CHECK(d->index >= view->next, "%s: publication %u on %s came again, or too late", who, number,
	          names[channel]);
	for (size_t i = view->next; i < d->index; i++) {
		const struct draft *e = &t.drafts[t.numbers[channel][i]];

		if (e->at_us < view->since_us)
			continue;
		SIM_CHECK(may_miss || may_be_missing(e), "%s: publication %u on %s is missing before %u", who,
		          t.numbers[channel][i], names[channel], number);
		sim.counts.excused_losses++;
	}
	view->next = d->index + 1;
	sim.counts.deliveries++;
}

void truth_keep(uint32_t number, unsigned epoch, uint64_t offset)
{
	SIM_CHECK(number > 0 && number < t.draft_count, "nobody wrote publication %u", number);
	t.drafts[number].epoch = epoch;
	t.drafts[number].offset = offset;
}

void truth_seen_kept(struct truth_view *view, const json_t *publication, bool may_miss, const char *who)
{
	const json_t *data = json_object_get(publication, "data");
	uint64_t offset = (uint64_t)json_integer_value(json_object_get(publication, "offset"));
	uint32_t number = (uint32_t)json_integer_value(json_object_get(data, "n"));
	const struct draft *d = &t.drafts[number];

	SIM_CHECK(number > 0 && number < t.draft_count && d->published && d->channel == TRUTH_KEPT,
	          "%s: there is no publication %u in the stream", who, number);
	SIM_CHECK(view->live, "%s: publication %u, and the channel is not subscribed", who, number);
	SIM_CHECK(offset == view->next || (may_miss && offset > view->next),
	          "%s: offset %llu comes in place of %zu", who, (unsigned long long)offset, view->next);
	SIM_CHECK(d->offset == offset && d->epoch == view->epoch,
	          "%s: publication %u is at %llu in e%u, and comes as %llu in e%u", who, number,
	          (unsigned long long)d->offset, d->epoch, (unsigned long long)offset, view->epoch);
	check_data(number, data, who);
	view->next = offset + 1;
	sim.counts.deliveries++;
}

bool truth_is_due(const struct truth_view *view, unsigned channel)
{
	size_t count = t.count[channel];

	if (channel == TRUTH_KEPT)
		return view->live && (view->epoch != sim_stream_epoch() || view->next <= sim_stream_top());
	return view->live && view->next < count &&
	       t.drafts[t.numbers[channel][count - 1]].at_us >= view->since_us;
}
