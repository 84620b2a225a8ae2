/* The connection while it speaks HTTP: takes requests one by one, hands them up, queues the responses, and
 * becomes a WebSocket. Which path means what is not its business. */
#include <assert.h>

#include "codes.h"
#include "conn_internal.h"
#include "deflate.h"
#include "deflate_offer.h"
#include "metrics.h"
#include "ws_handshake.h"

enum {
	KEEP_ALIVE_TIMEOUT_MS = 60000, /* for the next request to begin */
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
	if (keep_alive)
		timer_start(c->set->params.loop, &c->timer, KEEP_ALIVE_TIMEOUT_MS);
	else
		finish_http(c);
	conn_send_own(c, buf_ok(&out) ? frame_copy(buf_bytes(&out)) : NULL, RESPONSE_MAX);
	buf_free(&out);
}

/* True when permessage-deflate is on from now on. */
static bool agree_on_compression(struct conn *c, const struct http1_request *req,
                                 const struct compression_options *options, struct deflate_agreed *agreed)
{
	if (options == NULL || !options->enabled || !deflate_negotiate(req, agreed))
		return false;
	c->deflate_level = (uint8_t)options->level;
	c->deflate_min = options->min_size < UINT32_MAX ? (uint32_t)options->min_size : UINT32_MAX;
	c->deflate_bits = agreed->window_bits;
	ws_decoder_take_compressed(&c->decoder);
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
	ws_decoder_init(&c->decoder, true, ws->max_message);
	compressed = agree_on_compression(c, req, ws->compression, &agreed);
	buf_init(&c->message, compressed ? inflater_payload_max(ws->max_message) : ws->max_message);
	c->read_behind = UINT32_MAX;
	c->app = ws->app;
	c->state = ws->state;
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

static void on_bad_request(struct conn *c, struct http1_request *req)
{
	struct bytes text = BYTES_OF_STR(req->error);

	log_conn(LOG_DEBUG, c, "bad request: %s", req->error);
	req->keep_alive = false;
	req->method = BYTES_NONE;
	conn_respond(c, req, req->status, "text/plain; charset=utf-8", NULL, text);
}

bool conn_take_request(struct conn *c, const char *data, size_t len, size_t *used)
{
	struct http1_request req = {.scanned = c->head_scanned};

	switch (http1_parse((struct bytes){data, len}, &req)) {
	case HTTP1_PARTIAL:
		if (!c->head_begun)
			timer_start(c->set->params.loop, &c->timer, HEAD_TIMEOUT_MS);
		c->head_begun = true;
		c->head_scanned = (uint32_t)req.scanned;
		return false;
	case HTTP1_BAD:
		metrics_inc(http_requests);
		*used = len;
		on_bad_request(c, &req);
		return true;
	case HTTP1_COMPLETE:
		metrics_inc(http_requests);
		c->head_begun = false;
		c->head_scanned = 0;
		*used = req.head_len;
		c->set->params.on_request(c->set->params.ctx, c, &req);
		return true;
	}
	return false;
}
