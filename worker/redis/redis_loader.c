#include "redis_loader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "units.h"

enum { SECONDS_MAX = INT32_MAX }; /* of Unix time: what is more is none */

static const char *place(const struct redis_loader *l)
{
	return l->calls->link.endpoint->text;
}

static void look(struct redis_loader *l);

static void set_look(struct redis_loader *l, uint64_t delay_ms)
{
	timer_start(l->loop, &l->look, delay_ms);
}

/* --- outcomes --- */

static void succeed(struct redis_loader *l, bool as_script)
{
	l->as_script = as_script;
	set_look(l, LOADER_LOOK_MS);
	l->events.loaded(l->events.ctx);
}

static void fail(struct redis_loader *l, const struct redis_reply *reply)
{
	set_look(l, l->retry_ms);
	l->events.failed(l->events.ctx, reply == NULL ? BYTES("no answer") : redis_error_text(reply));
}

/* True when the reply to the step under way is of no use: the link is down, which is told in a moment; or
 * since the step was sent a function was found missing. */
static bool is_stale(struct redis_loader *l)
{
	l->step = NULL;
	if (!redis_link_up(&l->calls->link))
		return true;
	if (!l->look_again)
		return false;
	l->look_again = false;
	look(l);
	return true;
}

/* --- scripts --- */

static void load_script(struct redis_loader *l, bool runs_when_full,
                        void (*done)(void *arg, const struct redis_reply *reply))
{
	struct buf text;

	library_script(&l->library, runs_when_full, &text);
	l->step = redis_calls_send(
		l->calls, (struct bytes[]){BYTES("SCRIPT"), BYTES("LOAD"), buf_bytes(&text)}, 3, done, l);
	buf_free(&text);
}

static bool read_sha(char sha[41], const struct redis_reply *reply)
{
	if (reply == NULL || reply->type != REDIS_STRING || reply->text.len != 40)
		return false;
	snprintf(sha, 41, "%.*s", BYTES_FMT(reply->text));
	return true;
}

/* Redis before version 7 does not know that kind. */
static void on_full_script_loaded(void *arg, const struct redis_reply *reply)
{
	struct redis_loader *l = arg;

	if (is_stale(l))
		return;
	if (reply != NULL && !read_sha(l->sha[true], reply))
		memcpy(l->sha[true], l->sha[false], sizeof(l->sha[true]));
	if (reply != NULL)
		succeed(l, true);
	else
		fail(l, reply);
}

static void on_script_loaded(void *arg, const struct redis_reply *reply)
{
	struct redis_loader *l = arg;

	if (is_stale(l))
		return;
	if (read_sha(l->sha[false], reply))
		load_script(l, true, on_full_script_loaded);
	else
		fail(l, reply);
}

/* "Function fanfare_history already exists". */
static bool is_taken(struct bytes why)
{
	const struct bytes already = BYTES(" already exists");

	return bytes_start_with(why, BYTES("Function fanfare_")) &&
	       memmem(why.ptr, why.len, already.ptr, already.len) != NULL;
}

/* Backends cannot use scripts as we do: they get what somebody else has put there. */
static void tell_no_functions(struct redis_loader *l, struct bytes why)
{
	struct bytes shown = bytes_first(why, REDIS_ERROR_SHOWN);

	if (is_taken(why))
		log_warning(
			"Redis at %s has a library that is not ours with a function of our name, so that what "
			"backends publish by FCALL fails; FUNCTION LIST names it, FUNCTION DELETE removes it. "
			"Scripts take the place of ours: %.*s",
			place(l), BYTES_FMT(shown));
	else
		log_info("Redis at %s lets us have no functions, scripts take their place: %.*s", place(l),
		         BYTES_FMT(shown));
}

/* Where functions do not do, the same text is a script. */
static void load_scripts(struct redis_loader *l, struct bytes why)
{
	if (l->as_script && l->sha[true][0] != '\0') {
		succeed(l, true);
		return;
	}
	if (!l->as_script)
		tell_no_functions(l, why);
	load_script(l, false, on_script_loaded);
}

/* --- functions --- */

static void on_functions_loaded(void *arg, const struct redis_reply *reply)
{
	struct redis_loader *l = arg;

	if (is_stale(l))
		return;
	if (reply == NULL) {
		fail(l, reply);
	} else if (reply->type == REDIS_ERROR) {
		load_scripts(l, redis_error_text(reply));
	} else {
		log_info("loaded the function library, version %" PRId64 ", into Redis at %s",
		         l->library.stamp.version, place(l));
		l->told = (struct library_stamp){0};
		succeed(l, false);
	}
}

static void load_functions(struct redis_loader *l)
{
	struct buf text;

	library_functions(&l->library, &text);
	l->step = redis_calls_send(
		l->calls,
		(struct bytes[]){BYTES("FUNCTION"), BYTES("LOAD"), BYTES("REPLACE"), buf_bytes(&text)}, 4,
		on_functions_loaded, l);
	buf_free(&text);
}

static bool is_told(const struct redis_loader *l, const struct library_stamp *there)
{
	return there->version == l->told.version && there->loaded_ms == l->told.loaded_ms &&
	       strcmp(there->digest, l->told.digest) == 0;
}

/* What backends publish without saying how much is kept goes by the policy that is there. */
static void tell_of(struct redis_loader *l, const struct library_stamp *there)
{
	const struct library_stamp *ours = &l->library.stamp;
	double later_s = ((double)there->loaded_ms - (double)ours->loaded_ms) / 1000;

	if (is_told(l, there))
		return;
	l->told = *there;
	if (there->version > ours->version)
		log_info("Redis at %s has version %" PRId64 " of the function library, newer than ours, "
		         "version %" PRId64,
		         place(l), there->version, ours->version);
	if (strcmp(there->digest, ours->digest) != 0)
		log_warning("the policy of channels in Redis at %s is not ours, but that of %s, loaded %.0f "
		            "s %s ours",
		            place(l), there->host[0] != '\0' ? there->host : "an unknown host",
		            later_s < 0 ? -later_s : later_s, later_s < 0 ? "before" : "after");
}

static void replace_ahead(struct redis_loader *l, const struct library_stamp *there)
{
	static struct log_limit limit;

	if (log_allowed(&limit))
		log_warning("the policy of channels in Redis at %s, that of %s, says to be loaded %.0f s "
		            "from now: it is replaced",
		            place(l), there->host[0] != '\0' ? there->host : "an unknown host",
		            ((double)there->loaded_ms - (double)l->now_ms) / 1000);
	load_functions(l);
}

static void compare_with(struct redis_loader *l, const struct library_stamp *there)
{
	switch (library_judge(there, &l->library.stamp, l->now_ms)) {
	case LIBRARY_OLDER: load_functions(l); return;
	case LIBRARY_AHEAD: replace_ahead(l, there); return;
	case LIBRARY_NEWER: tell_of(l, there); break;
	case LIBRARY_OURS: l->told = (struct library_stamp){0}; break;
	}
	succeed(l, false);
}

/* --- looking --- */

static bool are_not_allowed(const struct redis_reply *reply)
{
	return resp_is_error(reply, "NOPERM") || bytes_start_with(reply->text, BYTES("ERR unknown command"));
}

static bool is_missing(const struct redis_reply *reply)
{
	return reply->type != REDIS_ERROR || bytes_start_with(reply->text, BYTES("ERR Function not found"));
}

static void on_look_reply(void *arg, const struct redis_reply *reply)
{
	struct redis_loader *l = arg;
	struct library_stamp there;

	if (is_stale(l))
		return;
	if (reply == NULL) {
		fail(l, reply);
	} else if (library_read_stamp(reply, &there)) {
		compare_with(l, &there);
	} else if (is_missing(reply)) {
		if (!l->as_script)
			l->events.lost(l->events.ctx);
		load_functions(l);
	} else if (are_not_allowed(reply)) {
		load_scripts(l, redis_error_text(reply));
	} else {
		fail(l, reply);
	}
}

static bool read_time(const struct redis_reply *reply, int64_t *ms)
{
	uint64_t seconds, microseconds;

	if (reply == NULL || reply->type != REDIS_ARRAY || reply->count != 2 ||
	    reply->elements[0]->type != REDIS_STRING || reply->elements[1]->type != REDIS_STRING ||
	    !units_parse_number(reply->elements[0]->text, &seconds) || seconds > SECONDS_MAX ||
	    !units_parse_number(reply->elements[1]->text, &microseconds) || microseconds >= 1000000)
		return false;
	*ms = (int64_t)(seconds * 1000 + microseconds / 1000);
	return true;
}

/* Comes before the answer of the library. A Redis that does not tell has our time. */
static void on_time(void *arg, const struct redis_reply *reply)
{
	struct redis_loader *l = arg;

	l->clock = NULL;
	if (!read_time(reply, &l->now_ms))
		l->now_ms = (int64_t)clock_unix_ms();
	library_date(&l->library, l->now_ms);
}

static void look(struct redis_loader *l)
{
	const struct bytes time = BYTES("TIME");
	const struct bytes argv[] = {BYTES("FCALL"), BYTES("fanfare_version"), BYTES("0")};

	if (l->clock == NULL)
		l->clock = redis_calls_send(l->calls, &time, 1, on_time, l);
	l->step = redis_calls_send(l->calls, argv, ARRAY_LEN(argv), on_look_reply, l);
}

static void on_look(struct timer *t)
{
	struct redis_loader *l = container_of(t, struct redis_loader, look);

	if (l->step == NULL)
		look(l);
}

/* --- the face --- */

void redis_loader_up(struct redis_loader *l)
{
	l->as_script = false;
	l->look_again = false;
	l->sha[false][0] = l->sha[true][0] = '\0';
	look(l);
}

void redis_loader_down(struct redis_loader *l)
{
	redis_call_cancel(&l->clock);
	redis_call_cancel(&l->step);
	timer_stop(&l->look);
}

void redis_loader_missing(struct redis_loader *l)
{
	l->sha[false][0] = l->sha[true][0] = '\0';
	l->look_again = l->step != NULL;
	if (l->step == NULL)
		look(l);
}

const char *redis_loader_script(const struct redis_loader *l, const char *function)
{
	return l->as_script ? l->sha[library_runs_when_full(function)] : NULL;
}

void redis_loader_init(struct redis_loader *l, struct loop *loop, struct redis_calls *calls,
                       const struct config *config, bool needed, const struct redis_loader_events *events)
{
	*l = (struct redis_loader){
		.loop = loop,
		.calls = calls,
		.events = *events,
		.retry_ms = needed ? LOADER_RETRY_MS : LOADER_LOOK_MS,
		.look.fire = on_look,
	};
	library_init(&l->library, config);
}

void redis_loader_free(struct redis_loader *l)
{
	redis_loader_down(l);
	library_free(&l->library);
}
