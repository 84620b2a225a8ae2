/* Cross-origin resource sharing (Fetch Standard, 3.2): which web pages may read our answers. A route has it
 * by its row. The browser is who enforces it: a page that may not read is answered all the same. */
#pragma once

#include "buf.h"
#include "router.h"

/* Adds the headers of an answer. */
void cors_put_headers(const struct exchange *x, struct buf *out);
/* Answers OPTIONS: the question that a browser asks before a request that a form could not make. */
void cors_answer_options(const struct exchange *x);
