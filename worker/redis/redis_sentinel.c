#include "redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "units.h"

/* --- asking --- */

static void put_question(struct redis_sentinel *s, enum sentinel_question question, const char *subcommand)
{
	struct bytes argv[3] = {BYTES("SENTINEL"), BYTES_OF_STR(subcommand), BYTES_OF_STR(s->master_name)};

	resp_put_command(redis_link_out(&s->ask), argv, question == SENTINEL_ASKED_ID ? 2 : 3);
	s->questions[s->question_count++] = question;
}

/* The state goes before the place: should a failover come between the two answers, a new place is taken for
 * an old one, and asked for again; the other way round an old place would be taken for a new one. */
static void put_questions(struct redis_sentinel *s)
{
	s->question_first = s->question_count = 0;
	s->ask_again = false;
	s->asked_ms = clock_ms();
	s->next_epoch = 0;
	if (s->rounds == 0)
		put_question(s, SENTINEL_ASKED_ID, "MYID");
	put_question(s, SENTINEL_ASKED_STATE, "MASTER");
	put_question(s, SENTINEL_ASKED_PLACE, "GET-MASTER-ADDR-BY-NAME");
	if (s->rounds++ % SENTINEL_PEERS_EVERY == 0)
		put_question(s, SENTINEL_ASKED_PEERS, "SENTINELS");
	timer_start(s->loop, &s->ask_timer, SENTINEL_ANSWER_MS);
}

static bool is_asked(const struct redis_sentinel *s)
{
	return s->question_first < s->question_count;
}

void redis_sentinel_ask(struct redis_sentinel *s)
{
	uint64_t next_ms = s->asked_ms + SENTINEL_ASK_AGAIN_MS;
	uint64_t now = clock_ms();

	if (!redis_link_up(&s->ask))
		return;
	if (is_asked(s))
		s->ask_again = true;
	else if (next_ms > now)
		timer_start(s->loop, &s->ask_timer, next_ms - now);
	else
		put_questions(s);
}

static void on_ask_timer(struct timer *t)
{
	struct redis_sentinel *s = container_of(t, struct redis_sentinel, ask_timer);

	if (!redis_link_up(&s->ask))
		redis_link_open(&s->ask);
	else if (is_asked(s))
		redis_link_fail(&s->ask, REDIS_SILENT, "does not answer");
	else
		put_questions(s);
}

/* --- answers --- */

/* Names and values, one after the other. */
static struct bytes field(const struct redis_reply *reply, const char *name)
{
	for (size_t i = 0; reply->type == REDIS_ARRAY && i + 1 < reply->count; i += 2) {
		if (reply->elements[i]->type == REDIS_STRING &&
		    reply->elements[i + 1]->type == REDIS_STRING &&
		    bytes_eq(reply->elements[i]->text, BYTES_OF_STR(name)))
			return reply->elements[i + 1]->text;
	}
	return BYTES_NONE;
}

static bool is_id(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
			return false;
	}
	return text.len > 0 && text.len < SENTINEL_ID_MAX;
}

static void on_id(struct redis_sentinel *s, const struct redis_reply *reply)
{
	if (reply->type == REDIS_STRING && is_id(reply->text))
		snprintf(s->id, sizeof(s->id), "%.*s", BYTES_FMT(reply->text));
}

static void on_state(struct redis_sentinel *s, const struct redis_reply *reply)
{
	if (!units_parse_number(field(reply, "config-epoch"), &s->next_epoch))
		s->next_epoch = 0;
}

static void refuse_place(struct redis_sentinel *s, const struct redis_reply *reply)
{
	const char *where = s->endpoint.text;

	s->knows = false;
	if (reply->type == REDIS_ERROR)
		snprintf(s->error, sizeof(s->error), "the sentinel at %s refuses to answer: %.*s", where,
		         BYTES_FMT(redis_error_text(reply)));
	else if (reply->type == REDIS_NIL)
		snprintf(s->error, sizeof(s->error), "the sentinel at %s knows no master named %s", where,
		         s->master_name);
	else
		snprintf(s->error, sizeof(s->error), "the sentinel at %s names a place that is none", where);
}

static void on_place(struct redis_sentinel *s, const struct redis_reply *reply)
{
	struct redis_place place;

	if (reply->type != REDIS_ARRAY || reply->count != 2 || reply->elements[0]->type != REDIS_STRING ||
	    reply->elements[1]->type != REDIS_STRING ||
	    !redis_place_set(&place, reply->elements[0]->text, reply->elements[1]->text)) {
		refuse_place(s, reply);
		return;
	}
	s->knows = true;
	s->master = place;
	s->epoch = s->next_epoch;
	s->answered_ms = clock_ms();
	s->error[0] = '\0';
}

static void on_peers(struct redis_sentinel *s, const struct redis_reply *reply)
{
	for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
		const struct redis_reply *peer = reply->elements[i];
		struct bytes id = field(peer, "runid");
		struct redis_place place;

		if (is_id(id) && redis_place_set(&place, field(peer, "ip"), field(peer, "port")))
			s->events->on_peer(s->ctx, &place, id);
	}
}

/* The round is over: the next one follows soon if something has changed meanwhile. Not all workers of a fleet
 * ask in the same moment. */
static void end_round(struct redis_sentinel *s)
{
	uint64_t delay_ms = SENTINEL_ASK_MS - arc4random_uniform(SENTINEL_ASK_MS / 4);

	timer_start(s->loop, &s->ask_timer, s->ask_again ? SENTINEL_ASK_AGAIN_MS : delay_ms);
}

static void on_answer(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_sentinel *s = container_of(l, struct redis_sentinel, ask);

	if (!is_asked(s)) {
		redis_link_fail_unasked(l, reply);
		return;
	}
	switch (s->questions[s->question_first++]) {
	case SENTINEL_ASKED_ID: on_id(s, reply); break;
	case SENTINEL_ASKED_STATE: on_state(s, reply); break;
	case SENTINEL_ASKED_PLACE:
		on_place(s, reply);
		s->answers = s->tried = true;
		s->events->on_change(s->ctx, s);
		break;
	case SENTINEL_ASKED_PEERS: on_peers(s, reply); break;
	}
	if (!is_asked(s))
		end_round(s);
}

static void on_ask_up(struct redis_link *l)
{
	struct redis_sentinel *s = container_of(l, struct redis_sentinel, ask);

	redis_backoff_up(&s->ask_backoff);
	s->rounds = 0;
	s->id[0] = '\0';
	put_questions(s);
}

static void on_ask_down(struct redis_link *l, bool was_up)
{
	struct redis_sentinel *s = container_of(l, struct redis_sentinel, ask);

	s->question_first = s->question_count = 0;
	s->answers = false;
	s->tried = true;
	snprintf(s->error, sizeof(s->error), "%s", l->error);
	timer_start(s->loop, &s->ask_timer,
	            redis_backoff_next(&s->ask_backoff, l->trouble == REDIS_REFUSING));
	s->events->on_change(s->ctx, s);
}

static const struct redis_link_events ask_events = {on_ask_up, on_answer, on_ask_down};

/* --- being told --- */

/* What a sentinel says to itself in a failover, and when it learns of one. It tells of the promotion before
 * it knows that it succeeded, some second earlier than of anything else. */
static const char promoting[] = "+failover-state-wait-promotion";
static const char giving_up[] = "-failover-abort-slave-timeout";
static const char *const told[] = {
	"+switch-master", "+promoted-slave", "+config-update-from", "+failover-end", promoting, giving_up,
};

static struct bytes next_word(struct bytes *text)
{
	const char *space = text->len > 0 ? memchr(text->ptr, ' ', text->len) : NULL;
	struct bytes word = {text->ptr, space != NULL ? (size_t)(space - text->ptr) : text->len};

	*text = bytes_skip(*text, space != NULL ? word.len + 1 : word.len);
	return word;
}

/* "slave 10.0.0.6:6379 10.0.0.6 6379 @ NAME 10.0.0.5 6379" */
static void on_promoting(struct redis_sentinel *s, struct bytes text)
{
	struct bytes words[6];
	struct redis_place place;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = next_word(&text);
	if (bytes_eq(words[0], BYTES("slave")) && bytes_eq(words[4], BYTES("@")) &&
	    bytes_eq(words[5], BYTES_OF_STR(s->master_name)) && redis_place_set(&place, words[2], words[3]))
		s->events->on_candidate(s->ctx, &place);
}

/* What is told says which master it is about, in one place or another; asking is cheap. */
static bool is_about_us(const struct redis_sentinel *s, struct bytes text)
{
	while (text.len > 0) {
		if (bytes_eq(next_word(&text), BYTES_OF_STR(s->master_name)))
			return true;
	}
	return false;
}

static void on_told(struct redis_sentinel *s, struct bytes channel, struct bytes text)
{
	if (!is_about_us(s, text))
		return;
	if (bytes_eq(channel, BYTES_OF_STR(promoting)))
		on_promoting(s, text);
	else if (bytes_eq(channel, BYTES_OF_STR(giving_up)))
		s->events->on_given_up(s->ctx);
	redis_sentinel_ask(s);
}

/* Confirmations, and refusals (NOPERM) of what we can do without: nothing depends on them. */
static void on_heard(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_sentinel *s = container_of(l, struct redis_sentinel, hear);

	if (reply->type == REDIS_ERROR)
		log_debug("the sentinel at %s refuses a subscription: %.*s", s->endpoint.text,
		          BYTES_FMT(redis_error_text(reply)));
	if (reply->type == REDIS_ARRAY && reply->count == 3 && reply->elements[0]->type == REDIS_STRING &&
	    reply->elements[1]->type == REDIS_STRING && reply->elements[2]->type == REDIS_STRING &&
	    bytes_eq(reply->elements[0]->text, BYTES("message")))
		on_told(s, reply->elements[1]->text, reply->elements[2]->text);
}

/* One command for each, as the rules for channels may allow one and not the other. What happened while nobody
 * listened is asked for. */
static void on_hear_up(struct redis_link *l)
{
	struct redis_sentinel *s = container_of(l, struct redis_sentinel, hear);

	redis_backoff_up(&s->hear_backoff);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		resp_put_command(redis_link_out(l),
		                 (struct bytes[]){BYTES("SUBSCRIBE"), BYTES_OF_STR(told[i])}, 2);
	redis_sentinel_ask(s);
}

static void on_hear_down(struct redis_link *l, bool was_up)
{
	struct redis_sentinel *s = container_of(l, struct redis_sentinel, hear);

	timer_start(s->loop, &s->hear_timer,
	            redis_backoff_next(&s->hear_backoff, l->trouble == REDIS_REFUSING));
}

static const struct redis_link_events hear_events = {on_hear_up, on_heard, on_hear_down};

static void on_hear_timer(struct timer *t)
{
	struct redis_sentinel *s = container_of(t, struct redis_sentinel, hear_timer);

	redis_link_open(&s->hear);
}

/* --- the face --- */

struct redis_sentinel *redis_sentinel_new(struct loop *loop, const struct redis_place *place,
                                          const struct redis_account *login, struct tls_client *tls,
                                          const char *link_name, const char *master_name,
                                          uint64_t connect_timeout_ms,
                                          const struct redis_sentinel_events *events, void *ctx)
{
	struct redis_sentinel *s = mem_alloc(sizeof(*s));

	*s = (struct redis_sentinel){
		.loop = loop,
		.master_name = master_name,
		.events = events,
		.ctx = ctx,
		.place = *place,
		.ask_timer.fire = on_ask_timer,
		.hear_timer.fire = on_hear_timer,
	};
	redis_endpoint_init_at(&s->endpoint, place->host, place->port, login, tls);
	s->endpoint.is_sentinel = true;
	snprintf(s->error, sizeof(s->error), "the sentinel at %s has not answered yet", s->endpoint.text);
	redis_link_init(&s->ask, loop, &s->endpoint, &ask_events, link_name, connect_timeout_ms,
	                SENTINEL_OUT_MAX);
	redis_link_init(&s->hear, loop, &s->endpoint, &hear_events, link_name, connect_timeout_ms,
	                SENTINEL_OUT_MAX);
	redis_link_open(&s->ask);
	redis_link_open(&s->hear);
	return s;
}

void redis_sentinel_free(struct redis_sentinel **sentinel)
{
	struct redis_sentinel *s = *sentinel;

	*sentinel = NULL;
	if (s == NULL)
		return;
	timer_stop(&s->ask_timer);
	timer_stop(&s->hear_timer);
	redis_link_close(&s->ask);
	redis_link_close(&s->hear);
	redis_endpoint_free(&s->endpoint);
	mem_free(s);
}
