/* address.c: what parses can be written, and what was written parses to what is written the same way. */
#include "fuzz.h"

#include "address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char first[ADDRESS_TEXT_MAX], second[ADDRESS_TEXT_MAX];
	struct address a, b;
	const char *reason = NULL;

	if (address_parse(text, &a, &reason)) {
		address_format(&a, first);
		CHECK(address_parse(first, &b, &reason));
		address_format(&b, second);
		CHECK(strcmp(first, second) == 0);
	} else {
		CHECK(reason != NULL);
	}
	mem_free(text);
	return 0;
}
