#include "pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

struct pid_file {
	int fd;
	char *path;
};

/* The holder removes the file before it unlocks. Who locked a file that is gone by then, holds nothing. */
static bool is_same_file(int fd, const char *path)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_dev == there.st_dev &&
	       mine.st_ino == there.st_ino;
}

static pid_t read_pid(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

static bool write_pid(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) == len;
}

static enum pid_file_result lock(int fd, const char *path, pid_t *holder)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return write_pid(fd) ? PID_FILE_TAKEN : PID_FILE_FAILED;
	if (errno != EWOULDBLOCK)
		return PID_FILE_FAILED;
	*holder = read_pid(fd);
	return PID_FILE_HELD;
}

enum pid_file_result pid_file_take(const char *path, struct pid_file **out, pid_t *holder)
{
	enum pid_file_result result;
	int fd, saved;

	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			return PID_FILE_FAILED;
		result = lock(fd, path, holder);
		if (result != PID_FILE_TAKEN || is_same_file(fd, path))
			break;
		close(fd);
	}
	if (result != PID_FILE_TAKEN) {
		saved = errno;
		close(fd);
		errno = saved;
		return result;
	}
	*out = mem_alloc(sizeof(**out));
	(*out)->fd = fd;
	(*out)->path = mem_strdup(path);
	return PID_FILE_TAKEN;
}

void pid_file_release(struct pid_file **f)
{
	if (*f == NULL)
		return;
	unlink((*f)->path);
	close((*f)->fd);
	mem_free((*f)->path);
	mem_free(*f);
	*f = NULL;
}
