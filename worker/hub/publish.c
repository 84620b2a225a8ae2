/* Publishing: one PUBLISH of plain data or of an envelope. Says nothing about who receives it: what is
 * published here comes back from Redis like everything else. */
#include "buf.h"
#include "envelope.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

/* Above what a message of a client may be (websocket.message_size_limit). */
enum { PUBLISH_MAX = 256 << 20 };

struct hub_publish {
	struct redis_call *call;
	void (*done)(void *arg, enum error_code error);
	void *arg;
};

static bool succeeded(const struct redis_reply *reply)
{
	static struct log_limit limit;

	if (reply == NULL)
		return false;
	if (reply->type != REDIS_ERROR)
		return true;
	if (log_allowed(&limit))
		log_error("Redis refused to publish: %.*s", BYTES_FMT(reply->text));
	return false;
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct hub_publish published = *(struct hub_publish *)arg;
	enum error_code error = ERROR_INTERNAL;

	mem_free(arg);
	if (succeeded(reply)) {
		metrics_inc(publications_sent);
		error = ERROR_NONE;
	}
	published.done(published.arg, error);
}

static struct hub_publish *start(struct hub *h, const struct buf *name, const struct buf *payload)
{
	const struct bytes argv[] = {BYTES("PUBLISH"), buf_bytes(name), buf_bytes(payload)};
	struct hub_publish *publish;

	if (!buf_ok(name) || !buf_ok(payload))
		return NULL;
	publish = mem_alloc(sizeof(*publish));
	publish->call = redis_call(h->redis, argv, ARRAY_LEN(argv), on_reply, publish);
	return publish;
}

struct hub_publish *hub_publish(struct hub *h, struct bytes channel, const struct publication *p,
                                void (*done)(void *arg, enum error_code error), void *arg)
{
	struct hub_publish *publish;
	struct buf name, payload;

	buf_init(&name, h->prefix.len + channel.len);
	buf_init(&payload, PUBLISH_MAX);
	buf_put_bytes(&name, h->prefix);
	buf_put_bytes(&name, channel);
	envelope_encode(&payload, p);
	publish = start(h, &name, &payload);
	if (publish != NULL) {
		publish->done = done;
		publish->arg = arg;
	}
	buf_free(&name);
	buf_free(&payload);
	return publish;
}

void hub_publish_cancel(struct hub_publish **p)
{
	if (*p == NULL)
		return;
	redis_call_cancel(&(*p)->call);
	mem_free(*p);
	*p = NULL;
}
