/* One YAML document as a tree that is safe to walk: no aliases, so no loops and no bombs, no tags, no second
 * document, no deep nesting. What the nodes mean is the caller's business. */
#pragma once

#include <stdbool.h>
#include <yaml.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"

enum { YAML_TEXT_MAX = 1 << 20, YAML_DEPTH_MAX = 16 };

/* False with the line, counted from 1 (0: none in particular), and the reason. An empty text is a document
 * without a root. Free with yaml_document_delete(). */
bool yaml_text_load(struct bytes text, yaml_document_t *out, unsigned *line, struct buf *why) MUST_CHECK;
