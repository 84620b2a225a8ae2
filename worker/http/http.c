#include "http.h"

#include <stdio.h>
#include <stdlib.h>

#include "asset.h"
#include "codec.h"
#include "cors.h"
#include "echo.h"
#include "hello.h"
#include "json_writer.h"
#include "mem.h"
#include "origin.h"
#include "router.h"
#include "ws_handshake.h"

enum { MAX_ROUTES = 8, MAX_METRICS = 256 * 1024, MAX_SHOWN_ORIGIN = 200 };

#define TYPE_TEXT    "text/plain; charset=utf-8"
#define TYPE_JSON    "application/json"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

#define NO_SNIFF   "X-Content-Type-Options: nosniff\r\n"
#define NOT_STORED "Cache-Control: no-store\r\n" NO_SNIFF
/* RFC 9110, 15.5.22, and RFC 6455, 4.4. */
#define UPGRADE_HEADERS "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" NO_SNIFF

struct http {
	struct http_params params;
	struct route routes[MAX_ROUTES];
	size_t route_count;
};

static void refuse(const struct exchange *x, int status, const char *extra, const char *why)
{
	char text[512];
	int len = snprintf(text, sizeof(text), "%s\n", why);
	size_t shown = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;

	exchange_respond(x, status, TYPE_TEXT, extra, (struct bytes){text, shown});
}

/* --- WebSocket endpoints --- */

static void refuse_origin(const struct exchange *x, struct bytes origin)
{
	static struct log_limit limit;
	char why[MAX_SHOWN_ORIGIN + 64];

	if (origin.len > MAX_SHOWN_ORIGIN)
		origin.len = MAX_SHOWN_ORIGIN;
	metrics_inc(origins_refused);
	snprintf(why, sizeof(why), "origin %.*s is not in client.allowed_origins", BYTES_FMT(origin));
	if (log_allowed(&limit))
		log_conn(LOG_WARNING, x->conn, "refused: %s", why);
	refuse(x, 403, NO_SNIFF, why);
}

/* Requests without an Origin are not made by web pages, and pass. */
static bool check_origin(const struct exchange *x)
{
	struct bytes origin;

	switch (origin_check(x->req, x->allowed_origins, &origin)) {
	case ORIGIN_NONE:
	case ORIGIN_ALLOWED: return true;
	case ORIGIN_SEVERAL: refuse(x, 400, NO_SNIFF, "more than one Origin header"); return false;
	case ORIGIN_REFUSED: break;
	}
	refuse_origin(x, origin);
	return false;
}

static const char *handshake_headers(int status)
{
	switch (status) {
	case 405: return "Allow: GET\r\n" NO_SNIFF;
	case 426: return UPGRADE_HEADERS;
	default: return NO_SNIFF;
	}
}

/* True when the handshake is good; else the request was answered. */
static bool check_websocket(const struct exchange *x)
{
	const char *error;
	int status = ws_handshake_check(x->req, &error);

	if (status == 0)
		return check_origin(x) && conn_admit(x->conn, x->req);
	refuse(x, status, handshake_headers(status), error);
	return false;
}

static bool query_is(const struct http1_request *req, const char *name, const char *expected)
{
	struct buf value;
	bool is;

	buf_init(&value, HTTP1_MAX_HEAD);
	is = http1_query(req->query, name, &value) && bytes_eq(buf_bytes(&value), BYTES_OF_STR(expected));
	buf_free(&value);
	return is;
}

/* A client that would get JSON for it hears nothing that it understands: better to say so. */
static bool wants_protobuf(const struct http1_request *req)
{
	return query_is(req, "format", "protobuf") || query_is(req, "cf_protocol", "protobuf") ||
	       (http1_header_has_token(req, "Sec-WebSocket-Protocol", "centrifuge-protobuf") &&
	        !http1_header_has_token(req, "Sec-WebSocket-Protocol", codec_json.subprotocol));
}

static void handle_websocket(const struct exchange *x)
{
	struct session_params params = {.native_ping = query_is(x->req, "cf_ws_frame_ping_pong", "true")};

	if (!check_websocket(x))
		return;
	if (wants_protobuf(x->req)) {
		refuse(x, 400, NO_SNIFF, "the Protobuf protocol is not supported yet: use JSON");
		return;
	}
	session_upgrade(x->http->params.clients, x->conn, x->req, &params);
}

static void handle_uni_websocket(const struct exchange *x)
{
	struct session_params params = {.uni = true};
	struct buf connect;

	if (!check_websocket(x))
		return;
	params.native_ping = query_is(x->req, "cf_ws_frame_ping_pong", "true");
	buf_init(&connect, HTTP1_MAX_HEAD);
	if (http1_query(x->req->query, "cf_connect", &connect))
		params.cf_connect = connect.len > 0 ? buf_bytes(&connect) : BYTES("");
	session_upgrade(x->http->params.clients, x->conn, x->req, &params);
	buf_free(&connect);
}

static void handle_echo(const struct exchange *x)
{
	struct buf min_size;

	if (!check_websocket(x))
		return;
	buf_init(&min_size, HTTP1_MAX_HEAD);
	if (!http1_query(x->req->query, "compression_min_size", &min_size))
		buf_reset(&min_size);
	buf_putc(&min_size, '\0');
	echo_upgrade(x->conn, x->req, strtoull(min_size.data, NULL, 10));
	buf_free(&min_size);
}

/* --- health and metrics --- */

static void handle_live(const struct exchange *x)
{
	exchange_respond(x, 200, TYPE_JSON, NOT_STORED, BYTES("{}\n"));
}

/* Whether a load balancer should send clients here. */
static bool ready(const struct exchange *x, const char **reason)
{
	*reason = "draining";
	return !x->draining && hub_ready(x->http->params.hub, reason);
}

static void handle_ready(const struct exchange *x)
{
	const char *reason;
	struct buf body;

	if (ready(x, &reason)) {
		exchange_respond(x, 200, TYPE_JSON, NOT_STORED, BYTES("{\"ready\":true}\n"));
		return;
	}
	buf_init(&body, 4096);
	buf_puts(&body, "{\"ready\":false,\"reason\":");
	json_put_string(&body, BYTES_OF_STR(reason));
	buf_puts(&body, "}\n");
	exchange_respond(x, 503, TYPE_JSON, NOT_STORED, buf_bytes(&body));
	buf_free(&body);
}

static void handle_metrics(const struct exchange *x)
{
	struct buf body;

	buf_init(&body, MAX_METRICS);
	metrics_print(x->http->params.metrics, x->http->params.metrics_count, &body);
	exchange_respond(x, 200, TYPE_METRICS, NOT_STORED, buf_bytes(&body));
	buf_free(&body);
}

/* --- built-in pages --- */

/* The page of every tutorial opens its WebSocket on the path from which it was loaded. */
static void handle_root(const struct exchange *x)
{
	const struct asset *page = asset_find(BYTES("/index.html"));

	if (!ws_handshake_wanted(x->req))
		asset_respond(page, x->conn, x->req);
	else if (check_websocket(x))
		conn_upgrade(x->conn, x->req,
		             &(struct conn_websocket){.app = &hello_app, .max_message = HELLO_MAX_MESSAGE});
}

static void handle_asset(const struct exchange *x)
{
	asset_respond(asset_find(x->req->path), x->conn, x->req);
}

/* --- routes --- */

struct http *http_new(const struct http_params *params)
{
	const struct config *config = params->config;
	bool dev = config->dev;
	const struct route routes[] = {
		{config->websocket.handler_prefix, handle_websocket, ROUTE_WEBSOCKET, true, false},
		{config->uni_websocket.handler_prefix, handle_uni_websocket, ROUTE_WEBSOCKET,
	         config->uni_websocket.enabled, false},
		{PATH_LIVE, handle_live, ROUTE_GET, true, true},
		{PATH_READY, handle_ready, ROUTE_GET, true, true},
		{PATH_METRICS, handle_metrics, ROUTE_GET, dev, true},
		{PATH_ECHO, handle_echo, ROUTE_WEBSOCKET, dev, false},
		{PATH_ROOT, handle_root, ROUTE_GET, dev, false},
	};
	struct http *h = mem_alloc(sizeof(*h));

	_Static_assert(ARRAY_LEN(routes) <= MAX_ROUTES, "too many routes");
	h->params = *params;
	memcpy(h->routes, routes, sizeof(routes));
	h->route_count = ARRAY_LEN(routes);
	return h;
}

void http_free(struct http **h)
{
	mem_free(*h);
	*h = NULL;
}

static const struct route *find_route(const struct http *h, struct bytes path)
{
	static const struct route asset_route = {.methods = ROUTE_GET, .handle = handle_asset};
	const struct route *route = router_find(h->routes, h->route_count, path);

	if (route == NULL && h->params.config->dev && asset_find(path) != NULL)
		return &asset_route;
	return route;
}

void http_handle(struct http *h, struct conn *c, const struct http1_request *req, bool draining)
{
	const struct route *route = find_route(h, req->path);
	const struct exchange x = {
		.http = h,
		.conn = c,
		.req = req,
		.route = route,
		.allowed_origins = &h->params.config->client.allowed_origins,
		.draining = draining,
	};
	char extra[64];

	if (route == NULL) {
		refuse(&x, 404, NO_SNIFF, "not found");
		return;
	}
	if (!router_takes(route, req->method)) {
		snprintf(extra, sizeof(extra), "Allow: %s\r\n" NO_SNIFF, router_allow(route));
		refuse(&x, 405, extra, "method not allowed");
		return;
	}
	if (bytes_eq(req->method, BYTES("OPTIONS")))
		cors_answer_options(&x);
	else
		route->handle(&x);
}
