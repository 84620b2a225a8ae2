#include "sim_client.h"

#include <stdio.h>
#include <string.h>

#include "sim_client_internal.h"

static const char *const persona_names[] = {"good",  "slow",    "never reads", "mute",
                                            "stale", "garbage", "browsing",    "probe"};

struct sim_times sim_times;

static struct {
	struct client clients[CLIENTS_MAX];
	unsigned authors;
	bool calm;
	bool quiet;   /* nobody says anything of his own accord */
	bool leaving; /* nobody dials any more */
} s;

/* --- coming and going --- */

static void leave(struct client *c)
{
	c->left = true;
	if (c->phase == AWAY || c->wire.link == NULL)
		return;
	switch (sim_below(5)) {
	case 0: sim_link_reset(c->wire.link); break;
	case 1: sim_link_close(c->wire.link); break;
	case 2: sim_link_finish(c->wire.link); return; /* the end comes from the worker */
	default:
		if (c->phase == OPEN && !c->told_to_go) {
			sim_wire_send_frame(&c->wire, 0x88, "\x03\xe8", 2);
			return;
		}
		sim_link_close(c->wire.link);
	}
	c->phase = AWAY;
}

static const char handshake[] = "GET /connection/websocket HTTP/1.1\r\n"
				"Host: x\r\n"
				"Connection: Upgrade\r\n"
				"Upgrade: websocket\r\n"
				"Sec-WebSocket-Version: 13\r\n"
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				"\r\n";

static void forget(struct client *c)
{
	c->connected = c->left = c->told_to_go = c->native_ping = false;
	c->command_count = c->requests = 0;
	memset(c->subs, 0, sizeof(c->subs));
}

static const struct sim_actor actor;

static void tune(struct client *c)
{
	c->wire.link->reliable = c->persona == PROBE;
	c->wire.link->calm = c->persona == PROBE && sim_chance(5000);
	if (c->persona == SLOW) {
		c->wire.link->pace = sim_between(1, 4000);
		c->wire.link->pause_us = (uint64_t)sim_below(500) * SIM_MS;
	}
}

static void dial(struct client *c)
{
	forget(c);
	sim_wire_open(&c->wire, sim_dial(&actor, c));
	c->author = ++s.authors;
	c->phase = DIALED;
	tune(c);
	if (c->persona == BROWSING || c->persona == PROBE)
		return;
	if (c->persona == STALE && sim_chance(5000)) {
		sim_link_send(c->wire.link, handshake, sim_below(sizeof(handshake) - 1));
		return;
	}
	if (c->persona == GARBAGE && sim_chance(3000)) {
		char noise[64];

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (char)sim_random();
		sim_link_send(c->wire.link, noise, sizeof(noise));
		return;
	}
	sim_link_send(c->wire.link, handshake, sizeof(handshake) - 1);
	sim.counts.handshakes++;
}

static void on_upgraded(void *owner)
{
	struct client *c = owner;

	c->phase = OPEN;
	if (c->persona == STALE || (c->persona == GARBAGE && sim_chance(5000)))
		return;
	sim_command_connect(c);
	if (sim_chance(5000))
		sim_wire_flush(&c->wire);
	for (unsigned i = sim_below(4); i > 0; i--) {
		unsigned channel = sim_below(TRUTH_CHANNELS);

		if (c->subs[channel].asked)
			continue;
		c->subs[channel].asked = true;
		sim_command_channel(c, SUBSCRIBE, channel);
	}
	sim_wire_flush(&c->wire);
}

static const struct sim_wire_events events = {on_upgraded, sim_check_response, sim_check_frame};

static void on_data(struct sim_link *l, const char *data, size_t len)
{
	struct client *c = l->ctx;

	if (l != c->wire.link || c->phase == AWAY)
		return;
	sim_wire_take(&c->wire, data, len);
}

static void on_end(struct sim_link *l, bool reset)
{
	struct client *c = l->ctx;

	if (l != c->wire.link || c->phase == AWAY)
		return;
	sim_note("%s: the worker %s", c->name, reset ? "resets" : "ends");
	sim_check_end(c, reset);
	sim_link_close(l);
	c->phase = AWAY;
}

static const struct sim_actor actor = {on_data, on_end};

/* --- what they do --- */

static bool may_command(const struct client *c)
{
	return c->phase == OPEN && !c->left && !s.quiet && c->connected &&
	       c->command_count < COMMANDS_MAX / 2 && c->wire.link->wire.len < c->wire.link->in.cap;
}

static void act_good(struct client *c)
{
	unsigned channel = sim_below(TRUTH_CHANNELS);
	struct sub *sub = &c->subs[channel];

	if (!may_command(c))
		return;
	for (unsigned i = sim_between(1, 3); i > 0; i--) {
		if (sub->asked || sim_chance(6000)) {
			if (sim_chance(s.calm ? 1000 : 5000))
				sim_command_publish(c, sim_below(TRUTH_CHANNELS));
		} else if (!sub->view.live) {
			sub->asked = true;
			sim_command_channel(c, SUBSCRIBE, channel);
		} else if (!s.calm && sim_chance(3000)) {
			sub->asked = true;
			sim_command_channel(c, UNSUBSCRIBE, channel);
		}
	}
	sim_wire_flush(&c->wire);
	if (!c->native_ping && sim_chance(1000)) {
		c->native_ping = true;
		sim_wire_send_frame(&c->wire, 0x89, "ping", 4);
	}
}

static void send_nonsense(struct client *c)
{
	static const char *const texts[] = {"",
	                                    "{",
	                                    "[]",
	                                    "{\"id\":1}",
	                                    "nonsense",
	                                    "{\"id\":1,\"subscribe\":{}}",
	                                    "{\"id\":1.5}",
	                                    "{\"id\":1,\"connect\":{}}\n\n",
	                                    "{\"id\":1,\"connect\":{\"token\":7}}",
	                                    "{}\n{}",
	                                    "\xff\xfe",
	                                    "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"connect\":{}}"};
	const char *text = texts[sim_below(ARRAY_LEN(texts))];
	static char big[SIM_MESSAGE_MAX];

	switch (sim_below(6)) {
	case 0: sim_wire_send_frame(&c->wire, sim_below(256), text, strlen(text)); return;
	case 1: sim_wire_send_frame(&c->wire, 0x81, big, sizeof(big)); return;
	case 2: sim_link_send(c->wire.link, "\x81\x02{}", 4); return;
	case 3: sim_wire_send_frame(&c->wire, 0x01, text, strlen(text)); return;
	default: sim_wire_send_frame(&c->wire, 0x81, text, strlen(text));
	}
}

static void request(struct client *c, const char *path)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);

	c->requests++;
	c->asked_us = sim.now_us;
	sim_link_send(c->wire.link, text, (size_t)len);
}

static void act(struct client *c)
{
	static const char *const paths[] = {"/health/live", "/health/live", "/nothing", "/health/ready"};

	switch (c->persona) {
	case GOOD:
	case SLOW:
	case MUTE:
	case NEVER_READS: act_good(c); break;
	case STALE: break;
	case GARBAGE:
		if (c->phase == OPEN && !c->told_to_go)
			send_nonsense(c);
		break;
	case BROWSING:
		for (unsigned i = sim_below(4); i > 0 && c->requests < 20 && !c->left; i--)
			request(c, paths[sim_below(3)]);
		break;
	case PROBE:
		if (c->requests == 0 && !c->left)
			request(c, paths[3]);
		break;
	}
	if (c->persona == NEVER_READS && c->phase == OPEN && sim_chance(3000))
		sim_link_set_reading(c->wire.link, false);
	if (c->persona == SLOW && sim_chance(2000))
		sim_link_set_reading(c->wire.link, !c->wire.link->reading);
}

static bool stays(const struct client *c)
{
	return s.calm || c->persona == PROBE || !sim_chance(150);
}

static void on_tick(void *ctx)
{
	struct client *c = ctx;

	sim_after((uint64_t)(c->persona == PROBE ? 700 : sim_between(20, 800)) * SIM_MS, on_tick, c);
	if (c->phase == AWAY) {
		if (!s.leaving && !c->retired && sim_chance(s.calm ? 8000 : 3000))
			dial(c);
		return;
	}
	/* Whom the worker has told to go, or who has left, hangs up after a while, whatever comes. */
	if (c->left && sim_chance(500)) {
		sim_link_close(c->wire.link);
		c->phase = AWAY;
		return;
	}
	if (!c->left && !stays(c)) {
		leave(c);
		return;
	}
	if (!c->wire.link->holed && c->persona != PROBE && sim_lies(20))
		sim_link_hole(c->wire.link, (uint64_t)sim_between(100, 15000) * SIM_MS);
	act(c);
}

/* --- the face --- */

static enum persona draw_persona(unsigned number)
{
	static const enum persona others[] = {GOOD, SLOW, NEVER_READS, MUTE, STALE, GARBAGE, BROWSING, GOOD};

	if (number == 0)
		return PROBE;
	return number < 3 ? GOOD : others[sim_below(ARRAY_LEN(others))];
}

void sim_clients_start(const struct sim_society *society)
{
	memset(&s, 0, sizeof(s));
	memset(&sim_times, 0, sizeof(sim_times));
	sim_times.society = *society;
	SIM_CHECK(society->count <= CLIENTS_MAX, "too many clients");
	for (unsigned i = 0; i < society->count; i++) {
		struct client *c = &s.clients[i];

		c->number = i;
		c->persona = draw_persona(i);
		sim_wire_init(&c->wire, &events, c, c->name);
		snprintf(c->name, sizeof(c->name), "client %u, %s", i, persona_names[c->persona]);
		sim_after((uint64_t)sim_between(1500, 4000) * SIM_MS, on_tick, c);
	}
}

static void calm_down(struct client *c)
{
	bool misbehaved = c->persona != GOOD && c->persona != PROBE;

	c->retired = c->number >= sim_check_most_connections() / 2;
	if (c->phase != AWAY &&
	    (misbehaved || c->retired || c->wire.link->holed || c->wire.link->hurt || c->left)) {
		sim_link_close(c->wire.link);
		c->phase = AWAY;
	}
	if (misbehaved)
		c->persona = GOOD;
	snprintf(c->name, sizeof(c->name), "client %u, %s", c->number, persona_names[c->persona]);
}

void sim_clients_calm(void)
{
	s.calm = true;
	for (unsigned i = 0; i < sim_times.society.count; i++)
		calm_down(&s.clients[i]);
}

void sim_clients_hush(void)
{
	s.quiet = true;
}

void sim_clients_leave(void)
{
	s.leaving = true;
	for (unsigned i = 0; i < sim_times.society.count; i++)
		leave(&s.clients[i]);
}

void sim_clients_expect_end(bool at_once)
{
	s.leaving = sim_times.draining = true;
	sim_times.stopping = at_once;
}

static bool is_settled(const struct client *c)
{
	unsigned live = 0;

	if (c->persona == PROBE || c->retired)
		return true;
	for (unsigned i = 0; i < TRUTH_CHANNELS; i++)
		live += c->subs[i].view.live;
	return c->connected && !c->left && c->command_count == 0 && live >= TRUTH_CHANNELS / 2;
}

bool sim_clients_settled(const char **why)
{
	for (unsigned i = 0; i < sim_times.society.count; i++) {
		*why = s.clients[i].name;
		if (!is_settled(&s.clients[i]))
			return false;
	}
	return true;
}

static bool is_up_to_date(const struct client *c)
{
	for (unsigned i = 0; i < TRUTH_CHANNELS; i++)
		if (truth_is_due(&c->subs[i].view, i))
			return false;
	return true;
}

bool sim_clients_up_to_date(const char **why)
{
	for (unsigned i = 0; i < sim_times.society.count; i++) {
		*why = s.clients[i].name;
		if (s.clients[i].phase == OPEN && !s.clients[i].left && !is_up_to_date(&s.clients[i]))
			return false;
	}
	return true;
}

void sim_clients_check_gone(void)
{
	for (unsigned i = 0; i < sim_times.society.count; i++)
		sim_check_gone(&s.clients[i]);
}
