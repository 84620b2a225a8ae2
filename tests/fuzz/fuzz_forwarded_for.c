/* forwarded_for.c against a walk that splits the whole list first. Each line of the input is a header line's
 * value. */
#include "fuzz.h"

#include "forwarded_for.h"

enum { LINES_MAX = 4, ELEMENTS_MAX = 256 };

/* By another way than the module's: everything behind the last colon is a port if there are brackets before
 * it, or no other colon. */
static bool parse(const char *text, struct ip *ip)
{
	char *copy = mem_strdup(text);
	char *host = copy, *end = copy + strlen(copy), *colon = strrchr(copy, ':');
	bool good = true;

	if (colon != NULL &&
	    (colon == strchr(copy, ':') || (colon > copy && copy[0] == '[' && colon[-1] == ']'))) {
		char *after;
		unsigned long port = strtoul(colon + 1, &after, 10);

		good = after > colon + 1 && *after == '\0' &&
		       strspn(colon + 1, "0123456789") == strlen(colon + 1) && strlen(colon + 1) <= 5 &&
		       port <= 65535;
		*colon = '\0';
		end = colon;
	}
	if (host[0] == '[') {
		good = good && end > host && end[-1] == ']';
		if (good)
			end[-1] = '\0';
		host++;
	}
	good = good && ip_parse(BYTES_OF_STR(host), ip);
	mem_free(copy);
	return good;
}

static enum forwarded_for walk(char *const *elements, size_t count, const struct peer_set *trusted,
                               struct ip *client)
{
	enum forwarded_for result = FORWARDED_NONE;

	while (count-- > 0) {
		char *text = elements[count] + strspn(elements[count], " \t");
		size_t len = strlen(text);

		while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
			text[--len] = '\0';
		if (len == 0)
			continue;
		if (!parse(text, client))
			return FORWARDED_BAD;
		result = FORWARDED_FOUND;
		if (!peer_set_has(trusted, client))
			break;
	}
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char ranges[2][16] = {"10.0.0.0/8", "2001:db8::/32"};
	char *items[] = {ranges[0], ranges[1]}, *elements[ELEMENTS_MAX], *copies[LINES_MAX];
	char *text = fuzz_text(data, size), *list = mem_strdup(text), *rest = list;
	static struct http1_request req;
	struct peer_set trusted;
	struct ip client = {{0}}, expected = {{0}};
	size_t count = 0;
	uint16_t port;

	peer_set_init(&trusted, &(struct strings){items, 2});
	req.header_count = 0;
	for (char *line; req.header_count < LINES_MAX && (line = strsep(&rest, "\n")) != NULL;) {
		struct bytes value = {fuzz_copy(line, strlen(line)), strlen(line)};

		copies[req.header_count] = (char *)value.ptr;
		req.headers[req.header_count++] = (struct http1_header){BYTES("x-forwarded-for"), value};
		for (char *element; count < ELEMENTS_MAX && (element = strsep(&line, ",")) != NULL;)
			elements[count++] = element;
	}
	if (count < ELEMENTS_MAX) {
		enum forwarded_for result = forwarded_for(&req, &trusted, &client, &port);

		CHECK(result == walk(elements, count, &trusted, &expected));
		if (result == FORWARDED_FOUND)
			CHECK(ip_eq(&client, &expected));
	}
	for (size_t i = 0; i < req.header_count; i++)
		mem_free(copies[i]);
	peer_set_free(&trusted);
	mem_free(list);
	mem_free(text);
	return 0;
}
