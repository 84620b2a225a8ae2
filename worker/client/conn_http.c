/* The connection while it speaks HTTP: takes requests one by one, hands them up, queues the responses, and
 * becomes a WebSocket. Which path means what is not its business. */
#include <assert.h>
#include <string.h>

#include "codes.h"
#include "conn_internal.h"
#include "deflate.h"
#include "deflate_offer.h"
#include "gate.h"
#include "metrics.h"
#include "proxy_header.h"
#include "ws_handshake.h"

enum {
	HANDSHAKE_MAX = 1024,
	RESPONSE_MAX = 16 * 1024 * 1024, /* the largest thing served is our own page */
};

static void finish_http(struct conn *c)
{
	conn_set_phase(c, PHASE_CLOSING);
	c->dropping = true;
	c->shutdown_after = true;
	conn_wait_for_peer(c);
}

/* A request with a body is answered and not gone on with: no route takes one. */
static bool keeps_alive(const struct conn *c, const struct http1_request *req)
{
	return req->keep_alive && req->content_length == 0 && !req->chunked && !c->set->draining;
}

void conn_respond(struct conn *c, const struct http1_request *req, int status, const char *content_type,
                  const char *extra, struct bytes body)
{
	bool head = bytes_eq(req->method, BYTES("HEAD"));
	bool keep_alive = keeps_alive(c, req);
	struct buf out;

	assert(c->phase == PHASE_HTTP);
	if (status >= 400)
		metrics_inc(http_errors);
	buf_init(&out, RESPONSE_MAX);
	http1_response(&out, status, content_type, extra, body, keep_alive);
	if (head)
		out.len -= body.len;
	c->kept_alive = keep_alive;
	if (keep_alive)
		timer_start(c->set->params.loop, &c->timer,
		            c->set->params.config->limits.keep_alive_timeout_ms);
	else
		finish_http(c);
	conn_send_own(c, buf_ok(&out) ? frame_copy(buf_bytes(&out)) : NULL, RESPONSE_MAX);
	buf_free(&out);
}

/* True when permessage-deflate is on from now on. */
static bool agree_on_compression(struct conn *c, const struct http1_request *req,
                                 const struct compression_options *options, struct deflate_agreed *agreed)
{
	if (options == NULL || !(options->enabled || c->deflate) || !deflate_negotiate(req, agreed))
		return false;
	c->deflate_level = (uint8_t)options->level;
	c->deflate_min = options->min_size < UINT32_MAX ? (uint32_t)options->min_size : UINT32_MAX;
	c->deflate_bits = agreed->window_bits;
	return true;
}

void conn_upgrade(struct conn *c, const struct http1_request *req, const struct conn_websocket *ws)
{
	struct deflate_agreed agreed;
	bool compressed;
	struct buf out;

	assert(c->phase == PHASE_HTTP);
	conn_set_phase(c, PHASE_WEBSOCKET);
	timer_stop(&c->timer);
	c->max_message = ws->max_message;
	compressed = agree_on_compression(c, req, ws->compression, &agreed);
	conn_begin_frames(c);
	c->read_behind = UINT32_MAX;
	c->app = ws->app;
	c->state = ws->state;
	c->limited = ws->limited;
	buf_init(&out, HANDSHAKE_MAX);
	ws_handshake_response(&out, req, ws->subprotocol, compressed ? &agreed : NULL);
	conn_send_own(c, buf_ok(&out) ? frame_copy(buf_bytes(&out)) : NULL, SIZE_MAX);
	buf_free(&out);
	if (c->phase == PHASE_WEBSOCKET)
		ws->app->on_open(c);
	if (c->set->draining)
		conn_close(c, DISCONNECT_SHUTDOWN, disconnect_reason(DISCONNECT_SHUTDOWN),
		           "came during shutdown");
}

static void set_client(struct conn *c, const struct peer *client)
{
	if (c->counted)
		gate_leave(c->set->gate, &c->peer);
	c->counted = false;
	c->peer = *client;
}

/* The limits of an address do not hold for whom no address is known of: somebody should set the proxy right.
 */
static void tell_useless(const struct conn *c)
{
	static struct log_limit limit;

	if (log_allowed(&limit))
		log_conn(LOG_WARNING, c, "X-Forwarded-For is of no use: the proxy counts as the client");
}

/* Who the request is from. Another one on the same connection may be from another client, and one that does
 * not say is the proxy's own. */
static void find_client(struct conn *c, const struct http1_request *req)
{
	struct address address;
	struct peer client;

	switch (gate_client_of(c->set->gate, req, &client)) {
	case FORWARDED_FOUND: set_client(c, &client); return;
	case FORWARDED_BAD: tell_useless(c); break;
	case FORWARDED_NONE: break;
	}
	if (!stream_peer(&c->stream, &address))
		return;
	peer_remember(&client, &address);
	set_client(c, &client);
}

bool conn_admit(struct conn *c, const struct http1_request *req)
{
	enum refusal why;
	bool counted;

	if (c->counted || !c->by_proxy)
		return true;
	why = gate_admit(c->set->gate, &c->peer, &counted);
	c->counted = counted;
	if (why == REFUSED_NOT)
		return true;
	gate_refused(c->set->gate, why, conn_name(c));
	conn_respond(c, req, gate_status(why), "text/plain; charset=utf-8",
	             "X-Content-Type-Options: nosniff\r\n", BYTES_OF_STR(gate_reason(why)));
	return false;
}

/* What else came in place of a request: its cause is in somebody's configuration, and the syntax error that
 * it makes would not lead there. */
static const char *other_protocol(struct bytes data)
{
	enum { TELLING = 12 }; /* bytes; the signature of a binary PROXY header is as long */
	struct proxy_header header;

	if (data.len < TELLING)
		return NULL;
	if (proxy_header_parse(data, &header) != PROXY_BAD)
		return "a PROXY header from a peer that is not in proxy_protocol.trusted_peers";
	if (memcmp(data.ptr, "\x16\x03", 2) == 0)
		return "TLS on an address without it";
	if (memcmp(data.ptr, "PRI * HTTP/2", TELLING) == 0)
		return "HTTP/2 is not spoken here";
	return NULL;
}

static void on_bad_request(struct conn *c, struct bytes data, struct http1_request *req)
{
	static struct log_limit limit;
	const char *other = req->status == 400 ? other_protocol(data) : NULL;
	const char *why = other != NULL ? other : req->error;

	if (req->status == 414 || req->status == 431)
		metrics_inc(heads_refused);
	else
		metrics_inc(heads_malformed);
	log_conn(log_allowed(&limit) ? LOG_INFO : LOG_DEBUG, c, "refused with %d: %s", req->status, why);
	req->keep_alive = false;
	req->method = BYTES_NONE;
	conn_respond(c, req, req->status, "text/plain; charset=utf-8", NULL, BYTES_OF_STR(why));
}

bool conn_take_request(struct conn *c, const char *data, size_t len, size_t *used)
{
	struct http1_request req = {.scanned = c->input->head_scanned};

	switch (http1_parse((struct bytes){data, len}, &req)) {
	case HTTP1_PARTIAL:
		if (!c->head_begun)
			timer_start(c->set->params.loop, &c->timer,
			            c->set->params.config->limits.head_timeout_ms);
		c->head_begun = true;
		c->kept_alive = false;
		c->input->head_scanned = (uint32_t)req.scanned;
		return false;
	case HTTP1_BAD:
		metrics_inc(http_requests);
		*used = len;
		on_bad_request(c, (struct bytes){data, len}, &req);
		return true;
	case HTTP1_COMPLETE:
		metrics_inc(http_requests);
		c->head_begun = false;
		c->input->head_scanned = 0;
		*used = req.head_len;
		if (c->by_proxy)
			find_client(c, &req);
		c->set->params.on_request(c->set->params.ctx, c, &req);
		return true;
	}
	return false;
}
