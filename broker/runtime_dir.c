#include "runtime_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
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

static bool is_our_file(const char *name)
{
	static const char *const names[] = {".", "..", "fanfare.pid", "redis", "redis.log", "redis.log.old"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* A directory may have been named that is for other things, too, /root say. */
static bool holds_only_ours(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool ok = dir != NULL;

	while (ok && (entry = readdir(dir)) != NULL)
		ok = is_our_file(entry->d_name);
	if (dir != NULL)
		closedir(dir);
	return ok;
}

bool runtime_dir_let_pass(const char *path, gid_t gid)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	if (st.st_uid != geteuid() || (st.st_mode & 07777) != 0700 || !holds_only_ours(path))
		return true;
	return chown(path, (uid_t)-1, gid) == 0 && chmod(path, 0710) == 0;
}

/* From the files up: the directory itself, which lets nobody else in, comes last, so that nobody can put
 * anything in the way. What has another name somewhere else stays what it is. */
static bool give_tree(FTS *tree, uid_t uid, gid_t gid)
{
	const FTSENT *entry;
	bool ok = true;

	while (ok && (entry = fts_read(tree)) != NULL) {
		bool is_linked = entry->fts_info == FTS_F && entry->fts_statp->st_nlink > 1;

		switch (entry->fts_info) {
		case FTS_D: break;
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			errno = entry->fts_errno;
			ok = false;
			break;
		default: ok = is_linked || lchown(entry->fts_accpath, uid, gid) == 0; break;
		}
	}
	return ok;
}

bool runtime_dir_give(const char *path, uid_t uid, gid_t gid)
{
	char *copy, *roots[2] = {NULL};
	struct stat st;
	FTS *tree;
	bool ok;

	if (lstat(path, &st) < 0)
		return false;
	if (st.st_uid == uid)
		return true;
	errno = EPERM;
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 0077) != 0)
		return false;
	roots[0] = copy = mem_strdup(path);
	tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	ok = tree != NULL && give_tree(tree, uid, gid);
	if (tree != NULL)
		fts_close(tree);
	mem_free(copy);
	return ok;
}

char *runtime_dir_path(const char *dir, const char *name)
{
	char *absolute = realpath(dir, NULL);
	char *path = mem_printf("%s/%s", absolute != NULL ? absolute : dir, name);

	mem_free(absolute);
	return path;
}
