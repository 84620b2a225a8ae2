/* "Did you mean": the candidate nearest to a word that was not understood.
 *     struct suggest s = suggest_for(word, strlen(word));
 *     for (...) suggest_try(&s, candidate);
 *     if (s.best != NULL) ... */
#pragma once

#include <stddef.h>

struct suggest {
	const char *word;
	size_t len;
	unsigned distance; /* the best must be nearer than this */
	const char *best;  /* NULL while nothing was near enough */
};

/* Borrows the word. */
struct suggest suggest_for(const char *word, size_t len);
/* Borrows the candidate. The first of several that are equally near wins. */
void suggest_try(struct suggest *s, const char *candidate);
