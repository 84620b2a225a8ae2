#include "redis_url.h"

#include <string.h>
#include <sys/un.h>

#include "ascii.h"
#include "bytes.h"
#include "mem.h"
#include "units.h"

enum { DB_MAX = 65535, PORT_MAX = 65535, NUMBER_LEN_MAX = 5 };

static const char scheme_tcp[] = "redis://";
static const char scheme_tls[] = "rediss://";
static const char bad_host[] = "the host must be a name, an IPv4 address or an [IPv6 address]";

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
		high = i + 2 < in.len ? ascii_hex_digit(in.ptr[i + 1]) : -1;
		low = i + 2 < in.len ? ascii_hex_digit(in.ptr[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0) {
			mem_free(out);
			return NULL;
		}
		out[n++] = (char)(high * 16 + low);
		i += 2;
	}
	return out;
}

/* A number in plain digits, from min to max. */
static bool parse_number(struct bytes text, uint64_t min, uint64_t max, int *out)
{
	uint64_t n;

	if (text.len > NUMBER_LEN_MAX || !units_parse_number(text, &n) || n < min || n > max)
		return false;
	*out = (int)n;
	return true;
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
	if (host.len == 0 || host.len > 253)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i];

		if (c == '\0')
			return false;
		if (!ascii_is_letter(c) && !ascii_is_digit(c) && strchr(bracketed ? ".:%" : ".-_", c) == NULL)
			return false;
	}
	return true;
}

bool redis_url_is_host(struct bytes host)
{
	return is_host(host, host.len > 0 && memchr(host.ptr, ':', host.len) != NULL);
}

bool redis_url_is_port(struct bytes port)
{
	int number;

	return parse_number(port, 1, PORT_MAX, &number);
}

static bool parse_host(struct bytes text, const char *default_port, struct redis_url *out,
                       const char **reason)
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
	if (port.len > 0 && !redis_url_is_port(bytes_skip(port, 1)))
		return false;
	out->host = mem_strndup(host.ptr, host.len);
	out->port = port.len > 0 ? mem_strndup(port.ptr + 1, port.len - 1) : mem_strdup(default_port);
	return true;
}

static bool parse_db(const char *text, struct redis_url *out, const char **reason)
{
	if (text[0] == '\0' || strcmp(text, "/") == 0)
		return true;
	*reason = "behind the host may only stand the number of a database: /0";
	return text[0] == '/' && parse_number(BYTES_OF_STR(text + 1), 0, DB_MAX, &out->db);
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
	return parse_host(host, "6379", out, reason) && parse_db(text + authority.len, out, reason);
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
	out->tls = strncmp(text, scheme_tls, strlen(scheme_tls)) == 0;
	if (out->tls)
		return parse_tcp(text + strlen(scheme_tls), out, reason);
	*reason = "must be redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix:/PATH";
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

bool redis_url_parse_host(const char *text, const char *default_port, struct redis_url *out,
                          const char **reason)
{
	*out = (struct redis_url){0};
	if (parse_host(BYTES_OF_STR(text), default_port, out, reason))
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

	if (scheme_end == NULL || at == NULL || at < scheme_end + 3 || strncmp(text, "unix:", 5) == 0)
		return mem_strdup(text);
	userinfo = scheme_end + 3;
	colon = memchr(userinfo, ':', (size_t)(at - userinfo));
	return mem_printf("%.*s***%s", (int)((colon != NULL ? colon + 1 : userinfo) - text), text, at);
}
