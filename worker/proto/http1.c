/* Strict reader of request heads. A head is first scanned up to its end, byte by byte and once, for what no
 * head may hold; only a complete one is taken apart. So the verdict does not depend on how the bytes came. */
#include "http1.h"

#include <string.h>

#include "ascii.h"
#include "units.h"

enum { MAX_REQUEST_LINE = 8192 };

static enum http1_result bad(struct http1_request *req, int status, const char *error)
{
	req->status = status;
	req->error = error;
	return HTTP1_BAD;
}

/* RFC 9110, 5.6.2. */
static bool is_token_char(char c)
{
	if (ascii_is_digit(c) || ascii_is_letter(c))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http1_is_token(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is_token_char(text.ptr[i]))
			return false;
	}
	return text.len > 0;
}

/* Cuts everything before the first `at` off *rest, and that byte too. False when there is none. */
static bool cut(struct bytes *rest, char at, struct bytes *before)
{
	const char *found = rest->len > 0 ? memchr(rest->ptr, at, rest->len) : NULL;

	if (found == NULL)
		return false;
	*before = (struct bytes){rest->ptr, (size_t)(found - rest->ptr)};
	rest->ptr = found + 1;
	rest->len -= before->len + 1;
	return true;
}

/* What is wrong with the byte at i, seen with those before it; NULL when nothing is. Lines end with CR LF and
 * nothing else: whoever takes a lone LF, or CR, for a line end reads another request than the proxy before us
 * has read. */
static const char *check_byte(const char *data, size_t i)
{
	uint8_t c = (uint8_t)data[i];
	bool after_cr = i > 0 && data[i - 1] == '\r';

	if (c == '\n') {
		if (!after_cr)
			return "line ends without CR";
		return i == 1 ? "empty request line" : NULL;
	}
	if (after_cr)
		return "CR without LF";
	if ((c < 0x20 && c != '\r' && c != '\t') || c == 0x7f)
		return "control character in the head";
	return NULL;
}

static bool has_line_end(const char *data, size_t len)
{
	return memchr(data, '\n', len) != NULL;
}

/* Looks at each byte once, and remembers in req->scanned how far it came. */
static enum http1_result scan_head(struct bytes data, struct http1_request *req)
{
	for (size_t i = req->scanned; i < data.len; i++) {
		const char *error;

		if (i == MAX_REQUEST_LINE && !has_line_end(data.ptr, i))
			return bad(req, 414, "request line is too long");
		if (i == HTTP1_MAX_HEAD)
			return bad(req, 431, "request head is too long");
		error = check_byte(data.ptr, i);
		if (error != NULL)
			return bad(req, 400, error);
		if (i >= 3 && memcmp(data.ptr + i - 3, "\r\n\r\n", 4) == 0) {
			req->head_len = i + 1;
			return HTTP1_COMPLETE;
		}
	}
	req->scanned = data.len;
	return HTTP1_PARTIAL;
}

static struct bytes next_line(struct bytes *rest)
{
	struct bytes line = BYTES_NONE;

	/* scan_head() saw that each line has its end. */
	if (cut(rest, '\n', &line))
		line.len--;
	return line;
}

static void split_query(struct http1_request *req, struct bytes path_and_query)
{
	req->query = path_and_query;
	if (cut(&req->query, '?', &req->path))
		return;
	req->path = path_and_query;
	req->query = BYTES_NONE;
}

static bool skip_scheme(struct bytes *target)
{
	static const struct bytes schemes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = schemes[i].len;

		if (target->len > len && ascii_equal(bytes_first(*target, len), schemes[i])) {
			*target = bytes_skip(*target, len);
			return true;
		}
	}
	return false;
}

/* RFC 9112, 3.2.2: what clients send to proxies, and servers must take. */
static const char *parse_absolute_form(struct http1_request *req)
{
	struct bytes rest = req->target;
	size_t authority_len = 0;

	if (!skip_scheme(&rest))
		return "bad request target";
	while (authority_len < rest.len && rest.ptr[authority_len] != '/' && rest.ptr[authority_len] != '?')
		authority_len++;
	if (authority_len == 0 || memchr(rest.ptr, '@', authority_len) != NULL)
		return "bad authority in the request target";
	rest = bytes_skip(rest, authority_len);
	split_query(req, rest);
	if (req->path.len == 0)
		req->path = BYTES("/");
	return NULL;
}

static const char *parse_target(struct http1_request *req)
{
	for (size_t i = 0; i < req->target.len; i++) {
		uint8_t c = (uint8_t)req->target.ptr[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return "bad character in the request target";
	}
	if (req->target.len > 0 && req->target.ptr[0] == '/') {
		split_query(req, req->target);
		return NULL;
	}
	if (bytes_eq(req->target, BYTES("*")) && bytes_eq(req->method, BYTES("OPTIONS"))) {
		split_query(req, req->target);
		return NULL;
	}
	return parse_absolute_form(req);
}

static enum http1_result parse_version(struct http1_request *req, struct bytes version)
{
	if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || !ascii_is_digit(version.ptr[5]) ||
	    version.ptr[6] != '.' || !ascii_is_digit(version.ptr[7]))
		return bad(req, 400, "bad HTTP version");
	if (version.ptr[5] != '1')
		return bad(req, 505, "HTTP version is not supported");
	req->http_1_0 = version.ptr[7] == '0';
	return HTTP1_COMPLETE;
}

static enum http1_result parse_request_line(struct http1_request *req, struct bytes line)
{
	const char *error;

	if (!cut(&line, ' ', &req->method) || !cut(&line, ' ', &req->target))
		return bad(req, 400, "bad request line");
	if (!http1_is_token(req->method))
		return bad(req, 400, "bad method");
	error = parse_target(req);
	if (error != NULL)
		return bad(req, 400, error);
	return parse_version(req, line);
}

static enum http1_result parse_header(struct http1_request *req, struct bytes line)
{
	struct http1_header header;

	if (ascii_is_blank(line.ptr[0]))
		return bad(req, 400, "folded header line");
	header.value = line;
	if (!cut(&header.value, ':', &header.name))
		return bad(req, 400, "header without colon");
	if (!http1_is_token(header.name))
		return bad(req, 400, "bad header name");
	header.value = ascii_trim(header.value);
	if (req->header_count == HTTP1_MAX_HEADERS)
		return bad(req, 431, "too many headers");
	req->headers[req->header_count++] = header;
	return HTTP1_COMPLETE;
}

static enum http1_result parse_headers(struct http1_request *req, struct bytes rest)
{
	for (;;) {
		struct bytes line = next_line(&rest);
		enum http1_result result;

		if (line.len == 0)
			return HTTP1_COMPLETE;
		result = parse_header(req, line);
		if (result != HTTP1_COMPLETE)
			return result;
	}
}

/* RFC 9112, 3.2: a missing, second or senseless Host is an error, whatever the target says. */
static const char *check_host(const struct http1_request *req)
{
	const struct bytes *host = http1_header(req, "Host");

	if (host == NULL)
		return req->http_1_0 ? NULL : "no Host header";
	if (http1_header_count(req, "Host") > 1)
		return "more than one Host header";
	for (size_t i = 0; i < host->len; i++) {
		if ((uint8_t)host->ptr[i] <= 0x20 || strchr("/?#@,\\\"<>", host->ptr[i]) != NULL)
			return "bad Host header";
	}
	return NULL;
}

/* RFC 9112, 6.3. Repeated equal lengths are no lie; differing ones are. */
static const char *read_content_length(struct http1_request *req)
{
	bool found = false;

	for (size_t i = 0; i < req->header_count; i++) {
		uint64_t value;

		if (!http1_header_is(&req->headers[i], "Content-Length"))
			continue;
		if (!units_parse_number(req->headers[i].value, &value))
			return "bad Content-Length";
		if (found && value != req->content_length)
			return "differing Content-Lengths";
		req->content_length = value;
		found = true;
	}
	return NULL;
}

/* RFC 9112, 6.1: only the one coding that everybody must know. Next to a Content-Length, in HTTP/1.0 and said
 * more than once it is how requests are smuggled. */
static enum http1_result read_transfer_encoding(struct http1_request *req)
{
	const struct bytes *coding = http1_header(req, "Transfer-Encoding");

	if (coding == NULL)
		return HTTP1_COMPLETE;
	if (req->http_1_0)
		return bad(req, 400, "Transfer-Encoding in HTTP/1.0");
	if (http1_header(req, "Content-Length") != NULL)
		return bad(req, 400, "Transfer-Encoding and Content-Length");
	if (http1_header_count(req, "Transfer-Encoding") > 1 || coding->len == 0)
		return bad(req, 400, "bad Transfer-Encoding");
	if (!ascii_equal(*coding, BYTES("chunked")))
		return bad(req, 501, "transfer coding is not supported");
	req->chunked = true;
	return HTTP1_COMPLETE;
}

static void read_keep_alive(struct http1_request *req)
{
	if (req->http_1_0)
		req->keep_alive = http1_header_has_token(req, "Connection", "keep-alive");
	else
		req->keep_alive = true;
	if (http1_header_has_token(req, "Connection", "close"))
		req->keep_alive = false;
}

static enum http1_result parse_head(struct http1_request *req, struct bytes head)
{
	enum http1_result result = parse_request_line(req, next_line(&head));
	const char *error;

	if (result == HTTP1_COMPLETE)
		result = parse_headers(req, head);
	if (result != HTTP1_COMPLETE)
		return result;
	error = check_host(req);
	if (error == NULL)
		error = read_content_length(req);
	if (error != NULL)
		return bad(req, 400, error);
	read_keep_alive(req);
	return read_transfer_encoding(req);
}

enum http1_result http1_parse(struct bytes data, struct http1_request *req)
{
	size_t scanned = req->scanned;
	enum http1_result result;

	/* Not the headers: they are many, and counted. */
	memset(req, 0, offsetof(struct http1_request, headers));
	memset(&req->header_count, 0, sizeof(*req) - offsetof(struct http1_request, header_count));
	req->scanned = scanned;
	result = scan_head(data, req);
	if (result != HTTP1_COMPLETE)
		return result;
	return parse_head(req, (struct bytes){data.ptr, req->head_len});
}

const struct bytes *http1_header(const struct http1_request *req, const char *name)
{
	for (size_t i = 0; i < req->header_count; i++) {
		if (http1_header_is(&req->headers[i], name))
			return &req->headers[i].value;
	}
	return NULL;
}

size_t http1_header_count(const struct http1_request *req, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < req->header_count; i++)
		count += http1_header_is(&req->headers[i], name);
	return count;
}

bool http1_header_is(const struct http1_header *header, const char *name)
{
	return ascii_equal(header->name, BYTES_OF_STR(name));
}

bool http1_next_element(struct bytes *list, struct bytes *element)
{
	while (list->len > 0) {
		if (!cut(list, ',', element)) {
			*element = *list;
			*list = BYTES_NONE;
		}
		*element = ascii_trim(*element);
		if (element->len > 0)
			return true;
	}
	return false;
}

bool http1_header_has_token(const struct http1_request *req, const char *name, const char *token)
{
	for (size_t i = 0; i < req->header_count; i++) {
		struct bytes list = req->headers[i].value;
		struct bytes element;

		if (!http1_header_is(&req->headers[i], name))
			continue;
		while (http1_next_element(&list, &element)) {
			if (ascii_equal(element, BYTES_OF_STR(token)))
				return true;
		}
	}
	return false;
}

/* Takes the next character off the front of *rest; -1 when it is badly encoded. */
static int next_query_char(struct bytes *rest)
{
	const char *p = rest->ptr;
	size_t len = p[0] == '%' ? 3 : 1;

	if (len > rest->len || (len == 3 && (ascii_hex_digit(p[1]) < 0 || ascii_hex_digit(p[2]) < 0)))
		return -1;
	*rest = bytes_skip(*rest, len);
	if (len == 3)
		return ascii_hex_digit(p[1]) << 4 | ascii_hex_digit(p[2]);
	return p[0] == '+' ? ' ' : (uint8_t)p[0];
}

static bool query_name_is(struct bytes name, const char *expected)
{
	for (; name.len > 0; expected++) {
		if (*expected == '\0' || next_query_char(&name) != (uint8_t)*expected)
			return false;
	}
	return *expected == '\0';
}

static bool put_query_value(struct bytes value, struct buf *out)
{
	size_t len_before = out->len;

	while (value.len > 0) {
		int c = next_query_char(&value);

		if (c < 0) {
			out->len = len_before;
			return false;
		}
		buf_putc(out, (char)c);
	}
	return buf_ok(out);
}

bool http1_query(struct bytes query, const char *name, struct buf *out)
{
	while (query.len > 0) {
		struct bytes value;
		struct bytes key;

		if (!cut(&query, '&', &value)) {
			value = query;
			query = BYTES_NONE;
		}
		if (!cut(&value, '=', &key)) {
			key = value;
			value = BYTES_NONE;
		}
		if (query_name_is(key, name))
			return put_query_value(value, out);
	}
	return false;
}

static const struct {
	int status;
	const char *text;
} statuses[] = {
	{101, "Switching Protocols"},
	{200, "OK"},
	{204, "No Content"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
	{505, "HTTP Version Not Supported"},
};

const char *http1_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].text;
	}
	return "Unknown";
}

void http1_response(struct buf *out, int status, const char *content_type, const char *extra,
                    struct bytes body, bool keep_alive)
{
	bool may_have_body = status >= 200 && status != 204 && status != 304;

	buf_putf(out, "HTTP/1.1 %d %s\r\n", status, http1_status_text(status));
	if (content_type != NULL)
		buf_putf(out, "Content-Type: %s\r\n", content_type);
	if (may_have_body)
		buf_putf(out, "Content-Length: %zu\r\n", body.len);
	buf_putf(out, "Connection: %s\r\n", keep_alive ? "keep-alive" : "close");
	if (extra != NULL)
		buf_puts(out, extra);
	buf_puts(out, "\r\n");
	if (may_have_body)
		buf_put_bytes(out, body);
}
