#include "cors.h"

#include "conn.h"
#include "http.h"
#include "origin.h"

enum { MAX_REQUEST_HEADERS = 1024, MAX_OPTIONS_HEAD = 8192 };

/* An answer depends on the Origin also where it has none of the headers. */
void cors_put_headers(const struct exchange *x, struct buf *out)
{
	struct bytes origin;

	buf_puts(out, "Vary: Origin\r\n");
	if (origin_check(x->req, x->allowed_origins, &origin) != ORIGIN_ALLOWED)
		return;
	buf_putf(out, "Access-Control-Allow-Origin: %.*s\r\n", BYTES_FMT(origin));
	buf_puts(out, "Access-Control-Allow-Credentials: true\r\n");
}

/* Names of headers are all that is repeated. */
static bool is_list_of_names(struct bytes list)
{
	struct bytes name;

	if (list.len > MAX_REQUEST_HEADERS)
		return false;
	while (http1_next_element(&list, &name)) {
		if (!http1_is_token(name))
			return false;
	}
	return true;
}

static void put_preflight_headers(const struct exchange *x, struct buf *out)
{
	const struct bytes *names = http1_header(x->req, "Access-Control-Request-Headers");
	struct bytes origin;

	if (origin_check(x->req, x->allowed_origins, &origin) != ORIGIN_ALLOWED)
		return;
	buf_putf(out, "Access-Control-Allow-Methods: %s\r\n", router_allow(x->route));
	if (names != NULL && names->len > 0 && is_list_of_names(*names))
		buf_putf(out, "Access-Control-Allow-Headers: %.*s\r\n", BYTES_FMT(*names));
	buf_puts(out, "Access-Control-Max-Age: 300\r\n");
}

void cors_answer_options(const struct exchange *x)
{
	struct buf head;

	buf_init(&head, MAX_OPTIONS_HEAD);
	buf_putf(&head, "Allow: %s\r\n", router_allow(x->route));
	put_preflight_headers(x, &head);
	buf_putc(&head, '\0');
	exchange_respond(x, 204, NULL, buf_ok(&head) ? head.data : NULL, BYTES_NONE);
	buf_free(&head);
}
