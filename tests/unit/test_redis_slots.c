/* Slots of keys, with the examples of the Redis Cluster specification, and maps of slots as nodes send them,
 * or as somebody sends them who means harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "mem.h"
#include "redis_resp.h"
#include "redis_slots.h"

static const struct redis_place asked = {.host = "10.0.0.1", .port = "7000"};

static unsigned slot_of(const char *key)
{
	return redis_slot_of(BYTES_OF_STR(key));
}

/* --- keys --- */

static void keys_have_the_slots_of_the_specification(void **state)
{
	/* CRC16("123456789") is 0x31C3. */
	assert_int_equal(slot_of("123456789"), 0x31c3);
	assert_int_equal(slot_of("foo"), 12182);
	assert_int_equal(slot_of("bar"), 5061);
	assert_int_equal(slot_of("hello"), 866);
	assert_int_equal(slot_of(""), 0);
}

static void a_hash_tag_decides(void **state)
{
	assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
	assert_int_equal(slot_of("a{user1000}b"), slot_of("user1000"));
	/* The first { and the first } after it. */
	assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
	assert_int_equal(slot_of("foo{bar}{zap}"), slot_of("bar"));
	assert_int_equal(slot_of("}{x}"), slot_of("x"));
}

static void what_is_no_hash_tag_does_not(void **state)
{
	assert_int_not_equal(slot_of("foo{}{bar}"), slot_of("bar"));
	assert_int_not_equal(slot_of("foo{}{bar}"), slot_of(""));
	assert_int_not_equal(slot_of("foo{bar"), slot_of("bar"));
	assert_int_not_equal(slot_of("{"), slot_of(""));
	assert_int_not_equal(slot_of("foo}bar{"), slot_of(""));
}

/* --- maps --- */

static struct slot_map map;
static const char *why;

/* RESP with / for \r\n. */
static bool read_map(const char *text)
{
	const struct redis_reply *reply;
	struct resp *r = resp_new();
	struct buf bytes;
	bool ok;

	buf_init(&bytes, 1 << 20);
	for (; *text != '\0'; text++) {
		if (*text == '/')
			buf_put(&bytes, "\r\n", 2);
		else
			buf_putc(&bytes, *text);
	}
	slot_map_free(&map);
	assert_true(resp_feed(r, bytes.data, bytes.len));
	assert_int_equal(resp_next(r, &reply), RESP_REPLY);
	ok = slot_map_read(&map, reply, &asked, &why);
	resp_free(&r);
	buf_free(&bytes);
	return ok;
}

#define NODE_A "*3/$8/10.0.0.2/:7001/$2/id/"
#define NODE_B "*3/$8/10.0.0.3/:7002/$2/id/"
#define NODE_C "*4/$8/10.0.0.4/:7003/$2/id/*0/"

static void a_map_tells_masters_and_replicas(void **state)
{
	assert_true(read_map("*3/*4/:0/:99/" NODE_A NODE_C "*3/:100/:16382/" NODE_B
	                     "*4/:16383/:16383/" NODE_A NODE_C));
	assert_int_equal(map.master_count, 2);
	assert_int_equal(map.replica_count, 1);
	assert_string_equal(map.masters[0].host, "10.0.0.2");
	assert_string_equal(map.masters[0].port, "7001");
	assert_string_equal(map.masters[1].port, "7002");
	assert_string_equal(map.replicas[0].port, "7003");
	assert_int_equal(map.owner[0], 0);
	assert_int_equal(map.owner[99], 0);
	assert_int_equal(map.owner[100], 1);
	assert_int_equal(map.owner[16382], 1);
	assert_int_equal(map.owner[16383], 0);
	slot_map_free(&map);
	slot_map_free(&map);
}

static void slots_that_nobody_has_are_nobodys(void **state)
{
	assert_true(read_map("*1/*3/:5/:6/" NODE_A));
	assert_int_equal(map.owner[4], SLOT_NOBODY);
	assert_int_equal(map.owner[5], 0);
	assert_int_equal(map.owner[7], SLOT_NOBODY);
	slot_map_free(&map);
}

static void a_host_that_is_left_out_is_the_one_that_was_asked(void **state)
{
	assert_true(read_map("*2/*3/:0/:9/*2/$-1/:7009/*3/:10/:19/*2/$0//:7010/"));
	assert_string_equal(map.masters[0].host, "10.0.0.1");
	assert_string_equal(map.masters[0].port, "7009");
	assert_string_equal(map.masters[1].host, "10.0.0.1");
	slot_map_free(&map);
}

static void a_name_that_is_not_set_gives_way_to_the_address(void **state)
{
	assert_true(read_map("*1/*3/:0/:9/*4/$1/?/:7009/$2/id/*2/$2/ip/$8/10.0.0.9/"));
	assert_string_equal(map.masters[0].host, "10.0.0.9");
	/* Without one it is not known: its slots are nobody's. */
	assert_true(read_map("*2/*3/:0/:9/*3/$1/?/:7009/$2/id/*3/:10/:10/" NODE_A));
	assert_int_equal(map.master_count, 1);
	assert_int_equal(map.owner[9], SLOT_NOBODY);
	assert_int_equal(map.owner[10], 0);
	slot_map_free(&map);
}

static void names_and_ipv6_are_places(void **state)
{
	assert_true(read_map("*2/*3/:0/:0/*2/$9/redis-0.a/:7000/*3/:1/:1/*2/$3/::1/:7000/"));
	assert_string_equal(map.masters[0].host, "redis-0.a");
	assert_string_equal(map.masters[1].host, "::1");
	slot_map_free(&map);
}

static void nonsense_is_refused_as_a_whole(void **state)
{
	static const char *const texts[] = {
		"*0/",
		":1/",
		"$1/x/",
		"*1/:1/",
		"*1/*2/:0/:9/",
		"*1/*3/:0/:9/:1/",
		"*1/*3/:0/:9/*1/$1/a/",
		"*1/*3/:0/:9/*2/$1/a/$1/7/",
		"*1/*3/:0/:9/*2/:1/:7000/",
		"*1/*3/$1/0/:9/" NODE_A,
		"*1/*3/:-1/:9/" NODE_A,
		"*1/*3/:9/:8/" NODE_A,
		"*1/*3/:0/:16384/" NODE_A,
		"*1/*3/:0/:9223372036854775807/" NODE_A,
		"*2/*3/:0/:9/" NODE_A "*3/:9/:10/" NODE_B,
		"*1/*4/:0/:9/" NODE_A ":1/",
		/* places that are none */
		"*1/*3/:0/:9/*2/$4/a b\1/:7000/",
		"*1/*3/:0/:9/*2/$1/a/:0/",
		"*1/*3/:0/:9/*2/$1/a/:65536/",
		"*1/*3/:0/:9/*2/$1/a/:-7000/",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (read_map(texts[i]))
			fail_msg("taken for a map: %s", texts[i]);
		assert_true(why[0] != '\0');
		assert_null(map.masters);
	}
}

static void more_masters_than_there_may_be_are_refused(void **state)
{
	struct buf text;

	for (int count = SLOT_MASTERS_MAX; count <= SLOT_MASTERS_MAX + 1; count++) {
		buf_init(&text, 1 << 20);
		buf_putf(&text, "*%d/", count);
		for (int i = 0; i < count; i++)
			buf_putf(&text, "*3/:%d/:%d/*2/$1/a/:%d/", i, i, 1000 + i);
		buf_putc(&text, '\0');
		assert_int_equal(read_map(text.data), count == SLOT_MASTERS_MAX);
		buf_free(&text);
	}
}

/* --- redirections --- */

static bool read_redirect(const char *text, struct redis_redirect *out)
{
	const struct redis_reply reply = {.type = REDIS_ERROR, .text = BYTES_OF_STR(text)};

	return redis_redirect_read(&reply, &asked, out);
}

static void redirections_lead_to_a_place(void **state)
{
	struct redis_redirect to;

	assert_true(read_redirect("MOVED 3999 127.0.0.1:6381", &to));
	assert_false(to.ask);
	assert_int_equal(to.slot, 3999);
	assert_string_equal(to.place.host, "127.0.0.1");
	assert_string_equal(to.place.port, "6381");
	assert_true(read_redirect("ASK 0 redis-3:6381", &to));
	assert_true(to.ask);
	assert_true(read_redirect("MOVED 16383 2001:db8::7:6381", &to));
	assert_string_equal(to.place.host, "2001:db8::7");
	assert_true(read_redirect("MOVED 1 :6381", &to));
	assert_string_equal(to.place.host, "10.0.0.1");
}

static void redirections_to_nowhere_are_none(void **state)
{
	static const char *const texts[] = {
		"",
		"MOVED",
		"MOVED ",
		"MOVED 1",
		"MOVED 1 ",
		"MOVED 16384 a:1",
		"MOVED -1 a:1",
		"MOVED 1 a",
		"MOVED 1 a:",
		"MOVED 1 a:0",
		"MOVED 1 a:70000",
		"MOVED 1 ?:7000",
		"MOVED x a:1",
		"MOVED 000001 a:1",
		"MOVEDX 1 a:1",
		"ERR no",
		"moved 1 a:1",
		"MOVED  1 a:1",
	};
	struct redis_redirect to;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (read_redirect(texts[i], &to))
			fail_msg("taken for a redirection: %s", texts[i]);
	}
}

static void errors_that_say_later_are_known(void **state)
{
	const struct redis_reply later = {.type = REDIS_ERROR, .text = BYTES("TRYAGAIN Multiple keys")};
	const struct redis_reply never = {.type = REDIS_ERROR, .text = BYTES("ERR TRYAGAIN")};
	const struct redis_reply text = {.type = REDIS_STRING, .text = BYTES("MOVED 1 a:1")};

	assert_true(redis_means_again(&later));
	assert_false(redis_means_again(&never));
	assert_false(redis_means_again(&text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_the_slots_of_the_specification),
		cmocka_unit_test(a_hash_tag_decides),
		cmocka_unit_test(what_is_no_hash_tag_does_not),
		cmocka_unit_test(a_map_tells_masters_and_replicas),
		cmocka_unit_test(slots_that_nobody_has_are_nobodys),
		cmocka_unit_test(a_host_that_is_left_out_is_the_one_that_was_asked),
		cmocka_unit_test(a_name_that_is_not_set_gives_way_to_the_address),
		cmocka_unit_test(names_and_ipv6_are_places),
		cmocka_unit_test(nonsense_is_refused_as_a_whole),
		cmocka_unit_test(more_masters_than_there_may_be_are_refused),
		cmocka_unit_test(redirections_lead_to_a_place),
		cmocka_unit_test(redirections_to_nowhere_are_none),
		cmocka_unit_test(errors_that_say_later_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
