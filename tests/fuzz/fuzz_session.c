/* A session in a hostile world: a client that sends anything, and a Redis that confirms, answers, fails, goes
 * away, publishes and is silent at any moment. Each line that is written is JSON; replies keep the order of
 * commands, and each command has at most one; a closed session says nothing more; nothing is left when it is
 * gone.
 *
 * The input is a script: a text, and a byte below 8 that says what is done with it. An input that begins with
 * "u" is about a unidirectional client. */
#include "fuzz.h"

#include <jansson.h>

#include "clock.h"
#include "codec.h"
#include "fake_conn.h"
#include "fake_loop.h"
#include "fake_redis.h"
#include "log.h"
#include "quiet_hub.h"
#include "session.h"

enum { STEP_SAY = 1, STEP_CONFIRM, STEP_ANSWER, STEP_FAIL, STEP_WAIT, STEP_REDIS, STEP_PUBLISH, STEPS };
enum { MESSAGE_MAX = 65536, IDS_MAX = 1024, WAIT_MS = 6000 };

static char prefix[] = "";
static struct channel_options namespaces[] = {
	{.name = (char[]){"live"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_publish_for_client = true,
         .allow_publish_for_anonymous = true},
	{.name = (char[]){"deny"}},
	{.name = (char[]){"limited"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_user_limited_channels = true},
};

static const struct config config = {
	.redis = {.prefix = prefix, .call_timeout_ms = 5000},
	.client = {.allow_anonymous_connect_without_token = true,
                   .ping_interval_ms = 25000,
                   .pong_timeout_ms = 8000,
                   .stale_close_delay_ms = 10000,
                   .channel_limit = 3},
	.websocket = {.message_size_limit = MESSAGE_MAX},
	.uni_websocket = {.message_size_limit = MESSAGE_MAX},
	.channel = {.max_length = 30,
                    .without_namespace = {.allow_subscribe_for_client = true,
                                          .allow_subscribe_for_anonymous = true,
                                          .allow_publish_for_client = true,
                                          .allow_publish_for_anonymous = true},
                    .namespaces = namespaces,
                    .namespace_count = ARRAY_LEN(namespaces)},
};

static struct {
	struct hub *hub;
	struct clients *clients;
	struct conn conn;
	bool ready;
	bool uni;
	uint32_t asked[IDS_MAX]; /* ids of commands, in their order */
	size_t count, answered;
} t;

static void set_up(bool uni)
{
	static const struct http1_request request;

	memset(&t, 0, sizeof(t));
	log_setup(LOG_ERROR, LOG_TEXT);
	clock_freeze(1000000, 1700000000000);
	t.ready = true;
	t.uni = uni;
	t.hub = quiet_hub_new(NULL, &config);
	t.clients = clients_new(NULL, &config, t.hub);
	fake_conn_init(&t.conn);
	session_upgrade(t.clients, &t.conn, &request, &(struct session_params){.uni = uni});
}

static void take_down(void)
{
	fake_conn_free(&t.conn);
	fake_loop_turn();
	CHECK(fake_loop_timers() == 0 && fake_redis_calls() == 0 && fake_redis_subs() == 0);
	CHECK(hub_channel_count(t.hub) == 0);
	clients_free(&t.clients);
	hub_free(&t.hub);
}

/* Remembers the ids of the commands in a message. */
static void note_ids(const char *message)
{
	struct bytes rest = BYTES_OF_STR(message);
	struct command cmd;
	struct buf scratch;

	buf_init(&scratch, CODEC_SCRATCH_MAX(rest.len));
	for (bool first = true; t.count < IDS_MAX; first = false) {
		if (codec_json.next(&rest, first, &scratch, &cmd) != CODEC_COMMAND)
			break;
		t.asked[t.count++] = cmd.id;
	}
	buf_free(&scratch);
}

static void check_reply(uint32_t id)
{
	while (t.answered < t.count && t.asked[t.answered] != id)
		t.answered++;
	CHECK(t.answered < t.count || t.count == IDS_MAX);
	t.answered++;
}

static void check_line(struct bytes line)
{
	json_error_t error;
	json_t *root = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	json_t *id;

	/* What came from outside may hold what jansson cannot. */
	if (root == NULL) {
		CHECK(strstr(error.text, "duplicate") != NULL ||
		      strstr(error.text, "invalid Unicode") != NULL ||
		      strstr(error.text, "overflow") != NULL || strstr(error.text, "too big") != NULL ||
		      strstr(error.text, "NUL byte") != NULL);
		return;
	}
	CHECK(json_is_object(root));
	id = json_object_get(root, "id");
	CHECK(!t.uni || id == NULL);
	CHECK((id != NULL) + (json_object_get(root, "push") != NULL) <= 1);
	if (id != NULL)
		check_reply((uint32_t)json_integer_value(id));
	json_decref(root);
}

static void check_output(bool was_open)
{
	struct bytes rest = buf_bytes(&t.conn.out);

	CHECK(was_open || rest.len == 0);
	while (rest.len > 0) {
		const char *end = memchr(rest.ptr, '\n', rest.len);

		CHECK(end != NULL);
		check_line((struct bytes){rest.ptr, (size_t)(end - rest.ptr)});
		rest = (struct bytes){end + 1, (size_t)(rest.ptr + rest.len - end - 1)};
	}
	buf_reset(&t.conn.out);
}

static void publish(char *text)
{
	char *payload = strchr(text, ' ');

	if (payload == NULL)
		return;
	*payload++ = '\0';
	if (fake_redis_has_sub(text))
		fake_redis_message(text, payload);
}

static void step(char *text, int what)
{
	static const struct redis_reply one = {.type = REDIS_INTEGER, .integer = 1};

	switch (what) {
	case STEP_SAY:
		note_ids(text);
		fake_conn_say(&t.conn, text);
		break;
	case STEP_CONFIRM: (void)fake_redis_confirm_next(); break;
	case STEP_ANSWER:
	case STEP_FAIL:
		if (fake_redis_calls() > 0)
			fake_redis_answer(what == STEP_ANSWER ? &one : NULL);
		break;
	case STEP_WAIT:
		fake_loop_advance(WAIT_MS);
		hub_tick(t.hub);
		break;
	case STEP_REDIS: fake_redis_set_ready(t.ready = !t.ready); break;
	case STEP_PUBLISH: publish(text); break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t start = size > 0 && data[0] == 'u';

	set_up(start > 0);
	check_output(true);
	for (size_t at = start; at < size; at++) {
		char *text;
		bool was_open = t.conn.open;

		if (data[at] >= STEPS || data[at] == 0)
			continue;
		text = fuzz_text(data + start, at - start);
		step(text, data[at]);
		fake_loop_turn();
		fake_conn_go_on(&t.conn);
		fake_loop_turn();
		check_output(was_open);
		mem_free(text);
		start = at + 1;
	}
	take_down();
	return 0;
}
