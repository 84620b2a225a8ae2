/* `fanfare subscribe`: a client of the client protocol that prints what is published, a line each. Reconnects
 * by itself, and asks for what was published in between where the channel keeps it. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "args.h"
#include "buf.h"
#include "bytes.h"
#include "cli.h"
#include "followed.h"
#include "json_find.h"
#include "json_writer.h"
#include "mem.h"
#include "terminal.h"
#include "ws_client.h"

const char cli_subscribe_help[] =
	"usage: fanfare subscribe [OPTION...] CHANNEL...\n"
	"\n"
	"Prints a line for each publication: its payload, and before it, when there are\n"
	"several channels, the channel and a tab. Ends with Ctrl-C.\n"
	"\n"
	"Connects again when it lost the line. What was published meanwhile is printed\n"
	"then if the channel has history; if some of that is gone, standard error says\n"
	"so. On other channels it is missed.\n"
	"\n"
	"Options:\n"
	"  --url URL            ws://127.0.0.1:8080/connection/websocket\n"
	"  --count N            end after N publications\n"
	"  --verbose            print the channel for a single one, too, and tell on\n"
	"                       standard error when a subscription stands (else only\n"
	"                       after trouble)\n"
	"\n"
	"Exit codes: 0 ended as asked, 1 refused or nobody there, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare subscribe news\n"
	"  fanfare subscribe --count 1 --url ws://10.0.0.5/connection/websocket news\n";

enum {
	COMMANDS_MAX = 1 << 20,
	CONNECT_ID = 1,
	FIRST_SUBSCRIBE_ID = 2, /* of the first channel, then counted up */
	PING_SLACK_MS = 10000,  /* a ping may be late by so much */
	DEFAULT_SILENCE_MS = 60000,
	BACKOFF_FIRST_MS = 500,
	BACKOFF_MAX_MS = 20000,
	ERROR_INTERNAL = 100,
	INSUFFICIENT_STATE = 2500,
	TOLD_MAX = 1024,
};

/* What to do after a message, or with a connection that ended. */
enum next { GO_ON, RECONNECT, END_OK, END_FAILED };

struct subscriber {
	struct args args;
	const char *url;
	struct followed *channels;
	size_t channel_count;
	uint64_t count; /* 0: no end */
	bool verbose;

	struct ws_client *ws;
	struct buf scratch;
	uint64_t silence_ms;
	uint64_t printed;
	size_t pending;      /* subscriptions that do not stand yet */
	unsigned failures;   /* in a row, to come to where all of them stand */
	char told[TOLD_MAX]; /* the trouble that was told last; empty when there is none */
	bool was_connected;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
	interrupted = 1;
}

/* The signals are blocked but while it waits, so that none falls between looking and waiting. */
static void catch_signals(sigset_t *waiting)
{
	struct sigaction action = {.sa_handler = on_interrupt};
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigprocmask(SIG_BLOCK, &ours, waiting);
	sigdelset(waiting, SIGINT);
	sigdelset(waiting, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* Trouble is told when it comes and when it changes, not at each try. */
static void tell(struct subscriber *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void tell(struct subscriber *s, const char *fmt, ...)
{
	char text[TOLD_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strcmp(text, s->told) == 0)
		return;
	memcpy(s->told, text, sizeof(text));
	fputs("fanfare subscribe: ", stderr);
	terminal_print(stderr, text);
	fputc('\n', stderr);
}

/* --- sending --- */

static bool send_commands(struct subscriber *s)
{
	struct buf b;
	bool ok;

	s->pending = s->channel_count;
	buf_init(&b, COMMANDS_MAX);
	buf_putf(&b, "{\"id\":%d,\"connect\":{\"name\":\"fanfare-cli\"}}", CONNECT_ID);
	for (size_t i = 0; i < s->channel_count; i++) {
		buf_putf(&b, "\n{\"id\":%zu,\"subscribe\":", FIRST_SUBSCRIBE_ID + i);
		followed_put_request(&s->channels[i], &b);
		buf_putc(&b, '}');
	}
	ok = buf_ok(&b) && ws_client_send(s->ws, buf_bytes(&b));
	buf_free(&b);
	return ok;
}

/* --- receiving --- */

static const char *find_text(struct subscriber *s, struct json_value object, const char *name)
{
	return json_find_text(object, name, &s->scratch);
}

/* NULL: none of ours. */
static struct followed *channel_of_push(struct subscriber *s, struct json_value push)
{
	const char *name = find_text(s, push, "channel");

	for (size_t i = 0; i < s->channel_count; i++) {
		if (strcmp(s->channels[i].channel, name) == 0)
			return &s->channels[i];
	}
	return NULL;
}

static struct followed *channel_of_id(const struct subscriber *s, uint64_t id)
{
	if (id < FIRST_SUBSCRIBE_ID || id - FIRST_SUBSCRIBE_ID >= s->channel_count)
		return NULL;
	return &s->channels[id - FIRST_SUBSCRIBE_ID];
}

static enum next on_publication(struct subscriber *s, struct followed *f, struct json_value publication)
{
	struct json_value data;

	followed_take_publication(f, publication);
	if (!json_find(publication, "data", &data))
		return GO_ON;
	if (s->verbose || s->channel_count > 1) {
		terminal_print(stdout, f->channel);
		putchar('\t');
	}
	buf_reset(&s->scratch);
	json_put_compact(&s->scratch, data.text);
	if (buf_ok(&s->scratch))
		fwrite(s->scratch.data, 1, s->scratch.len, stdout);
	putchar('\n');
	s->printed++;
	return s->count != 0 && s->printed == s->count ? END_OK : GO_ON;
}

/* From 2500 on the client is expected to subscribe again. */
static enum next on_unsubscribed(struct subscriber *s, struct followed *f, struct json_value unsubscribe)
{
	uint64_t code = json_find_uint(unsubscribe, "code");

	tell(s, "the broker ended the subscription to %s: %s (%llu)", f->channel,
	     find_text(s, unsubscribe, "reason"), (unsigned long long)code);
	f->is_cut = code == INSUFFICIENT_STATE;
	return code >= 2500 ? RECONNECT : END_FAILED;
}

static enum next on_push(struct subscriber *s, struct json_value push)
{
	struct followed *f = channel_of_push(s, push);
	struct json_value value;

	if (f != NULL && json_find(push, "pub", &value))
		return on_publication(s, f, value);
	if (f != NULL && json_find(push, "unsubscribe", &value))
		return on_unsubscribed(s, f, value);
	return GO_ON;
}

static enum next on_error(struct subscriber *s, uint64_t id, struct json_value error)
{
	uint64_t code = json_find_uint(error, "code");
	const struct followed *f = channel_of_id(s, id);
	bool later = code == ERROR_INTERNAL || json_find_true(error, "temporary");

	tell(s, "%s%s: %s (%llu)", f != NULL ? "cannot subscribe to " : "cannot connect",
	     f != NULL ? f->channel : "", find_text(s, error, "message"), (unsigned long long)code);
	return later ? RECONNECT : END_FAILED;
}

static void on_connected(struct subscriber *s, struct json_value connect)
{
	uint64_t ping_s = json_find_uint(connect, "ping");

	s->silence_ms = ping_s != 0 ? ping_s * 1000 + PING_SLACK_MS : DEFAULT_SILENCE_MS;
}

/* A connection alone is no success: a broker without its Redis takes it, too. */
static void tell_subscribed(struct subscriber *s, const struct followed *f, bool is_lossy)
{
	if (s->verbose || s->told[0] != '\0' || is_lossy) {
		fputs("fanfare subscribe: subscribed to ", stderr);
		terminal_print(stderr, f->channel);
		fputs(is_lossy ? "; publications were missed that are not there any more\n" : "\n", stderr);
	}
	if (s->pending > 0 && --s->pending > 0)
		return;
	s->failures = 0;
	s->told[0] = '\0';
}

static enum next on_subscribed(struct subscriber *s, struct followed *f, struct json_value answer)
{
	bool is_lossy = followed_take_answer(f, answer);
	struct json_value list, publication;
	enum next next = GO_ON;
	struct json_iter it;

	tell_subscribed(s, f, is_lossy);
	if (!json_find(answer, "publications", &list) || list.type != JSON_VALUE_ARRAY)
		return GO_ON;
	it = json_iter(list);
	while (next == GO_ON && json_next_element(&it, &publication))
		next = on_publication(s, f, publication);
	return next;
}

static enum next on_reply(struct subscriber *s, struct json_value reply)
{
	uint64_t id = json_find_uint(reply, "id");
	struct json_value value;

	if (json_find(reply, "push", &value))
		return on_push(s, value);
	if (json_find(reply, "error", &value))
		return on_error(s, id, value);
	if (json_find(reply, "connect", &value))
		on_connected(s, value);
	else if (json_find(reply, "subscribe", &value) && channel_of_id(s, id) != NULL)
		return on_subscribed(s, channel_of_id(s, id), value);
	else if (id == 0 && !ws_client_send(s->ws, BYTES("{}"))) /* the answer to a ping */
		return RECONNECT;
	return GO_ON;
}

static enum next on_message(struct subscriber *s, struct bytes message)
{
	enum next next = GO_ON;

	while (next == GO_ON && message.len > 0) {
		const char *newline = memchr(message.ptr, '\n', message.len);
		size_t len = newline != NULL ? (size_t)(newline - message.ptr) : message.len;
		struct json_value reply;

		if (!json_parse((struct bytes){message.ptr, len}, &reply)) {
			tell(s, "who answers there does not speak the client protocol");
			return END_FAILED;
		}
		next = on_reply(s, reply);
		len += newline != NULL;
		message = bytes_skip(message, len);
	}
	return next;
}

/* The broker's codes say whether to come back: 3500 to 3999 and 4500 to 4999 mean no, and so do messages that
 * are too big. */
static enum next on_closed(struct subscriber *s)
{
	unsigned code = ws_client_close_code(s->ws);
	bool final = code == 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

	tell(s, "disconnected: %s (%u)", ws_client_close_reason(s->ws), code);
	return final ? END_FAILED : RECONNECT;
}

static enum next on_event(struct subscriber *s, enum ws_client_event event, struct bytes message)
{
	switch (event) {
	case WS_CLIENT_MESSAGE: return on_message(s, message);
	case WS_CLIENT_SILENCE: tell(s, "disconnected: the broker went silent"); return RECONNECT;
	case WS_CLIENT_CLOSED: return on_closed(s);
	case WS_CLIENT_SIGNAL: return GO_ON;
	}
	return GO_ON;
}

static enum next listen_until_lost(struct subscriber *s)
{
	enum next next = send_commands(s) ? GO_ON : RECONNECT;
	struct bytes message = BYTES_NONE;

	while (next == GO_ON) {
		enum ws_client_event event = ws_client_receive(s->ws, s->silence_ms, &message);

		if (interrupted)
			return END_OK;
		next = on_event(s, event, message);
		if (fflush(stdout) != 0)
			return END_FAILED; /* main() tells why */
	}
	return next;
}

/* --- connecting --- */

static enum next on_not_connected(struct subscriber *s, const struct ws_client_failure *f)
{
	if (f->error == WS_CLIENT_INTERRUPTED)
		return interrupted ? END_OK : RECONNECT;
	tell(s, "cannot connect to %s: %s", s->url, f->text);
	/* Who never had a connection rather has the wrong URL than a broker that restarts. */
	return f->error == WS_CLIENT_TRY_LATER && s->was_connected ? RECONNECT : END_FAILED;
}

static enum next connect_and_listen(struct subscriber *s, const sigset_t *waiting)
{
	struct ws_client_failure failure;
	enum next next;

	s->silence_ms = DEFAULT_SILENCE_MS;
	s->ws = ws_client_open(s->url, waiting, &failure);
	if (s->ws == NULL)
		return on_not_connected(s, &failure);
	s->was_connected = true;
	next = listen_until_lost(s);
	ws_client_close(&s->ws);
	return next;
}

/* From 0.5 s up to somewhere below 1 s, 1.5 s, 2.5 s, … 20 s, as the SDKs do: those who lost the same broker
 * do not all come back in one instant. */
static void back_off(struct subscriber *s, const sigset_t *waiting)
{
	unsigned full_ms = BACKOFF_FIRST_MS << (s->failures < 6 ? s->failures : 6);
	unsigned ms;
	struct timespec ts;

	s->failures++;
	ms = BACKOFF_FIRST_MS + arc4random_uniform(full_ms);
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	ts = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	(void)!pselect(0, NULL, NULL, NULL, &ts, waiting);
}

static int run(struct subscriber *s)
{
	enum next next = RECONNECT;
	sigset_t waiting;

	catch_signals(&waiting);
	buf_init(&s->scratch, WS_CLIENT_MESSAGE_MAX);
	while (!interrupted && (next = connect_and_listen(s, &waiting)) == RECONNECT)
		back_off(s, &waiting);
	buf_free(&s->scratch);
	return interrupted || next == END_OK ? EXIT_OK : EXIT_FAILED;
}

/* --- the command line --- */

static int take_channel(struct subscriber *s, const char *value)
{
	if (value[0] == '\0')
		return args_wrong(&s->args, "a channel must have a name, not ''");
	s->channels[s->channel_count++].channel = value;
	return EXIT_OK;
}

static int take_url(struct subscriber *s, const char *value)
{
	if (!ws_client_is_url(value))
		return args_wrong(&s->args, "--url: must be ws://HOST[:PORT]/PATH, not \"%s\"", value);
	s->url = value;
	return EXIT_OK;
}

static int take_count(struct subscriber *s, const char *value)
{
	struct json_value number;

	if (json_parse(BYTES_OF_STR(value), &number) && number.type == JSON_VALUE_NUMBER &&
	    json_uint(number, UINT32_MAX, &s->count) && s->count > 0)
		return EXIT_OK;
	return args_wrong(&s->args, "--count: must be a number from 1 on, not \"%s\"", value);
}

static int parse(struct subscriber *s)
{
	enum { ARG_URL, ARG_COUNT, ARG_VERBOSE };
	static const struct args_option options[] = {
		{"--url", true}, {"--count", true}, {"--verbose", false}};
	const char *value;
	int which, code = EXIT_OK;

	while (code == EXIT_OK &&
	       (which = args_next(&s->args, options, ARRAY_LEN(options), &value)) != ARGS_END) {
		switch (which) {
		case ARGS_WRONG: code = EXIT_USAGE; break;
		case ARGS_OPERAND: code = take_channel(s, value); break;
		case ARG_URL: code = take_url(s, value); break;
		case ARG_COUNT: code = take_count(s, value); break;
		case ARG_VERBOSE: s->verbose = true; break;
		}
	}
	if (code != EXIT_OK)
		return code;
	return s->channel_count > 0 ? EXIT_OK : args_wrong(&s->args, "a channel is needed");
}

int cli_subscribe(int argc, char **argv)
{
	struct subscriber s = {.url = "ws://127.0.0.1:8080/connection/websocket"};
	int code;

	args_init(&s.args, argc, argv);
	s.channels = mem_alloc((size_t)argc * sizeof(*s.channels));
	code = parse(&s);
	if (code == EXIT_OK)
		code = run(&s);
	for (size_t i = 0; i < s.channel_count; i++)
		followed_free(&s.channels[i]);
	mem_free(s.channels);
	return code;
}
