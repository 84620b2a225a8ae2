#include "redis_errand.h"

#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "redis_errand_internal.h"
#include "redis_slots.h"
#include "worker.h"

enum { PAUSE_MS = 50 };

static const char link_name[] = "fanfare.command";

static struct redis_errand *errand_of(struct redis_link *l)
{
	return container_of(l, struct redis_errand, link);
}

static void wait(struct redis_errand *e)
{
	e->waiting = true;
	e->ok = false;
	loop_run(e->loop);
	e->waiting = false;
	timer_stop(&e->deadline);
}

static void stop_waiting(struct redis_errand *e, bool ok)
{
	e->ok = ok;
	loop_stop(e->loop);
}

static void on_up(struct redis_link *l)
{
	stop_waiting(errand_of(l), true);
}

void redis_errand_refuse(struct redis_errand *e, const char *what)
{
	snprintf(e->why, sizeof(e->why), "Redis: %s", what);
}

static void refuse_with(struct redis_errand *e, const struct redis_reply *error)
{
	snprintf(e->why, sizeof(e->why), "Redis: %.*s%s", BYTES_FMT(redis_error_text(error)),
	         redis_error_remedy(error));
}

/* In a cluster. What an ASK leads to can do nothing for us (check_slot in functions.lua). */
static void look_for_redirect(struct redis_errand *e, const struct redis_reply *reply)
{
	const struct redis_url *url = &e->endpoint.url;
	struct redis_place here = {.host = ""};
	struct redis_redirect to;

	e->moved_to = (struct redis_place){.host = ""};
	e->again = redis_means_again(reply);
	if (e->again && redis_place_set(&here, BYTES_OF_STR(url->host), BYTES_OF_STR(url->port)) &&
	    redis_redirect_read(reply, &here, &to) && !to.ask)
		e->moved_to = to.place;
}

static void on_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_errand *e = errand_of(l);
	bool ok = redis_errand_take(e, reply);

	if (e->in_cluster)
		look_for_redirect(e, reply);
	if (reply->type == REDIS_ERROR)
		refuse_with(e, reply);
	else if (!ok)
		redis_errand_refuse(e, "an answer of another kind");
	stop_waiting(e, ok);
}

static void on_down(struct redis_link *l, bool was_up)
{
	struct redis_errand *e = errand_of(l);

	snprintf(e->why, sizeof(e->why), "%s", l->error);
	stop_waiting(e, false);
}

static void on_deadline(struct timer *t)
{
	struct redis_errand *e = container_of(t, struct redis_errand, deadline);

	if (e->sentinels != NULL) {
		redis_sentinels_endpoint(e->sentinels, &e->endpoint);
		snprintf(e->why, sizeof(e->why), "cannot connect to Redis at %s: %s", e->endpoint.text,
		         e->endpoint.error);
		stop_waiting(e, false);
		return;
	}
	redis_link_fail(&e->link, REDIS_SILENT, "does not answer");
}

static void on_pause_over(struct timer *t)
{
	stop_waiting(container_of(t, struct redis_errand, pause), true);
}

static bool connect_link(struct redis_errand *e)
{
	redis_link_open(&e->link);
	wait(e);
	return e->ok;
}

/* Where it was before, it is not any more. */
static bool connect_to(struct redis_errand *e, const struct redis_place *place)
{
	const struct redis_account login = {e->config->redis.user, e->config->redis.password, 0};

	redis_link_close(&e->link);
	redis_endpoint_free(&e->endpoint);
	redis_endpoint_init_at(&e->endpoint, place->host, place->port, &login, e->tls->nodes);
	e->endpoint.may_be_replica = e->endpoint.in_cluster = true;
	return connect_link(e);
}

/* The first one that lets us in. */
static bool connect_to_cluster(struct redis_errand *e)
{
	const struct strings *list = &e->config->redis.cluster_address;

	e->in_cluster = true;
	for (size_t i = 0; i < list->count; i++) {
		struct redis_place place = {.host = ""};

		if (redis_place_parse(&place, list->items[i], REDIS_PORT) && connect_to(e, &place))
			return true;
	}
	return false;
}

void redis_errand_pause(struct redis_errand *e, uint64_t ms)
{
	timer_start(e->loop, &e->pause, ms);
	wait(e);
	timer_stop(&e->pause);
}

/* Goes where the last reply has led. */
static bool follow(struct redis_errand *e)
{
	struct redis_place place = e->moved_to;

	if (place.host[0] != '\0')
		return connect_to(e, &place);
	redis_errand_pause(e, PAUSE_MS);
	return true;
}

static bool call_once(struct redis_errand *e, const struct bytes *argv, size_t argc)
{
	e->lack = LACKS_NOTHING;
	e->again = e->is_unscripted = false;
	if (!redis_link_up(&e->link))
		return false;
	if (resp_command_size(argv, argc) > redis_link_room(&e->link)) {
		snprintf(e->why, sizeof(e->why), "longer than %d bytes", REDIS_ERRAND_OUT_MAX);
		return false;
	}
	e->result = (struct redis_errand_result){0};
	resp_put_command(redis_link_out(&e->link), argv, argc);
	timer_start(e->loop, &e->deadline, e->timeout_ms);
	wait(e);
	return e->ok;
}

bool redis_errand_call(struct redis_errand *e, const struct bytes *argv, size_t argc)
{
	uint64_t until_ms = clock_ms() + e->timeout_ms;
	bool ok;

	while (!(ok = call_once(e, argv, argc)) && e->again && clock_ms() < until_ms) {
		if (!follow(e))
			return false;
	}
	return ok;
}

const char *redis_errand_why(const struct redis_errand *e)
{
	return e->why;
}

bool redis_errand_connected(const struct redis_errand *e)
{
	return redis_link_up(&e->link);
}

const struct redis_url *redis_errand_url(const struct redis_errand *e)
{
	return &e->endpoint.url;
}

static void on_master(void *ctx)
{
	stop_waiting(ctx, true);
}

/* In a failover they are asked until there is a master again. */
static bool ask_sentinels(struct redis_errand *e, const struct config *config)
{
	timer_start(e->loop, &e->deadline, e->timeout_ms);
	e->sentinels = redis_sentinels_new(e->loop, config, e->tls, link_name, on_master, e);
	wait(e);
	if (e->ok)
		redis_sentinels_endpoint(e->sentinels, &e->endpoint);
	redis_sentinels_free(&e->sentinels);
	return e->ok;
}

/* Without an address. */
static bool find_and_connect(struct redis_errand *e)
{
	if (config_has_cluster(e->config))
		return connect_to_cluster(e);
	return ask_sentinels(e, e->config) && connect_link(e);
}

struct redis_errand *redis_errand_open(const struct config *config, const char *address, uint64_t timeout_ms,
                                       struct buf *why)
{
	static const struct redis_link_events events = {on_up, on_reply, on_down};
	struct redis_errand *e = mem_alloc(sizeof(*e));

	e->loop = loop_new();
	e->timeout_ms = timeout_ms;
	e->deadline.fire = on_deadline;
	e->pause.fire = on_pause_over;
	e->config = config;
	if (e->loop == NULL || !worker_load_redis_tls(config, &e->tls, why)) {
		buf_puts(why, e->loop == NULL ? "cannot make an event loop\n" : "");
		loop_free(&e->loop);
		mem_free(e);
		return NULL;
	}
	redis_link_init(&e->link, e->loop, &e->endpoint, &events, link_name, timeout_ms,
	                REDIS_ERRAND_OUT_MAX);
	if (address != NULL)
		redis_endpoint_init(&e->endpoint, address, e->tls->nodes);
	if (!(address != NULL ? connect_link(e) : find_and_connect(e))) {
		buf_putf(why, "%s\n", e->why);
		redis_errand_close(&e);
	}
	return e;
}

void redis_errand_close(struct redis_errand **errand)
{
	struct redis_errand *e = *errand;

	if (e == NULL)
		return;
	redis_link_close(&e->link);
	timer_stop(&e->deadline);
	timer_stop(&e->pause);
	redis_endpoint_free(&e->endpoint);
	worker_free_redis_tls(&e->tls);
	loop_free(&e->loop);
	mem_free(e);
	*errand = NULL;
}
