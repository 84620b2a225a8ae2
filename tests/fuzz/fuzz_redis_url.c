/* redis_url.c: what parses has all its parts; masked it is the same address with another password, and
 * masking twice masks no more; what begins with rediss:// and nothing else is TLS. */
#include "fuzz.h"

#include "redis_url.h"

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void check_parts(const struct redis_url *url)
{
	CHECK(url->is_unix == (url->path != NULL) && url->is_unix == (url->host == NULL));
	CHECK(url->is_unix == (url->port == NULL) && url->db >= 0);
	CHECK(!url->is_unix || !url->tls);
	CHECK(url->user == NULL || url->password != NULL);
	CHECK(url->password == NULL || *url->password != '\0');
	CHECK(url->is_unix || (*url->host != '\0' && strtoul(url->port, NULL, 10) - 1 < 65535));
}

static void check_masked(const struct redis_url *url, const char *masked)
{
	struct redis_url other;
	const char *reason;

	CHECK(redis_url_parse(masked, &other, &reason));
	CHECK(same(url->host, other.host) && same(url->port, other.port) && same(url->path, other.path));
	CHECK(url->tls == other.tls && same(url->user, other.user) && url->db == other.db);
	CHECK(url->password == NULL ? other.password == NULL : same(other.password, "***"));
	redis_url_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char *masked = redis_url_mask(text);
	char *twice = redis_url_mask(masked);
	const char *reason = NULL;
	struct redis_url url;

	CHECK(strcmp(masked, twice) == 0);
	if (redis_url_parse(text, &url, &reason)) {
		CHECK(url.tls == (strncmp(text, "rediss://", 9) == 0));
		check_parts(&url);
		check_masked(&url, masked);
		redis_url_free(&url);
	} else {
		CHECK(reason != NULL);
	}
	mem_free(twice);
	mem_free(masked);
	mem_free(text);
	return 0;
}
