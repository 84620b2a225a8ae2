/* Looks through what waits, message by message. */
#include "history_ahead.h"

#include "backlog.h"
#include "buf.h"
#include "channel.h"
#include "compiler.h"
#include "envelope.h"
#include "history.h"
#include "map.h"
#include "recovery.h"

enum { SCRATCH_MAX = 64 << 20 };

struct look {
	const struct history *history;
	struct buf scratch;
	uint64_t offset;
	uint64_t hash;
	bool first; /* one is enough */
};

/* What came before an answered read is delivered already, or will be dropped. */
static bool is_of_no_account(const struct look *l, const struct publication *p, uint32_t stamp)
{
	return p->offset <= l->offset || stamp < l->history->answered;
}

static bool see(void *arg, struct bytes payload, uint32_t stamp)
{
	struct look *l = arg;
	struct envelope envelope UNINITIALIZED; /* two kilobytes of tags that few messages have */
	const struct publication *p = &envelope.publication;
	const char *reason;

	if (stamp >= l->history->trusted || (l->first && l->offset > l->history->position.offset))
		return false;
	if (!envelope_decode(payload, &l->scratch, &envelope, &reason) && p->offset == 0)
		return true;
	if (p->epoch.len > 0 && !position_has_epoch(&l->history->position, p->epoch))
		return false;
	if (is_of_no_account(l, p, stamp))
		return true;
	if (p->offset != l->offset + 1)
		return false;
	l->offset = p->offset;
	l->hash = map_hash(payload);
	return true;
}

static void look(const struct history *h, bool first, struct history_ahead *out)
{
	struct look l = {.history = h, .offset = h->position.offset, .first = first};
	struct waiting *last;

	buf_init(&l.scratch, SCRATCH_MAX);
	last = backlog_look(h->channel, see, &l);
	buf_free(&l.scratch);
	*out = (struct history_ahead){
		.offset = l.offset,
		.hash = l.hash,
		.last = l.offset > h->position.offset ? last : NULL,
	};
}

void history_look_ahead(const struct history *h, struct history_ahead *out)
{
	look(h, false, out);
}

bool history_goes_on(const struct history *h)
{
	struct history_ahead ahead;

	if (h->trusted != TRUST_ALL)
		return false;
	look(h, true, &ahead);
	return ahead.last != NULL;
}
