#include "suggest.h"

/* Longer words are typed wrong in other ways; the ceiling also bounds the work that an odd input causes. */
enum { SUGGEST_MAX = 64 };

struct suggest suggest_for(struct bytes word)
{
	/* One slip in a short word, up to three in a long one. */
	unsigned allowed = word.len < 4 ? 1 : word.len < 10 ? 2 : 3;

	return (struct suggest){.word = word, .distance = allowed + 1};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, one row of the table at a time. */
static unsigned edit_distance(struct bytes a, struct bytes b)
{
	unsigned row[SUGGEST_MAX + 1];

	for (size_t j = 0; j <= b.len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			unsigned above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a.ptr[i - 1] != b.ptr[j - 1]));
			diagonal = above;
		}
	}
	return row[b.len];
}

void suggest_try(struct suggest *s, struct bytes candidate)
{
	unsigned distance;

	if (s->word.len == 0 || s->word.len > SUGGEST_MAX || candidate.len > SUGGEST_MAX)
		return;
	distance = edit_distance(s->word, candidate);
	if (distance >= s->distance)
		return;
	s->distance = distance;
	s->best = candidate;
}
