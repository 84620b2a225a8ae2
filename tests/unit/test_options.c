/* The option table: that its rows are sound, and the reading and writing of each type of value. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "log.h"
#include "options.h"

static const struct option_table *const tables[] = {&options_of_broker, &options_of_channel,
                                                    &options_of_namespace};

static struct config *new_config(bool dev)
{
	struct config *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	options_set_defaults(&options_of_broker, c, dev);
	return c;
}

static void free_config(struct config *c)
{
	options_clear(&options_of_broker, c);
	free(c);
}

static const struct option *broker_option(const char *name)
{
	const struct option *o = option_find(&options_of_broker, BYTES_OF_STR(name));

	assert_non_null(o);
	return o;
}

static void variable_of(const struct option *o, char *out, size_t size)
{
	size_t len = strlen(o->name);

	assert_true(len < size);
	for (size_t i = 0; i <= len; i++)
		out[i] = (char)(o->name[i] == '.' ? '_' : toupper((unsigned char)o->name[i]));
}

static void each_row_is_documented(void **state)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct option *o = &tables[t]->rows[i];

			assert_non_null(o->doc);
			assert_true(strlen(o->doc) > 10);
			assert_int_equal(o->doc[strlen(o->doc) - 1], '.');
			assert_true(isupper((unsigned char)o->doc[0]) || strncmp(o->doc, "redis://", 8) == 0);
		}
	}
}

static void each_name_is_of_small_letters_and_short(void **state)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const char *name = tables[t]->rows[i].name;

			assert_true(strlen(name) < 64);
			assert_int_equal(name[strspn(name, "abcdefghijklmnopqrstuvwxyz_.")], '\0');
		}
	}
}

/* "a.b_c" and "a_b.c" would be one variable. */
static void no_two_options_share_a_variable(void **state)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			for (size_t j = 0; j < i; j++) {
				char one[128], other[128];

				variable_of(&tables[t]->rows[i], one, sizeof(one));
				variable_of(&tables[t]->rows[j], other, sizeof(other));
				assert_string_not_equal(one, other);
			}
		}
	}
}

static size_t section_length(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? (size_t)(dot - name) + 1 : 0;
}

/* Otherwise what is printed would open a section twice, which is refused when it is read. */
static void options_of_a_section_stand_together(void **state)
{
	for (size_t i = 1; i < options_of_broker.count; i++) {
		const char *name = options_of_broker.rows[i].name;
		size_t len = section_length(name);

		if (len == 0 || strncmp(options_of_broker.rows[i - 1].name, name, len) == 0)
			continue;
		for (size_t j = 0; j < i; j++)
			assert_true(strncmp(options_of_broker.rows[j].name, name, len) != 0);
	}
}

static void no_option_is_a_section(void **state)
{
	for (size_t i = 0; i < options_of_broker.count; i++) {
		for (size_t j = 0; j < options_of_broker.count; j++) {
			const char *name = options_of_broker.rows[i].name;
			const char *other = options_of_broker.rows[j].name;

			assert_false(strncmp(name, other, strlen(name)) == 0 && other[strlen(name)] == '.');
		}
	}
}

static size_t size_of(const struct option *o)
{
	switch (o->type) {
	case OPTION_BOOL: return sizeof(bool);
	case OPTION_INT:
	case OPTION_WORD: return sizeof(int);
	case OPTION_STRING: return sizeof(char *);
	case OPTION_STRINGS: return sizeof(struct strings);
	case OPTION_CHANNEL: return sizeof(struct channel_options);
	case OPTION_NAMESPACES: return sizeof(struct channel_options *) + sizeof(size_t);
	default: return sizeof(uint64_t);
	}
}

/* What no row fills may only be padding, which is shorter than the widest type. */
static void check_fields(const struct option_table *table, size_t first, size_t size)
{
	bool *filled = calloc(size, sizeof(*filled));
	size_t unfilled = 0;

	assert_non_null(filled);
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		for (size_t at = o->offset; at < o->offset + size_of(o); at++) {
			assert_true(at < size);
			assert_false(filled[at]);
			filled[at] = true;
		}
	}
	for (size_t at = first; at < size; at++) {
		unfilled = filled[at] ? 0 : unfilled + 1;
		assert_true(unfilled < sizeof(uint64_t));
	}
	free(filled);
}

static void each_field_has_one_row(void **state)
{
	/* When it was loaded is no option. */
	check_fields(&options_of_broker, offsetof(struct config, dev), sizeof(struct config));
	check_fields(&options_of_namespace, 0, sizeof(struct channel_options));
}

static bool set(const struct option *o, void *base, const char *text)
{
	struct buf why;
	bool good;

	buf_init(&why, 4096);
	good = option_set(o, base, BYTES_OF_STR(text), &why);
	assert_true(good == (why.len == 0));
	buf_free(&why);
	return good;
}

static void check_defaults(const struct option_table *table, void *base, void *dev)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (o->fallback != NULL)
			assert_true(set(o, base, o->fallback));
		if (o->dev != NULL)
			assert_true(set(o, dev, o->dev));
	}
}

static void defaults_are_allowed_values(void **state)
{
	struct config *safe = new_config(false), *dev = new_config(true);

	check_defaults(&options_of_broker, safe, dev);
	check_defaults(&options_of_channel, &safe->channel.without_namespace,
	               &dev->channel.without_namespace);
	free_config(safe);
	free_config(dev);
}

/* The most important property of the table: what is not configured is not allowed. */
static void nothing_is_allowed_by_default(void **state)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct option *o = &tables[t]->rows[i];

			if (o->type == OPTION_BOOL && strstr(o->name, "allow_") != NULL)
				assert_string_equal(o->fallback, "false");
		}
	}
	assert_string_equal(broker_option("client.allowed_origins")->fallback, "");
}

static void limits_hold(void **state)
{
	struct config *c = new_config(false);
	const struct option *limit = broker_option("client.channel_limit");
	const struct option *interval = broker_option("client.ping_interval");
	const struct option *workers = broker_option("workers");

	assert_true(set(limit, c, "1"));
	assert_true(set(limit, c, "100000"));
	assert_int_equal(c->client.channel_limit, 100000);
	assert_false(set(limit, c, "0"));
	assert_false(set(limit, c, "100001"));
	assert_false(set(limit, c, "18446744073709551617"));
	assert_false(set(limit, c, "-1"));
	assert_false(set(limit, c, "1 "));
	assert_false(set(limit, c, "0x10"));
	assert_false(set(limit, c, ""));
	assert_int_equal(c->client.channel_limit, 100000);
	assert_true(set(interval, c, "0"));
	assert_true(set(interval, c, "0s"));
	assert_true(set(interval, c, "1s"));
	assert_false(set(interval, c, "999ms"));
	assert_true(set(interval, c, "60m"));
	assert_false(set(interval, c, "3600001ms"));
	assert_true(set(workers, c, "12"));
	assert_true(set(workers, c, "auto"));
	assert_int_equal(c->workers, 0);
	assert_false(set(workers, c, "0"));
	assert_false(set(workers, c, "Auto"));
	free_config(c);
}

static void words_may_have_two_writings(void **state)
{
	struct config *c = new_config(false);
	const struct option *level = broker_option("log.level");
	struct buf out;

	buf_init(&out, 64);
	assert_true(set(level, c, "warn"));
	assert_int_equal(c->log.level, LOG_WARNING);
	assert_true(set(level, c, "warning"));
	assert_int_equal(c->log.level, LOG_WARNING);
	assert_false(set(level, c, "warning|warn"));
	assert_false(set(level, c, ""));
	assert_false(set(level, c, "war"));
	option_print(level, c, false, &out);
	assert_true(bytes_eq(buf_bytes(&out), BYTES("warning")));
	buf_free(&out);
	free_config(c);
}

static void words_stand_for_their_enum(void **state)
{
	static const char *const formats[] = {"any", "json", "json_object", "binary"};
	struct channel_options channel = {0};
	const struct option *o = option_find(&options_of_channel, BYTES("publication_data_format"));

	for (int i = DATA_FORMAT_ANY; i <= DATA_FORMAT_BINARY; i++) {
		assert_true(set(o, &channel, formats[i]));
		assert_int_equal(channel.publication_data_format, i);
	}
	assert_true(set(o, &channel, ""));
	assert_int_equal(channel.publication_data_format, DATA_FORMAT_ANY);
}

static void a_refused_value_changes_nothing(void **state)
{
	struct config *c = new_config(false);

	assert_true(set(broker_option("redis.address"), c, "redis://h"));
	assert_false(set(broker_option("redis.address"), c, "http://h"));
	assert_string_equal(c->redis.address, "redis://h");
	assert_false(set(broker_option("dev"), c, "True"));
	assert_false(c->dev);
	assert_false(set(broker_option("log.format"), c, "xml"));
	assert_int_equal(c->log.format, LOG_TEXT);
	free_config(c);
}

static void texts_are_checked(void **state)
{
	struct config *c = new_config(false);
	const struct option *dir = broker_option("runtime_dir");
	const struct option *redis_prefix = broker_option("redis.prefix");
	char long_text[200];

	memset(long_text, 'a', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	assert_false(set(dir, c, long_text));
	assert_false(set(dir, c, "a\nb"));
	assert_false(set(dir, c, "a\x7f"));
	assert_false(set(dir, c, "\xc0\x80"));
	assert_false(set(dir, c, "\xed\xa0\x80"));
	assert_false(set(dir, c, "\xf4\x90\x80\x80"));
	assert_false(set(dir, c, "\xe2\x82"));
	assert_false(set(dir, c, "\x80"));
	assert_true(set(dir, c, "/\xe2\x82\xac/\xf0\x9f\x8e\xba"));
	assert_false(set(redis_prefix, c, ":"));
	assert_false(set(redis_prefix, c, "a*:"));
	assert_false(set(redis_prefix, c, "{a}:"));
	assert_true(set(redis_prefix, c, "my.app-1_x:"));
	free_config(c);
}

static void a_text_with_a_zero_byte_is_refused(void **state)
{
	struct config *c = new_config(false);
	struct buf why;

	buf_init(&why, 1024);
	assert_false(option_set(broker_option("runtime_dir"), c, BYTES("/a\0b"), &why));
	assert_true(why.len > 0);
	buf_free(&why);
	free_config(c);
}

static void a_list_is_bounded(void **state)
{
	struct config *c = new_config(false);
	const struct option *listen = broker_option("listen");
	struct buf why;

	buf_init(&why, 1024);
	option_clear(listen, c);
	for (unsigned i = 0; i < 64; i++)
		assert_true(option_add(listen, c, BYTES("127.0.0.1:80"), &why));
	assert_false(option_add(listen, c, BYTES("127.0.0.1:80"), &why));
	assert_int_equal(c->listen.count, 64);
	buf_free(&why);
	free_config(c);
}

static void origins_have_no_path(void **state)
{
	struct config *c = new_config(false);
	const struct option *origins = broker_option("client.allowed_origins");

	assert_true(set(origins, c, "*"));
	assert_true(set(origins, c, "https://a.example.com:8443 http://*.b.example null"));
	assert_int_equal(c->client.allowed_origins.count, 3);
	assert_false(set(origins, c, "https://a.example.com/"));
	assert_false(set(origins, c, "https://a.example.com:443"));
	assert_false(set(origins, c, "http://a.example.com:80"));
	assert_false(set(origins, c, "https://ex\xc3\xa4mple.com"));
	assert_true(set(origins, c, "https://a.example.com:80 http://a.example.com:443"));
	assert_false(set(origins, c, "a.example.com/app"));
	assert_false(set(origins, c, "\"https://a.example.com\""));
	free_config(c);
}

static void paths_begin_with_a_slash(void **state)
{
	struct config *c = new_config(false);
	const struct option *path = broker_option("websocket.handler_prefix");

	assert_true(set(path, c, "/ws"));
	assert_false(set(path, c, "ws"));
	assert_false(set(path, c, "/"));
	assert_false(set(path, c, "/ws/"));
	assert_false(set(path, c, "//ws"));
	assert_false(set(path, c, "/ws?x"));
	free_config(c);
}

/* What is allowed, as text, names the limits that hold. */
static void messages_say_what_is_allowed(void **state)
{
	static const struct {
		const char *name;
		const char *allowed;
	} rows[] = {
		{"dev", "true or false"},
		{"workers", "auto or a number from 1 to 1024"},
		{"client.ping_interval", "0 or a duration (ms, s, m, h) from 1s to 1h"},
		{"client.queue_max_size", "a size (bytes, or KB, MB, GB, KiB, MiB, GiB) from 1KiB to 1GiB"},
		{"log.format", "text or json"},
		{"log.level", "debug, info, warning or error"},
		{"runtime_dir", "a text of at most 88 bytes"},
		{"listen", "a list of 1 to 64 texts"},
		{"client.allowed_origins", "a list of at most 256 texts"},
		{"channel.namespaces", "a list of at most 1000 maps of options"},
	};
	struct buf out;

	buf_init(&out, 1024);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		option_print_allowed(broker_option(rows[i].name), &out);
		assert_true(bytes_eq(buf_bytes(&out), BYTES_OF_STR(rows[i].allowed)));
		buf_reset(&out);
	}
	buf_free(&out);
}

static void texts_are_printed_as_yaml(void **state)
{
	struct buf out;

	buf_init(&out, 1024);
	option_print_text("a\"b\\c \xe2\x80\xa8\xf0\x9f\x8e\xba", &out);
	assert_true(bytes_eq(buf_bytes(&out), BYTES("\"a\\\"b\\\\c \\U00002028\\U0001f3ba\"")));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_is_documented),
		cmocka_unit_test(each_name_is_of_small_letters_and_short),
		cmocka_unit_test(no_two_options_share_a_variable),
		cmocka_unit_test(options_of_a_section_stand_together),
		cmocka_unit_test(no_option_is_a_section),
		cmocka_unit_test(each_field_has_one_row),
		cmocka_unit_test(defaults_are_allowed_values),
		cmocka_unit_test(nothing_is_allowed_by_default),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(words_may_have_two_writings),
		cmocka_unit_test(words_stand_for_their_enum),
		cmocka_unit_test(a_refused_value_changes_nothing),
		cmocka_unit_test(texts_are_checked),
		cmocka_unit_test(a_text_with_a_zero_byte_is_refused),
		cmocka_unit_test(a_list_is_bounded),
		cmocka_unit_test(origins_have_no_path),
		cmocka_unit_test(paths_begin_with_a_slash),
		cmocka_unit_test(messages_say_what_is_allowed),
		cmocka_unit_test(texts_are_printed_as_yaml),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
