#include "crowd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "unpack.h"

enum {
	AT_ONCE = 200, /* connections that are being made */
	INPUT_MAX = 1 << 18,
	EVENTS = 512,
	GREETING_MAX = 1 << 20,
	OPEN_MS = 120000,
	PING_LEN = 4,
};

static char input[CROWD_REST + INPUT_MAX];

/* --- what a client hears --- */

static void take_mark(struct crowd *c, struct client *client, unsigned channel, unsigned number)
{
	struct message *m = plan_message(c->plan, channel, number);
	struct seat *seat = client->seats;
	uint8_t bit = (uint8_t)(1 << (number & 7));

	if (m->published_ns == 0)
		die("the server says what is not yet published");
	while (seat->channel != channel) {
		if (++seat == client->seats + c->seats)
			die("a client got what it is not subscribed to");
	}
	if (seat->seen[number >> 3] & bit) {
		c->account.duplicated++;
		return;
	}
	seat->seen[number >> 3] |= bit;
	c->account.received++;
	if (number < seat->last)
		c->account.reordered++;
	else
		seat->last = number;
	if (--m->readers_left == 0)
		m->received_ns = c->account.last_ns;
}

/* Both return where what is not yet worked off begins. */
static const char *take_marks(struct crowd *c, struct client *client, const char *at, const char *end)
{
	unsigned channel, number;
	const char *rest, *mark;

	while ((mark = mark_find(at, end, &channel, &number, &rest)) != NULL) {
		take_mark(c, client, channel, number);
		at = mark + MARK_LEN;
	}
	return rest;
}

static bool is_ready(const struct crowd *c, const struct client *client)
{
	return client->welcomed == (c->dialect->welcome_once ? 1 : c->seats);
}

static const char *take_welcomes(struct crowd *c, struct client *client, const char *at, const char *end)
{
	size_t len = c->dialect->welcome_len;
	const char *word;

	while ((word = memmem(at, (size_t)(end - at), c->dialect->welcome, len)) != NULL) {
		at = word + len;
		client->welcomed++;
		if (is_ready(c, client))
			c->ready++;
	}
	return end - at < (ptrdiff_t)len ? at : end - len + 1;
}

/* Who only is there hears nothing else: a ping comes alone. */
static void answer_ping(struct client *client, const char *data, size_t len)
{
	if (len == PING_LEN && memcmp(data, "\x81\x02{}", PING_LEN) == 0)
		wire_say(&client->wire, "{}");
}

/* Text may begin in front of what was read: with the rest of the last time. */
static void take_text(struct crowd *c, struct client *client, char *text, size_t len)
{
	const char *end = text + len;
	const char *rest;

	if (c->plan->messages != NULL) {
		rest = take_marks(c, client, text, end);
	} else {
		rest = take_welcomes(c, client, text, end);
	}
	client->rest_len = (unsigned)(end - rest);
	memcpy(client->rest, rest, client->rest_len);
}

static void take_packed(struct crowd *c, struct client *client, const char *data, size_t len)
{
	char *text;
	size_t text_len;

	if (!client->upgraded) {
		const char *body = memmem(data, len, "\r\n\r\n", 4);

		if (body == NULL)
			die("half of an HTTP response");
		client->upgraded = true;
		len -= (size_t)(body + 4 - data);
		data = body + 4;
	}
	unpack_put(&client->packed, &client->packed_len, data, len);
	while ((text = unpack_next(client->packed, &client->packed_len, &text_len)) != NULL)
		take_text(c, client, text, text_len);
}

static void read_client(struct crowd *c, struct client *client)
{
	ssize_t n;

	do {
		n = wire_receive(&client->wire, input + CROWD_REST, INPUT_MAX);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			die(n == 0 ? "the server hung up" : "read");
		c->account.bytes += (uint64_t)n;
		c->account.reads++;
		answer_ping(client, input + CROWD_REST, (size_t)n);
		if (c->deflate) {
			take_packed(c, client, input + CROWD_REST, (size_t)n);
			continue;
		}
		memcpy(input + CROWD_REST - client->rest_len, client->rest, client->rest_len);
		take_text(c, client, input + CROWD_REST - client->rest_len, client->rest_len + (size_t)n);
	} while (client->wire.ssl != NULL && SSL_pending(client->wire.ssl) > 0);
}

/* Who has what it wanted, goes. */
static void leave(const struct crowd *c, struct client *client)
{
	if (client->wire.fd >= 0 && is_ready(c, client))
		wire_close(&client->wire);
}

void crowd_read(struct crowd *c, uint64_t wait_ns, void (*other)(void *context), void *context)
{
	struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
	struct epoll_event events[EVENTS];
	int n = epoll_pwait2(c->epoll, events, EVENTS, &wait, NULL);

	for (int i = 0; i < n; i++) {
		/* Late rather than early: what is read now has come by now. */
		if (i % 16 == 0)
			c->account.last_ns = now_ns();
		if (events[i].data.ptr == NULL)
			other(context);
		else
			read_client(c, events[i].data.ptr);
		if (c->fleeting && events[i].data.ptr != NULL)
			leave(c, events[i].data.ptr);
	}
}

void crowd_calm(struct crowd *c, unsigned ms, void (*other)(void *context), void *context)
{
	uint64_t end = now_ns() + (uint64_t)ms * 1000000;

	for (uint64_t now = now_ns(); now < end; now = now_ns())
		crowd_read(c, end - now, other, context);
}

/* --- the beginning --- */

static void open_client(struct crowd *c, unsigned index, unsigned *chosen, struct saying *greeting)
{
	struct client *client = &c->clients[index];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

	client->seats = calloc(c->seats, sizeof(*client->seats));
	if (client->seats == NULL)
		die("memory");
	plan_choose(c->plan, index, chosen, c->seats);
	for (unsigned i = 0; i < c->seats; i++)
		client->seats[i].channel = chosen[i];
	greeting->len = 0;
	c->dialect->subscribe(greeting, chosen, c->seats,
	                      c->deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
	wire_dial(&client->wire, greeting->text, greeting->len);
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, client->wire.fd, &event) < 0)
		die("epoll_ctl");
}

void crowd_open(struct crowd *c, unsigned count, unsigned seats)
{
	struct saying greeting = {.text = malloc(GREETING_MAX), .size = GREETING_MAX};
	unsigned *chosen = calloc(seats, sizeof(*chosen));
	uint64_t deadline = now_ms() + OPEN_MS;
	unsigned opened = 0;

	c->count = count;
	c->seats = seats;
	c->clients = calloc(count, sizeof(*c->clients));
	if (c->at_once == 0)
		c->at_once = AT_ONCE;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (greeting.text == NULL || chosen == NULL || c->clients == NULL || c->epoll < 0)
		die("clients");
	while (c->ready < count && now_ms() < deadline) {
		while (opened < count && opened - c->ready < c->at_once)
			open_client(c, opened++, chosen, &greeting);
		crowd_read(c, 20000000, NULL, NULL);
	}
	free(greeting.text);
	free(chosen);
	if (c->ready < count)
		die("not all clients could subscribe");
}

void crowd_expect(struct crowd *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct client *client = &c->clients[i];

		client->rest_len = 0;
		for (unsigned k = 0; k < c->seats; k++) {
			struct seat *seat = &client->seats[k];

			seat->seen = calloc(c->plan->topics[seat->channel].count / 8 + 1, 1);
			if (seat->seen == NULL)
				die("memory");
		}
	}
}
