#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

static void *allocate(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size);

	if (p == NULL)
		die("memory");
	return p;
}

void plan_begin(struct plan *p, unsigned first, unsigned channels, bool zipf)
{
	*p = (struct plan){.first = first,
	                   .channels = channels,
	                   .topics = allocate(first + channels, sizeof(*p->topics))};
	srand48(1);
	if (!zipf)
		return;
	p->popularity = allocate(channels, sizeof(*p->popularity));
	for (unsigned i = 0; i < channels; i++)
		p->popularity[i] = (i > 0 ? p->popularity[i - 1] : 0) + 1.0 / (i + 1);
}

static unsigned draw_by_popularity(const struct plan *p)
{
	double wanted = drand48() * p->popularity[p->channels - 1];
	unsigned low = 0, high = p->channels - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (p->popularity[middle] < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has(const unsigned *chosen, unsigned count, unsigned channel)
{
	for (unsigned i = 0; i < count; i++) {
		if (chosen[i] == channel)
			return true;
	}
	return false;
}

void plan_choose(struct plan *p, unsigned client, unsigned *chosen, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		do {
			chosen[i] = p->popularity != NULL ? draw_by_popularity(p)
			                                  : p->first + (client * count + i) % p->channels;
		} while (p->popularity != NULL && has(chosen, i, chosen[i]));
		p->topics[chosen[i]].readers++;
	}
}

void plan_end(struct plan *p, unsigned messages)
{
	unsigned place = 0;

	p->count = messages;
	p->messages = allocate(messages, sizeof(*p->messages));
	p->of_topic = allocate(messages, sizeof(*p->of_topic));
	for (unsigned i = 0; i < messages; i++) {
		struct message *m = &p->messages[i];

		m->channel = p->popularity != NULL ? draw_by_popularity(p) : p->first + i % p->channels;
		m->number = ++p->topics[m->channel].count;
		m->readers_left = p->topics[m->channel].readers;
	}
	for (unsigned i = p->first; i < p->first + p->channels; i++) {
		p->topics[i].first = place;
		place += p->topics[i].count;
	}
	for (unsigned i = 0; i < messages; i++) {
		const struct message *m = &p->messages[i];

		p->of_topic[p->topics[m->channel].first + m->number - 1] = i;
	}
}

struct message *plan_message(struct plan *p, unsigned channel, unsigned number)
{
	if (channel < p->first || channel >= p->first + p->channels || number == 0 ||
	    number > p->topics[channel].count)
		die("the server says a message that was not published");
	return &p->messages[p->of_topic[p->topics[channel].first + number - 1]];
}

void plan_data(const struct message *m, char *out, size_t size)
{
	int head = snprintf(out, size, "{\"n\":\"#%06u:%08u;\",\"price\":101.25,\"pad\":\"", m->channel,
	                    m->number);

	memset(out + head, 'x', size - (size_t)head - 2);
	memcpy(out + size - 2, "\"}", 2);
}

static bool read_digits(const char *at, unsigned digits, unsigned *value)
{
	*value = 0;
	for (unsigned i = 0; i < digits; i++) {
		if (at[i] < '0' || at[i] > '9')
			return false;
		*value = *value * 10 + (unsigned)(at[i] - '0');
	}
	return true;
}

const char *mark_find(const char *at, const char *end, unsigned *channel, unsigned *number, const char **rest)
{
	while ((at = memchr(at, '#', (size_t)(end - at))) != NULL) {
		if (end - at < MARK_LEN) {
			*rest = at;
			return NULL;
		}
		if (read_digits(at + 1, 6, channel) && at[7] == ':' && read_digits(at + 8, 8, number) &&
		    at[16] == ';')
			return at;
		at++;
	}
	*rest = end;
	return NULL;
}
