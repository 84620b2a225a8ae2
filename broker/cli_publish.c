/* `fanfare publish`: hands publications to Redis, like any backend would. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "buf.h"
#include "bytes.h"
#include "cli.h"
#include "config_args.h"
#include "json_reader.h"
#include "json_writer.h"
#include "mem.h"
#include "redis_access.h"
#include "terminal.h"
#include "utf8.h"

const char cli_publish_help[] =
	"usage: fanfare publish [OPTION...] CHANNEL JSON\n"
	"       fanfare publish [OPTION...] CHANNEL -\n"
	"\n"
	"Publishes into a channel, and prints to how many workers of brokers Redis has\n"
	"handed the publication; on a channel with history also its offset and epoch.\n"
	"With - the payload is read from standard input.\n"
	"\n"
	"Options:\n"
	"  --text               the payload is plain text, and arrives as a JSON string\n"
	"  --lines              with -: each line that is not empty is a publication\n"
	"  --plain              reaches only who is there now, and is never kept: for a\n"
	"                       Redis without the functions that brokers load\n"
	"  --redis URL          redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with\n"
	"                       rediss:// for TLS, or unix:/PATH\n"
	"  --config FILE        the configuration that the broker was started with\n"
	"  --runtime-dir DIR    the runtime directory that the broker was started with\n"
	"\n"
	"Without the last three: the embedded Redis of the default runtime directory.\n"
	"\n"
	"Exit codes: 0 published, 1 not: no Redis, or the input is wrong, 2 wrong usage,\n"
	"as is a payload among the arguments that is not JSON.\n"
	"\n"
	"Examples:\n"
	"  fanfare publish news '{\"price\": 42}'\n"
	"  fanfare publish --text news 'Hello, everybody'\n"
	"  tail -f prices.ndjson | fanfare publish --lines prices -\n";

enum { ARG_TEXT = CONFIG_ARGS_COUNT, ARG_LINES, ARG_PLAIN };

static const struct args_option options[] = {
	CONFIG_ARGS, {"--text", false}, {"--lines", false}, {"--plain", false}};

enum { PAYLOAD_MAX = 16 << 20, CHANNEL_KEY_MAX = 8192, READ_CHUNK = 65536 };

struct publish {
	struct args args;
	struct config_args config_args;
	bool text, lines, plain;
	const char *channel;
	const char *payload; /* "-": standard input */
	struct redis_access access;
	struct redis_errand *redis;
	const struct channel_options *options; /* of the channel; NULL: only the broker knows them */
	struct buf key;                        /* the channel's name in Redis */
	struct buf data;                       /* what is published, as JSON */
	size_t line;                           /* of standard input, with --lines; 0: not in one */
};

static void complain(const struct publish *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void complain(const struct publish *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	fputs("fanfare publish: ", stderr);
	if (p->line > 0)
		fprintf(stderr, "line %zu: ", p->line);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	terminal_print(stderr, text);
	fputc('\n', stderr);
}

/* False after telling what is wrong with it. Whatever the broker would not take is refused here, where
 * somebody sees it. */
static bool take_payload(struct publish *p, struct bytes payload)
{
	struct json_value value;

	buf_reset(&p->data);
	if (p->text) {
		if (!utf8_valid(payload)) {
			complain(p, "the text is not UTF-8");
			return false;
		}
		json_put_string(&p->data, payload);
	} else {
		if (!json_parse(payload, &value)) {
			complain(p, "the payload is not JSON (--text for plain text)");
			return false;
		}
		buf_put_bytes(&p->data, value.text);
	}
	if (buf_ok(&p->data))
		return true;
	complain(p, "the payload is longer than %d bytes", PAYLOAD_MAX);
	return false;
}

/* Where there are no functions for us: what it takes not to lose the publication, or to agree to that. */
static const char *advice(const struct publish *p)
{
	if (p->options != NULL)
		return " (--plain reaches only who is there now)";
	return " (--config FILE does without, --plain reaches only who is there now)";
}

static bool send_message(struct publish *p)
{
	const struct redis_errand_message message = {
		.channel = buf_bytes(&p->key),
		.data = buf_bytes(&p->data),
		.options = p->options,
		.plain = p->plain,
	};
	struct redis_errand_result result;

	if (!redis_errand_publish(p->redis, &message, &result)) {
		complain(p, "%s%s", redis_errand_why(p->redis),
		         redis_errand_lacks_functions(p->redis) ? advice(p) : "");
		return false;
	}
	printf("delivered to %llu worker%s", (unsigned long long)result.receivers,
	       result.receivers == 1 ? "" : "s");
	if (result.offset > 0)
		printf(", offset %llu, epoch %s", (unsigned long long)result.offset, result.epoch);
	putchar('\n');
	return true;
}

static bool publish_one(struct publish *p, struct bytes payload)
{
	return take_payload(p, payload) && send_message(p);
}

/* A line that is wrong does not keep back those behind it, but shows in the exit code; a lost Redis does. */
static bool publish_lines(struct publish *p)
{
	size_t cap = 0;
	char *line = NULL;
	bool all_well = true;
	ssize_t n;

	while (redis_errand_connected(p->redis) && (n = getline(&line, &cap, stdin)) >= 0) {
		p->line++;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n > 0 && !publish_one(p, (struct bytes){line, (size_t)n}))
			all_well = false;
		fflush(stdout);
	}
	mem_free(line);
	p->line = 0;
	if (ferror(stdin))
		complain(p, "cannot read standard input: %s", strerror(errno));
	return all_well && !ferror(stdin);
}

static bool publish_input(struct publish *p)
{
	struct buf input;
	char *room;
	size_t n;
	bool ok;

	/* There is room for a chunk until more than the longest payload is there. */
	buf_init(&input, PAYLOAD_MAX + READ_CHUNK);
	while ((room = buf_reserve(&input, READ_CHUNK)) != NULL &&
	       (n = fread(room, 1, READ_CHUNK, stdin)) > 0)
		buf_commit(&input, n);
	if (room == NULL)
		complain(p, "the payload is longer than %d bytes", PAYLOAD_MAX);
	else if (ferror(stdin))
		complain(p, "cannot read standard input: %s", strerror(errno));
	ok = room != NULL && !ferror(stdin) && publish_one(p, buf_bytes(&input));
	buf_free(&input);
	return ok;
}

/* Without its configuration it is not known what the broker makes of its channels. */
static bool is_configured(const struct config *config)
{
	return config->channel.namespace_count > 0 || config_has_history(&config->channel.without_namespace);
}

static bool check_channel(struct publish *p)
{
	const struct config *config = p->access.config;
	size_t len = strlen(p->channel);

	if (len == 0 || len > (size_t)config->channel.max_length) {
		complain(p, "the name of a channel has 1 to %d bytes, not %zu", config->channel.max_length,
		         len);
		return false;
	}
	if (!is_configured(config))
		return true;
	p->options = config_channel(config, p->channel, len);
	if (p->options != NULL || config->channel.namespace_count == 0)
		return true;
	complain(p, "channel %s is in a namespace that is not configured", p->channel);
	return false;
}

static bool is_input(const struct publish *p)
{
	return strcmp(p->payload, "-") == 0;
}

/* What was given as arguments, before anybody is asked. */
static bool check_arguments(struct publish *p)
{
	return check_channel(p) && buf_ok(&p->key) &&
	       (is_input(p) || take_payload(p, BYTES_OF_STR(p->payload)));
}

static bool publish_all(struct publish *p)
{
	if (!is_input(p))
		return send_message(p);
	return p->lines ? publish_lines(p) : publish_input(p);
}

static int publish(struct publish *p)
{
	bool ok;

	if (!check_arguments(p))
		return EXIT_USAGE;
	p->redis = redis_access_connect("publish", &p->access);
	if (p->redis == NULL)
		return EXIT_FAILED;
	ok = publish_all(p);
	redis_errand_close(&p->redis);
	return ok ? EXIT_OK : EXIT_FAILED;
}

static int run(struct publish *p)
{
	int code = redis_access_open("publish", &p->config_args, &p->access);

	if (code != EXIT_OK)
		return code;
	buf_init(&p->key, CHANNEL_KEY_MAX);
	buf_init(&p->data, PAYLOAD_MAX);
	buf_putf(&p->key, "%s%s", p->access.config->redis.prefix, p->channel);
	code = publish(p);
	buf_free(&p->key);
	buf_free(&p->data);
	redis_access_close(&p->access);
	return code;
}

/* -1: go on; else the exit code. */
static int take_operand(struct publish *p, const char *value)
{
	if (p->channel == NULL)
		p->channel = value;
	else if (p->payload == NULL)
		p->payload = value;
	else
		return args_wrong(&p->args, "too many arguments (JSON with blanks needs quotes)");
	return -1;
}

static int parse(struct publish *p)
{
	const char *value;
	int which, code = -1;

	while (code < 0 && (which = args_next(&p->args, options, ARRAY_LEN(options), &value)) != ARGS_END) {
		if (config_args_take(&p->config_args, which, value))
			continue;
		switch (which) {
		case ARGS_WRONG: return EXIT_USAGE;
		case ARGS_OPERAND: code = take_operand(p, value); break;
		case ARG_TEXT: p->text = true; break;
		case ARG_LINES: p->lines = true; break;
		case ARG_PLAIN: p->plain = true; break;
		}
	}
	return code;
}

int cli_publish(int argc, char **argv)
{
	struct publish p = {0};
	int code;

	args_init(&p.args, argc, argv);
	code = parse(&p);
	if (code >= 0)
		return code;
	if (p.channel == NULL || p.payload == NULL)
		return args_wrong(&p.args, "a channel and a payload are needed");
	if (p.lines && !is_input(&p))
		return args_wrong(&p.args, "--lines needs - as the payload");
	return run(&p);
}
