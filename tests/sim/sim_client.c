#include "sim_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_redis.h"
#include "sim_stream.h"
#include "sim_truth.h"

enum {
	CLIENTS_MAX = 40,
	COMMANDS_MAX = 64,
	IN_FIRST = 4096,
	IN_MAX = 4 << 20,
	MESSAGE_MAX = 72000,
	/* How long a Redis that is well again may still be felt. */
	AFTERMATH_US = 25 * SIM_SECOND,
	/* A worker that stood still may have kept somebody waiting. */
	STALL_FELT_US = 15 * SIM_SECOND,
	RECOVERED_MAX = 300, /* client.recovery_max_publication_limit */
};

enum persona { GOOD, SLOW, NEVER_READS, MUTE, STALE, GARBAGE, BROWSING, PROBE };
static const char *const persona_names[] = {"good",  "slow",    "never reads", "mute",
                                            "stale", "garbage", "browsing",    "probe"};

enum phase { AWAY, DIALED, OPEN, CLOSED };
enum kind { CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH };
static const char *const kind_names[] = {"connect", "subscribe", "unsubscribe", "publish"};

struct command {
	uint32_t id;
	enum kind kind;
	unsigned channel;
	uint32_t number; /* of a publication */
	bool recover;    /* of a subscribe */
};

struct sub {
	bool asked; /* subscribe or unsubscribe is on its way */
	struct truth_view view;
};

struct client {
	unsigned number;
	enum persona persona;
	char name[32];
	struct sim_link *link;
	enum phase phase;
	bool connected;
	bool retired;     /* does not come back */
	bool left;        /* we ended it, or did what ends it */
	bool told_to_go;  /* a close frame came */
	bool native_ping; /* one of ours is not answered */
	unsigned author;  /* of what is published on this connection */
	uint32_t next_id;
	struct command commands[COMMANDS_MAX]; /* not answered, in order */
	unsigned command_count;
	struct sub subs[TRUTH_CHANNELS];
	struct truth_view kept; /* what it had of the channel with history; over all connections */
	unsigned requests;      /* HTTP, not answered */
	uint64_t asked_us;      /* the last of them */
	char *in;
	size_t in_len, in_cap;
	char *out; /* commands for the next message */
	size_t out_len;
};

static struct {
	struct sim_society society;
	struct client clients[CLIENTS_MAX];
	bool calm;
	unsigned authors;
	bool quiet;   /* nobody says anything of his own accord */
	bool leaving; /* nobody dials any more */
	bool draining;
	bool stopping;
} s;

/* --- frames out --- */

static void put_frame(struct client *c, unsigned first_byte, const char *data, size_t len)
{
	static char frame[MESSAGE_MAX + 14];
	unsigned char mask[4];
	size_t at = 2;
	uint32_t random = (uint32_t)sim_random();

	memcpy(mask, &random, sizeof(mask));
	frame[0] = (char)first_byte;
	if (len < 126) {
		frame[1] = (char)(0x80 | len);
	} else if (len < 65536) {
		frame[1] = (char)(0x80 | 126);
		frame[at++] = (char)(len >> 8);
		frame[at++] = (char)len;
	} else {
		frame[1] = (char)(0x80 | 127);
		for (int i = 7; i >= 0; i--)
			frame[at++] = (char)((uint64_t)len >> 8 * i);
	}
	memcpy(frame + at, mask, sizeof(mask));
	at += sizeof(mask);
	for (size_t i = 0; i < len; i++)
		frame[at + i] = (char)(data[i] ^ mask[i % 4]);
	sim_link_send(c->link, frame, at + len);
}

/* A message, at times in fragments with a control frame in between. */
static void put_message(struct client *c, const char *data, size_t len)
{
	unsigned opcode = 1;

	while (len > 1 && sim_chance(1500)) {
		size_t piece = sim_below((uint32_t)len);

		put_frame(c, opcode, data, piece);
		opcode = 0;
		data += piece;
		len -= piece;
		if (sim_chance(2000))
			put_frame(c, 0x8a, "unasked", 7);
	}
	put_frame(c, 0x80 | opcode, data, len);
}

static void flush(struct client *c)
{
	if (c->out_len > 0)
		put_message(c, c->out, c->out_len);
	c->out_len = 0;
}

/* --- commands --- */

static struct command *add_command(struct client *c, enum kind kind, unsigned channel)
{
	struct command *cmd = &c->commands[c->command_count++];

	*cmd = (struct command){.id = ++c->next_id, .kind = kind, .channel = channel};
	sim.counts.commands++;
	if (c->out_len > 0)
		c->out[c->out_len++] = '\n';
	return cmd;
}

static void put_json_name(struct client *c, const char *name)
{
	c->out[c->out_len++] = '"';
	for (; *name != '\0'; name++) {
		if (*name == '"' || *name == '\\')
			c->out[c->out_len++] = '\\';
		c->out[c->out_len++] = *name;
	}
	c->out[c->out_len++] = '"';
}

static void put_text(struct client *c, const char *text)
{
	memcpy(c->out + c->out_len, text, strlen(text));
	c->out_len += strlen(text);
}

static void put_head(struct client *c, const struct command *cmd)
{
	char head[64];

	snprintf(head, sizeof(head), "{\"id\":%u,\"%s\":{", cmd->id, kind_names[cmd->kind]);
	put_text(c, head);
}

/* Most go on from where they were; a few begin anew. */
static void put_position(struct client *c, struct command *cmd)
{
	char text[80];

	if (cmd->channel != TRUTH_KEPT || cmd->kind != SUBSCRIBE || c->kept.epoch == 0 || sim_chance(1000))
		return;
	cmd->recover = true;
	snprintf(text, sizeof(text), ",\"recover\":true,\"epoch\":\"e%u\",\"offset\":%zu", c->kept.epoch,
	         c->kept.next - 1);
	put_text(c, text);
}

static void put_channel_command(struct client *c, enum kind kind, unsigned channel)
{
	struct command *cmd = add_command(c, kind, channel);

	put_head(c, cmd);
	put_text(c, "\"channel\":");
	put_json_name(c, truth_channel(channel));
	put_position(c, cmd);
	put_text(c, "}}");
}

static void put_connect(struct client *c)
{
	put_head(c, add_command(c, CONNECT, 0));
	put_text(c, "}}");
}

static size_t draw_size(const struct client *c)
{
	size_t most = c->link->in.cap * 3 < 60000 ? c->link->in.cap * 3 : 60000;

	return sim_lies(1000) ? sim_below((uint32_t)most) : sim_below(200);
}

static void put_publish(struct client *c, unsigned channel)
{
	static char data[TRUTH_DATA_MAX];
	struct command *cmd;
	size_t len;

	if (c->out_len > 0)
		flush(c);
	cmd = add_command(c, PUBLISH, channel);
	cmd->number = truth_draft(channel, c->author, draw_size(c));
	len = truth_write(cmd->number, data);
	put_head(c, cmd);
	put_text(c, "\"channel\":");
	put_json_name(c, truth_channel(channel));
	put_text(c, ",\"data\":");
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
	put_text(c, "}}");
}

/* --- coming and going --- */

static void leave(struct client *c)
{
	c->left = true;
	if (c->phase == AWAY || c->link == NULL)
		return;
	switch (sim_below(5)) {
	case 0: sim_link_reset(c->link); break;
	case 1: sim_link_close(c->link); break;
	case 2: sim_link_finish(c->link); return; /* the end comes from the worker */
	default:
		if (c->phase == OPEN && !c->told_to_go) {
			put_frame(c, 0x88, "\x03\xe8", 2);
			return;
		}
		sim_link_close(c->link);
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
	c->in_len = c->out_len = 0;
	memset(c->subs, 0, sizeof(c->subs));
}

static const struct sim_actor actor;

static void tune(struct client *c)
{
	c->link->reliable = c->persona == PROBE;
	c->link->calm = c->persona == PROBE && sim_chance(5000);
	if (c->persona == SLOW) {
		c->link->pace = sim_between(1, 4000);
		c->link->pause_us = (uint64_t)sim_below(500) * SIM_MS;
	}
}

static void dial(struct client *c)
{
	forget(c);
	c->link = sim_dial(&actor, c);
	c->author = ++s.authors;
	c->phase = DIALED;
	tune(c);
	if (c->persona == BROWSING || c->persona == PROBE)
		return;
	if (c->persona == STALE && sim_chance(5000)) {
		sim_link_send(c->link, handshake, sim_below(sizeof(handshake) - 1));
		return;
	}
	if (c->persona == GARBAGE && sim_chance(3000)) {
		char noise[64];

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (char)sim_random();
		sim_link_send(c->link, noise, sizeof(noise));
		return;
	}
	sim_link_send(c->link, handshake, sizeof(handshake) - 1);
	sim.counts.handshakes++;
}

/* --- what may happen to a client --- */

/* As many connections the worker has descriptors for. */
static unsigned most_connections(void)
{
	return sim_file_limit() < 128 ? sim_file_limit() / 2 : sim_file_limit() - 64;
}

/* Whatever ends the connection of somebody who gives no cause, it is not our promise that is broken. */
static bool excused(const struct client *c)
{
	bool crowded = c->phase == DIALED && most_connections() < CLIENTS_MAX;

	return crowded || c->left || c->link->hurt || c->link->holed || s.stopping || s.society.hungry ||
	       (c->persona != GOOD && c->persona != PROBE);
}

static bool after_stall(void)
{
	return sim.stalled_us != 0 && sim.now_us - sim.stalled_us < STALL_FELT_US;
}

static bool redis_may_fail(void)
{
	return sim.now_us - sim_redis_troubled_us() < AFTERMATH_US || after_stall() || s.society.hungry;
}

static void count_close(unsigned code)
{
	switch (code) {
	case 3001: sim.counts.shutdown_closes++; break;
	case 3008: sim.counts.slow_closes++; break;
	case 3012: sim.counts.no_pong_closes++; break;
	case 3501: sim.counts.bad_request_closes++; break;
	case 3502: sim.counts.stale_closes++; break;
	default:
		if (code < 3000)
			sim.counts.protocol_error_closes++;
	}
}

static bool close_is_legal(const struct client *c, unsigned code)
{
	bool hampered = c->link->was_full || c->link->holed || after_stall();

	switch (code) {
	case 1000: return c->left;
	case 3001: return s.draining;
	case 3008: return c->link->was_full;
	case 3012:
		return c->persona == MUTE || c->persona == NEVER_READS || c->persona == SLOW ||
		       c->persona == GARBAGE || hampered;
	case 3502: return c->persona == STALE || c->persona == GARBAGE || c->persona == SLOW || hampered;
	case 1002:
	case 1003:
	case 1005:
	case 1007:
	case 1009:
	case 3501: return c->persona == GARBAGE;
	case 1011:
	case 3004: return s.society.hungry;
	default: return false;
	}
}

static void on_close_frame(struct client *c, const char *data, size_t len)
{
	unsigned code = len < 2 ? 1005 : (unsigned)((unsigned char)data[0] << 8 | (unsigned char)data[1]);

	sim_note("%s: closed with %u %.*s", c->name, code, len < 2 ? 0 : (int)len - 2, data + 2);
	count_close(code);
	SIM_CHECK(close_is_legal(c, code), "%s: closed with %u %.*s", c->name, code,
	          len < 2 ? 0 : (int)len - 2, data + 2);
	c->told_to_go = true;
	if (!c->left && sim_chance(9000))
		put_frame(c, 0x88, data, 2);
	c->left = true;
}

/* --- messages in --- */

static void on_publication(struct client *c, const json_t *push)
{
	const char *name = json_string_value(json_object_get(push, "channel"));
	const json_t *data = json_object_get(json_object_get(push, "pub"), "data");
	int channel = name == NULL ? -1 : truth_find_channel(BYTES_OF_STR(name));

	SIM_CHECK(channel >= 0 && data != NULL, "%s: a push that is no publication", c->name);
	if (channel == TRUTH_KEPT) {
		truth_seen_kept(&c->subs[channel].view, json_object_get(push, "pub"), s.society.hungry,
		                c->name);
		c->kept = c->subs[channel].view;
		return;
	}
	truth_seen(&c->subs[channel].view, (unsigned)channel, data, s.society.hungry, c->name);
}

/* A loss is told where the stream is not the one any more that the client was in, and nowhere else. */
static void on_unsubscribed(struct client *c, const json_t *push)
{
	const char *name = json_string_value(json_object_get(push, "channel"));
	json_int_t code = json_integer_value(json_object_get(json_object_get(push, "unsubscribe"), "code"));
	struct truth_view *view = &c->subs[TRUTH_KEPT].view;

	SIM_CHECK(code == 2500 && name != NULL && strcmp(name, truth_channel(TRUTH_KEPT)) == 0 && view->live,
	          "%s: unsubscribed from %s with %lld", c->name, name != NULL ? name : "nothing",
	          (long long)code);
	SIM_CHECK(view->epoch != sim_stream_epoch() || s.society.hungry,
	          "%s: told a loss, and nothing is lost", c->name);
	sim.counts.told_losses++;
	view->live = false;
}

/* Not recovered is who comes from another stream, or has missed more than is sent at once. */
static void check_recovered(const struct client *c, const struct command *cmd, unsigned epoch,
                            uint64_t offset, bool recovered)
{
	sim.counts.recoveries += recovered;
	SIM_CHECK(!recovered || (cmd->recover && epoch == c->kept.epoch), "%s: recovered, from e%u in e%u",
	          c->name, c->kept.epoch, epoch);
	SIM_CHECK(recovered || !cmd->recover || epoch != c->kept.epoch || s.society.hungry ||
	                  offset - (c->kept.next - 1) > RECOVERED_MAX,
	          "%s: not recovered from %zu to %llu in e%u", c->name, c->kept.next - 1,
	          (unsigned long long)offset, epoch);
}

static void on_kept_subscribed(struct client *c, const struct command *cmd, const json_t *result)
{
	struct truth_view *view = &c->subs[TRUTH_KEPT].view;
	const char *epoch = json_string_value(json_object_get(result, "epoch"));
	uint64_t offset = (uint64_t)json_integer_value(json_object_get(result, "offset"));
	bool recovered = json_is_true(json_object_get(result, "recovered"));
	const json_t *publications = json_object_get(result, "publications");

	SIM_CHECK(epoch != NULL && epoch[0] == 'e' && json_is_true(json_object_get(result, "positioned")),
	          "%s: no position in a channel with history", c->name);
	view->epoch = (unsigned)strtoul(epoch + 1, NULL, 10);
	view->next = offset + 1;
	check_recovered(c, cmd, view->epoch, offset, recovered);
	sim.counts.caught_up += json_array_size(publications);
	for (size_t i = 0; i < json_array_size(publications); i++)
		truth_seen_kept(view, json_array_get(publications, i), s.society.hungry, c->name);
	c->kept = *view;
}

static void on_connected(struct client *c, const json_t *result)
{
	c->connected = true;
	SIM_CHECK(json_integer_value(json_object_get(result, "ping")) ==
	                  (json_int_t)s.society.config->client.ping_interval_ms / 1000,
	          "%s: another ping interval than configured", c->name);
}

static void on_success(struct client *c, const struct command *cmd, const json_t *result)
{
	struct sub *sub = &c->subs[cmd->channel];

	switch (cmd->kind) {
	case CONNECT: on_connected(c, result); break;
	case SUBSCRIBE:
		SIM_CHECK(!sub->view.live, "%s: subscribed twice", c->name);
		sub->asked = false;
		sub->view.live = true;
		sub->view.since_us = sim.now_us;
		if (cmd->channel == TRUTH_KEPT)
			on_kept_subscribed(c, cmd, result);
		break;
	case UNSUBSCRIBE:
		sub->asked = false;
		sub->view.live = false;
		break;
	case PUBLISH:
		SIM_CHECK(truth_is_published(cmd->number), "%s: publication %u was never published", c->name,
		          cmd->number);
		break;
	}
}

/* Only Redis can fail. */
static void on_error(struct client *c, const struct command *cmd, const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));

	sim.counts.error_replies++;
	SIM_CHECK(code == 100 && cmd->kind != UNSUBSCRIBE && cmd->kind != CONNECT && redis_may_fail(),
	          "%s: error %lld for %s", c->name, (long long)code, kind_names[cmd->kind]);
	if (cmd->kind == SUBSCRIBE)
		c->subs[cmd->channel].asked = false;
}

static void on_reply(struct client *c, const json_t *reply, json_int_t id)
{
	const json_t *error = json_object_get(reply, "error");
	struct command cmd = c->commands[0];
	const json_t *result;

	SIM_CHECK(c->command_count > 0 && cmd.id == id, "%s: a reply to %lld, and %lld is to come", c->name,
	          (long long)id, c->command_count > 0 ? (long long)cmd.id : -1LL);
	memmove(c->commands, c->commands + 1, --c->command_count * sizeof(cmd));
	sim.counts.replies++;
	if (error != NULL) {
		on_error(c, &cmd, error);
		return;
	}
	result = json_object_get(reply, kind_names[cmd.kind]);
	SIM_CHECK(json_is_object(result), "%s: a reply to %s without a result", c->name,
	          kind_names[cmd.kind]);
	on_success(c, &cmd, result);
}

static void on_ping(struct client *c)
{
	sim.counts.pings++;
	if (c->persona != MUTE)
		put_message(c, "{}", 2);
}

static void on_line(struct client *c, const char *line, size_t len)
{
	json_t *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *id = json_object_get(message, "id");
	const json_t *push = json_object_get(message, "push");

	SIM_CHECK(json_is_object(message), "%s: not a JSON object: %.*s", c->name, (int)len, line);
	if (c->persona == GARBAGE)
		;
	else if (id != NULL)
		on_reply(c, message, json_integer_value(id));
	else if (json_object_get(push, "unsubscribe") != NULL)
		on_unsubscribed(c, push);
	else if (push != NULL)
		on_publication(c, push);
	else
		on_ping(c);
	SIM_CHECK(id != NULL || push != NULL || json_object_size(message) == 0,
	          "%s: an unknown message: %.*s", c->name, (int)len, line);
	json_decref(message);
}

static void on_text(struct client *c, const char *data, size_t len)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t line = end == NULL ? len : (size_t)(end - data);

		on_line(c, data, line);
		line += end != NULL;
		data += line;
		len -= line;
	}
}

static void on_pong(struct client *c, const char *data, size_t len)
{
	SIM_CHECK(c->persona == GARBAGE || (c->native_ping && len == 4 && memcmp(data, "ping", 4) == 0),
	          "%s: a pong that was not asked for", c->name);
	c->native_ping = false;
}

static void on_frame(struct client *c, unsigned first_byte, const char *data, size_t len)
{
	SIM_CHECK(!c->told_to_go, "%s: a frame after the close frame", c->name);
	SIM_CHECK((first_byte & 8) == 0 || len < 126, "%s: a control frame of %zu bytes", c->name, len);
	switch (first_byte) {
	case 0x81: on_text(c, data, len); return;
	case 0x88: on_close_frame(c, data, len); return;
	case 0x8a: on_pong(c, data, len); return;
	default: sim_fail("%s: a frame that begins with %02x", c->name, first_byte);
	}
}

/* Takes one frame; its bytes, or 0 when it is not all there. */
static size_t take_frame(struct client *c, const unsigned char *in, size_t len)
{
	size_t head = 2, payload;

	if (len < 2)
		return 0;
	SIM_CHECK((in[1] & 0x80) == 0, "%s: a masked frame", c->name);
	payload = in[1];
	if (payload >= 126) {
		size_t width = payload == 126 ? 2 : 8;

		if (len < head + width)
			return 0;
		payload = 0;
		for (size_t i = 0; i < width; i++)
			payload = payload << 8 | in[head + i];
		SIM_CHECK(payload > (width == 2 ? 125 : 65535) && payload < IN_MAX,
		          "%s: a frame of %zu bytes", c->name, payload);
		head += width;
	}
	if (len - head < payload)
		return 0;
	on_frame(c, in[0], (const char *)in + head, payload);
	return head + payload;
}

/* --- HTTP in --- */

/* Where accepting fails, the last descriptor is spent on an answer, as far as the socket takes it. */
static bool may_be_refused(void)
{
	return most_connections() < CLIENTS_MAX || sim.weather.accept_fails > 0;
}

static void refused(struct client *c)
{
	SIM_CHECK(may_be_refused() || s.society.hungry, "%s: refused, and there is room", c->name);
	sim.counts.refusals++;
	c->left = true;
}

static void on_upgraded(struct client *c, const char *head, size_t len)
{
	SIM_CHECK(memmem(head, len, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 54) != NULL,
	          "%s: a handshake without the right Sec-WebSocket-Accept", c->name);
	c->phase = OPEN;
	if (c->persona == STALE || (c->persona == GARBAGE && sim_chance(5000)))
		return;
	put_connect(c);
	if (sim_chance(5000))
		flush(c);
	for (unsigned i = sim_below(4); i > 0; i--) {
		unsigned channel = sim_below(TRUTH_CHANNELS);

		if (c->subs[channel].asked)
			continue;
		c->subs[channel].asked = true;
		put_channel_command(c, SUBSCRIBE, channel);
	}
	flush(c);
}

static uint64_t deafness_shows_us(void)
{
	const struct config *config = s.society.config;

	return (config->redis.canary_interval_ms + config->redis.canary_timeout_ms) * SIM_MS + SIM_SECOND;
}

/* The truth of the moment of asking, given the time in which the worker has to find out. */
static void check_readiness(const struct client *c, bool ready)
{
	uint64_t away_us = sim_redis_away_since();

	if (ready)
		sim.counts.ready_answers++;
	else
		sim.counts.not_ready_answers++;
	if (away_us == SIM_NEVER || after_stall())
		return;
	SIM_CHECK(!ready || away_us + deafness_shows_us() > c->asked_us,
	          "%s: the worker says it is ready, and Redis is away since %.3f s", c->name,
	          (double)(sim.now_us - away_us) / SIM_SECOND);
}

static void on_response(struct client *c, int status, struct bytes body)
{
	sim.counts.http_responses++;
	SIM_CHECK(c->requests > 0 || c->persona == GARBAGE || status == 503 || status == 408,
	          "%s: a response to nothing: %d", c->name, status);
	if (c->requests > 0)
		c->requests--;
	if (status == 503 && body.len == 0) {
		refused(c);
		return;
	}
	if (c->persona == PROBE) {
		bool ready = bytes_eq(body, BYTES("{\"ready\":true}\n"));

		SIM_CHECK(ready ? status == 200 : status == 503, "%s: %d %.*s", c->name, status,
		          BYTES_FMT(body));
		check_readiness(c, ready);
	} else if (c->persona == BROWSING) {
		SIM_CHECK(status == 200 || status == 404 || status == 405, "%s: status %d", c->name, status);
	}
}

/* Takes one response; its bytes, or 0 when it is not all there. */
static size_t take_response(struct client *c, const char *in, size_t len)
{
	static const char length_name[] = "\r\nContent-Length: ";
	const char *end = memmem(in, len, "\r\n\r\n", 4);
	const char *length;
	size_t head, body;
	int status;

	SIM_CHECK(memcmp(in, "HTTP/1.1 ", len < 9 ? len : 9) == 0, "%s: no response: %.*s", c->name, (int)len,
	          in);
	if (end == NULL)
		return 0;
	head = (size_t)(end - in) + 4;
	status = (int)strtol(in + 9, NULL, 10);
	if (status == 101) {
		on_upgraded(c, in, head);
		return head;
	}
	length = memmem(in, head, length_name, sizeof(length_name) - 1);
	SIM_CHECK(length != NULL, "%s: a response without a length", c->name);
	body = strtoul(length + sizeof(length_name) - 1, NULL, 10);
	if (len - head < body)
		return 0;
	on_response(c, status, (struct bytes){in + head, body});
	return head + body;
}

/* --- input --- */

static void make_room(struct client *c, size_t len)
{
	size_t cap = c->in_cap > 0 ? c->in_cap : IN_FIRST;
	char *in;

	SIM_CHECK(IN_MAX - c->in_len > len, "%s: endless input", c->name);
	while (cap - c->in_len < len)
		cap *= 2;
	if (cap == c->in_cap)
		return;
	in = sim_alloc_bytes(cap);
	if (c->in_len > 0)
		memcpy(in, c->in, c->in_len);
	c->in = in;
	c->in_cap = cap;
}

static void on_data(struct sim_link *l, const char *data, size_t len)
{
	struct client *c = l->ctx;
	size_t done = 0, used = 0;

	if (l != c->link || c->phase == AWAY)
		return;
	make_room(c, len);
	memcpy(c->in + c->in_len, data, len);
	c->in_len += len;
	while (done < c->in_len && l == c->link) {
		if (c->phase == OPEN)
			used = take_frame(c, (unsigned char *)c->in + done, c->in_len - done);
		else
			used = take_response(c, c->in + done, c->in_len - done);
		if (used == 0)
			break;
		done += used;
	}
	memmove(c->in, c->in + done, c->in_len - done);
	c->in_len -= done;
}

static void on_end(struct sim_link *l, bool reset)
{
	struct client *c = l->ctx;

	if (l != c->link || c->phase == AWAY)
		return;
	sim_note("%s: the worker %s", c->name, reset ? "resets" : "ends");
	/* Who is too slow for the close frame, too, is dropped in the end. */
	if (!excused(c) && !(reset && l->was_full)) {
		SIM_CHECK(c->in_len == 0 || (c->phase != OPEN && may_be_refused()),
		          "%s: a frame that is torn off after %zu bytes", c->name, c->in_len);
		SIM_CHECK(c->phase != OPEN, "%s: dropped without a word", c->name);
		SIM_CHECK(may_be_refused() || s.draining || after_stall() || c->requests == 0,
		          "%s: dropped, and %u requests wait", c->name, c->requests);
		SIM_CHECK(may_be_refused() || s.draining || after_stall() || c->persona != GOOD,
		          "%s: dropped instead of upgraded", c->name);
	}
	sim_link_close(l);
	c->phase = AWAY;
}

static const struct sim_actor actor = {on_data, on_end};

/* --- what they do --- */

static bool may_command(const struct client *c)
{
	return c->phase == OPEN && !c->left && !s.quiet && c->connected &&
	       c->command_count < COMMANDS_MAX / 2 && c->link->wire.len < c->link->in.cap;
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
				put_publish(c, sim_below(TRUTH_CHANNELS));
		} else if (!sub->view.live) {
			sub->asked = true;
			put_channel_command(c, SUBSCRIBE, channel);
		} else if (!s.calm && sim_chance(3000)) {
			sub->asked = true;
			put_channel_command(c, UNSUBSCRIBE, channel);
		}
	}
	flush(c);
	if (!c->native_ping && sim_chance(1000)) {
		c->native_ping = true;
		put_frame(c, 0x89, "ping", 4);
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
	static char big[MESSAGE_MAX];

	switch (sim_below(6)) {
	case 0: put_frame(c, sim_below(256), text, strlen(text)); return;
	case 1: put_frame(c, 0x81, big, sizeof(big)); return;
	case 2: sim_link_send(c->link, "\x81\x02{}", 4); return;
	case 3: put_frame(c, 0x01, text, strlen(text)); return;
	default: put_frame(c, 0x81, text, strlen(text));
	}
}

static void request(struct client *c, const char *path)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);

	c->requests++;
	c->asked_us = sim.now_us;
	sim_link_send(c->link, text, (size_t)len);
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
		sim_link_set_reading(c->link, false);
	if (c->persona == SLOW && sim_chance(2000))
		sim_link_set_reading(c->link, !c->link->reading);
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
		sim_link_close(c->link);
		c->phase = AWAY;
		return;
	}
	if (!c->left && !stays(c)) {
		leave(c);
		return;
	}
	if (!c->link->holed && c->persona != PROBE && sim_lies(20))
		sim_link_hole(c->link, (uint64_t)sim_between(100, 15000) * SIM_MS);
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
	s.society = *society;
	SIM_CHECK(society->count <= CLIENTS_MAX, "too many clients");
	for (unsigned i = 0; i < society->count; i++) {
		struct client *c = &s.clients[i];

		c->number = i;
		c->persona = draw_persona(i);
		c->out = sim_alloc_bytes(MESSAGE_MAX * 2);
		snprintf(c->name, sizeof(c->name), "client %u, %s", i, persona_names[c->persona]);
		sim_after((uint64_t)sim_between(1500, 4000) * SIM_MS, on_tick, c);
	}
}

static void calm_down(struct client *c)
{
	bool misbehaved = c->persona != GOOD && c->persona != PROBE;

	c->retired = c->number >= most_connections() / 2;
	if (c->phase != AWAY && (misbehaved || c->retired || c->link->holed || c->link->hurt || c->left)) {
		sim_link_close(c->link);
		c->phase = AWAY;
	}
	if (misbehaved)
		c->persona = GOOD;
	snprintf(c->name, sizeof(c->name), "client %u, %s", c->number, persona_names[c->persona]);
}

void sim_clients_calm(void)
{
	s.calm = true;
	for (unsigned i = 0; i < s.society.count; i++)
		calm_down(&s.clients[i]);
}

void sim_clients_hush(void)
{
	s.quiet = true;
}

void sim_clients_leave(void)
{
	s.leaving = true;
	for (unsigned i = 0; i < s.society.count; i++)
		leave(&s.clients[i]);
}

void sim_clients_expect_end(bool at_once)
{
	s.leaving = s.draining = true;
	s.stopping = at_once;
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
	for (unsigned i = 0; i < s.society.count; i++) {
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
	for (unsigned i = 0; i < s.society.count; i++) {
		*why = s.clients[i].name;
		if (s.clients[i].phase == OPEN && !s.clients[i].left && !is_up_to_date(&s.clients[i]))
			return false;
	}
	return true;
}

void sim_clients_check_gone(void)
{
	for (unsigned i = 0; i < s.society.count; i++) {
		const struct client *c = &s.clients[i];

		SIM_CHECK(c->phase != OPEN || excused(c), "%s: the worker is gone without telling", c->name);
	}
}
