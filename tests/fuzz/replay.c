/* Plays files to a fuzz target, once each: `fuzz_<parser> FOLDER…` with the corpus. Needs no fuzzer, so that
 * tests/run does not. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static void play(int fd, const char *name)
{
	struct stat st;
	char *data;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	data = fuzz_copy("", 0);
	data = mem_realloc(data, (size_t)st.st_size + 1);
	CHECK(read(fd, data, (size_t)st.st_size) == st.st_size);
	close(fd);
	/* In case it is the last that is heard. */
	fprintf(stderr, "%s\n", name);
	LLVMFuzzerTestOneInput((const uint8_t *)data, (size_t)st.st_size);
	mem_free(data);
}

static unsigned play_folder(const char *path)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;
	unsigned count = 0;

	CHECK(folder != NULL);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		play(openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC), entry->d_name);
		count++;
	}
	closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++)
		count += play_folder(argv[i]);
	printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
