#include "runtime_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

static bool make_one(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return true;
	if (errno != EEXIST || stat(path, &st) < 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode);
}

/* What others can write into, or replace, is no place for our data and the socket of our Redis: in /tmp
 * anybody may have made it before us. Root knows what it does. */
static bool is_ours(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	errno = EPERM;
	return geteuid() == 0 || st.st_uid == geteuid() || st.st_uid == 0;
}

bool runtime_dir_make(const char *path)
{
	char *copy = mem_strdup(path);
	bool ok = true;
	int saved;

	for (char *slash = copy; ok && (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
		*slash = '\0';
		ok = make_one(copy);
	}
	ok = ok && make_one(copy) && is_ours(copy);
	saved = errno;
	mem_free(copy);
	errno = saved;
	return ok;
}

char *runtime_dir_path(const char *dir, const char *name)
{
	char *absolute = realpath(dir, NULL);
	char *path = mem_printf("%s/%s", absolute != NULL ? absolute : dir, name);

	mem_free(absolute);
	return path;
}
