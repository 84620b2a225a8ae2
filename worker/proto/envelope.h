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

struct envelope {
	struct publication publication; /* data.ptr is NULL when there is none */
	bool history_removed; /* {"fanfare":1,"history_removed":true}: no publication, but this news */
	struct client_info info;
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
 * True without data only for the news that the history of the channel was removed.
 *
 * When only the data of an envelope is to blame, its offset and epoch are there all the same: this
 * publication has a place in the history, and will be met there again. Otherwise they are 0 and empty. */
bool envelope_decode(struct bytes payload, struct buf *scratch, struct envelope *out,
                     const char **reason) MUST_CHECK;
/* Appends the payload to publish. publication->data is valid JSON. It goes bare if there is nothing else and
 * it could not be taken for an envelope, else in one: so whoever publishes data cannot forge the rest. */
void envelope_encode(struct buf *out, const struct publication *publication);
