/* Fan-out. Frames are made when the first subscriber of their form comes along, so a channel with one kind of
 * subscriber pays for one. Keeps no publication: history is not its business. */
#include "fanout.h"

#include "channel.h"
#include "config.h"
#include "deflate.h"
#include "envelope.h"
#include "hub_internal.h"
#include "log.h"
#include "metrics.h"
#include "ws_frame.h"

/* What one publication may take while it is decoded or encoded, and what the buffers may keep between two. */
enum { FANOUT_MAX = 64 << 20, FANOUT_KEEP = 256 << 10 };

/* For each window of permessage-deflate one, and the first for frames that are not compressed. */
enum { WINDOWS = 1 + DEFLATE_BITS_MAX - DEFLATE_BITS_MIN + 1 };

static const struct {
	const struct codec *codec;
	bool uni;
	bool with_id;
} forms[WIRE_FORMS] = {
	[WIRE_JSON] = {&codec_json, false, false},
	[WIRE_JSON_ID] = {&codec_json, false, true},
	[WIRE_JSON_UNI] = {&codec_json, true, false},
};

/* One push on its way. */
struct delivery {
	struct fanout *fanout;
	struct channel *channel;
	const struct push *push; /* but for its channel */
	struct frame *frames[WIRE_FORMS][WINDOWS];
	bool encoded[WIRE_FORMS];
};

const struct codec *fanout_codec(uint8_t form)
{
	return forms[form].codec;
}

void fanout_init(struct fanout *f, const struct config *config, struct deflater *deflater)
{
	f->config = config;
	f->deflater = deflater;
	buf_init(&f->scratch, FANOUT_MAX);
	for (int form = 0; form < WIRE_FORMS; form++)
		buf_init(&f->out[form], FANOUT_MAX);
}

void fanout_free(struct fanout *f)
{
	buf_free(&f->scratch);
	for (int form = 0; form < WIRE_FORMS; form++)
		buf_free(&f->out[form]);
}

static void give_back(struct buf *b)
{
	if (b->cap > FANOUT_KEEP)
		buf_free(b);
}

static const struct compression_options *compression_of(const struct delivery *d, enum wire_form form)
{
	const struct config *config = d->fanout->config;

	return forms[form].uni ? &config->uni_websocket.compression : &config->websocket.compression;
}

/* The message in that form; ptr NULL when there was no memory for it. */
static struct bytes message_for(struct delivery *d, enum wire_form form)
{
	struct buf *out = &d->fanout->out[form];

	if (!d->encoded[form]) {
		struct push push = *d->push;

		push.channel = channel_name(d->channel);
		push.id = forms[form].with_id ? d->channel->id : 0;
		buf_reset(out);
		forms[form].codec->put_push(out, &push, forms[form].uni);
		d->encoded[form] = true;
	}
	return buf_ok(out) ? buf_bytes(out) : BYTES_NONE;
}

/* Here the payload is copied for the second time, and the last: it is read in place where Redis' reply was
 * received, put into a message, and behind the head of the frame, which depends on the length of that. To
 * spare it is worth nothing: it takes 39 ns for 1 KiB, 1.9 us for 64 KiB, where a single send takes 5 us. */
static struct frame *plain_frame(struct delivery *d, enum wire_form form)
{
	struct frame **frame = &d->frames[form][0];
	struct bytes message;

	if (*frame != NULL)
		return *frame;
	message = message_for(d, form);
	if (message.ptr != NULL)
		*frame = ws_frame_new(forms[form].codec->opcode, message);
	return *frame;
}

/* NULL when it is too short, does not get smaller, or there is no memory. */
static struct frame *compressed_frame(struct delivery *d, enum wire_form form, int deflate_bits)
{
	const struct compression_options *options = compression_of(d, form);
	struct bytes message = message_for(d, form);
	struct bytes payload;

	if (message.ptr == NULL || message.len < options->min_size ||
	    !deflater_message(d->fanout->deflater, deflate_bits, options->level, message, &payload))
		return NULL;
	return ws_frame_new_compressed(forms[form].codec->opcode, payload);
}

static struct frame *make_frame(struct delivery *d, enum wire_form form, int deflate_bits)
{
	struct frame *frame = compressed_frame(d, form, deflate_bits);

	if (frame != NULL)
		return frame;
	frame = plain_frame(d, form);
	return frame != NULL ? frame_ref(frame) : NULL;
}

static struct frame *find_frame(struct delivery *d, const struct subscription *s)
{
	struct frame **frame;

	if (s->deflate_bits == 0)
		return plain_frame(d, s->form);
	frame = &d->frames[s->form][s->deflate_bits - DEFLATE_BITS_MIN + 1];
	if (*frame == NULL)
		*frame = make_frame(d, s->form, s->deflate_bits);
	return *frame;
}

static struct frame *frame_for(struct delivery *d, const struct subscription *s)
{
	static struct log_limit limit;
	struct frame *frame = find_frame(d, s);

	if (frame == NULL && log_allowed(&limit))
		log_chan(LOG_ERROR, d->channel, "a %s was dropped: no memory",
		         d->push->kind == PUSH_PUBLICATION ? "publication" : "join or leave");
	return frame;
}

/* Nobody hears his own leave (client protocol 8.3): who is back at once would hear that of before, behind the
 * answer to his subscribe. */
static bool is_his_own_leave(const struct delivery *d, const struct subscription *s)
{
	struct member m = {.client = ""};

	if (d->push->kind != PUSH_LEAVE)
		return false;
	d->channel->hub->events.describe(s, &m);
	return bytes_eq(m.info.client, d->push->info->client);
}

static bool is_for(const struct delivery *d, const struct subscription *s)
{
	if (s == NULL || !s->live)
		return false;
	return d->push->kind == PUSH_PUBLICATION || (s->hears_joins && !is_his_own_leave(d, s));
}

/* Where there are thousands of subscribers, none of what a delivery needs is in a cache: it is asked for
 * while those before it are delivered to. First the subscription, then what it points to. With 5,000
 * subscribers a delivery takes 0.23 us of user time in place of 0.41. */
static void fetch_ahead(const struct channel *ch, uint32_t i)
{
	enum { SUBSCRIPTIONS_AHEAD = 8, TARGETS_AHEAD = 4, CACHE_LINE = 64 };

	if (i + SUBSCRIPTIONS_AHEAD < ch->count)
		__builtin_prefetch(ch->subscribers[i + SUBSCRIPTIONS_AHEAD]);
	if (i + TARGETS_AHEAD < ch->count && ch->subscribers[i + TARGETS_AHEAD] != NULL) {
		const char *target = ch->subscribers[i + TARGETS_AHEAD]->target;

		if (target == NULL)
			return;
		__builtin_prefetch(target, 1);
		__builtin_prefetch(target + CACHE_LINE, 1);
	}
}

static void deliver_all(struct delivery *d, void (*deliver)(struct subscription *s, struct frame *frame))
{
	struct channel *ch = d->channel;
	uint64_t delivered = 0;

	channel_walk_begin(ch);
	for (uint32_t i = 0; i < ch->count; i++) {
		struct subscription *s = ch->subscribers[i];
		struct frame *frame;

		fetch_ahead(ch, i);
		if (!is_for(d, s))
			continue;
		frame = frame_for(d, s);
		if (frame == NULL)
			break;
		delivered++;
		deliver(s, frame);
	}
	channel_walk_end(ch);
	metrics_add(deliveries, delivered);
}

static void refuse(const struct channel *ch, const char *reason)
{
	static struct log_limit limit;

	metrics_inc(publications_invalid);
	if (log_allowed(&limit))
		log_chan(LOG_WARNING, ch, "dropped a message from Redis: %s", reason);
}

static void drop_frames(struct delivery *d)
{
	for (int form = 0; form < WIRE_FORMS; form++) {
		if (!d->encoded[form])
			continue;
		for (int window = 0; window < WINDOWS; window++)
			frame_unref(&d->frames[form][window]);
	}
}

void fanout_decode(struct fanout *f, const struct channel *ch, struct bytes payload, struct envelope *out)
{
	const char *reason;

	give_back(&f->scratch);
	buf_reset(&f->scratch);
	if (!envelope_decode(payload, &f->scratch, out, &reason))
		refuse(ch, reason);
}

void fanout_push(struct fanout *f, struct channel *ch, const struct push *push,
                 void (*deliver)(struct subscription *s, struct frame *frame))
{
	struct delivery d = {.fanout = f, .channel = ch, .push = push};

	backlog_spend(&ch->hub->backlog, ch, ch->count);
	deliver_all(&d, deliver);
	drop_frames(&d);
	for (int form = 0; form < WIRE_FORMS; form++)
		give_back(&f->out[form]);
}

void fanout_publication(struct fanout *f, struct channel *ch, const struct publication *publication,
                        void (*deliver)(struct subscription *s, struct frame *frame))
{
	fanout_push(f, ch, &(struct push){.kind = PUSH_PUBLICATION, .publication = publication}, deliver);
}
