/* What may come to a client, and what may not. */
#include <jansson.h>
#include <string.h>

#include "sim_client_internal.h"
#include "sim_redis.h"
#include "sim_stream.h"

enum {
	/* How long a Redis that is well again may still be felt. */
	AFTERMATH_US = 25 * SIM_SECOND,
	/* A worker that stood still may have kept somebody waiting. */
	STALL_FELT_US = 15 * SIM_SECOND,
	RECOVERED_MAX = 300, /* client.recovery_max_publication_limit */
};

unsigned sim_check_most_connections(void)
{
	return sim_file_limit() < 128 ? sim_file_limit() / 2 : sim_file_limit() - 64;
}

/* Whatever ends the connection of somebody who gives no cause, it is not our promise that is broken. */
static bool excused(const struct client *c)
{
	bool crowded = c->phase == DIALED && sim_check_most_connections() < CLIENTS_MAX;

	return crowded || c->left || c->wire.link->hurt || c->wire.link->holed || sim_times.stopping ||
	       sim_times.society.hungry || (c->persona != GOOD && c->persona != PROBE);
}

static bool after_stall(void)
{
	return sim.stalled_us != 0 && sim.now_us - sim.stalled_us < STALL_FELT_US;
}

static bool redis_may_fail(void)
{
	return sim.now_us - sim_redis_troubled_us() < AFTERMATH_US || after_stall() ||
	       sim_times.society.hungry;
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
	bool hampered = c->wire.link->was_full || c->wire.link->holed || after_stall();

	switch (code) {
	case 1000: return c->left;
	case 3001: return sim_times.draining;
	case 3008: return c->wire.link->was_full;
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
	case 3004: return sim_times.society.hungry;
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
		sim_wire_send_frame(&c->wire, 0x88, data, 2);
	c->left = true;
}

/* --- messages --- */

static void on_publication(struct client *c, const json_t *push)
{
	const char *name = json_string_value(json_object_get(push, "channel"));
	const json_t *data = json_object_get(json_object_get(push, "pub"), "data");
	int channel = name == NULL ? -1 : truth_find_channel(BYTES_OF_STR(name));

	SIM_CHECK(channel >= 0 && data != NULL, "%s: a push that is no publication", c->name);
	if (channel == TRUTH_KEPT) {
		truth_seen_kept(&c->subs[channel].view, json_object_get(push, "pub"),
		                sim_times.society.hungry, c->name);
		c->kept = c->subs[channel].view;
		return;
	}
	truth_seen(&c->subs[channel].view, (unsigned)channel, data, sim_times.society.hungry, c->name);
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
	SIM_CHECK(view->epoch != sim_stream_epoch() || sim_times.society.hungry,
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
	SIM_CHECK(recovered || !cmd->recover || epoch != c->kept.epoch || sim_times.society.hungry ||
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
		truth_seen_kept(view, json_array_get(publications, i), sim_times.society.hungry, c->name);
	c->kept = *view;
}

static void on_connected(struct client *c, const json_t *result)
{
	c->connected = true;
	SIM_CHECK(json_integer_value(json_object_get(result, "ping")) ==
	                  (json_int_t)sim_times.society.config->client.ping_interval_ms / 1000,
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
	          "%s: error %lld for %s", c->name, (long long)code, sim_command_name(cmd->kind));
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
	result = json_object_get(reply, sim_command_name(cmd.kind));
	SIM_CHECK(json_is_object(result), "%s: a reply to %s without a result", c->name,
	          sim_command_name(cmd.kind));
	on_success(c, &cmd, result);
}

static void on_ping(struct client *c)
{
	sim.counts.pings++;
	if (c->persona != MUTE)
		sim_wire_send_message(&c->wire, "{}", 2);
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

void sim_check_frame(void *owner, unsigned first_byte, const char *data, size_t len)
{
	struct client *c = owner;

	SIM_CHECK(!c->told_to_go, "%s: a frame after the close frame", c->name);
	SIM_CHECK((first_byte & 8) == 0 || len < 126, "%s: a control frame of %zu bytes", c->name, len);
	switch (first_byte) {
	case 0x81: on_text(c, data, len); return;
	case 0x88: on_close_frame(c, data, len); return;
	case 0x8a: on_pong(c, data, len); return;
	default: sim_fail("%s: a frame that begins with %02x", c->name, first_byte);
	}
}

/* --- responses --- */

/* Where accepting fails, the last descriptor is spent on an answer, as far as the socket takes it. */
static bool may_be_refused(void)
{
	return sim_check_most_connections() < CLIENTS_MAX || sim.weather.accept_fails > 0;
}

static void refused(struct client *c)
{
	SIM_CHECK(may_be_refused() || sim_times.society.hungry, "%s: refused, and there is room", c->name);
	sim.counts.refusals++;
	c->left = true;
}

static uint64_t deafness_shows_us(void)
{
	const struct config *config = sim_times.society.config;

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

void sim_check_response(void *owner, int status, struct bytes body)
{
	struct client *c = owner;

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

/* --- the end --- */

void sim_check_end(const struct client *c, bool reset)
{
	/* Who is too slow for the close frame, too, is dropped in the end. */
	if (excused(c) || (reset && c->wire.link->was_full))
		return;
	SIM_CHECK(c->wire.in_len == 0 || (c->phase != OPEN && may_be_refused()),
	          "%s: a frame that is torn off after %zu bytes", c->name, c->wire.in_len);
	SIM_CHECK(c->phase != OPEN, "%s: dropped without a word", c->name);
	SIM_CHECK(may_be_refused() || sim_times.draining || after_stall() || c->requests == 0,
	          "%s: dropped, and %u requests wait", c->name, c->requests);
	SIM_CHECK(may_be_refused() || sim_times.draining || after_stall() || c->persona != GOOD,
	          "%s: dropped instead of upgraded", c->name);
}

void sim_check_gone(const struct client *c)
{
	SIM_CHECK(c->phase != OPEN || excused(c), "%s: the worker is gone without telling", c->name);
}
