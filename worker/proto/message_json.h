/* Writes what the broker sends, in JSON: omissions and exceptions of client protocol 6, members in the order
 * of the schema (24). The reading side is codec_json.c. */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "command.h"

void message_json_put_reply(struct buf *out, const struct reply *reply);
/* As codec->put_publication(). */
void message_json_put_publication(struct buf *out, const struct publication *p);
void message_json_put_push(struct buf *out, const struct push *push, bool uni);

/* Parts of a publication that the envelope in Redis has in the same form: members of the object in progress,
 * left out when there is nothing to say. */
void message_json_put_info(struct buf *out, const struct client_info *info);
void message_json_put_tags(struct buf *out, const struct tag *tags, size_t count);
/* The object of such an info by itself. */
void message_json_put_client_info(struct buf *out, const struct client_info *info);
