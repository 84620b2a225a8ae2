/* What each client of the recorded conversations sends, from the first byte of its handshake to its last
 * frame, comes as it was sent, all at once, a byte at a time, and in two pieces with every possible cut: what
 * the worker writes is the same to the byte. All of the worker is there but Redis (fake_redis), which answers
 * only when all else is still, so that nothing but the cuts differs. Whether what it writes is right is asked
 * by tests/e2e/test_conversations.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <jansson.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "config.h"
#include "conns.h"
#include "fake_redis.h"
#include "http.h"
#include "mem.h"
#include "quiet_hub.h"
#include "session.h"

enum {
	STREAM_MAX = 64 << 10,
	OUT_MAX = 8 << 20,
	SENDS_MAX = 4096,
	TURNS = 4,        /* until what was read is answered */
	STREAMS_MIN = 300 /* or we look in the wrong place */
};

/* What one client sends. */
struct stream {
	char name[128];
	struct buf bytes;
	size_t handshake_len;
	size_t ends[SENDS_MAX]; /* of each send(2) of the original */
	size_t count;
};

static struct {
	struct config *config;
	struct loop *loop;
	struct hub *hub;
	struct clients *clients;
	struct http *http;
	struct conns *conns;
	int peer; /* the client's end */
} t;

/* So that each client gets the same id. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
	memset(out, 7, len);
	return (ssize_t)len;
}

/* --- the worker --- */

static void on_request(void *ctx, struct conn *c, const struct http1_request *req)
{
	http_handle(t.http, c, req, false);
}

static void on_drained(void *ctx)
{
}

#define EVERYBODY                                                                 \
	"allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, " \
	"allow_publish_for_client: true, allow_publish_for_anonymous: true"

/* The profiles of tests/e2e/test_conversations.py, as variables. */
static const char *const profile_default[] = {
	"FANFARE_UNI_WEBSOCKET_ENABLED=true",
	"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_CLIENT=true",
	"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_ANONYMOUS=true",
	"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT=true",
	"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_ANONYMOUS=true",
	"FANFARE_CHANNEL_NAMESPACES=[{name: live, " EVERYBODY "}, {name: deny}, {name: hist, " EVERYBODY "},"
	"{name: nopub, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true},"
	"{name: subpub, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,"
	" allow_publish_for_subscriber: true, allow_publish_for_anonymous: true}]",
};
static const char anonymous[] = "FANFARE_CLIENT_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN=true";
static const char *const profile_limits[] = {
	"FANFARE_CLIENT_CHANNEL_LIMIT=3",
	"FANFARE_CHANNEL_MAX_LENGTH=40",
	"FANFARE_WEBSOCKET_MESSAGE_SIZE_LIMIT=1000",
};

static struct config *load_config(const char *profile)
{
	const char *variables[ARRAY_LEN(profile_default) + 1 + ARRAY_LEN(profile_limits) + 1] = {NULL};
	size_t count = ARRAY_LEN(profile_default);
	struct config *config;
	struct buf errors;

	memcpy(variables, profile_default, sizeof(profile_default));
	if (strcmp(profile, "strict") != 0)
		variables[count++] = anonymous;
	if (strcmp(profile, "limits") == 0)
		memcpy(variables + count, profile_limits, sizeof(profile_limits));
	buf_init(&errors, 4096);
	config = config_load(&(struct config_sources){.environment = (char *const *)variables}, &errors);
	if (config == NULL)
		fail_msg("%.*s", BYTES_FMT(buf_bytes(&errors)));
	return config;
}

static void build(const char *profile)
{
	clock_freeze(1000000, 1700000000000);
	t.config = load_config(profile);
	t.loop = loop_new();
	t.hub = quiet_hub_new(t.loop, t.config);
	t.clients = clients_new(t.loop, t.config, t.hub);
	t.http = http_new(&(struct http_params){.config = t.config, .hub = t.hub, .clients = t.clients});
	t.conns = conns_new(&(struct conns_params){
		.loop = t.loop, .config = t.config, .on_request = on_request, .on_drained = on_drained});
}

static void take_down(void)
{
	conns_free(&t.conns);
	http_free(&t.http);
	clients_free(&t.clients);
	hub_free(&t.hub);
	loop_free(&t.loop);
	config_free(&t.config);
}

/* --- playing --- */

static void turn(int times)
{
	while (times-- > 0)
		ev_run(loop_ev(t.loop), EVRUN_NOWAIT);
}

/* Takes what was written; false when there was nothing. */
static bool take_output(struct buf *out)
{
	bool some = false;
	ssize_t n;

	do {
		char *room = buf_reserve(out, 64 << 10);

		assert_non_null(room);
		n = recv(t.peer, room, 64 << 10, MSG_DONTWAIT);
		if (n > 0)
			buf_commit(out, (size_t)n);
		some |= n > 0;
	} while (n > 0);
	return some;
}

static void send_piece(const char *data, size_t len, struct buf *out)
{
	while (len > 0) {
		ssize_t n = send(t.peer, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return; /* closed: what is said about it stands in the output */
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
		turn(1);
		take_output(out);
	}
}

/* The message comes to whoever is subscribed, after the reply to the publisher. */
static void answer_call(void)
{
	static const struct redis_reply one = {.type = REDIS_INTEGER, .integer = 1};
	char *text = mem_strdup(fake_redis_call());
	char *channel = text + strlen("PUBLISH ");
	char *payload = strchr(channel, ' ');

	assert_memory_equal(text, "PUBLISH ", 8);
	*payload++ = '\0';
	fake_redis_answer(&one);
	if (fake_redis_has_sub(channel))
		fake_redis_message(channel, payload);
	mem_free(text);
}

/* One thing that Redis has to say; false when there is nothing. */
static bool redis_speaks(void)
{
	if (fake_redis_confirm_next())
		return true;
	if (fake_redis_calls() == 0)
		return false;
	answer_call();
	return true;
}

static void settle(struct buf *out)
{
	do {
		do
			turn(TURNS);
		while (take_output(out));
	} while (redis_speaks());
}

static void open_client(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t.peer = fds[1];
	conns_accept(t.conns, fds[0], &(struct address){.sa.any.sa_family = AF_UNIX}, NULL);
}

/* Whether the stream has ended belongs to what was written. */
static void close_client(struct buf *out)
{
	char byte;
	bool ended = recv(t.peer, &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN;

	buf_puts(out, ended ? "ended" : "open");
	close(t.peer);
	turn(TURNS);
	assert_int_equal(conns_count(t.conns), 0);
	assert_int_equal(hub_channel_count(t.hub), 0);
	assert_int_equal(fake_redis_calls(), 0);
}

/* Plays the stream in pieces that end at `ends`, and at its own end. */
static void play(const struct stream *s, const size_t *ends, size_t count, struct buf *out)
{
	size_t at = 0;

	buf_reset(out);
	open_client();
	for (size_t i = 0; i < count; at = ends[i++])
		send_piece(s->bytes.data + at, ends[i] - at, out);
	send_piece(s->bytes.data + at, s->bytes.len - at, out);
	settle(out);
	close_client(out);
	assert_true(buf_ok(out));
}

static void play_bytewise(const struct stream *s, struct buf *out)
{
	size_t *ends = mem_alloc(s->bytes.len * sizeof(*ends));

	for (size_t i = 0; i < s->bytes.len; i++)
		ends[i] = i + 1;
	play(s, ends, s->bytes.len, out);
	mem_free(ends);
}

static void check_same(const struct stream *s, const struct buf *expected, const struct buf *out,
                       const char *how, size_t cut)
{
	if (!bytes_eq(buf_bytes(expected), buf_bytes(out)))
		fail_msg("%s, %s %zu: %.*s\ninstead of: %.*s", s->name, how, cut, BYTES_FMT(buf_bytes(out)),
		         BYTES_FMT(buf_bytes(expected)));
}

/* Every cut from `first` on. */
static void check_stream(const struct stream *s, size_t first)
{
	struct buf expected, out;

	buf_init(&expected, OUT_MAX);
	buf_init(&out, OUT_MAX);
	play(s, s->ends, s->count, &expected);
	assert_true(bytes_start_with(buf_bytes(&expected), BYTES("HTTP/1.1 101 ")));
	play(s, NULL, 0, &out);
	check_same(s, &expected, &out, "all at once", 0);
	play_bytewise(s, &out);
	check_same(s, &expected, &out, "a byte at a time", 0);
	for (size_t cut = first; cut < s->bytes.len; cut++) {
		play(s, &cut, 1, &out);
		check_same(s, &expected, &out, "cut at", cut);
	}
	buf_free(&expected);
	buf_free(&out);
}

/* --- what is sent --- */

/* The placeholders that stand for a length: <repeat:300:x>. Others are as good a text as any. */
static void put_text(struct buf *out, const char *text)
{
	const char *repeat;
	int count, used;
	char c;

	while ((repeat = strstr(text, "<repeat:")) != NULL &&
	       sscanf(repeat, "<repeat:%d:%c>%n", &count, &c, &used) == 2) {
		buf_put(out, text, (size_t)(repeat - text));
		while (count-- > 0)
			buf_putc(out, c);
		text = repeat + used;
	}
	buf_puts(out, text);
}

static void end_send(struct stream *s)
{
	assert_true(s->count < SENDS_MAX);
	s->ends[s->count++] = s->bytes.len;
}

static void put_frame(struct stream *s, enum ws_opcode opcode, bool fin, struct bytes payload)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	char head[WS_HEADER_MAX];
	size_t head_len = ws_encode_header(head, opcode, payload.len);

	head[0] = (char)(fin ? head[0] : head[0] & 0x7f);
	head[1] = (char)((unsigned char)head[1] | 0x80);
	buf_put(&s->bytes, head, head_len);
	buf_put(&s->bytes, mask, sizeof(mask));
	buf_put_bytes(&s->bytes, payload);
	if (buf_ok(&s->bytes))
		ws_mask(s->bytes.data + s->bytes.len - payload.len, payload.len, mask, 0);
	end_send(s);
}

static void put_texts(struct stream *s, json_t *texts, enum ws_opcode opcode, bool fragments)
{
	size_t count = json_is_array(texts) ? json_array_size(texts) : 1;

	for (size_t i = 0; i < count; i++) {
		json_t *text = json_is_array(texts) ? json_array_get(texts, i) : texts;
		struct buf payload;

		buf_init(&payload, STREAM_MAX);
		put_text(&payload, json_string_value(text));
		if (!buf_ok(&payload))
			s->bytes.failed = true;
		put_frame(s, fragments && i > 0 ? WS_CONTINUATION : opcode, !fragments || i + 1 == count,
		          buf_bytes(&payload));
		buf_free(&payload);
	}
}

static void put_hex(struct stream *s, const char *hex, enum ws_opcode opcode)
{
	char payload[1024];
	size_t len = strlen(hex) / 2;
	unsigned byte;

	assert_true(len <= sizeof(payload));
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		payload[i] = (char)byte;
	}
	put_frame(s, opcode, true, (struct bytes){payload, len});
}

static void put_send(struct stream *s, json_t *step)
{
	json_t *opcode = json_object_get(step, "opcode");
	enum ws_opcode kind = opcode != NULL ? (enum ws_opcode)json_integer_value(opcode) : WS_TEXT;

	if (json_object_get(step, "hex") != NULL)
		put_hex(s, json_string_value(json_object_get(step, "hex")), kind);
	else if (json_object_get(step, "fragments") != NULL)
		put_texts(s, json_object_get(step, "fragments"), kind, true);
	else
		put_texts(s, json_object_get(step, "text"), kind, false);
}

static void put_query(struct buf *out, json_t *query)
{
	char separator = '?';
	const char *name;
	json_t *value;

	json_object_foreach(query, name, value)
	{
		buf_putf(out, "%c%s=", separator, name);
		for (const char *p = json_string_value(value); *p != '\0'; p++)
			buf_putf(out, "%%%02x", (unsigned char)*p);
		separator = '&';
	}
}

static void put_handshake(struct stream *s, json_t *step)
{
	json_t *path = json_object_get(step, "path");
	size_t i;
	json_t *subprotocol;

	buf_putf(&s->bytes, "GET %s", path != NULL ? json_string_value(path) : "/connection/websocket");
	put_query(&s->bytes, json_object_get(step, "query"));
	buf_puts(&s->bytes, " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");
	json_array_foreach(json_object_get(step, "subprotocols"), i, subprotocol)
		buf_putf(&s->bytes, "Sec-WebSocket-Protocol: %s\r\n", json_string_value(subprotocol));
	buf_puts(&s->bytes, "\r\n");
	s->handshake_len = s->bytes.len;
	end_send(s);
}

static bool is_step(json_t *step, const char *kind, const char *client)
{
	json_t *who = json_object_get(step, kind);

	return json_is_string(who) && strcmp(json_string_value(who), client) == 0;
}

/* Everything that the client of that name sends. */
static void build_stream(struct stream *s, json_t *scenario, const char *client)
{
	json_t *step;
	size_t i;

	s->count = 0;
	snprintf(s->name, sizeof(s->name), "%s, client %s",
	         json_string_value(json_object_get(scenario, "name")), client);
	buf_init(&s->bytes, STREAM_MAX);
	json_array_foreach(json_object_get(scenario, "steps"), i, step)
	{
		if (is_step(step, "open", client))
			put_handshake(s, step);
		else if (is_step(step, "send", client))
			put_send(s, step);
		else if (is_step(step, "close", client))
			put_frame(s, WS_CLOSE, true, BYTES("\x03\xe8"));
	}
}

/* --- all of them --- */

static struct {
	unsigned streams, cuts;
	struct buf seen; /* of the same profile, those that were played, so that none is played twice */
} all;

static bool is_known(const char *profile, const struct stream *s)
{
	struct buf key;
	bool known;

	buf_init(&key, 2 * STREAM_MAX);
	buf_puts(&key, profile);
	buf_put_bytes(&key, buf_bytes(&s->bytes));
	known = all.seen.len > 0 && memmem(all.seen.data, all.seen.len, key.data, key.len) != NULL;
	if (!known)
		buf_put_bytes(&all.seen, buf_bytes(&key));
	assert_true(buf_ok(&all.seen));
	buf_free(&key);
	return known;
}

/* The handshakes are nearly all alike: the first is cut everywhere, the others from their end on. */
static void play_client(json_t *scenario, const char *client)
{
	json_t *server = json_object_get(scenario, "server");
	const char *profile = server != NULL ? json_string_value(server) : "default";
	struct stream s;

	build_stream(&s, scenario, client);
	if (buf_ok(&s.bytes) && !is_known(profile, &s)) {
		size_t first = all.streams == 0 ? 1 : s.handshake_len - 4;

		build(profile);
		check_stream(&s, first);
		take_down();
		all.streams++;
		all.cuts += (unsigned)(s.bytes.len - first);
	}
	buf_free(&s.bytes);
}

static void play_file(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	json_t *scenario, *step;
	size_t i, j;

	if (root == NULL)
		fail_msg("%s: %s", path, error.text);
	json_array_foreach(json_object_get(root, "scenarios"), i, scenario)
	{
		json_array_foreach(json_object_get(scenario, "steps"), j, step)
		{
			if (json_object_get(step, "open") != NULL)
				play_client(scenario, json_string_value(json_object_get(step, "open")));
		}
	}
	json_decref(root);
}

static void every_conversation_is_the_same_however_its_bytes_are_cut(void **state)
{
	DIR *folder = opendir(FANFARE_CONVERSATIONS);
	const struct dirent *entry;
	char path[4096];

	assert_non_null(folder);
	buf_init(&all.seen, 8 << 20);
	while ((entry = readdir(folder)) != NULL) {
		if (strstr(entry->d_name, ".json") == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", FANFARE_CONVERSATIONS, entry->d_name);
		play_file(path);
	}
	closedir(folder);
	buf_free(&all.seen);
	print_message("%u clients, %u cuts\n", all.streams, all.cuts);
	assert_true(all.streams >= STREAMS_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_conversation_is_the_same_however_its_bytes_are_cut),
	};

	return cmocka_run_group_tests_name("every_split", tests, NULL, NULL);
}
