#include "exchange.h"

#include "buf.h"
#include "conn.h"
#include "cors.h"
#include "router.h"

enum { MAX_EXTRA = 16384 };

void exchange_respond(const struct exchange *x, int status, const char *content_type, const char *extra,
                      struct bytes body)
{
	struct buf head;

	if (x->route == NULL || !x->route->cors) {
		conn_respond(x->conn, x->req, status, content_type, extra, body);
		return;
	}
	buf_init(&head, MAX_EXTRA);
	if (extra != NULL)
		buf_puts(&head, extra);
	cors_put_headers(x, &head);
	buf_putc(&head, '\0');
	conn_respond(x->conn, x->req, status, content_type, buf_ok(&head) ? head.data : extra, body);
	buf_free(&head);
}
