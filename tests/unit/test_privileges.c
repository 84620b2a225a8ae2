/* What a child gives up. Each case is a child of its own, as there is no way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "privileges.h"

static char user[] = "daemon", other_group[] = "nogroup", nobody_at_all[] = "nobody-at-all";

/* The result of the function in a child. */
static int in_child(int (*body)(const struct privileges *p), const struct config *config)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct privileges *p = privileges_new(config);
		int result = p != NULL ? body(p) : 100;

		privileges_free(&p);
		_exit(result);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Every way back that there is for somebody with a spark of root left in him. */
static int drop_and_try_all_ways_back(const struct privileges *p)
{
	if (!privileges_drop(p))
		return 1;
	if (getuid() != privileges_uid(p) || geteuid() != privileges_uid(p))
		return 2;
	if (getgid() != privileges_gid(p) || getegid() != privileges_gid(p))
		return 3;
	if (setuid(0) == 0 || seteuid(0) == 0 || setreuid(0, 0) == 0 || setresuid(0, 0, 0) == 0)
		return 4;
	if (setgid(0) == 0 || setegid(0) == 0 || setgroups(0, NULL) == 0)
		return 5;
	if (open("/etc/shadow", O_RDONLY) >= 0 || chown("/", 0, 0) == 0)
		return 6;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 7;
	/* Not even with a set of capabilities asked for. */
	return prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0 ? 0 : 8;
}

static void nothing_is_left_and_nothing_comes_back(void **state)
{
	struct config config = {.user = user};

	if (geteuid() != 0)
		skip(); /* only root has anything to give up */
	assert_int_equal(in_child(drop_and_try_all_ways_back, &config), 0);
	config.group = other_group;
	assert_int_equal(in_child(drop_and_try_all_ways_back, &config), 0);
}

static int drop_twice(const struct privileges *p)
{
	if (!privileges_drop(p))
		return 1;
	return privileges_drop(p) ? 2 : 0;
}

static void what_cannot_be_done_is_told(void **state)
{
	struct config config = {.user = user};

	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(drop_twice, &config), 0);
}

static int protect_and_drop(const struct privileges *p)
{
	uid_t before = geteuid();

	privileges_protect_master(p);
	if (privileges_change(p) || !privileges_drop(p) || geteuid() != before)
		return 1;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : 2;
}

static void without_a_user_only_programs_and_core_files_are_given_up(void **state)
{
	struct config config = {0};

	assert_int_equal(in_child(protect_and_drop, &config), 0);
	config.dev = true;
	assert_int_equal(in_child(protect_and_drop, &config), 1); /* dumpable */
	assert_true(privileges_drop(NULL));
	assert_false(privileges_change(NULL));
}

static int try_here_and_there(const struct privileges *p)
{
	char *dir = mem_strdup("/tmp/fanfare-privileges-XXXXXX");
	int result = 0;

	if (mkdtemp(dir) == NULL)
		return 1;
	if (privileges_try(p, dir))
		result = 2;
	if (chmod(dir, 0777) < 0 || !privileges_try(p, dir) || !privileges_try(p, NULL))
		result = 3;
	if (rmdir(dir) < 0 || geteuid() != 0)
		result = 4;
	mem_free(dir);
	return result;
}

static void a_child_finds_out_where_the_user_can_work(void **state)
{
	struct config config = {.user = user};

	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(try_here_and_there, &config), 0);
}

static int make_a_file(const struct privileges *p)
{
	char path[] = "/tmp/fanfare-privileges-XXXXXX", other[] = "/tmp/fanfare-privileges-XXXXXX";
	struct stat st, after;
	int fd, other_fd;

	privileges_begin_group(p);
	fd = mkstemp(path);
	privileges_end_group();
	other_fd = mkstemp(other);
	unlink(path);
	unlink(other);
	if (fd < 0 || other_fd < 0 || fstat(fd, &st) < 0 || fstat(other_fd, &after) < 0)
		return 1;
	return st.st_uid == 0 && st.st_gid == privileges_gid(p) && after.st_gid == getegid() ? 0 : 2;
}

static void files_are_made_for_the_group(void **state)
{
	struct config config = {.user = user, .group = other_group};

	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(make_a_file, &config), 0);
}

static int never(const struct privileges *p)
{
	return 0;
}

static void who_does_not_exist_is_an_error(void **state)
{
	struct config config = {.user = nobody_at_all};

	assert_int_equal(in_child(never, &config), 100);
	config = (struct config){.user = user, .group = nobody_at_all};
	assert_int_equal(in_child(never, &config), 100);
}

static int quiet(void **state)
{
	log_setup(LOG_ERROR + 1, LOG_TEXT);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_and_nothing_comes_back),
		cmocka_unit_test(what_cannot_be_done_is_told),
		cmocka_unit_test(without_a_user_only_programs_and_core_files_are_given_up),
		cmocka_unit_test(a_child_finds_out_where_the_user_can_work),
		cmocka_unit_test(files_are_made_for_the_group),
		cmocka_unit_test(who_does_not_exist_is_an_error),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
