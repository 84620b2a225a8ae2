/* Publishing on an errand: by the function library; where that is not to be had, by the same text as a script
 * if it is known what the channel keeps; and by PUBLISH only where nothing is lost by that. */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "envelope.h"
#include "redis_args.h"
#include "redis_errand_internal.h"
#include "redis_library.h"
#include "redis_loader.h"

/* Brokers put a library back that was lost, at their next look. */
enum { LIBRARY_WAIT_MS = LOADER_LOOK_MS + 1000, LIBRARY_PAUSE_MS = 100 };

/* --- replies --- */

static bool is_result(const struct redis_reply *reply)
{
	return reply->type == REDIS_ARRAY && reply->count == 4 && reply->elements[0]->type == REDIS_INTEGER &&
	       reply->elements[1]->type == REDIS_STRING && reply->elements[3]->type == REDIS_INTEGER;
}

static enum redis_lack lack_of(const struct redis_reply *reply)
{
	if (resp_is_error(reply, "ERR Function not found"))
		return LACKS_FUNCTION;
	if (resp_is_error(reply, "NOPERM") || resp_is_error(reply, "ERR unknown command"))
		return LACKS_LEAVE;
	if (resp_is_error(reply, "ERR fanfare_publish: no channel:"))
		return LACKS_POLICY;
	return LACKS_NOTHING;
}

bool redis_errand_take(struct redis_errand *e, const struct redis_reply *reply)
{
	e->lack = lack_of(reply);
	e->is_unscripted = resp_is_error(reply, "NOSCRIPT");
	if (reply->type == REDIS_INTEGER) { /* of PUBLISH */
		e->result.receivers = (uint64_t)reply->integer;
		return true;
	}
	if (reply->type == REDIS_STRING) { /* of SCRIPT LOAD */
		snprintf(e->sha, sizeof(e->sha), "%.*s", BYTES_FMT(reply->text));
		return reply->text.len == sizeof(e->sha) - 1;
	}
	if (!is_result(reply))
		return false;
	e->result.receivers = (uint64_t)reply->elements[3]->integer;
	e->result.offset = (uint64_t)reply->elements[0]->integer;
	snprintf(e->result.epoch, sizeof(e->result.epoch), "%.*s", BYTES_FMT(reply->elements[1]->text));
	return true;
}

/* --- the ways --- */

static bool keeps_nothing(const struct redis_errand_message *m)
{
	return m->options != NULL && !config_has_history(m->options);
}

/* FCALL fanfare_publish 1 channel data option..., or EVALSHA sha 1 channel fanfare_publish data option... */
static bool call_publish(struct redis_errand *e, const struct redis_errand_message *m, const char *sha)
{
	const struct channel_options *o = m->options;
	const struct bytes function = BYTES("fanfare_publish");
	char size[REDIS_NUMBER_MAX], ttl[REDIS_NUMBER_MAX], meta_ttl[REDIS_NUMBER_MAX];
	struct bytes argv[14];
	size_t argc = 0;

	argv[argc++] = sha != NULL ? BYTES("EVALSHA") : BYTES("FCALL");
	argv[argc++] = sha != NULL ? BYTES_OF_STR(sha) : function;
	argv[argc++] = BYTES("1");
	argv[argc++] = m->channel;
	if (sha != NULL)
		argv[argc++] = function;
	argv[argc++] = m->data;
	argv[argc++] = BYTES("receivers");
	argv[argc++] = BYTES("true");
	if (o != NULL) {
		argv[argc++] = BYTES("history_size");
		argv[argc++] = redis_number(size, (uint64_t)o->history_size);
		argv[argc++] = BYTES("history_ttl");
		argv[argc++] = redis_number(ttl, (o->history_ttl_ms + 999) / 1000);
		argv[argc++] = BYTES("history_meta_ttl");
		argv[argc++] = redis_number(meta_ttl, (o->history_meta_ttl_ms + 999) / 1000);
	}
	return redis_errand_call(e, argv, argc);
}

static bool publish_by_function(struct redis_errand *e, const struct redis_errand_message *m)
{
	uint64_t until_ms = clock_ms() + LIBRARY_WAIT_MS;
	bool ok;

	while (!(ok = call_publish(e, m, NULL)) && e->lack == LACKS_FUNCTION && !keeps_nothing(m) &&
	       !e->has_waited) {
		redis_errand_pause(e, LIBRARY_PAUSE_MS);
		e->has_waited = clock_ms() >= until_ms;
	}
	return ok;
}

static bool load_script(struct redis_errand *e)
{
	struct library library;
	struct buf text;
	bool ok;

	library_init(&library, e->config);
	library_script(&library, library_runs_when_full("fanfare_publish"), &text);
	ok = redis_errand_call(e, (struct bytes[]){BYTES("SCRIPT"), BYTES("LOAD"), buf_bytes(&text)}, 3);
	buf_free(&text);
	library_free(&library);
	return ok;
}

/* As brokers do where they have no functions. Another node of a cluster may not have it, and each may lose
 * it. */
static bool publish_by_script(struct redis_errand *e, const struct redis_errand_message *m)
{
	if (e->sha[0] != '\0' && call_publish(e, m, e->sha))
		return true;
	if (e->sha[0] != '\0' && !e->is_unscripted)
		return false;
	return load_script(e) && call_publish(e, m, e->sha);
}

static bool publish_plain(struct redis_errand *e, const struct redis_errand_message *m)
{
	const struct bytes word = e->in_cluster ? BYTES("SPUBLISH") : BYTES("PUBLISH");
	const struct publication publication = {.data = m->data};
	struct buf message;
	bool ok;

	buf_init(&message, REDIS_ERRAND_OUT_MAX);
	envelope_encode(&message, &publication);
	ok = buf_ok(&message) &&
	     redis_errand_call(e, (struct bytes[]){word, m->channel, buf_bytes(&message)}, 3);
	buf_free(&message);
	return ok;
}

/* --- the face --- */

static bool publish(struct redis_errand *e, const struct redis_errand_message *m)
{
	if (m->plain)
		return publish_plain(e, m);
	if (publish_by_function(e, m))
		return true;
	if (e->lack == LACKS_NOTHING)
		return false;
	if (keeps_nothing(m))
		return publish_plain(e, m);
	if (m->options != NULL)
		return publish_by_script(e, m);
	if (e->lack == LACKS_FUNCTION)
		redis_errand_refuse(e, "lacks the function library, which brokers load when they run");
	return false;
}

bool redis_errand_publish(struct redis_errand *e, const struct redis_errand_message *m,
                          struct redis_errand_result *result)
{
	bool ok = publish(e, m);

	*result = e->result;
	return ok;
}

bool redis_errand_lacks_functions(const struct redis_errand *e)
{
	return e->lack != LACKS_NOTHING;
}
