#include "cluster_map.h"

#include <assert.h>
#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "mem.h"
#include "redis_cluster.h"
#include "redis_url.h"

static const struct bytes question[] = {{"CLUSTER", 7}, {"SLOTS", 5}};

static bool is_asking(const struct cluster_map *m)
{
	return m->call != NULL || m->link.phase != LINK_DOWN;
}

static void ask_in(struct cluster_map *m, uint64_t delay_ms)
{
	timer_start(m->cluster->loop, &m->timer, delay_ms);
}

static uint64_t pause_ms(const struct cluster_map *m)
{
	const char *reason;

	if (m->again)
		return CLUSTER_MAP_FLOOR_MS;
	return redis_cluster_ready(m->cluster, &reason) ? CLUSTER_MAP_EVERY_MS : CLUSTER_MAP_UNSURE_MS;
}

/* --- answers --- */

static void on_apply(struct task *t)
{
	struct cluster_map *m = container_of(t, struct cluster_map, apply);

	redis_cluster_apply(m->cluster, &m->fresh);
}

/* All that can be asked, should all nodes that we know be gone. */
static void remember_places(struct cluster_map *m)
{
	size_t count = m->configured + m->fresh.master_count + m->fresh.replica_count;
	struct redis_place *at;

	m->places = mem_realloc(m->places, count * sizeof(*m->places));
	at = m->places + m->configured;
	memcpy(at, m->fresh.masters, m->fresh.master_count * sizeof(*at));
	memcpy(at + m->fresh.master_count, m->fresh.replicas, m->fresh.replica_count * sizeof(*at));
	m->place_count = count;
}

/* Who was asked cannot tell; the next one is asked soon, and after the last one all of them once more. */
static void failed(struct cluster_map *m, const char *why)
{
	static struct log_limit limit;

	if (log_allowed(&limit))
		log_warning("cannot learn the slots of the Redis Cluster: %s", why);
	snprintf(m->error, sizeof(m->error), "%.*s", REDIS_ERROR_MAX - 1, why);
	ask_in(m, m->next % m->place_count == 0 ? CLUSTER_MAP_UNSURE_MS : CLUSTER_MAP_FLOOR_MS);
	redis_cluster_look(m->cluster);
}

static void refused(struct cluster_map *m, struct bytes why)
{
	char text[REDIS_ERROR_MAX + REDIS_HOST_MAX];

	snprintf(text, sizeof(text), "Redis at %s:%s: %.*s", m->asked.host, m->asked.port, BYTES_FMT(why));
	failed(m, text);
}

static void take_answer(struct cluster_map *m, const struct redis_reply *reply)
{
	const char *reason;

	slot_map_free(&m->fresh);
	if (reply->type == REDIS_ERROR) {
		refused(m, redis_error_text(reply));
	} else if (!slot_map_read(&m->fresh, reply, &m->asked, &reason)) {
		refused(m, BYTES_OF_STR(reason));
	} else {
		m->error[0] = '\0';
		m->patience_ms = CLUSTER_MAP_PATIENCE_MS;
		remember_places(m);
		loop_defer(m->cluster->loop, &m->apply);
		ask_in(m, pause_ms(m));
	}
}

/* --- over the link of a node --- */

static void on_call_answered(void *arg, const struct redis_reply *reply)
{
	struct cluster_map *m = arg;

	m->call = NULL;
	if (reply != NULL)
		take_answer(m, reply);
	else
		ask_in(m, CLUSTER_MAP_FLOOR_MS);
}

static void ask_node(struct cluster_map *m, struct cluster_node *n)
{
	m->asked = n->place;
	m->call = redis_calls_send(&n->node.calls, question, ARRAY_LEN(question), on_call_answered, m);
	ask_in(m, m->patience_ms);
}

/* --- over a link of our own --- */

static void on_up(struct redis_link *l)
{
	struct cluster_map *m = container_of(l, struct cluster_map, link);

	resp_put_command(redis_link_out(l), question, ARRAY_LEN(question));
	timer_start(m->cluster->loop, &m->timer, m->cluster->config->redis.call_timeout_ms);
}

static void on_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct cluster_map *m = container_of(l, struct cluster_map, link);

	take_answer(m, reply);
	redis_link_close(l);
}

static void on_down(struct redis_link *l, bool was_up)
{
	failed(container_of(l, struct cluster_map, link), l->error);
}

static const struct redis_link_events link_events = {on_up, on_reply, on_down};

static void ask_place(struct cluster_map *m)
{
	m->asked = m->places[m->next++ % m->place_count];
	redis_endpoint_free(&m->endpoint);
	redis_endpoint_init_at(&m->endpoint, m->asked.host, m->asked.port, &m->cluster->login,
	                       m->cluster->tls);
	m->endpoint.may_be_replica = m->endpoint.in_cluster = true;
	redis_link_open(&m->link);
}

/* --- when --- */

/* Not `but`, unless it is NULL, or the one to be asked first. */
static void ask(struct cluster_map *m, const struct redis_place *but)
{
	struct cluster_node *n = redis_cluster_find(m->cluster, &m->first);

	m->first = (struct redis_place){.host = ""};
	if (n == NULL || redis_calls_trouble(&n->node.calls) != REDIS_FINE)
		n = redis_cluster_any(m->cluster, but);
	m->again = false;
	m->asked_ms = clock_ms();
	if (n != NULL)
		ask_node(m, n);
	else
		ask_place(m);
}

/* A node that was frozen, say, and may have lost its slots by now. Its link is trusted for longer than that.
 */
static void ask_another(struct cluster_map *m)
{
	struct redis_place silent = m->asked;
	uint64_t most_ms = m->cluster->config->redis.call_timeout_ms;

	/* It may be that none is faster. */
	m->patience_ms = 2 * m->patience_ms < most_ms ? 2 * m->patience_ms : most_ms;
	redis_call_cancel(&m->call);
	ask(m, &silent);
}

static void on_timer(struct timer *t)
{
	struct cluster_map *m = container_of(t, struct cluster_map, timer);

	/* An answer that came in this turn may do away with whoever would be asked now. */
	if (list_linked(&m->apply.node))
		ask_in(m, CLUSTER_MAP_FLOOR_MS);
	else if (m->link.phase != LINK_DOWN)
		redis_link_fail(&m->link, REDIS_SILENT, "does not answer");
	else if (m->call != NULL)
		ask_another(m);
	else
		ask(m, NULL);
}

void cluster_map_want(struct cluster_map *m)
{
	uint64_t since_ms = clock_ms() - m->asked_ms;

	m->again = true;
	if (!is_asking(m))
		ask_in(m, since_ms < CLUSTER_MAP_FLOOR_MS ? CLUSTER_MAP_FLOOR_MS - since_ms : 0);
}

void cluster_map_want_from(struct cluster_map *m, const struct redis_place *place)
{
	m->first = *place;
	cluster_map_want(m);
}

void cluster_map_init(struct cluster_map *m, struct redis_cluster *c)
{
	const struct strings *list = &c->config->redis.cluster_address;

	*m = (struct cluster_map){
		.cluster = c,
		.places = mem_alloc(list->count * sizeof(*m->places)),
		.timer.fire = on_timer,
		.apply.run = on_apply,
		.patience_ms = CLUSTER_MAP_PATIENCE_MS,
	};
	for (size_t i = 0; i < list->count; i++) {
		if (redis_place_parse(&m->places[m->configured], list->items[i], REDIS_PORT))
			m->configured++;
	}
	assert(m->configured > 0);
	m->place_count = m->configured;
	redis_link_init(&m->link, c->loop, &m->endpoint, &link_events, "fanfare.slots",
	                c->config->redis.connect_timeout_ms, 1024);
	ask_in(m, 0);
}

void cluster_map_stop(struct cluster_map *m)
{
	redis_call_cancel(&m->call);
	redis_link_close(&m->link);
	timer_stop(&m->timer);
	task_cancel(&m->apply);
}

void cluster_map_free(struct cluster_map *m)
{
	redis_endpoint_free(&m->endpoint);
	slot_map_free(&m->fresh);
	mem_free(m->places);
}
