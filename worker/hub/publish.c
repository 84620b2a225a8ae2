/* Publishing: one PUBLISH of plain data or of an envelope, or, on a channel with history, one call of the
 * function library. Says nothing about who receives it: what is published here comes back from Redis like
 * everything else. */

#include "buf.h"
#include "config.h"
#include "envelope.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "message_json.h"
#include "metrics.h"
#include "redis_args.h"
#include "redis_trouble.h"

/* Above what a message of a client may be (websocket.message_size_limit). */
enum { PUBLISH_MAX = 256 << 20 };

struct hub_publish {
	struct redis_call *call;
	void (*done)(void *arg, enum error_code error);
	void *arg;
	bool by_function;
};

/* Of PUBLISH how many have heard it, of the function the position. Whoever else has put a function of that
 * name into Redis has not published anything by it. */
static bool is_published(const struct redis_reply *reply, bool by_function)
{
	if (!by_function)
		return reply->type == REDIS_INTEGER;
	return reply->type == REDIS_ARRAY && reply->count >= 2 && reply->elements[0]->type == REDIS_INTEGER &&
	       reply->elements[1]->type == REDIS_STRING;
}

static bool succeeded(const struct redis_reply *reply, bool by_function)
{
	static struct log_limit limit;

	if (reply == NULL)
		return false;
	if (is_published(reply, by_function))
		return true;
	if (log_allowed(&limit))
		log_error("Redis refused to publish: %.*s%s", BYTES_FMT(redis_error_text(reply)),
		          redis_error_remedy(reply));
	return false;
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct hub_publish published = *(struct hub_publish *)arg;
	enum error_code error = ERROR_INTERNAL;

	mem_free(arg);
	if (succeeded(reply, published.by_function)) {
		metrics_inc(publications_sent);
		error = ERROR_NONE;
	}
	published.done(published.arg, error);
}

static struct redis_call *send_plain(struct hub *h, struct bytes name, const struct publication *p,
                                     struct hub_publish *publish)
{
	struct redis_call *call = NULL;
	struct buf payload;

	buf_init(&payload, PUBLISH_MAX);
	envelope_encode(&payload, p);
	if (buf_ok(&payload))
		call = redis_publish(h->redis, name, buf_bytes(&payload), on_reply, publish);
	buf_free(&payload);
	return call;
}

/* The library knows the options of the channel, too, but maybe those of another broker. */
static struct redis_call *send_with_history(struct hub *h, struct bytes name,
                                            const struct channel_options *options,
                                            const struct publication *p, struct hub_publish *publish)
{
	char size[REDIS_NUMBER_MAX], ttl[REDIS_NUMBER_MAX], meta_ttl[REDIS_NUMBER_MAX];
	struct bytes argv[10] = {
		name,
		p->data,
		BYTES("history_size"),
		redis_number(size, (uint64_t)options->history_size),
		BYTES("history_ttl"),
		redis_number(ttl, options->history_ttl_ms / 1000),
		BYTES("history_meta_ttl"),
		redis_number(meta_ttl, options->history_meta_ttl_ms / 1000),
		BYTES("info"),
	};
	struct redis_call *call = NULL;
	struct buf info;

	buf_init(&info, PUBLISH_MAX);
	if (p->info != NULL)
		message_json_put_client_info(&info, p->info);
	argv[9] = buf_bytes(&info);
	if (buf_ok(&info))
		call = redis_fcall(h->redis, "fanfare_publish", argv, p->info != NULL ? 10 : 8, on_reply,
		                   publish);
	buf_free(&info);
	return call;
}

/* NULL when there is no memory for the payload. */
static struct hub_publish *start(struct hub *h, struct bytes channel, struct bytes name,
                                 const struct publication *p)
{
	const struct channel_options *options = config_channel(h->config, channel.ptr, channel.len);
	struct hub_publish *publish = mem_alloc(sizeof(*publish));

	publish->by_function = options != NULL && config_has_history(options);
	if (publish->by_function)
		publish->call = send_with_history(h, name, options, p, publish);
	else
		publish->call = send_plain(h, name, p, publish);
	if (publish->call == NULL) {
		mem_free(publish);
		return NULL;
	}
	return publish;
}

struct hub_publish *hub_publish(struct hub *h, struct bytes channel, const struct publication *p,
                                void (*done)(void *arg, enum error_code error), void *arg)
{
	struct hub_publish *publish;
	struct buf name;

	buf_init(&name, h->prefix.len + channel.len);
	hub_put_redis_name(h, &name, channel);
	publish = buf_ok(&name) ? start(h, channel, buf_bytes(&name), p) : NULL;
	if (publish != NULL) {
		publish->done = done;
		publish->arg = arg;
	}
	buf_free(&name);
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
