/* The pid file, and the directory that it stands in. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "pid_file.h"
#include "runtime_dir.h"

static char dir[] = "/tmp/fanfare-pid-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/fanfare.pid", dir);
	return 0;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

static void file_names_its_holder_and_goes_with_it(void **state)
{
	struct pid_file *f = NULL;
	char text[16] = "";
	struct stat st;
	pid_t holder = 0;
	int fd;

	assert_int_equal(pid_file_take(path, &f, &holder), PID_FILE_TAKEN);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_int_equal(strtol(text, NULL, 10), getpid());
	pid_file_release(&f);
	assert_null(f);
	assert_int_equal(stat(path, &st), -1);
	pid_file_release(&f);
}

static void second_taker_is_told_who_holds_it(void **state)
{
	struct pid_file *first = NULL, *second = NULL;
	pid_t holder = 0;

	assert_int_equal(pid_file_take(path, &first, &holder), PID_FILE_TAKEN);
	assert_int_equal(pid_file_take(path, &second, &holder), PID_FILE_HELD);
	assert_int_equal(holder, getpid());
	assert_null(second);
	pid_file_release(&first);
	assert_int_equal(pid_file_take(path, &second, &holder), PID_FILE_TAKEN);
	pid_file_release(&second);
}

static void file_of_a_killed_holder_is_no_hindrance(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct pid_file *f = NULL;
	pid_t holder = 0;

	assert_int_equal(write(fd, "999999999\n", 10), 10);
	close(fd);
	assert_int_equal(pid_file_take(path, &f, &holder), PID_FILE_TAKEN);
	pid_file_release(&f);
}

static void place_that_is_none_is_an_error(void **state)
{
	struct pid_file *f = NULL;
	pid_t holder = 0;

	assert_int_equal(pid_file_take("/nonexistent/fanfare.pid", &f, &holder), PID_FILE_FAILED);
	assert_int_equal(errno, ENOENT);
	/* A link that somebody has laid is not followed. */
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(pid_file_take(path, &f, &holder), PID_FILE_FAILED);
	unlink(path);
}

static void runtime_dir_is_made_for_this_user_only(void **state)
{
	char *deep = mem_printf("%s/a//b/c", dir), *file = mem_printf("%s/a/b/c/file", dir);
	struct stat st;

	assert_true(runtime_dir_make(deep));
	assert_true(runtime_dir_make(deep));
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_false(runtime_dir_make(file));
	assert_int_equal(errno, ENOTDIR);
	unlink(file);
	mem_free(file);
	mem_free(deep);
}

/* Anybody may make a directory in /tmp before us. */
static void runtime_dir_of_another_user_is_not_taken(void **state)
{
	char *other = mem_printf("%s/other", dir);
	int error;

	if (geteuid() != 0)
		skip(); /* only root can make a directory for somebody else */
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(mkdir(other, 0777), 0);
	assert_int_equal(chown(other, 1, 1), 0);
	assert_true(runtime_dir_make(other));
	assert_int_equal(seteuid(2), 0);
	assert_false(runtime_dir_make(other));
	error = errno;
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(error, EPERM);
	assert_int_equal(seteuid(1), 0);
	assert_true(runtime_dir_make(other));
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(rmdir(other), 0);
	mem_free(other);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

static uid_t owner_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_uid;
}

static void make_file(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

/* Others may have things there, too: a directory that is not only for this is left alone. */
static void a_group_is_let_through_a_runtime_dir_that_is_nothing_else(void **state)
{
	static const char *const ours[] = {"redis.log", "redis.log.old", "fanfare.pid", "redis"};
	char *run = mem_printf("%s/run", dir), *other = mem_printf("%s/run/other", dir);

	assert_true(runtime_dir_make(run));
	make_file(other);
	assert_true(runtime_dir_let_pass(run, getegid()));
	assert_int_equal(mode_of(run), 0700);
	unlink(other);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		char *name = mem_printf("%s/%s", run, ours[i]);

		make_file(name);
		mem_free(name);
	}
	assert_true(runtime_dir_let_pass(run, getegid()));
	assert_int_equal(mode_of(run), 0710);
	assert_int_equal(chmod(run, 0770), 0);
	assert_true(runtime_dir_let_pass(run, getegid()));
	assert_int_equal(mode_of(run), 0770);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		char *name = mem_printf("%s/%s", run, ours[i]);

		unlink(name);
		mem_free(name);
	}
	assert_int_equal(rmdir(run), 0);
	assert_false(runtime_dir_let_pass(run, getegid()));
	mem_free(run);
	mem_free(other);
}

/* A link leads to what is somebody else's: itself is given, and never what it leads to. */
static void what_is_given_to_a_user_is_only_what_is_in_the_directory(void **state)
{
	char *data = mem_printf("%s/data", dir), *deep = mem_printf("%s/data/deep", dir);
	char *file = mem_printf("%s/data/deep/file", dir), *hard = mem_printf("%s/data/deep/hard", dir);
	char *soft = mem_printf("%s/data/soft", dir), *outside = mem_printf("%s/outside", dir);

	if (geteuid() != 0)
		skip(); /* only root can give anything */
	make_file(outside);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	make_file(file);
	assert_int_equal(link(outside, hard), 0);
	assert_int_equal(symlink(outside, soft), 0);
	assert_int_equal(chmod(data, 0770), 0); /* others could have been there */
	assert_false(runtime_dir_give(data, 1, 2));
	assert_int_equal(errno, EPERM);
	assert_int_equal(owner_of(file), 0);
	assert_int_equal(chmod(data, 0700), 0);
	assert_false(runtime_dir_give(soft, 1, 2));
	assert_true(runtime_dir_give(data, 1, 2));
	assert_int_equal(owner_of(data), 1);
	assert_int_equal(owner_of(deep), 1);
	assert_int_equal(owner_of(file), 1);
	assert_int_equal(owner_of(soft), 1);
	assert_int_equal(owner_of(hard), 0);
	assert_int_equal(owner_of(outside), 0);
	/* It is that user's now, and what stands there is his business. */
	assert_int_equal(chown(file, 0, 0), 0);
	assert_true(runtime_dir_give(data, 1, 2));
	assert_int_equal(owner_of(file), 0);
	assert_false(runtime_dir_give(data, 3, 3));
	unlink(file);
	unlink(hard);
	unlink(soft);
	unlink(outside);
	assert_int_equal(rmdir(deep), 0);
	assert_int_equal(rmdir(data), 0);
	assert_false(runtime_dir_give(data, 1, 2));
	mem_free(data);
	mem_free(deep);
	mem_free(file);
	mem_free(hard);
	mem_free(soft);
	mem_free(outside);
}

static void paths_in_it_are_absolute(void **state)
{
	char *expected = mem_printf("%s/a/b/c/redis.sock", dir), *found, *part;
	char before[4096];

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(dir), 0);
	found = runtime_dir_path("a/b/../b/c", "redis.sock");
	assert_string_equal(found, expected);
	for (const char *name = "a/b/c\0a/b\0a\0"; *name != '\0'; name += strlen(name) + 1) {
		part = mem_printf("%s/%s", dir, name);
		assert_int_equal(rmdir(part), 0);
		mem_free(part);
	}
	assert_int_equal(chdir(before), 0);
	mem_free(found);
	mem_free(expected);
	found = runtime_dir_path("/nonexistent/x", "redis.sock");
	assert_string_equal(found, "/nonexistent/x/redis.sock");
	mem_free(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_names_its_holder_and_goes_with_it),
		cmocka_unit_test(second_taker_is_told_who_holds_it),
		cmocka_unit_test(file_of_a_killed_holder_is_no_hindrance),
		cmocka_unit_test(place_that_is_none_is_an_error),
		cmocka_unit_test(runtime_dir_is_made_for_this_user_only),
		cmocka_unit_test(runtime_dir_of_another_user_is_not_taken),
		cmocka_unit_test(a_group_is_let_through_a_runtime_dir_that_is_nothing_else),
		cmocka_unit_test(what_is_given_to_a_user_is_only_what_is_in_the_directory),
		cmocka_unit_test(paths_in_it_are_absolute),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
