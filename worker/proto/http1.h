/* HTTP/1.1 (RFC 9112), the server's side: request heads in, response heads out. Pure. No bodies: it tells how
 * long one is, and refuses what is ambiguous (request smuggling) rather than guess. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"

enum { HTTP1_MAX_HEADERS = 64, HTTP1_MAX_HEAD = 16384 };

enum http1_result {
	HTTP1_PARTIAL, /* present the whole head again with more bytes */
	HTTP1_COMPLETE,
	HTTP1_BAD, /* answer req->status (400, 414, 431, 501, 505) with req->error and close */
};

struct http1_header {
	struct bytes name;  /* as sent */
	struct bytes value; /* without white space around it */
};

struct http1_request {
	struct bytes method;
	struct bytes target; /* as sent */
	struct bytes path;   /* of the target, up to '?' (of an absolute-form target, too) */
	struct bytes query;  /* after '?', without it */
	struct http1_header headers[HTTP1_MAX_HEADERS];
	size_t header_count;
	size_t head_len; /* bytes up to and including the empty line; what follows is body or pipelined */
	uint64_t content_length; /* 0 if none */
	bool chunked;
	bool http_1_0;
	bool keep_alive; /* by version and Connection header */
	int status;      /* with HTTP1_BAD */
	const char *error;
	/* How far the end of the head was looked for: kept between calls on a growing head, 0 at first. */
	size_t scanned;
};

/* Slices in req point into data. */
enum http1_result http1_parse(struct bytes data, struct http1_request *req) MUST_CHECK;
/* Value of the header (name without regard to case), NULL when absent; the first if it occurs often. */
const struct bytes *http1_header(const struct http1_request *req, const char *name);
/* How often it occurs. */
size_t http1_header_count(const struct http1_request *req, const char *name);
/* Whether the comma separated list in any header of that name has the token (without regard to case). */
bool http1_header_has_token(const struct http1_request *req, const char *name, const char *token);
/* Whether it is what a name may be (RFC 9110, 5.6.2). */
bool http1_is_token(struct bytes text);
bool http1_header_is(const struct http1_header *header, const char *name);
/* Takes the next element off the front of a comma separated list (RFC 9110, 5.6.1), without white space
 * around it; empty ones are skipped. False at the end. */
bool http1_next_element(struct bytes *list, struct bytes *element);
/* The decoded value of a query parameter, the first of that name, appended to out; false when it is absent or
 * badly encoded. */
bool http1_query(struct bytes query, const char *name, struct buf *out) MUST_CHECK;

/* Status line, Date-less head with Content-Length and Connection, extra header lines ("Name: value\r\n", may
 * be NULL), and body, which stands last in out: for HEAD cut it off again. content_type may be NULL. Statuses
 * that have no body (1xx, 204, 304) get neither body nor length. */
void http1_response(struct buf *out, int status, const char *content_type, const char *extra,
                    struct bytes body, bool keep_alive);
const char *http1_status_text(int status);
