#include "redis_library.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "clock.h"
#include "config.h"

/* --- the stamp --- */

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

bool library_read_stamp(const struct redis_reply *reply, struct library_stamp *out)
{
	if (reply->type != REDIS_ARRAY || reply->count < 3 || reply->elements[0]->type != REDIS_INTEGER ||
	    reply->elements[1]->type != REDIS_INTEGER || reply->elements[2]->type != REDIS_STRING)
		return false;
	*out = (struct library_stamp){
		.version = reply->elements[0]->integer,
		.loaded_ms = reply->elements[1]->integer,
	};
	snprintf(out->digest, sizeof(out->digest), "%.*s", BYTES_FMT(reply->elements[2]->text));
	if (reply->count > 3 && reply->elements[3]->type == REDIS_STRING)
		snprintf(out->host, sizeof(out->host), "%.*s", BYTES_FMT(reply->elements[3]->text));
	return true;
}

/* The same policy is not loaded once more for a few seconds: each worker of a broker dates it a little
 * differently. Should another one come in between, it does not stay, as ours is the later one. */
static bool is_ours(const struct library_stamp *there, const struct library_stamp *ours)
{
	return strcmp(there->digest, ours->digest) == 0 &&
	       there->loaded_ms > ours->loaded_ms - LIBRARY_SLACK_MS &&
	       there->loaded_ms < ours->loaded_ms + LIBRARY_SLACK_MS;
}

enum library_verdict library_judge(const struct library_stamp *there, const struct library_stamp *ours,
                                   int64_t now_ms)
{
	int order = compare(there->version, ours->version);

	if (order != 0)
		return order < 0 ? LIBRARY_OLDER : LIBRARY_NEWER;
	if (there->loaded_ms > now_ms + LIBRARY_AHEAD_MS)
		return LIBRARY_AHEAD;
	if (is_ours(there, ours))
		return LIBRARY_OURS;
	order = compare(there->loaded_ms, ours->loaded_ms);
	if (order == 0)
		order = strcmp(there->digest, ours->digest);
	return order < 0 ? LIBRARY_OLDER : LIBRARY_NEWER;
}

/* FNV-1a: tells one policy from another, and need not withstand anybody. */
static void digest(struct bytes text, char out[17])
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3;
	snprintf(out, 17, "%016" PRIx64, hash);
}

/* --- the policy --- */

/* Names have been checked, but what is not checked here could become code. */
static void put_string(struct buf *out, const char *text)
{
	buf_putc(out, '\'');
	for (; *text != '\0'; text++) {
		if (ascii_is_letter(*text) || ascii_is_digit(*text) || strchr("-_.:", *text) != NULL)
			buf_putc(out, *text);
		else
			buf_putf(out, "\\%03d", (unsigned char)*text);
	}
	buf_putc(out, '\'');
}

/* Redis is told whole seconds. */
static uint64_t seconds(uint64_t ms)
{
	return (ms + 999) / 1000;
}

static void put_namespace(struct buf *out, const struct channel_options *c)
{
	buf_putc(out, '[');
	put_string(out, c->name != NULL ? c->name : "");
	buf_putf(out, "]={%d,%" PRIu64 ",%" PRIu64 "},", c->history_size, seconds(c->history_ttl_ms),
	         seconds(c->history_meta_ttl_ms));
}

static void put_policy(struct buf *out, const struct config *config)
{
	buf_puts(out, "prefix=");
	put_string(out, config->redis.prefix);
	if (config_has_cluster(config))
		buf_puts(out, ",sharded=true");
	buf_puts(out, ",namespaces={");
	put_namespace(out, &config->channel.without_namespace);
	for (size_t i = 0; i < config->channel.namespace_count; i++)
		put_namespace(out, &config->channel.namespaces[i]);
	buf_putc(out, '}');
}

/* --- the text --- */

/* It stands in the text. */
static int64_t version(void)
{
	static const char before[] = "\nlocal VERSION = ";
	const char *found = memmem(functions_lua, functions_lua_len, before, sizeof(before) - 1);

	assert(found != NULL);
	return strtoll(found + sizeof(before) - 1, NULL, 10);
}

void library_init(struct library *l, const struct config *config)
{
	*l = (struct library){.loaded_ms = config->loaded_ms, .stamp.version = version()};
	buf_init(&l->policy, LIBRARY_MAX);
	put_policy(&l->policy, config);
	digest(buf_bytes(&l->policy), l->stamp.digest);
	snprintf(l->stamp.host, sizeof(l->stamp.host), "%s", config->host);
	assert(buf_ok(&l->policy));
}

void library_free(struct library *l)
{
	buf_free(&l->policy);
}

void library_date(struct library *l, int64_t now_ms)
{
	int64_t age_ms = clock_ms() > l->loaded_ms ? (int64_t)(clock_ms() - l->loaded_ms) : 0;
	int64_t loaded_ms = now_ms > age_ms ? now_ms - age_ms : 0;

	if (loaded_ms > l->stamp.loaded_ms - LIBRARY_SLACK_MS &&
	    loaded_ms < l->stamp.loaded_ms + LIBRARY_SLACK_MS)
		return;
	l->stamp.loaded_ms = loaded_ms;
}

static void put_text(const struct library *l, int64_t loaded_ms, const char *host, struct buf *out)
{
	buf_putf(out, "local POLICY={stamp=%" PRId64 ",digest='%s',host=", loaded_ms, l->stamp.digest);
	put_string(out, host);
	buf_putc(out, ',');
	buf_put_bytes(out, buf_bytes(&l->policy));
	buf_puts(out, "}\n");
	buf_put(out, functions_lua, functions_lua_len);
	assert(buf_ok(out));
}

void library_functions(const struct library *l, struct buf *out)
{
	buf_init(out, LIBRARY_MAX);
	buf_puts(out, "#!lua name=fanfare\n");
	put_text(l, l->stamp.loaded_ms, l->stamp.host, out);
}

void library_script(const struct library *l, bool runs_when_full, struct buf *out)
{
	buf_init(out, LIBRARY_MAX);
	if (runs_when_full)
		buf_puts(out, "#!lua flags=allow-oom\n");
	put_text(l, 0, "", out);
}

bool library_runs_when_full(const char *function)
{
	return strcmp(function, "fanfare_history") == 0 || strcmp(function, "fanfare_history_remove") == 0 ||
	       strcmp(function, "fanfare_workers") == 0;
}
