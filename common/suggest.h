/* "Did you mean": the candidate nearest to a word that was not understood.
 *     struct suggest s = suggest_for(word);
 *     for (...) suggest_try(&s, candidate);
 *     if (s.best.len > 0) ... */
#pragma once

#include "bytes.h"

struct suggest {
	struct bytes word;
	unsigned distance; /* the best must be nearer than this */
	struct bytes best; /* empty while nothing was near enough */
};

/* Borrows the word. */
struct suggest suggest_for(struct bytes word);
/* Borrows the candidate. The first of several that are equally near wins. */
void suggest_try(struct suggest *s, struct bytes candidate);
