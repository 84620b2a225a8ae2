/* origin.c against a matcher that tries everything. The first line is the Origin, the others are what is
 * allowed. */
#include "fuzz.h"

#include <ctype.h>

#include "origin.h"

enum { PATTERNS_MAX = 4, LEN_MAX = 100 };

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '.' || c == '_';
}

/* ends[t]: whether the pattern so far matches the first t bytes of the text. */
static bool matches(const char *pattern, const char *text)
{
	bool ends[LEN_MAX + 1] = {true};
	size_t len = strlen(text);

	for (; *pattern != '\0'; pattern++) {
		bool next[LEN_MAX + 1] = {false};

		for (size_t t = 0; t < len; t++) {
			if (*pattern == '*')
				next[t + 1] = is_name(text[t]) && (ends[t] || next[t]);
			else
				next[t + 1] = ends[t] && tolower((unsigned char)text[t]) ==
				                                 tolower((unsigned char)*pattern);
		}
		memcpy(ends, next, sizeof(ends));
	}
	return ends[len];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char *items[PATTERNS_MAX];
	struct strings allowed = {.items = items};
	char *rest = text;
	char *origin = strsep(&rest, "\n");
	bool expected = false;

	for (char *line; allowed.count < PATTERNS_MAX && (line = strsep(&rest, "\n")) != NULL;)
		items[allowed.count++] = line;
	if (strlen(origin) <= LEN_MAX) {
		char *copy = fuzz_copy(origin, strlen(origin));

		for (size_t i = 0; i < allowed.count; i++)
			expected |= strcasecmp(origin, "null") == 0
			                    ? strcasecmp(items[i], "null") == 0
			                    : strcmp(items[i], "*") == 0 ||
			                              (*origin != '\0' && matches(items[i], origin));
		CHECK(origin_allowed(&allowed, (struct bytes){copy, strlen(origin)}) == expected);
		mem_free(copy);
	}
	mem_free(text);
	return 0;
}
