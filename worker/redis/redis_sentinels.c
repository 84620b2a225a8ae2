#include "redis_sentinels.h"

#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "redis_sentinel.h"
#include "redis_url.h"

struct known {
	struct redis_sentinel *sentinel;
	bool configured;
	bool doubled; /* it is one of the others, under another name */
	uint64_t named_ms;
};

struct redis_sentinels {
	struct loop *loop;
	const struct config *config;
	struct tls_client *tls;
	struct tls_client *node_tls;
	char *name;
	void (*on_master)(void *ctx);
	void *ctx;

	struct known known[SENTINELS_MAX];
	size_t count;
	struct task look; /* at the answers, once a turn */
	struct timer look_later;
	uint64_t first_ms; /* when the first of them knew a master; 0: none did */
	bool none_answers;

	struct redis_place master;         /* "": none is known */
	uint64_t changed_ms;               /* when it was another one before; 0: never */
	struct redis_place candidate;      /* that one of them is making the master; "": none */
	struct redis_place candidate_from; /* what they chose when they did not know of it; "": nothing */
	uint64_t candidate_until_ms;

	struct redis_place tried; /* the place that is asked whether it is the master; "": none */
	struct redis_endpoint endpoint;
	struct redis_link probe;
	struct timer retry;
	bool proved;
	char why[REDIS_ERROR_MAX + 64]; /* no master is known */
};

static bool is_set(const struct redis_place *place)
{
	return place->host[0] != '\0';
}

static struct redis_account node_login(const struct config *c)
{
	return (struct redis_account){c->redis.user, c->redis.password, c->redis.db};
}

static void look_soon(struct redis_sentinels *all)
{
	loop_defer(all->loop, &all->look);
}

static void look_in(struct redis_sentinels *all, uint64_t delay_ms)
{
	timer_start(all->loop, &all->look_later, delay_ms);
}

static void on_look_later(struct timer *t)
{
	look_soon(container_of(t, struct redis_sentinels, look_later));
}

/* --- whom to believe --- */

static bool counts(const struct known *k)
{
	const struct redis_sentinel *s = k->sentinel;

	return s->knows && !k->doubled && clock_ms() - s->answered_ms <= SENTINELS_ANSWER_KEPT_MS;
}

static unsigned votes_for(const struct redis_sentinels *all, const struct redis_sentinel *one)
{
	unsigned votes = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct redis_sentinel *s = all->known[i].sentinel;

		if (counts(&all->known[i]) && s->epoch == one->epoch &&
		    redis_place_eq(&s->master, &one->master))
			votes++;
	}
	return votes;
}

static bool is_better(const struct redis_sentinels *all, const struct redis_sentinel *s,
                      const struct redis_sentinel *best)
{
	unsigned votes, votes_of_best;

	if (best == NULL || s->epoch != best->epoch)
		return best == NULL || s->epoch > best->epoch;
	votes = votes_for(all, s);
	votes_of_best = votes_for(all, best);
	return votes > votes_of_best || (votes == votes_of_best && redis_place_eq(&s->master, &all->master));
}

/* NULL: nobody knows one. */
static const struct redis_place *choose(const struct redis_sentinels *all)
{
	const struct redis_sentinel *best = NULL;

	for (size_t i = 0; i < all->count; i++) {
		if (counts(&all->known[i]) && is_better(all, all->known[i].sentinel, best))
			best = all->known[i].sentinel;
	}
	return best != NULL ? &best->master : NULL;
}

static bool all_were_tried(const struct redis_sentinels *all)
{
	for (size_t i = 0; i < all->count; i++) {
		if (all->known[i].configured && !all->known[i].sentinel->tried)
			return false;
	}
	return true;
}

/* Whether others may still say something better at the start. */
static bool is_too_early(struct redis_sentinels *all)
{
	if (is_set(&all->master) || all_were_tried(all))
		return false;
	if (all->first_ms == 0)
		all->first_ms = clock_ms();
	if (clock_ms() - all->first_ms >= SENTINELS_GRACE_MS)
		return false;
	look_in(all, all->first_ms + SENTINELS_GRACE_MS - clock_ms());
	return true;
}

/* --- the proof --- */

static void stop_trying(struct redis_sentinels *all)
{
	redis_link_close(&all->probe);
	timer_stop(&all->retry);
	redis_endpoint_free(&all->endpoint);
	all->tried = (struct redis_place){0};
	all->proved = false;
}

static void start_trying(struct redis_sentinels *all, const struct redis_place *place)
{
	const struct redis_account login = node_login(all->config);

	stop_trying(all);
	all->tried = *place;
	redis_endpoint_init_at(&all->endpoint, place->host, place->port, &login, all->node_tls);
	redis_link_open(&all->probe);
}

static void on_proved(struct redis_link *l)
{
	struct redis_sentinels *all = container_of(l, struct redis_sentinels, probe);

	all->proved = true;
	look_soon(all);
}

static void on_probe_reply(struct redis_link *l, const struct redis_reply *reply)
{
	redis_link_fail_unasked(l, reply);
}

static bool is_candidate(const struct redis_sentinels *all, const struct redis_place *place)
{
	return is_set(&all->candidate) && redis_place_eq(&all->candidate, place);
}

static void tell_failure(const struct redis_sentinels *all)
{
	static struct log_limit limit;

	if (is_candidate(all, &all->tried) || !is_set(&all->master) || !log_allowed(&limit))
		return;
	log_warning("the sentinels name Redis at %s as the master: %s; staying at %s:%s", all->endpoint.text,
	            all->probe.error, all->master.host, all->master.port);
}

static void on_probe_down(struct redis_link *l, bool was_up)
{
	struct redis_sentinels *all = container_of(l, struct redis_sentinels, probe);

	tell_failure(all);
	all->proved = false;
	timer_start(all->loop, &all->retry,
	            is_candidate(all, &all->tried) ? SENTINELS_CANDIDATE_RETRY_MS : SENTINELS_RETRY_MS);
	look_soon(all);
}

static const struct redis_link_events probe_events = {on_proved, on_probe_reply, on_probe_down};

static void on_retry(struct timer *t)
{
	struct redis_sentinels *all = container_of(t, struct redis_sentinels, retry);

	redis_link_open(&all->probe);
}

/* --- the change --- */

static bool is_too_often(struct redis_sentinels *all)
{
	uint64_t over_ms = all->changed_ms + SENTINELS_CHANGE_MS;

	if (all->changed_ms == 0 || clock_ms() >= over_ms)
		return false;
	look_in(all, over_ms - clock_ms());
	return true;
}

static void change(struct redis_sentinels *all)
{
	bool first = !is_set(&all->master);

	if (first) {
		log_info("the master %s is Redis at %s", all->config->redis.sentinel_master_name,
		         all->endpoint.text);
	} else {
		log_info("the master %s is Redis at %s now, no longer at %s:%s",
		         all->config->redis.sentinel_master_name, all->endpoint.text, all->master.host,
		         all->master.port);
		metrics_inc(redis_master_changes);
		all->changed_ms = clock_ms();
	}
	all->master = all->tried;
	stop_trying(all);
	all->on_master(all->ctx);
}

/* The sentinels agree with what one of them has announced, or know better, or it came to nothing. */
static void drop_candidate(struct redis_sentinels *all, const struct redis_place *chosen)
{
	if (is_set(&all->candidate) && ((chosen != NULL && !redis_place_eq(chosen, &all->candidate_from)) ||
	                                clock_ms() >= all->candidate_until_ms))
		all->candidate = (struct redis_place){0};
}

static void follow(struct redis_sentinels *all, const struct redis_place *place)
{
	if (redis_place_eq(place, &all->master)) {
		stop_trying(all);
		return;
	}
	if (!redis_place_eq(place, &all->tried))
		start_trying(all, place);
	else if (all->proved && !is_too_often(all))
		change(all);
}

/* --- those that there are --- */

static void forget(struct redis_sentinels *all, size_t i)
{
	redis_sentinel_free(&all->known[i].sentinel);
	all->known[i] = all->known[--all->count];
}

/* One that was named by others, and is known by its name already. */
static bool is_doubled(const struct redis_sentinels *all, size_t i)
{
	const struct redis_sentinel *s = all->known[i].sentinel;

	for (size_t j = 0; j < all->count && s->id[0] != '\0'; j++) {
		if (j != i && !all->known[j].doubled && strcmp(all->known[j].sentinel->id, s->id) == 0)
			return true;
	}
	return false;
}

/* Of the configuration none is ever forgotten, as a name may lead elsewhere tomorrow. */
static void look_after_known(struct redis_sentinels *all)
{
	for (size_t i = all->count; i-- > 0;) {
		struct known *k = &all->known[i];

		k->doubled = false;
		k->doubled = is_doubled(all, i);
		if (!k->configured && (k->doubled || (!k->sentinel->answers &&
		                                      clock_ms() - k->named_ms >= SENTINELS_PEER_KEPT_MS)))
			forget(all, i);
	}
}

static size_t count_answering(const struct redis_sentinels *all, const char **error)
{
	size_t answering = 0;

	*error = "";
	for (size_t i = 0; i < all->count; i++) {
		answering += all->known[i].sentinel->answers;
		if (all->known[i].sentinel->error[0] != '\0' && (*error)[0] == '\0')
			*error = all->known[i].sentinel->error;
	}
	return answering;
}

static void tell_answering(struct redis_sentinels *all)
{
	const char *error;
	size_t answering = count_answering(all, &error);

	metrics_set(redis_sentinels, answering);
	if (is_set(&all->tried) && all->probe.error[0] != '\0')
		error = all->probe.error;
	snprintf(all->why, sizeof(all->why), "%s", error[0] != '\0' ? error : "it is just being asked for");
	if (!is_set(&all->master) || !all_were_tried(all) || (answering == 0) == all->none_answers)
		return;
	all->none_answers = answering == 0;
	if (all->none_answers)
		log_warning("no sentinel answers, so that a change of the master would not be noticed: %s",
		            error);
	else
		log_info("%zu sentinels answer again", answering);
}

static void on_look(struct task *t)
{
	struct redis_sentinels *all = container_of(t, struct redis_sentinels, look);
	const struct redis_place *chosen;

	look_after_known(all);
	tell_answering(all);
	chosen = choose(all);
	drop_candidate(all, chosen);
	if (is_set(&all->candidate)) {
		look_in(all, all->candidate_until_ms - clock_ms());
		follow(all, &all->candidate);
	} else if (chosen != NULL && !is_too_early(all)) {
		follow(all, chosen);
	} else if (chosen == NULL) {
		stop_trying(all);
	}
}

/* --- what they say --- */

static void on_change(void *ctx, struct redis_sentinel *s)
{
	look_soon(ctx);
}

static void on_candidate(void *ctx, const struct redis_place *place)
{
	struct redis_sentinels *all = ctx;
	const struct redis_place *chosen = choose(all);

	if (redis_place_eq(place, &all->master))
		return;
	all->candidate = *place;
	all->candidate_from = chosen != NULL ? *chosen : (struct redis_place){0};
	all->candidate_until_ms = clock_ms() + SENTINELS_CANDIDATE_MS;
	redis_sentinels_ask(all);
	look_soon(all);
}

/* Whose candidate that was does not matter: at worst the other one's is followed when they agree on it. */
static void on_given_up(void *ctx)
{
	struct redis_sentinels *all = ctx;

	all->candidate = (struct redis_place){0};
	look_soon(all);
}

static struct known *find(struct redis_sentinels *all, const struct redis_place *place, struct bytes id)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct redis_sentinel *s = all->known[i].sentinel;

		if (bytes_eq(BYTES_OF_STR(s->id), id) || redis_place_eq(&s->place, place))
			return &all->known[i];
	}
	return NULL;
}

static const struct redis_sentinel_events sentinel_events;

static void add(struct redis_sentinels *all, const struct redis_place *place, bool configured)
{
	const struct redis_account login = {all->config->redis.sentinel_user,
	                                    all->config->redis.sentinel_password, 0};

	all->known[all->count++] = (struct known){
		.sentinel = redis_sentinel_new(all->loop, place, &login, all->tls, all->name,
	                                       all->config->redis.sentinel_master_name,
	                                       all->config->redis.connect_timeout_ms, &sentinel_events, all),
		.configured = configured,
		.named_ms = clock_ms(),
	};
}

static void on_peer(void *ctx, const struct redis_place *place, struct bytes id)
{
	struct redis_sentinels *all = ctx;
	struct known *k = find(all, place, id);

	if (k != NULL)
		k->named_ms = clock_ms();
	else if (all->count < SENTINELS_MAX)
		add(all, place, false);
}

static const struct redis_sentinel_events sentinel_events = {on_change, on_candidate, on_given_up, on_peer};

/* --- the face --- */

void redis_sentinels_ask(struct redis_sentinels *all)
{
	for (size_t i = 0; i < all->count; i++)
		redis_sentinel_ask(all->known[i].sentinel);
}

void redis_sentinels_endpoint(const struct redis_sentinels *all, struct redis_endpoint *out)
{
	const struct redis_account login = node_login(all->config);

	if (is_set(&all->master)) {
		redis_endpoint_init_at(out, all->master.host, all->master.port, &login, all->node_tls);
		return;
	}
	*out = (struct redis_endpoint){.error = all->why};
	snprintf(out->text, sizeof(out->text), "the master %s", all->config->redis.sentinel_master_name);
}

static void add_configured(struct redis_sentinels *all)
{
	const struct strings *list = &all->config->redis.sentinel_address;

	for (size_t i = 0; i < list->count && all->count < SENTINELS_MAX; i++) {
		struct redis_place place;
		if (redis_place_parse(&place, list->items[i], SENTINEL_PORT))
			add(all, &place, true);
	}
}

struct redis_sentinels *redis_sentinels_new(struct loop *loop, const struct config *config,
                                            const struct redis_tls *tls, const char *name,
                                            void (*on_master)(void *ctx), void *ctx)
{
	struct redis_sentinels *all = mem_alloc(sizeof(*all));

	*all = (struct redis_sentinels){
		.loop = loop,
		.config = config,
		.tls = tls != NULL ? tls->sentinels : NULL,
		.node_tls = tls != NULL ? tls->nodes : NULL,
		.name = mem_strdup(name),
		.on_master = on_master,
		.ctx = ctx,
		.look.run = on_look,
		.look_later.fire = on_look_later,
		.retry.fire = on_retry,
	};
	snprintf(all->why, sizeof(all->why), "the sentinels were not heard yet");
	redis_link_init(&all->probe, loop, &all->endpoint, &probe_events, all->name,
	                config->redis.connect_timeout_ms, SENTINEL_OUT_MAX);
	add_configured(all);
	return all;
}

void redis_sentinels_free(struct redis_sentinels **sentinels)
{
	struct redis_sentinels *all = *sentinels;

	*sentinels = NULL;
	if (all == NULL)
		return;
	stop_trying(all);
	timer_stop(&all->look_later);
	task_cancel(&all->look);
	while (all->count > 0)
		forget(all, 0);
	mem_free(all->name);
	mem_free(all);
}
