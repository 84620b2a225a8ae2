/* Publications, losses, reads, turns and subscribers in any order: nothing is lost, doubled or reordered. */
#include "history_world.h"

static uint32_t random_state;

static unsigned dice(unsigned sides)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % sides;
}

static void somebody_comes_or_goes(void)
{
	struct client *c = &t.clients[dice(CLIENTS)];
	bool recovers = dice(2) == 0;
	struct want want = {.positioned = true, .recover = recovers, .offset = c->position};
	char epoch[16];

	if (c->s.channel != NULL) {
		hub_unsubscribe(t.hub, &c->s);
		return;
	}
	snprintf(epoch, sizeof(epoch), "%s", epoch_of(c->stream));
	want.epoch = BYTES_OF_STR(epoch);
	subscribe(c, &want);
}

static void somebody_begins(void)
{
	struct client *c = &t.clients[dice(CLIENTS)];

	if (c->s.channel != NULL && c->told && !c->s.live)
		begin(c);
}

/* Nobody can know that what those had who are away is not what comes now. */
static void writes_are_lost(void)
{
	bool watched = false;

	t.top -= 1 + dice(3);
	t.writes_lost++;
	for (int i = 0; i < CLIENTS; i++)
		watched = watched || t.clients[i].s.live;
	for (int i = 0; i < CLIENTS && !watched; i++)
		memset(t.clients[i].seen, 0, sizeof(t.clients[i].seen));
}

static void redis_loses_something(void)
{
	switch (dice(3)) {
	case 0:
		t.stream++;
		t.top = 0;
		t.first = 1;
		break;
	case 1: t.first = t.top + 1; break;
	default:
		if (t.top > t.first + 3)
			writes_are_lost();
		break;
	}
	lose_link();
	if (fake_redis_has_sub("pre:news"))
		fake_redis_confirm("pre:news");
}

static void history_is_removed(void)
{
	t.first = t.top + 1;
	assert_true(t.link_to < LINK_MAX);
	t.link[t.link_to++] = mem_printf("%s", removal);
}

static void a_turn_ends(void)
{
	if (!hub_end_turn(t.hub) && t.clients[0].s.channel != NULL && dice(2) == 0)
		overload();
}

static void step(void)
{
	switch (dice(42)) {
	case 0: somebody_comes_or_goes(); return;
	case 1: redis_loses_something(); return;
	case 2:
		lose_link();
		if (fake_redis_has_sub("pre:news"))
			fake_redis_confirm("pre:news");
		return;
	case 3:
		if (fake_redis_calls() > 0)
			fake_redis_answer(NULL);
		return;
	case 4:
		pass_time(dice(3) * 10000);
		hub_tick(t.hub);
		return;
	case 5: fake_redis_confirm_next(); return;
	case 6: somebody_begins(); return;
	case 7: a_turn_ends(); return;
	case 8:
		if (dice(5) == 0)
			history_is_removed();
		return;
	default: break;
	}
	switch (dice(4)) {
	case 0: publish(); return;
	case 1:
		if (fake_redis_calls() > 0)
			answer_in_this_turn();
		return;
	default: arrive(); return;
	}
}

/* What it was given since it subscribed is what Redis has, as far as that goes back, or it would have been
 * told that something is lost. */
static void check_seen(const struct client *c)
{
	for (uint64_t n = t.first; c->positioned && n <= c->position; n++)
		assert_true(c->seen[n] == 0 || c->seen[n] == t.written_by[n] + 1);
}

/* Nothing fails any more: all arrive at the top of the stream that there is. */
static void come_to_rest(void)
{
	for (int i = 0; i < 10; i++) {
		fake_redis_confirm_next();
		arrive_all();
		end_turns();
		hub_tick(t.hub);
		answer_all();
	}
	publish();
	arrive_all();
	end_turns();
	answer_all();
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &t.clients[i];

		if (c->s.channel == NULL)
			continue;
		assert_true(c->told);
		if (!c->s.live)
			begin(c);
		assert_int_equal(c->position, t.top);
		check_seen(c);
	}
}

static void nothing_is_lost_at_random(void **state)
{
	for (uint32_t seed = 1; seed <= 3000; seed++) {
		random_state = seed;
		t.config.channel.without_namespace.history_size = 5 + (int)dice(60);
		t.config.history.cache_size = 200 + dice(20000);
		t.piece = dice(3) == 0 ? 2 + dice(5) : 0;
		t.crowd = dice(2) == 0 ? BACKLOG_VISIT / (1 + dice(5)) : 0;
		for (int i = 0; i < 400; i++)
			step();
		come_to_rest();
		teardown(NULL);
		setup(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(nothing_is_lost_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
