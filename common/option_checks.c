#include "option_checks.h"

#include <string.h>

#include "address.h"
#include "ascii.h"
#include "redis_url.h"

bool option_check_listen(const char *text, const char **reason)
{
	struct address_manner manner;
	struct address address;

	return address_parse(address_manner(text, &manner), &address, reason);
}

bool option_check_redis_address(const char *text, const char **reason)
{
	struct redis_url url;
	bool good = redis_url_parse(text, &url, reason);

	redis_url_free(&url);
	return good;
}

bool option_check_place(const char *text, const char **reason)
{
	struct redis_url url;
	bool good = redis_url_parse_host(text, REDIS_PORT, &url, reason);

	if (strchr(text, '/') != NULL)
		*reason = "must be HOST or HOST:PORT, neither a URL nor a unix socket";

	redis_url_free(&url);
	return good;
}

static bool only_holds(const char *text, const char *others)
{
	for (; *text != '\0'; text++) {
		if (!ascii_is_letter(*text) && !ascii_is_digit(*text) && strchr(others, *text) == NULL)
			return false;
	}
	return true;
}

/* Names beside the channels are made from the prefix without its last byte, "fanfare.control": that byte
 * keeps them apart. A brace would be a hash tag of Redis Cluster. */
bool option_check_redis_prefix(const char *text, const char **reason)
{
	*reason = "must be of letters, digits, '-', '_', '.' and ':', and end with ':'";
	return text[0] != '\0' && text[0] != ':' && text[strlen(text) - 1] == ':' && only_holds(text, "-_.:");
}

static bool is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Browsers leave the port out if it is the usual one of the scheme. */
static bool has_usual_port(const char *text)
{
	return (strncmp(text, "https:", 6) == 0 && ends_with(text, ":443")) ||
	       (strncmp(text, "http:", 5) == 0 && ends_with(text, ":80"));
}

/* What no browser ever sends would never match, which is hard to find out: paths, names that are not in the
 * writing of the DNS, and ports that go without saying. */
bool option_check_origin(const char *text, const char **reason)
{
	const char *host = strstr(text, "://");

	if (!is_ascii(text)) {
		*reason = "must have its name in the writing of the DNS, xn--...";
		return false;
	}
	if (has_usual_port(text)) {
		*reason = "must not have the usual port of its scheme, which browsers leave out";
		return false;
	}
	*reason =
		"must be an origin such as https://app.example.com or https://*.example.com, without a path, "
		"or *";
	return text[0] != '\0' && strpbrk(text, " \t,\"'") == NULL &&
	       strchr(host != NULL ? host + 3 : text, '/') == NULL;
}

bool option_check_path(const char *text, const char **reason)
{
	*reason =
		"must be a path such as /connection/websocket, of letters, digits, '-', '_', '.' and '/', not "
		"ending with '/'";
	return text[0] == '/' && text[1] != '\0' && text[strlen(text) - 1] != '/' &&
	       strstr(text, "//") == NULL && only_holds(text, "-_./");
}

bool option_check_name(const char *text, const char **reason)
{
	*reason = "must be of letters, digits, '-', '_' and '.', and not empty";
	return text[0] != '\0' && only_holds(text, "-_.");
}

bool option_check_directory(const char *text, const char **reason)
{
	*reason = "must be the path of a directory";
	return text[0] != '\0';
}

bool option_check_not_empty(const char *text, const char **reason)
{
	*reason = "must not be empty";
	return text[0] != '\0';
}

bool option_check_account(const char *text, const char **reason)
{
	*reason = "must be a name";
	return text[0] != '\0';
}

bool option_check_file(const char *text, const char **reason)
{
	*reason = "must be the path of a file";
	return text[0] != '\0';
}

bool option_check_server_name(const char *text, const char **reason)
{
	*reason = "must be a name or an address, without a port";
	return text[0] != '\0' && only_holds(text, "-_.:");
}
