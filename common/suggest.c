#include "suggest.h"

#include <string.h>

/* Longer words are typed wrong in other ways; the ceiling also bounds the work that an odd input causes. */
enum { SUGGEST_MAX = 64 };

struct suggest suggest_for(const char *word, size_t len)
{
	/* One slip in a short word, up to three in a long one. */
	unsigned allowed = len < 4 ? 1 : len < 10 ? 2 : 3;

	return (struct suggest){.word = word, .len = len, .distance = allowed + 1};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, one row of the table at a time. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[SUGGEST_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

void suggest_try(struct suggest *s, const char *candidate)
{
	size_t len = strlen(candidate);
	unsigned distance;

	if (s->len == 0 || s->len > SUGGEST_MAX || len > SUGGEST_MAX)
		return;
	distance = edit_distance(s->word, s->len, candidate, len);
	if (distance >= s->distance)
		return;
	s->distance = distance;
	s->best = candidate;
}
