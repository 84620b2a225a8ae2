#include "recovery.h"

bool position_has_epoch(const struct position *p, struct bytes epoch)
{
	return bytes_eq(epoch, (struct bytes){p->epoch, p->epoch_len});
}

/* An empty epoch matches any: the client subscribed before there was one. */
static bool same_stream(const struct want *want, const struct position *position)
{
	return want->epoch.len == 0 || position_has_epoch(position, want->epoch);
}

static bool has_newest(const struct position *position, const struct recent *recent)
{
	return recent->count > 0 && recent->last == position->offset;
}

/* More than may be sent at once was missed, so reading it is of no use. */
static bool too_far(const struct want *want, const struct position *position, const struct recent *recent)
{
	return position->offset - want->offset > recent->most;
}

enum recovery_lacks recovery_lacks(const struct want *want, enum recovery_mode mode,
                                   const struct position *position, const struct recent *recent)
{
	if (!want->recover)
		return RECOVERY_LACKS_NOTHING;
	if (mode == RECOVERY_CACHE)
		return position->offset == 0 || has_newest(position, recent) ? RECOVERY_LACKS_NOTHING
		                                                             : RECOVERY_LACKS_RECENT;
	if (!same_stream(want, position) || want->offset == position->offset)
		return RECOVERY_LACKS_NOTHING;
	if (want->offset > position->offset)
		return RECOVERY_LACKS_TOP;
	if (too_far(want, position, recent) || recent_reaches(recent, want->offset))
		return RECOVERY_LACKS_NOTHING;
	return RECOVERY_LACKS_RECENT;
}

static struct recovery nothing_missed(const struct position *position)
{
	return (struct recovery){true, position->offset + 1, position->offset};
}

static struct recovery of_stream(const struct want *want, const struct position *position,
                                 const struct recent *recent)
{
	if (!same_stream(want, position) || want->offset > position->offset)
		return (struct recovery){false, 1, 0};
	if (want->offset == position->offset)
		return nothing_missed(position);
	if (!recent_reaches(recent, want->offset) || recent->last != position->offset)
		return (struct recovery){false, 1, 0};
	return (struct recovery){true, want->offset + 1, position->offset};
}

/* Who has the newest already gets nothing; everybody else gets it, whatever he had. */
static struct recovery of_cache(const struct want *want, const struct position *position,
                                const struct recent *recent)
{
	bool is_there = want->offset == position->offset && position_has_epoch(position, want->epoch);

	if (is_there && (want->offset > 0 || !has_newest(position, recent)))
		return nothing_missed(position);
	if (has_newest(position, recent))
		return (struct recovery){true, position->offset, position->offset};
	return (struct recovery){false, 1, 0};
}

struct recovery recovery_of(const struct want *want, enum recovery_mode mode, const struct position *position,
                            const struct recent *recent)
{
	if (!want->recover)
		return (struct recovery){false, 1, 0};
	return mode == RECOVERY_CACHE ? of_cache(want, position, recent) : of_stream(want, position, recent);
}
