/* One subscriber connection is replaced by another while messages flow: none is lost without being told, none
 * comes twice, whichever of the two is ahead, and whichever breaks at what moment. */
#include "redis_handover.h"
#include "redis_proxy.h"

struct stage {
	struct world world;
	struct proxy proxy;
	struct listener_sub l;
	struct proxied *old;
	redisContext *admin;
	long published;
};

/* Ready, subscribed to t:a, and heard through the first connection. */
static int stage_begin(void **state, uint64_t canary_timeout_ms, uint64_t call_timeout_ms)
{
	struct stage *s = mem_alloc(sizeof(*s));
	struct world *w = &s->world;

	world_init(w);
	w->config.redis.canary_timeout_ms = canary_timeout_ms;
	w->config.redis.call_timeout_ms = call_timeout_ms;
	server_start(w, "--loglevel", "notice");
	s->admin = admin_connect(w);
	proxy_start(&s->proxy, w);
	world_redis(w);
	WAIT_FOR(w, 5000, is_ready(w));
	listen_on(w, &s->l, "t:a");
	WAIT_FOR(w, 2000, s->l.confirmed == 1);
	s->old = listener_beside(&s->proxy, NULL);
	*state = s;
	return 0;
}

static int stage_setup(void **state)
{
	return stage_begin(state, 500, 300);
}

/* Whatever is noticed, it is not the canary that shows it. */
static int stage_setup_without_canary(void **state)
{
	return stage_begin(state, 60000, 300);
}

/* A command connection that is stalled is not made anew. */
static int stage_setup_of_patient_calls(void **state)
{
	return stage_begin(state, 500, 60000);
}

/* A canary is missed so late that nothing else waits for that. */
static int stage_setup_patient(void **state)
{
	return stage_begin(state, 6000, 60000);
}

static int stage_teardown(void **state)
{
	struct stage *s = *state;

	redis_sub_close(&s->l.sub);
	redisFree(s->admin);
	redis_free(&s->world.redis);
	proxy_stop(&s->proxy);
	world_free(&s->world);
	mem_free(s);
	return 0;
}

static void publish(struct stage *s, int count)
{
	for (int i = 0; i < count; i++)
		publish_number(s->admin, "t:a", ++s->published);
}

/* The connection that is being made beside the old one. */
static struct proxied *next_of(struct stage *s)
{
	return listener_beside(&s->proxy, s->old);
}

/* The old connection falls silent with messages under way; a new one stands beside it. */
static void make_deaf(struct stage *s)
{
	struct world *w = &s->world;

	publish(s, 10);
	stall_down(s->old, true);
	publish(s, 10);
	WAIT_FOR(w, 2000, subs_beside(&s->proxy, s->old) != NULL);
	assert_true(s->old->open);
}

/* The marker came by the new one. */
static void wait_marked(struct stage *s)
{
	struct world *w = &s->world;

	WAIT_FOR(w, 2000, next_of(s) != NULL && next_of(s)->marker_came);
}

static void make_deaf_and_marked(struct stage *s)
{
	make_deaf(s);
	wait_marked(s);
}

/* The marker came by the old one, too, and nothing after it by the new one. */
static void make_next_behind(struct stage *s)
{
	struct world *w = &s->world;

	s->proxy.mark_new_subs = true;
	make_deaf_and_marked(s);
	stall_down(s->old, false);
	WAIT_FOR(w, 2000, s->old->marker_came && s->old->down.sent == s->old->down.len);
	WAIT_FOR(w, 2000, s->l.last == 20);
}

static void ends_well(struct stage *s)
{
	struct world *w = &s->world;

	publish(s, 10);
	WAIT_FOR(w, 5000, s->l.last == s->published);
	WAIT_FOR(w, 5000, is_ready(w));
	assert_int_equal(s->l.doubled, 0);
	WAIT_FOR(w, 2000, open_conns(&s->proxy) == 2);
	STAYS_SO(w, 500, is_ready(w));
}

static void nothing_was_lost(struct stage *s)
{
	assert_int_equal(s->l.lost, 0);
	assert_int_equal(s->l.confirmed, 1);
}

/* --- the old one is alive --- */

static void a_slow_connection_is_replaced_without_a_loss(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	make_deaf_and_marked(s);
	publish(s, 10);
	assert_true(s->l.last <= 10);
	stall_down(s->old, false);
	WAIT_FOR(w, 2000, s->l.last == s->published);
	ends_well(s);
	nothing_was_lost(s);
	assert_false(s->old->open);
}

static void a_new_connection_that_is_behind_costs_nothing(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	s->proxy.mark_new_subs = true;
	make_deaf_and_marked(s);
	publish(s, 10);
	stall_down(s->old, false);
	WAIT_FOR(w, 2000, s->l.last == 20);
	publish(s, 10);
	STAYS_SO(w, 200, s->l.last == 20);
	stall_down(next_of(s), false);
	ends_well(s);
	nothing_was_lost(s);
	assert_false(s->old->open);
}

static void a_connection_that_is_heard_again_is_kept(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	s->proxy.stall_new_subs = true;
	make_deaf(s);
	stall_down(s->old, false);
	WAIT_FOR(w, 2000, is_ready(w));
	ends_well(s);
	nothing_was_lost(s);
	assert_true(s->old->open);
}

static void channels_may_come_and_go_on_the_way(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	struct listener_sub born;
	struct listener_sub back;
	struct listener_sub gone;

	listen_on(w, &back, "t:back");
	listen_on(w, &gone, "t:gone");
	WAIT_FOR(w, 2000, back.confirmed == 1 && gone.confirmed == 1);
	redis_sub_close(&back.sub);
	s->proxy.mark_new_subs = true;
	make_deaf_and_marked(s);
	listen_on(w, &born, "t:born");
	listen_on(w, &back, "t:back");
	redis_sub_close(&gone.sub);
	stall_down(s->old, false);
	STAYS_SO(w, 200, !redis_sub_confirmed(born.sub));
	stall_down(next_of(s), false);
	WAIT_FOR(w, 2000, redis_sub_confirmed(born.sub) && redis_sub_confirmed(back.sub));
	publish_number(s->admin, "t:born", 1);
	publish_number(s->admin, "t:back", 1);
	WAIT_FOR(w, 2000, born.messages == 1 && back.messages == 1);
	ends_well(s);
	nothing_was_lost(s);
	WAIT_FOR(w, 2000, admin_integer(s->admin, "PUBLISH t:gone 1") == 0);
	redis_sub_close(&born.sub);
	redis_sub_close(&back.sub);
}

static void a_late_canary_is_enough_to_prepare(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	stall_down(s->old, true);
	publish(s, 10);
	WAIT_FOR(w, 4500, subs_beside(&s->proxy, s->old) != NULL);
	assert_true(is_ready(w));
	stall_down(s->old, false);
	ends_well(s);
	nothing_was_lost(s);
}

/* Silence counts from when the marker was published, not from when it was asked for. */
static void a_marker_that_is_published_late_costs_nothing(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	struct proxied *calls = find_calls(&s->proxy);

	s->proxy.stall_calls_with_new_subs = true;
	stall_down(s->old, true);
	publish(s, 10);
	WAIT_FOR(w, 4500, calls->up.stalled && next_of(s) != NULL);
	s->proxy.stall_calls_with_new_subs = false;
	STAYS_SO(w, REDIS_HANDOVER_SILENCE_MS * 3 / 2, s->old->open && next_of(s) != NULL);
	publish(s, 10);
	stall_up(calls, false);
	wait_marked(s);
	STAYS_SO(w, 60, s->old->open);
	stall_down(s->old, false);
	ends_well(s);
	nothing_was_lost(s);
	assert_false(s->old->open);
}

/* --- something breaks --- */

static void a_dead_connection_is_given_up_and_the_gap_is_told(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	make_deaf_and_marked(s);
	publish(s, 10);
	WAIT_FOR(w, 4000, s->l.confirmed == 2);
	ends_well(s);
	assert_true(s->l.lost >= 1 && s->l.lost <= 20);
}

/* In more than one turn; those that are closed meanwhile are not told any more. */
static void a_gap_is_told_to_thousands(void **state)
{
	enum { CHANNELS = 3000 };
	struct stage *s = *state;
	struct world *w = &s->world;
	struct listener_sub *subs = mem_alloc(CHANNELS * sizeof(*subs));
	char channel[64];

	for (int i = 0; i < CHANNELS; i++) {
		snprintf(channel, sizeof(channel), "t:channel-%d", i);
		listen_on(w, &subs[i], channel);
	}
	for (int i = 0; i < CHANNELS; i++)
		WAIT_FOR(w, 5000, subs[i].confirmed == 1);
	make_deaf_and_marked(s);
	proxied_close(s->old);
	WAIT_FOR(w, 4000, s->l.confirmed == 2 || subs[0].confirmed == 2 || subs[1].confirmed == 2);
	for (int i = 0; i < CHANNELS; i += 3)
		redis_sub_close(&subs[i].sub);
	for (int i = 0; i < CHANNELS; i++) {
		if (i % 3 != 0)
			WAIT_FOR(w, 2000, subs[i].confirmed == 2);
		assert_true(subs[i].confirmed <= 2);
	}
	WAIT_FOR(w, 2000, s->l.confirmed == 2);
	for (int i = 0; i < CHANNELS; i++)
		redis_sub_close(&subs[i].sub);
	ends_well(s);
	mem_free(subs);
}

static void an_old_connection_that_breaks_leaves_what_was_held_back(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	make_deaf_and_marked(s);
	publish(s, 10);
	WAIT_FOR(w, 2000, next_of(s)->down.sent == next_of(s)->down.len);
	STAYS_SO(w, 50, s->l.confirmed == 1);
	proxied_close(s->old);
	WAIT_FOR(w, 2000, s->l.confirmed == 2);
	ends_well(s);
	assert_true(s->l.lost >= 1 && s->l.lost <= 20);
}

static void an_old_connection_that_breaks_early_means_to_start_over(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	s->proxy.stall_new_subs = true;
	make_deaf(s);
	s->proxy.stall_new_subs = false;
	proxied_close(s->old);
	WAIT_FOR(w, 4000, s->l.confirmed == 2);
	ends_well(s);
}

static void an_old_connection_that_breaks_after_its_marker_costs_nothing(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	make_next_behind(s);
	STAYS_SO(w, 50, s->l.confirmed == 1);
	proxied_close(s->old);
	publish(s, 10);
	STAYS_SO(w, 50, s->l.last == 20);
	stall_down(next_of(s), false);
	ends_well(s);
	nothing_was_lost(s);
}

static void an_old_connection_that_breaks_before_the_marker_doubles_nothing(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	struct proxied *calls = find_calls(&s->proxy);

	s->proxy.stall_calls_with_new_subs = true;
	make_deaf(s);
	WAIT_FOR(w, 2000, calls->up.len > 0 && calls->up.stalled);
	/* What it says is known by now, only the marker cannot be published. */
	STAYS_SO(w, 100, s->l.confirmed == 1);
	proxied_close(s->old);
	publish(s, 10);
	WAIT_FOR(w, 1000,
	         !redis_sub_confirmed(s->l.sub) &&
	                 strstr(reason(w), "lost the subscriber connection") != NULL);
	STAYS_SO(w, 50, s->l.last <= 10 && !redis_sub_confirmed(s->l.sub) && !is_ready(w));
	s->proxy.stall_calls_with_new_subs = false;
	stall_up(calls, false);
	WAIT_FOR(w, 4000, s->l.confirmed == 2);
	ends_well(s);
}

static void a_new_connection_that_breaks_late_makes_the_old_one_tell_a_gap(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	make_next_behind(s);
	publish(s, 10);
	STAYS_SO(w, 100, s->l.last == 20);
	s->proxy.mark_new_subs = false;
	proxied_close(next_of(s));
	WAIT_FOR(w, 2000, s->l.confirmed == 2);
	ends_well(s);
	assert_int_equal(s->l.lost, 10);
}

static void a_new_connection_that_breaks_early_is_made_again(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;

	s->proxy.stall_new_subs = true;
	make_deaf(s);
	for (unsigned n = 3; n < 9; n++)
		WAIT_FOR(w, 3000, s->proxy.subs_count >= n);
	assert_true(s->old->open);
	s->proxy.stall_new_subs = false;
	WAIT_FOR(w, 3000, next_of(s) != NULL && next_of(s)->marker_came);
	stall_down(s->old, false);
	ends_well(s);
	nothing_was_lost(s);
}

/* While time passes so slowly that it cannot be the silence of the old one for which it is given up. */
static void too_much_to_hold_back_gives_the_old_one_up(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	static char text[1 << 20];
	uint64_t marked_ms;

	make_deaf_and_marked(s);
	marked_ms = clock_ms();
	w->turn_ms = 1;
	for (int i = 0; i < 9; i++) {
		memset(text, ' ', sizeof(text));
		snprintf(text, sizeof(text), "%ld", ++s->published);
		freeReplyObject(redisCommand(s->admin, "PUBLISH t:a %b", text, sizeof(text)));
	}
	WAIT_FOR(w, 1500, s->l.confirmed == 2);
	assert_in_range(clock_ms() - marked_ms, 0, REDIS_HANDOVER_BEHIND_MS - REDIS_HANDOVER_CHECK_MS);
	w->turn_ms = TURN_MS;
	ends_well(s);
	assert_true(s->l.lost >= 1 && s->l.lost <= 20);
}

/* --- the other connection --- */

static void a_deaf_command_connection_does_not_touch_the_subscriptions(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	struct proxied *calls = find_calls(&s->proxy);

	stall_down(calls, true);
	WAIT_FOR(w, 1000, !is_ready(w));
	assert_non_null(strstr(reason(w), "does not answer"));
	publish(s, 10);
	WAIT_FOR(w, 1000, s->l.last == 10);
	WAIT_FOR(w, 3000, is_ready(w));
	assert_false(calls->open);
	ends_well(s);
	nothing_was_lost(s);
	assert_true(s->old->open);
}

static void a_network_that_is_dead_takes_both_and_both_are_made_again(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	struct proxied *calls = find_calls(&s->proxy);

	stall_down(s->old, true);
	stall_down(calls, true);
	publish(s, 10);
	WAIT_FOR(w, 10000, !calls->open && !s->old->open);
	WAIT_FOR(w, 2000, s->l.confirmed == 2);
	publish(s, 10);
	WAIT_FOR(w, 2000, s->l.last == s->published);
	assert_int_equal(s->l.doubled, 0);
}

/* --- anything at any time --- */

static void do_something(struct stage *s, unsigned what, unsigned which)
{
	struct proxied *c = s->proxy.conns;

	for (unsigned i = 0; c != NULL && (i < which || !c->open); c = c->next)
		i++;
	if (c == NULL || !c->open)
		return;
	switch (what) {
	case 0: proxied_close(c); return;
	case 1: stall_down(c, true); return;
	case 2: stall_up(c, true); return;
	default:
		stall_up(c, false);
		stall_down(c, false);
		return;
	}
}

/* Whatever happens to the connections: nothing comes twice, and what is missing was told to be missing. */
static void random_trouble_doubles_nothing_and_loses_nothing_in_silence(void **state)
{
	struct stage *s = *state;
	struct world *w = &s->world;
	uint64_t until_ms = clock_ms() + 12000;
	unsigned seed = getenv("TEST_SEED") != NULL ? (unsigned)atoi(getenv("TEST_SEED"))
	                                            : (unsigned)getpid();
	uint64_t next_ms = 0;
	unsigned long lost = 0;
	unsigned confirmed = 1;

	print_message("TEST_SEED=%u\n", seed);
	srand(seed);
	while (clock_ms() < until_ms) {
		publish(s, 1);
		if (clock_ms() >= next_ms) {
			next_ms = clock_ms() + (unsigned)rand() % 300;
			s->proxy.mark_new_subs = rand() % 2;
			do_something(s, (unsigned)rand() % 6, (unsigned)rand() % 4);
		}
		ev_run(loop_ev(w->loop), EVRUN_NOWAIT);
		if (s->l.lost > lost)
			assert_true(s->l.confirmed > confirmed);
		if (s->l.lost > lost)
			confirmed = s->l.confirmed;
		lost = s->l.lost;
	}
	s->proxy.mark_new_subs = false;
	for (struct proxied *c = s->proxy.conns; c != NULL; c = c->next) {
		stall_up(c, false);
		stall_down(c, false);
	}
	WAIT_FOR(w, 10000, is_ready(w));
	ends_well(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define STAGE(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)
		STAGE(a_slow_connection_is_replaced_without_a_loss),
		STAGE(a_new_connection_that_is_behind_costs_nothing),
		STAGE(a_connection_that_is_heard_again_is_kept),
		STAGE(channels_may_come_and_go_on_the_way),
		STAGE(a_dead_connection_is_given_up_and_the_gap_is_told),
		STAGE(a_gap_is_told_to_thousands),
		STAGE(an_old_connection_that_breaks_leaves_what_was_held_back),
		STAGE(an_old_connection_that_breaks_early_means_to_start_over),
		STAGE(an_old_connection_that_breaks_after_its_marker_costs_nothing),
		cmocka_unit_test_setup_teardown(
			an_old_connection_that_breaks_before_the_marker_doubles_nothing,
			stage_setup_of_patient_calls, stage_teardown),
		STAGE(a_new_connection_that_breaks_late_makes_the_old_one_tell_a_gap),
		STAGE(a_new_connection_that_breaks_early_is_made_again),
		STAGE(too_much_to_hold_back_gives_the_old_one_up),
		STAGE(a_deaf_command_connection_does_not_touch_the_subscriptions),
		cmocka_unit_test_setup_teardown(a_late_canary_is_enough_to_prepare, stage_setup_patient,
	                                        stage_teardown),
		cmocka_unit_test_setup_teardown(a_marker_that_is_published_late_costs_nothing,
	                                        stage_setup_patient, stage_teardown),
		cmocka_unit_test_setup_teardown(a_network_that_is_dead_takes_both_and_both_are_made_again,
	                                        stage_setup_without_canary, stage_teardown),
		STAGE(random_trouble_doubles_nothing_and_loses_nothing_in_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
