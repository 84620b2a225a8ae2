#include "redis_race.h"

#include "clock.h"
#include "mem.h"
#include "redis_link.h"

struct redis_rival {
	struct redis_link link;
	struct redis_race *race;
	bool proving; /* the proof is sent and not answered */
};

static struct loop *loop_of(const struct redis_race *r)
{
	return stream_loop(&r->link->stream);
}

/* --- a rival --- */

static void won(struct redis_rival *rival)
{
	/* Not at once: it is in the middle of reading. */
	loop_defer(loop_of(rival->race), &rival->race->won);
}

static void prove(struct redis_rival *rival)
{
	struct bytes argv[REDIS_PROOF_WORDS];

	rival->race->link->use->proof(rival->race->link, argv);
	resp_put_command(redis_link_out(&rival->link), argv, REDIS_PROOF_WORDS);
	rival->proving = true;
	rival->race->proof_ms = clock_ms();
}

static void on_up(struct redis_link *l)
{
	struct redis_rival *rival = container_of(l, struct redis_rival, link);
	const struct redis_link *doubted = rival->race->link;

	if (redis_link_up(doubted) && doubted->use != NULL && doubted->use->proof != NULL)
		prove(rival);
	else
		won(rival);
}

static void on_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_rival *rival = container_of(l, struct redis_rival, link);

	if (!rival->proving) {
		redis_link_fail_unasked(l, reply);
		return;
	}
	rival->proving = false;
	won(rival);
}

/* The timer makes another one. */
static void on_down(struct redis_link *l, bool was_up)
{
}

static const struct redis_link_events rival_events = {on_up, on_reply, on_down};

static void drop_rival(struct redis_race *r)
{
	task_cancel(&r->won);
	if (r->rival == NULL)
		return;
	redis_link_close(&r->rival->link);
	mem_free(r->rival);
	r->rival = NULL;
}

static void make_rival(struct redis_race *r)
{
	const struct redis_link *l = r->link;

	drop_rival(r);
	r->rival = mem_alloc(sizeof(*r->rival));
	r->rival->race = r;
	redis_link_init(&r->rival->link, loop_of(r), l->endpoint, &rival_events, l->name,
	                l->connect_timeout_ms, l->out.max);
	r->rival->link.race.off = true;
	r->rival->link.resolver.asked = l->resolver.asked +
	                                r->made++; /* another address, where there are several */
	r->made_ms = clock_ms();
	redis_link_open(&r->rival->link);
}

/* Logging in takes about as long as connecting did, where it is the way that is long. */
static bool is_in_time(const struct redis_race *r)
{
	uint64_t moved_ms = r->rival->link.moved_ms;

	return clock_ms() - moved_ms <= moved_ms - r->made_ms;
}

static bool gets_on(const struct redis_race *r)
{
	if (r->rival == NULL)
		return false;
	switch (r->rival->link.phase) {
	case LINK_DOWN: return false;
	case LINK_RESOLVING: return true; /* the resolver asks again by itself */
	case LINK_CONNECTING: return redis_link_shakes_hands(&r->rival->link);
	case LINK_LOGIN: return is_in_time(r);
	case LINK_UP: return true; /* what it waits for as a proof is held back from every other one, too */
	}
	return false;
}

/* A Redis that is busy answers a new rival as late as one that waits already, but one that was made while no
 * packet passed may wait for ever. */
static void renew_rival(struct redis_race *r)
{
	if (!gets_on(r))
		make_rival(r);
}

/* --- the race --- */

static void wait_for_rival(struct redis_race *r)
{
	timer_start(loop_of(r), &r->timer, r->link->connect_timeout_ms / REDIS_RACE_PART);
}

static bool is_doubtful(const struct redis_race *r)
{
	return r->link->moved_ms < r->doubted_ms;
}

static void look_at_doubted(struct redis_race *r)
{
	if (!is_doubtful(r)) {
		redis_race_stop(r);
		return;
	}
	if (redis_link_up(&r->rival->link) && !r->rival->proving) {
		redis_link_fail(r->link, REDIS_SILENT, "does not answer, but does so on a new connection");
		return;
	}
	renew_rival(r);
	wait_for_rival(r);
}

static void on_timer(struct timer *t)
{
	struct redis_race *r = container_of(t, struct redis_race, timer);

	if (list_linked(&r->won.node)) { /* in this turn: on_won() decides */
		wait_for_rival(r);
		return;
	}
	if (redis_link_up(r->link)) {
		look_at_doubted(r);
		return;
	}
	if (r->link->phase != LINK_RESOLVING)
		renew_rival(r);
	wait_for_rival(r);
}

static void on_won(struct task *t)
{
	struct redis_race *r = container_of(t, struct redis_race, won);

	if (!redis_link_up(&r->rival->link))
		return;
	if (!redis_link_up(r->link))
		redis_link_replace(r->link, &r->rival->link);
	else if (is_doubtful(r))
		timer_start(loop_of(r), &r->timer, REDIS_RACE_PROOF_MS);
	else
		redis_race_stop(r);
}

void redis_race_start(struct redis_race *r)
{
	if (!r->off)
		wait_for_rival(r);
}

void redis_race_doubt(struct redis_race *r)
{
	if (timer_armed(&r->timer))
		return;
	r->doubted_ms = clock_ms();
	make_rival(r);
	wait_for_rival(r);
}

void redis_race_stop(struct redis_race *r)
{
	timer_stop(&r->timer);
	drop_rival(r);
}

void redis_race_init(struct redis_race *r, struct redis_link *link)
{
	*r = (struct redis_race){.link = link, .timer.fire = on_timer, .won.run = on_won};
}
