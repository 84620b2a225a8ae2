#include "tls_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "secret.h"

enum {
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL,
	ABSENT = -1,
};

/* --- the places --- */

static void set_file(struct tls_file *f, const char *option, const char *path)
{
	f->option = option;
	f->path = path != NULL ? mem_strdup(path) : NULL;
}

static void set_pair(struct tls_file *f, const char *option, const char *path)
{
	set_file(&f[0], option, path);
	f[1].option = option;
	f[1].path = mem_printf("%s.ocsp", path);
}

static struct tls_bundle *bundle_new(const struct config *config)
{
	const struct strings *sni = &config->tls.sni_pem_files;
	struct tls_bundle *b = mem_alloc(sizeof(*b));

	b->count = TLS_FILE_SNI + 2 * sni->count;
	b->files = mem_alloc(b->count * sizeof(*b->files));
	set_pair(&b->files[TLS_FILE_CERT], "tls.cert_pem_file", config->tls.cert_pem_file);
	set_file(&b->files[TLS_FILE_KEY], "tls.key_pem_file", config->tls.key_pem_file);
	set_file(&b->files[TLS_FILE_CLIENT_CA], "tls.client_ca_pem_file", config->tls.client_ca_pem_file);
	for (size_t i = 0; i < sni->count; i++)
		set_pair(&b->files[TLS_FILE_SNI + 2 * i], "tls.sni_pem_files", sni->items[i]);
	return b;
}

static bool is_ocsp(const struct tls_bundle *b, const struct tls_file *f)
{
	size_t place = (size_t)(f - b->files);

	return place == TLS_FILE_CERT_OCSP || (place >= TLS_FILE_SNI && (place - TLS_FILE_SNI) % 2 == 1);
}

/* So that an empty file is there, too. */
static void make_room(struct tls_file *f, size_t len)
{
	f->data = secret_alloc(len + 1);
	f->len = len;
}

void tls_bundle_free(struct tls_bundle **b)
{
	struct tls_bundle *dead = *b;

	if (dead == NULL)
		return;
	for (size_t i = 0; i < dead->count; i++) {
		secret_free(dead->files[i].data, dead->files[i].len + 1);
		mem_free(dead->files[i].path);
	}
	mem_free(dead->files);
	mem_free(dead);
	*b = NULL;
}

/* --- reading files --- */

/* All len bytes from the place; false with errno, which is 0 at an early end. */
static bool read_fully(int fd, char *data, size_t len, off_t at)
{
	errno = 0;
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, data + done, len - done, at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* What is wrong; NULL when nothing is. One byte more than the size would be new: somebody writes there. */
static const char *read_open_file(struct tls_file *f, int fd)
{
	struct stat st;
	char more;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "is no regular file";
	if (st.st_size > TLS_FILE_MAX)
		return "is longer than 1 MiB";
	make_room(f, (size_t)st.st_size);
	if (!read_fully(fd, f->data, f->len, 0) || pread(fd, &more, 1, (off_t)f->len) == 1)
		return errno != 0 ? strerror(errno) : "changes while it is read";
	return NULL;
}

static bool read_file(const struct tls_bundle *b, struct tls_file *f, struct buf *errors)
{
	int fd = f->path != NULL ? open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	const char *problem;

	if (f->path == NULL || (fd < 0 && errno == ENOENT && is_ocsp(b, f)))
		return true;
	problem = fd < 0 ? strerror(errno) : read_open_file(f, fd);
	if (fd >= 0)
		close(fd);
	if (problem != NULL)
		buf_putf(errors, "%s: %s: %s\n", f->option, f->path, problem);
	return problem == NULL;
}

struct tls_bundle *tls_bundle_read(const struct config *config, struct buf *errors)
{
	struct tls_bundle *b = bundle_new(config);
	size_t total = 0;
	bool ok = true;

	for (size_t i = 0; i < b->count && total <= TLS_BUNDLE_MAX; i++) {
		ok = read_file(b, &b->files[i], errors) && ok;
		total += b->files[i].len;
	}
	if (total > TLS_BUNDLE_MAX) {
		buf_puts(errors, "tls: the files are longer than 32 MiB together\n");
		ok = false;
	}
	if (!ok)
		tls_bundle_free(&b);
	return b;
}

/* --- handing over: for each place its length and its bytes --- */

static bool write_fully(int fd, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool write_file(int fd, const struct tls_file *f)
{
	int32_t len = f->data != NULL ? (int32_t)f->len : ABSENT;

	return write_fully(fd, &len, sizeof(len)) && write_fully(fd, f->data, f->len);
}

int tls_bundle_seal(const struct tls_bundle *b)
{
	int fd = memfd_create("fanfare-tls", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool ok = fd >= 0;
	int saved;

	for (size_t i = 0; i < b->count && ok; i++)
		ok = write_file(fd, &b->files[i]);
	if (ok && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

static bool receive_file(struct tls_file *f, int fd, off_t *at)
{
	int32_t len;

	if (!read_fully(fd, (char *)&len, sizeof(len), *at))
		return false;
	*at += (off_t)sizeof(len);
	if (len == ABSENT)
		return true;
	if (len < 0 || len > TLS_FILE_MAX || f->path == NULL)
		return false;
	make_room(f, (size_t)len);
	if (!read_fully(fd, f->data, f->len, *at))
		return false;
	*at += len;
	return true;
}

/* A kernel may set one more by itself (F_SEAL_EXEC). */
static bool is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}

struct tls_bundle *tls_bundle_receive(const struct config *config, int fd)
{
	struct tls_bundle *b;
	struct stat st;
	off_t at = 0;
	bool ok = true;

	if (!is_sealed(fd) || fstat(fd, &st) < 0)
		return NULL;
	b = bundle_new(config);
	for (size_t i = 0; i < b->count && ok; i++)
		ok = receive_file(&b->files[i], fd, &at);
	if (!ok || at != st.st_size)
		tls_bundle_free(&b);
	return b;
}
