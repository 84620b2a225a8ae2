/* What is printed of a configuration reads back to the same, the example is the one that is shipped, and
 * neither damage to it nor noise crashes. */
#include "config_world.h"
#include "options.h"

static void print(const struct config *c, bool mask, struct buf *out)
{
	buf_init(out, TEXT_MAX);
	config_print(c, mask, out);
	buf_putc(out, '\0');
	assert_true(buf_ok(out));
}

/* Printed, read and printed again. */
static void check_round_trip(struct config *c)
{
	struct config_sources sources = {.file = path};
	struct config *again;
	struct buf first, second;

	print(c, false, &first);
	write_file(first.data, first.len - 1);
	again = load_good(&sources);
	print(again, false, &second);
	assert_string_equal(first.data, second.data);
	buf_free(&first);
	buf_free(&second);
	config_free(&again);
	config_free(&c);
}

static void what_is_printed_reads_back_to_the_same(void **state)
{
	struct config_sources empty = {0}, dev = {.dev = true};

	check_round_trip(load_good(&empty));
	check_round_trip(load_good(&dev));
	check_round_trip(
		load_text("listen: [\":80\", \"unix:/a b\\\"c\\\\d\"]\n"
	                  "workers: 3\n"
	                  "runtime_dir: \"/\xc3\xa4\xe2\x80\xa8\xf0\x9f\x8e\xba'\"\n"
	                  "redis: {address: \"redis://u:p%40@h:1/2\", call_timeout: 1500ms}\n"
	                  "client: {queue_max_size: 1025, allowed_origins: []}\n"
	                  "channel:\n"
	                  "  max_length: 100\n"
	                  "  without_namespace: {publication_data_format: binary}\n"
	                  "  namespaces: [{name: a, allow_publish_for_client: true}, {name: 1.5}]\n"));
}

static void a_password_is_masked(void **state)
{
	struct config *c = load_text("redis: {address: \"redis://me:hush@h:1/2\"}");
	struct buf out;

	print(c, true, &out);
	assert_null(strstr(out.data, "hush"));
	assert_non_null(strstr(out.data, "  address: \"redis://me:***@h:1/2\"\n"));
	buf_free(&out);
	config_free(&c);
	/* All of one that stands alone, whatever it looks like. */
	c = load_text(
		"redis: {sentinel_address: [h], sentinel_master_name: m, password: \"redis://hush:x@h\"}");
	print(c, true, &out);
	assert_null(strstr(out.data, "hush"));
	assert_non_null(strstr(out.data, "  password: \"***\"\n"));
	buf_free(&out);
	print(c, false, &out);
	assert_non_null(strstr(out.data, "  password: \"redis://hush:x@h\"\n"));
	buf_free(&out);
	config_free(&c);
}

static char *example(void)
{
	struct buf out;

	buf_init(&out, TEXT_MAX);
	config_print_example(&out);
	buf_putc(&out, '\0');
	assert_true(buf_ok(&out));
	return out.data;
}

static void the_example_file_is_what_is_printed(void **state)
{
	FILE *file = fopen(FANFARE_EXAMPLE_FILE, "r");
	char *file_text = calloc(1, TEXT_MAX), *text = example();

	assert_non_null(file);
	assert_non_null(file_text);
	assert_true(fread(file_text, 1, TEXT_MAX - 1, file) > 0);
	fclose(file);
	/* If not: fanfare config --example > deploy/fanfare.example.yaml */
	assert_string_equal(file_text, text);
	free(file_text);
	free(text);
}

/* Turns "  #name: value" into "  name: value"; prose has a space behind the '#'. */
static void uncomment(char *text)
{
	char *to = text;

	for (char *from = text; *from != '\0'; from++) {
		if (*from != '#' || from[1] == ' ' || from[1] == '\n')
			*to++ = *from;
	}
	*to = '\0';
}

static void the_example_file_holds_the_defaults(void **state)
{
	struct config_sources empty = {0};
	struct config *defaults = load_good(&empty), *as_it_is, *uncommented;
	struct buf a, b, c;
	char *text = example();

	as_it_is = load_text(text);
	uncomment(text);
	uncommented = load_text(text);
	print(defaults, false, &a);
	print(as_it_is, false, &b);
	assert_string_equal(a.data, b.data);
	assert_int_equal(uncommented->channel.namespace_count, 1);
	option_clear(option_find(&options_of_broker, BYTES("channel.namespaces")), uncommented);
	print(uncommented, false, &c);
	assert_string_equal(a.data, c.data);
	buf_free(&a);
	buf_free(&b);
	buf_free(&c);
	free(text);
	config_free(&defaults);
	config_free(&as_it_is);
	config_free(&uncommented);
}

static void the_example_file_names_every_option(void **state)
{
	char *text = example(), key[128];

	for (size_t i = 0; i < options_of_broker.count; i++) {
		const char *name = options_of_broker.rows[i].name, *dot = strrchr(name, '.');

		snprintf(key, sizeof(key), "%s:", dot != NULL ? dot + 1 : name);
		assert_non_null(strstr(text, key));
	}
	free(text);
}

/* A generator of our own, so that a failure can be had again. */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void load_any(const char *text, size_t len)
{
	struct config_sources sources = {.file = path};
	struct config *config;
	struct buf errors;

	write_file(text, len);
	buf_init(&errors, TEXT_MAX);
	config = config_load(&sources, &errors);
	assert_true((config == NULL) == (errors.len > 0));
	buf_free(&errors);
	config_free(&config);
}

static void no_bytes_crash(void **state)
{
	uint32_t seed = 4711;
	char text[256];

	for (int i = 0; i < 3000; i++) {
		size_t len = next_random(&seed) % sizeof(text);

		for (size_t j = 0; j < len; j++)
			text[j] = (char)next_random(&seed);
		load_any(text, len);
	}
}

/* A good file with a few bytes changed gets further than noise. */
static void no_damage_crashes(void **state)
{
	static const char alphabet[] = "{}[]:,-#&*!|>'\"%@`\n \t0aZ\\\x80\xc3?~";
	char *good = example();
	uint32_t seed = 815;
	size_t len;

	uncomment(good);
	len = strlen(good);
	for (int i = 0; i < 1000; i++) {
		char *text = malloc(len);

		assert_non_null(text);
		memcpy(text, good, len);
		for (uint32_t n = next_random(&seed) % 8; n > 0; n--)
			text[next_random(&seed) % len] =
				alphabet[next_random(&seed) % (sizeof(alphabet) - 1)];
		load_any(text, i % 2 == 0 ? len : next_random(&seed) % len);
		free(text);
	}
	free(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_reads_back_to_the_same),
		cmocka_unit_test(a_password_is_masked),
		cmocka_unit_test(the_example_file_is_what_is_printed),
		cmocka_unit_test(the_example_file_holds_the_defaults),
		cmocka_unit_test(the_example_file_names_every_option),
		cmocka_unit_test(no_bytes_crash),
		cmocka_unit_test(no_damage_crashes),
	};

	return cmocka_run_group_tests_name("config_print", tests, make_file, remove_file);
}
