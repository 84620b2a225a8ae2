/* The hash table against an array, over random additions and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "map.h"

enum { KEYS = 500 };

struct item {
	char key[24];
	size_t len;
	int present;
};

static struct bytes key_of(const struct item *item)
{
	return (struct bytes){item->key, item->len};
}

static size_t count_by_walking(const struct map *m)
{
	size_t count = 0, cursor = 0;

	while (map_next(m, &cursor) != NULL)
		count++;
	return count;
}

static void agrees_with_an_array_over_random_operations(void **state)
{
	static struct item items[KEYS];
	size_t present = 0;
	struct map m;

	srand(3);
	map_init(&m);
	for (int i = 0; i < KEYS; i++)
		items[i].len = (size_t)snprintf(items[i].key, sizeof(items[i].key), "%.*sch:%d", i % 9,
		                                "********", i);
	for (int step = 0; step < 100000; step++) {
		struct item *item = &items[rand() % KEYS];
		/* Phases of growth and of shrinking, so that both resizings happen. */
		int add = rand() % 10 < (step / 10000 % 2 == 0 ? 7 : 3);

		assert_ptr_equal(map_get(&m, key_of(item)), item->present ? item : NULL);
		if (add && !item->present) {
			map_add(&m, key_of(item), item);
			item->present = 1;
			present++;
		} else if (!add) {
			assert_ptr_equal(map_remove(&m, key_of(item)), item->present ? item : NULL);
			present -= (size_t)item->present;
			item->present = 0;
		}
		assert_int_equal(m.count, present);
		if (step % 97 == 0)
			assert_int_equal(count_by_walking(&m), present);
	}
	for (int i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(&m, key_of(&items[i])), items[i].present ? &items[i] : NULL);
	map_free(&m);
}

/* A change moves some slots, not all: what is not moved yet is found all the same, may go, and may come back.
 */
static void a_table_that_grows_is_moved_bit_by_bit(void **state)
{
	enum { MANY = 10000 };
	struct item *items = test_calloc(MANY, sizeof(*items));
	unsigned changes_on_the_way = 0;
	struct map m;

	map_init(&m);
	for (int i = 0; i < MANY; i++) {
		items[i].len = (size_t)snprintf(items[i].key, sizeof(items[i].key), "%d", i);
		map_add(&m, key_of(&items[i]), &items[i]);
		if (m.old == NULL)
			continue;
		changes_on_the_way++;
		assert_ptr_equal(map_get(&m, key_of(&items[i / 2])), &items[i / 2]);
		assert_ptr_equal(map_remove(&m, key_of(&items[i / 3])), &items[i / 3]);
		assert_null(map_get(&m, key_of(&items[i / 3])));
		map_add(&m, key_of(&items[i / 3]), &items[i / 3]);
	}
	assert_true(changes_on_the_way > 100);
	assert_int_equal(count_by_walking(&m), MANY);
	for (int i = 0; i < MANY; i++) {
		assert_ptr_equal(map_remove(&m, key_of(&items[i])), &items[i]);
		items[i].key[0] = 'x';
	}
	assert_int_equal(m.count, 0);
	map_free(&m);
	test_free(items);
}

static void a_walk_meets_each_value_once(void **state)
{
	static struct item items[KEYS];
	size_t cursor = 0;
	struct item *item;
	struct map m;

	map_init(&m);
	for (int i = 0; i < KEYS; i++) {
		items[i].len = (size_t)snprintf(items[i].key, sizeof(items[i].key), "%d", i);
		map_add(&m, key_of(&items[i]), &items[i]);
	}
	while ((item = map_next(&m, &cursor)) != NULL)
		item->present++;
	for (int i = 0; i < KEYS; i++)
		assert_int_equal(items[i].present, 1);
	map_free(&m);
	assert_null(map_get(&m, BYTES("1")));
	assert_null(map_remove(&m, BYTES("1")));
}

static void the_hash_depends_on_every_byte_and_on_the_length(void **state)
{
	char text[40] = {0};

	for (size_t len = 0; len < sizeof(text); len++) {
		struct bytes key = {text, len};
		uint64_t hash = map_hash(key);

		assert_true(hash == map_hash(key));
		assert_false(hash == map_hash((struct bytes){text, len + 1 < sizeof(text) ? len + 1 : 0}));
		for (size_t i = 0; i < len; i++) {
			text[i] ^= 1;
			assert_false(hash == map_hash(key));
			text[i] ^= 1;
		}
	}
}

static const char known_key[] = "news";

/* What another process, started anew, makes of the known key. */
static uint64_t hash_of_another_process(void)
{
	uint64_t hash = 0;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl("/proc/self/exe", "test_map", "tell the hash", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &hash, sizeof(hash)), sizeof(hash));
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return hash;
}

static int tell_the_hash(void)
{
	uint64_t hash = map_hash(BYTES(known_key));

	return write(STDOUT_FILENO, &hash, sizeof(hash)) == sizeof(hash) ? 0 : 1;
}

/* Names that collide here collide nowhere else, so that nobody can prepare a flood of them. */
static void every_process_hashes_under_a_secret_of_its_own(void **state)
{
	uint64_t mine = map_hash(BYTES(known_key));
	uint64_t first = hash_of_another_process(), second = hash_of_another_process();

	assert_true(mine != first && mine != second && first != second);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array_over_random_operations),
		cmocka_unit_test(a_table_that_grows_is_moved_bit_by_bit),
		cmocka_unit_test(a_walk_meets_each_value_once),
		cmocka_unit_test(the_hash_depends_on_every_byte_and_on_the_length),
		cmocka_unit_test(every_process_hashes_under_a_secret_of_its_own),
	};

	if (argc > 1 && strcmp(argv[1], "tell the hash") == 0)
		return tell_the_hash();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
