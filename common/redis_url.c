#include "redis_url.h"

#include <string.h>
#include <sys/un.h>

#include "bytes.h"
#include "mem.h"

enum { DB_MAX = 65535, PORT_MAX = 65535 };

static const char scheme_tcp[] = "redis://";
static const char bad_host[] = "the host must be a name, an IPv4 address or an [IPv6 address]";

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* NULL for a broken escape, and for %00, which no C string can hold. */
static char *percent_decode(struct bytes in)
{
	char *out = mem_alloc(in.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		int high, low;

		if (in.ptr[i] != '%') {
			out[n++] = in.ptr[i];
			continue;
		}
		high = i + 2 < in.len ? hex_digit(in.ptr[i + 1]) : -1;
		low = i + 2 < in.len ? hex_digit(in.ptr[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0) {
			mem_free(out);
			return NULL;
		}
		out[n++] = (char)(high * 16 + low);
		i += 2;
	}
	return out;
}

/* A number in plain digits, at most `max`; -1 otherwise. */
static int parse_number(struct bytes text, int max)
{
	int n = 0;

	if (text.len == 0 || text.len > 5)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return -1;
		n = n * 10 + (text.ptr[i] - '0');
	}
	return n <= max ? n : -1;
}

static bool parse_userinfo(struct bytes text, struct redis_url *out, const char **reason)
{
	const char *colon = memchr(text.ptr, ':', text.len);
	size_t user_len;

	/* Clients disagree on what a single word is, a user or a password. */
	*reason = "before the @ must stand USER:PASSWORD or :PASSWORD";
	if (colon == NULL)
		return false;
	user_len = (size_t)(colon - text.ptr);
	if (text.len == user_len + 1)
		return false;
	*reason = "user and password must be percent-encoded (%40 for @)";
	out->password = percent_decode((struct bytes){colon + 1, text.len - user_len - 1});
	if (out->password == NULL)
		return false;
	if (user_len == 0)
		return true;
	out->user = percent_decode((struct bytes){text.ptr, user_len});
	return out->user != NULL;
}

static bool is_host(struct bytes host, bool bracketed)
{
	const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	if (host.len == 0 || host.len > 253)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i];

		if (c == '\0' || (strchr(letters, c) == NULL && strchr(bracketed ? ".:%" : ".-_", c) == NULL))
			return false;
	}
	return true;
}

static bool parse_host(struct bytes text, struct redis_url *out, const char **reason)
{
	bool bracketed = text.len > 0 && text.ptr[0] == '[';
	const char *end = memchr(text.ptr, bracketed ? ']' : ':', text.len);
	struct bytes host = text, port = BYTES_NONE;

	*reason = bad_host;
	if (bracketed && end == NULL)
		return false;
	if (end != NULL) {
		host.len = (size_t)(end - text.ptr);
		port.ptr = end + (bracketed ? 1 : 0);
		port.len = text.len - (size_t)(port.ptr - text.ptr);
	}
	if (bracketed) {
		host.ptr++;
		host.len--;
	}
	if (!is_host(host, bracketed) || (port.len > 0 && port.ptr[0] != ':'))
		return false;
	*reason = "the port must be a number from 1 to 65535";
	if (port.len > 0 && parse_number((struct bytes){port.ptr + 1, port.len - 1}, PORT_MAX) < 1)
		return false;
	out->host = mem_strndup(host.ptr, host.len);
	out->port = port.len > 0 ? mem_strndup(port.ptr + 1, port.len - 1) : mem_strdup("6379");
	return true;
}

static bool parse_db(const char *text, struct redis_url *out, const char **reason)
{
	if (text[0] == '\0' || strcmp(text, "/") == 0)
		return true;
	out->db = parse_number(BYTES_OF_STR(text + 1), DB_MAX);
	*reason = "behind the host may only stand the number of a database: /0";
	return text[0] == '/' && out->db >= 0;
}

static bool parse_tcp(const char *text, struct redis_url *out, const char **reason)
{
	struct bytes authority = {text, strcspn(text, "/?#")};
	const char *at = memrchr(text, '@', authority.len);
	struct bytes host = authority;

	if (at != NULL) {
		host = (struct bytes){at + 1, authority.len - (size_t)(at + 1 - text)};
		if (!parse_userinfo((struct bytes){text, (size_t)(at - text)}, out, reason))
			return false;
	}
	return parse_host(host, out, reason) && parse_db(text + authority.len, out, reason);
}

static bool parse_unix(const char *path, struct redis_url *out, const char **reason)
{
	if (strncmp(path, "///", 3) == 0)
		path += 2;
	*reason = "behind unix: must stand the path of a socket: /, and less than 108 bytes";
	if (path[0] != '/' || path[1] == '/' ||
	    strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return false;
	out->is_unix = true;
	out->path = mem_strdup(path);
	return true;
}

static bool parse(const char *text, struct redis_url *out, const char **reason)
{
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, reason);
	if (strncmp(text, scheme_tcp, strlen(scheme_tcp)) == 0)
		return parse_tcp(text + strlen(scheme_tcp), out, reason);
	if (strncmp(text, "rediss://", 9) == 0)
		*reason = "rediss:// (Redis over TLS) is not supported yet";
	else
		*reason = "must be redis://[USER:PASSWORD@]HOST[:PORT][/DB] or unix:/PATH";
	return false;
}

bool redis_url_parse(const char *text, struct redis_url *out, const char **reason)
{
	*out = (struct redis_url){0};
	if (parse(text, out, reason))
		return true;
	redis_url_free(out);
	return false;
}

void redis_url_free(struct redis_url *url)
{
	mem_free(url->host);
	mem_free(url->port);
	mem_free(url->path);
	mem_free(url->user);
	mem_free(url->password);
	*url = (struct redis_url){0};
}

char *redis_url_mask(const char *text)
{
	const char *scheme_end = strstr(text, "://");
	const char *at = strrchr(text, '@');
	const char *userinfo, *colon;
	char *masked;
	size_t kept;

	if (scheme_end == NULL || at == NULL || at < scheme_end + 3 || strncmp(text, "unix:", 5) == 0)
		return mem_strdup(text);
	userinfo = scheme_end + 3;
	colon = memchr(userinfo, ':', (size_t)(at - userinfo));
	kept = (size_t)((colon != NULL ? colon + 1 : userinfo) - text);
	masked = mem_alloc(kept + 3 + strlen(at) + 1);
	memcpy(masked, text, kept);
	memcpy(masked + kept, "***", 3);
	memcpy(masked + kept + 3, at, strlen(at));
	return masked;
}
