/* The bytes of the files for TLS, from disk and from one process to another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "tls_bundle.h"

enum { ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

static char dir[] = "/tmp/fanfare-bundle-XXXXXX";
static char cert[64], key[64], ca[64], sni[64], sni_ocsp[80];
static char *sni_files[] = {sni, cert};
static struct config config;
static struct buf errors;

static void write_file(const char *path, const char *data, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static int set_up(void **state)
{
	memset(&config, 0, sizeof(config));
	config.tls.cert_pem_file = cert;
	config.tls.key_pem_file = key;
	config.tls.client_ca_pem_file = ca;
	config.tls.sni_pem_files.items = sni_files;
	config.tls.sni_pem_files.count = 2;
	buf_init(&errors, 10000);
	write_file(cert, "certificate", 11);
	write_file(key, "key", 3);
	write_file(ca, "", 0);
	write_file(sni, "both\0both", 9);
	write_file(sni_ocsp, "good", 4);
	return 0;
}

static int tear_down(void **state)
{
	const char *files[] = {cert, key, ca, sni, sni_ocsp};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(files[i]);
	buf_free(&errors);
	return 0;
}

static void expect_file(const struct tls_bundle *b, size_t place, const char *data, size_t len)
{
	assert_non_null(b->files[place].data);
	assert_int_equal(b->files[place].len, len);
	assert_memory_equal(b->files[place].data, data, len);
}

static void expect_all(const struct tls_bundle *b)
{
	assert_non_null(b);
	assert_int_equal(b->count, TLS_FILE_SNI + 4);
	expect_file(b, TLS_FILE_CERT, "certificate", 11);
	assert_null(b->files[TLS_FILE_CERT_OCSP].data);
	expect_file(b, TLS_FILE_KEY, "key", 3);
	expect_file(b, TLS_FILE_CLIENT_CA, "", 0);
	expect_file(b, TLS_FILE_SNI, "both\0both", 9);
	expect_file(b, TLS_FILE_SNI + 1, "good", 4);
	expect_file(b, TLS_FILE_SNI + 2, "certificate", 11);
	assert_null(b->files[TLS_FILE_SNI + 3].data);
}

static int sealed(void)
{
	struct tls_bundle *b = tls_bundle_read(&config, &errors);
	int fd;

	expect_all(b);
	fd = tls_bundle_seal(b);
	assert_true(fd >= 0);
	tls_bundle_free(&b);
	assert_null(b);
	return fd;
}

static void what_is_read_here_is_received_there(void **state)
{
	int fd = sealed();
	struct tls_bundle *b = tls_bundle_receive(&config, fd);

	expect_all(b);
	assert_string_equal(b->files[TLS_FILE_SNI + 1].path, sni_ocsp);
	tls_bundle_free(&b);
	/* By each worker. */
	b = tls_bundle_receive(&config, fd);
	expect_all(b);
	tls_bundle_free(&b);
	close(fd);
}

static void nobody_can_change_what_is_handed_over(void **state)
{
	int fd = sealed();

	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & ALL_SEALS, ALL_SEALS);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static int memfd_of(const char *data, size_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void expect_refusal(const char *data, size_t len, int seals)
{
	int fd = memfd_of(data, len, seals);

	assert_null(tls_bundle_receive(&config, fd));
	close(fd);
}

static void anything_else_is_refused(void **state)
{
	static const int32_t lengths[] = {-2, INT32_MIN, INT32_MAX, TLS_FILE_MAX + 1, 1000, 4};
	char data[1000];
	int fd = sealed();
	ssize_t len = pread(fd, data, sizeof(data), 0);

	close(fd);
	assert_true(len > 0 && (size_t)len < sizeof(data));
	for (size_t cut = 0; cut < (size_t)len; cut++)
		expect_refusal(data, cut, ALL_SEALS);
	expect_refusal(data, (size_t)len + 1, ALL_SEALS);
	expect_refusal(data, (size_t)len, ALL_SEALS & ~F_SEAL_WRITE);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		memcpy(data, &lengths[i], sizeof(lengths[i]));
		expect_refusal(data, (size_t)len, ALL_SEALS);
	}
	assert_null(tls_bundle_receive(&config, STDIN_FILENO));
	assert_null(tls_bundle_receive(&config, -1));
}

/* As kernels do that keep what is in memory from being executed (sysctl vm.memfd_noexec, F_SEAL_EXEC). */
static void a_file_with_more_seals_than_asked_for_is_as_good(void **state)
{
	char data[1000];
	struct tls_bundle *bundle;
	int fd = sealed();
	ssize_t len = pread(fd, data, sizeof(data), 0);

	close(fd);
	assert_true(len > 0);
	fd = memfd_of(data, (size_t)len, ALL_SEALS | F_SEAL_FUTURE_WRITE);
	bundle = tls_bundle_receive(&config, fd);
	assert_non_null(bundle);
	tls_bundle_free(&bundle);
	close(fd);
}

static void a_bundle_of_another_configuration_is_refused(void **state)
{
	int fd = sealed();

	config.tls.sni_pem_files.count = 1;
	assert_null(tls_bundle_receive(&config, fd));
	config.tls.sni_pem_files.count = 2;
	config.tls.key_pem_file = NULL;
	assert_null(tls_bundle_receive(&config, fd));
	close(fd);
}

static void expect_problems(const char *text)
{
	assert_null(tls_bundle_read(&config, &errors));
	buf_putc(&errors, '\0');
	assert_true(buf_ok(&errors));
	assert_string_equal(errors.data, text);
	buf_reset(&errors);
}

static void each_file_that_cannot_be_had_is_named_with_its_option(void **state)
{
	char *text = mem_printf("tls.cert_pem_file: %s: is longer than 1 MiB\n"
	                        "tls.key_pem_file: %s: No such file or directory\n"
	                        "tls.client_ca_pem_file: %s: is no regular file\n"
	                        "tls.sni_pem_files: %s: is no regular file\n"
	                        "tls.sni_pem_files: %s: is longer than 1 MiB\n",
	                        cert, key, ca, sni, cert);

	assert_int_equal(truncate(cert, TLS_FILE_MAX + 1), 0);
	unlink(key);
	unlink(ca);
	unlink(sni);
	assert_int_equal(mkfifo(ca, 0600),
	                 0); /* nobody writes there: who waited for it would wait for ever */
	assert_int_equal(symlink(dir, sni), 0);
	expect_problems(text);
	mem_free(text);
}

static void all_files_together_have_a_limit(void **state)
{
	static char *many[TLS_BUNDLE_MAX / TLS_FILE_MAX + 1];

	assert_int_equal(truncate(sni, TLS_FILE_MAX), 0);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = sni;
	config.tls.sni_pem_files.items = many;
	config.tls.sni_pem_files.count = ARRAY_LEN(many);
	expect_problems("tls: the files are longer than 32 MiB together\n");
}

static void without_a_free_descriptor_nothing_is_read(void **state)
{
	struct rlimit limit, none;
	char *text = mem_printf("tls.cert_pem_file: %s: Too many open files\n", cert);

	config.tls.key_pem_file = config.tls.client_ca_pem_file = NULL;
	config.tls.sni_pem_files.count = 0;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(tls_bundle_read(&config, &errors));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Also of an OCSP response nobody knows then that it is not there. */
	assert_true(errors.len > strlen(text));
	assert_memory_equal(errors.data, text, strlen(text));
	mem_free(text);
}

static int make_dir(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	snprintf(sni, sizeof(sni), "%s/sni.pem", dir);
	snprintf(sni_ocsp, sizeof(sni_ocsp), "%s.ocsp", sni);
	return 0;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_read_here_is_received_there),
		TEST(nobody_can_change_what_is_handed_over),
		TEST(anything_else_is_refused),
		TEST(a_file_with_more_seals_than_asked_for_is_as_good),
		TEST(a_bundle_of_another_configuration_is_refused),
		TEST(each_file_that_cannot_be_had_is_named_with_its_option),
		TEST(all_files_together_have_a_limit),
		TEST(without_a_free_descriptor_nothing_is_read),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
