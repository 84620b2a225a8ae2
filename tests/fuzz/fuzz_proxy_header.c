/* proxy_header.c: the verdict on what came does not depend on how it came, and nothing beyond the header is
 * taken. */
#include "fuzz.h"

#include "proxy_header.h"

static void check_found(const struct proxy_header *h, size_t size)
{
	CHECK(h->len > 0 && h->len <= size && h->len <= PROXY_HEADER_MAX);
	CHECK(h->error == NULL);
}

/* As it is read from a socket: what belongs to the header is taken, and then more comes. */
static enum proxy_result read_in_pieces(const char *copy, size_t size, unsigned way, struct proxy_header *h)
{
	enum proxy_result result = PROXY_PARTIAL;

	*h = (struct proxy_header){0};
	for (size_t at = 0; at < size && result == PROXY_PARTIAL;) {
		at = fuzz_cut(way, at, size);
		fuzz_show(copy, size, at);
		result = proxy_header_parse((struct bytes){copy, at}, h);
		CHECK(h->len <= at);
		if (result == PROXY_PARTIAL)
			CHECK(h->len == at);
	}
	fuzz_show(copy, size, size);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct proxy_header whole, h;
	enum proxy_result expected = proxy_header_parse((struct bytes){copy, size}, &whole);

	if (expected == PROXY_COMPLETE)
		check_found(&whole, size);
	if (expected == PROXY_BAD)
		CHECK(whole.error != NULL);
	for (unsigned way = 0; way < FUZZ_CUTS; way++) {
		CHECK(read_in_pieces(copy, size, way, &h) == expected);
		if (expected != PROXY_COMPLETE)
			continue;
		CHECK(h.len == whole.len && h.local == whole.local && h.source_port == whole.source_port);
		CHECK(ip_eq(&h.source, &whole.source));
	}
	mem_free(copy);
	return 0;
}
