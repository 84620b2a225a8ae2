#include "redis_errand.h"

#include <stdio.h>

#include "loop.h"
#include "mem.h"
#include "redis_endpoint.h"
#include "redis_link.h"
#include "worker.h"

struct redis_errand {
	struct loop *loop;
	struct tls_client *tls;
	struct redis_endpoint endpoint;
	struct redis_link link;
	struct timer deadline; /* of the call */
	uint64_t timeout_ms;
	bool waiting; /* for the link to come up, or for a reply */
	bool ok;
	int64_t number;
	char why[REDIS_ERROR_MAX];
};

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

static void on_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_errand *e = errand_of(l);

	if (reply->type == REDIS_INTEGER)
		e->number = reply->integer;
	else if (reply->type == REDIS_ERROR)
		snprintf(e->why, sizeof(e->why), "Redis: %.*s",
		         BYTES_FMT(bytes_first(reply->text, REDIS_ERROR_SHOWN)));
	else
		snprintf(e->why, sizeof(e->why), "Redis: no number of workers");
	stop_waiting(e, reply->type == REDIS_INTEGER);
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

	redis_link_fail(&e->link, REDIS_SILENT, "does not answer");
}

bool redis_errand_publish(struct redis_errand *e, struct bytes channel, struct bytes message,
                          int64_t *receivers)
{
	const struct bytes argv[] = {BYTES("PUBLISH"), channel, message};

	if (!redis_link_up(&e->link))
		return false;
	if (resp_command_size(argv, ARRAY_LEN(argv)) > redis_link_room(&e->link)) {
		snprintf(e->why, sizeof(e->why), "longer than %d bytes", REDIS_ERRAND_OUT_MAX);
		return false;
	}
	resp_put_command(redis_link_out(&e->link), argv, ARRAY_LEN(argv));
	timer_start(e->loop, &e->deadline, e->timeout_ms);
	wait(e);
	*receivers = e->number;
	return e->ok;
}

const char *redis_errand_why(const struct redis_errand *e)
{
	return e->why;
}

bool redis_errand_connected(const struct redis_errand *e)
{
	return redis_link_up(&e->link);
}

struct redis_errand *redis_errand_open(const struct config *config, const char *address, uint64_t timeout_ms,
                                       struct buf *why)
{
	static const struct redis_link_events events = {on_up, on_reply, on_down};
	struct redis_errand *e = mem_alloc(sizeof(*e));

	e->loop = loop_new();
	e->timeout_ms = timeout_ms;
	e->deadline.fire = on_deadline;
	if (e->loop == NULL || !worker_load_redis_tls(config, &e->tls, why)) {
		buf_puts(why, e->loop == NULL ? "cannot make an event loop\n" : "");
		loop_free(&e->loop);
		mem_free(e);
		return NULL;
	}
	redis_endpoint_init(&e->endpoint, address, e->tls);
	redis_link_init(&e->link, e->loop, &e->endpoint, &events, "fanfare.command", timeout_ms,
	                REDIS_ERRAND_OUT_MAX);
	redis_link_open(&e->link);
	wait(e);
	if (!e->ok) {
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
	redis_endpoint_free(&e->endpoint);
	worker_free_redis_tls(&e->tls);
	loop_free(&e->loop);
	mem_free(e);
	*errand = NULL;
}
