/* What the tests of config_load() stand on: a file of their own to read, and loading from it and from other
 * sources, for good or to be refused. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "unused_ok.h"

enum { TEXT_MAX = 1 << 20 };

static char path[] = "/tmp/fanfare-test-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void write_file(const void *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* Loads; the problems, without the path of the file, are in `errors`. */
static struct config *load(const struct config_sources *sources, char *errors, size_t size)
{
	struct config *config;
	size_t used = 0;
	struct buf buf;

	buf_init(&buf, TEXT_MAX);
	config = config_load(sources, &buf);
	assert_true(buf_ok(&buf));
	assert_true((config == NULL) == (buf.len > 0));
	for (size_t i = 0; i < buf.len && used + 1 < size; i++) {
		if (buf.len - i > strlen(path) && memcmp(buf.data + i, path, strlen(path)) == 0) {
			errors[used++] = 'F';
			i += strlen(path) - 1;
		} else {
			errors[used++] = buf.data[i];
		}
	}
	errors[used] = '\0';
	buf_free(&buf);
	return config;
}

static struct config *load_good(const struct config_sources *sources)
{
	char errors[4096];
	struct config *config = load(sources, errors, sizeof(errors));

	assert_string_equal(errors, "");
	return config;
}

static UNUSED_OK struct config *load_text(const char *text)
{
	struct config_sources sources = {.file = path};

	write_file(text, strlen(text));
	return load_good(&sources);
}

static UNUSED_OK void expect_errors(const struct config_sources *sources, const char *expected)
{
	char errors[8192];
	struct config *config = load(sources, errors, sizeof(errors));

	assert_null(config);
	assert_string_equal(errors, expected);
}

static UNUSED_OK void refuse_text(const char *text, const char *expected)
{
	struct config_sources sources = {.file = path};

	write_file(text, strlen(text));
	expect_errors(&sources, expected);
}

static UNUSED_OK void refuse_variable(const char *variable, const char *expected)
{
	const char *const environment[] = {variable, NULL};
	struct config_sources sources = {.environment = (char *const *)environment};

	expect_errors(&sources, expected);
}

static UNUSED_OK void refuse_flag(const char *option, const char *flag, const char *value,
                                  const char *expected)
{
	struct config_flag flags[] = {{.option = option, .value = value, .flag = flag}};
	struct config_sources sources = {.flags = flags, .flag_count = 1};

	expect_errors(&sources, expected);
}
