/* What travels through Redis on a channel (DESIGN, section 6): any JSON value is the publication's data; an
 * object whose first key is "fanfare" is an envelope
 * {"fanfare":1,"offset":17,"epoch":"Xo2P","tags":{…},"info":{…},"data":…} with `data` last; text that is not
 * JSON is delivered as a JSON string. Not trusted: validated like
 * client input.
 *
 * What follows "data": up to the last brace is the data, under the same rules as a payload without an
 * envelope: it need not be JSON, and so whoever makes an envelope need not look at it. Whatever it holds, it
 * cannot add to the members before it. */
#pragma once

#include "buf.h"
#include "bytes.h"
#include "command.h"
#include "compiler.h"

enum { ENVELOPE_VERSION = 1, ENVELOPE_MAX_TAGS = 64 };

/* What an envelope without data says:
 *     {"fanfare":1,"history_removed":true}, {"fanfare":1,"join":{…}}, {"fanfare":1,"leave":{…}} */
enum envelope_news { NEWS_NONE, NEWS_HISTORY_REMOVED, NEWS_JOIN, NEWS_LEAVE };

struct envelope {
	struct publication publication; /* data.ptr is NULL when there is none */
	enum envelope_news news;
	struct client_info info; /* of the publication, or of who joined or left */
	struct tag tags[ENVELOPE_MAX_TAGS];
};

/* Decodes a payload. Slices point into the payload, into scratch (reset first), and into *out itself, which
 * must not be copied; all three must stay. data and the info's raw values come out ready to be embedded in a
 * message: valid JSON without raw newlines.
 *
 * False with a constant reason: invalid UTF-8, an empty payload, JSON nested deeper than JSON_MAX_DEPTH, an
 * envelope of another version, without data, with a known member twice or of the wrong type; unknown members
 * are for later versions and are ignored. Also when scratch may not grow to the length of the payload, or to
 * six times that for text that is not JSON.
 *
 * True without data only for news.
 *
 * When only the data of an envelope is to blame, its offset and epoch are there all the same: this
 * publication has a place in the history, and will be met there again. Otherwise they are 0 and empty. */
bool envelope_decode(struct bytes payload, struct buf *scratch, struct envelope *out,
                     const char **reason) MUST_CHECK;
/* Whether the payload, as the function library sends it, is the news that a history was removed. Cheap. */
bool envelope_tells_removal(struct bytes payload) MUST_CHECK;
/* Appends the payload to publish. publication->data is valid JSON. It goes bare if there is nothing else and
 * it could not be taken for an envelope, else in one: so whoever publishes data cannot forge the rest. */
void envelope_encode(struct buf *out, const struct publication *publication);
/* Reads such an info by itself. Slices point into the text or into scratch, which takes what it gets and must
 * have room for it: the length of the text. False when it is none. */
bool envelope_read_info(struct bytes text, struct buf *scratch, struct client_info *out) MUST_CHECK;
