/* config_load(): of a file it gives a configuration or problems, each a line, never both; what it gives is
 * printed so that it loads to the same, also with its secrets masked. Lines that begin with FANFARE_ at the
 * front of the input are variables, the rest is the file. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "config.h"

enum { VARIABLES_MAX = 8, LINES_MAX = 101 };

static struct config *load_file(struct bytes text, char *const *environment, struct buf *errors)
{
	int fd = memfd_create("fanfare", MFD_CLOEXEC);
	char path[64];
	struct config *config;

	CHECK(fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config = config_load(&(struct config_sources){.file = path, .environment = environment}, errors);
	close(fd);
	return config;
}

static void check_problems(const struct buf *errors)
{
	size_t lines = 0;

	CHECK(errors->len > 0 && errors->data[errors->len - 1] == '\n');
	for (size_t i = 0; i < errors->len; i++)
		lines += errors->data[i] == '\n';
	CHECK(lines <= LINES_MAX);
}

/* Prints what is loaded, and what is loaded from that. */
static void check_printed(const struct config *config, bool mask)
{
	struct buf first, second, errors;
	struct config *again;

	buf_init(&first, FUZZ_BUF_MAX);
	buf_init(&second, FUZZ_BUF_MAX);
	buf_init(&errors, FUZZ_BUF_MAX);
	config_print(config, mask, &first);
	again = load_file(buf_bytes(&first), NULL, &errors);
	if (again == NULL)
		fprintf(stderr, "%.*s%.*s", BYTES_FMT(buf_bytes(&first)), BYTES_FMT(buf_bytes(&errors)));
	CHECK(again != NULL && errors.len == 0);
	config_print(again, false, &second);
	CHECK(fuzz_same(&first, &second));
	config_free(&again);
	buf_free(&first);
	buf_free(&second);
	buf_free(&errors);
}

/* Takes the variables off the front of the text. */
static struct bytes take_variables(char *text, size_t size, char *environment[VARIABLES_MAX + 1])
{
	char *end;
	size_t count = 0;

	while (count < VARIABLES_MAX && size > 8 && memcmp(text, "FANFARE_", 8) == 0 &&
	       (end = memchr(text, '\n', size)) != NULL) {
		*end = '\0';
		environment[count++] = text;
		size -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	environment[count] = NULL;
	return (struct bytes){text, size};
}

/* The variable that names the file is not one of those that are tried. */
static bool names_a_file(char *const *environment)
{
	for (; *environment != NULL; environment++)
		if (strncmp(*environment, "FANFARE_CONFIG=", 15) == 0)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	char *environment[VARIABLES_MAX + 1];
	struct bytes text = take_variables(copy, size, environment);
	struct config *config;
	struct buf errors;

	buf_init(&errors, FUZZ_BUF_MAX);
	config = names_a_file(environment) ? NULL : load_file(text, environment, &errors);
	if (config != NULL) {
		CHECK(errors.len == 0);
		check_printed(config, false);
		check_printed(config, true);
	} else if (!names_a_file(environment)) {
		check_problems(&errors);
	}
	config_free(&config);
	buf_free(&errors);
	mem_free(copy);
	return 0;
}
