#include "redis_library.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ascii.h"
#include "config.h"

/* --- the stamp --- */

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

int library_compare(const struct library_stamp *a, const struct library_stamp *b)
{
	int order = compare(a->version, b->version);

	if (order == 0)
		order = compare(a->loaded_ms, b->loaded_ms);
	return order != 0 ? order : strcmp(a->digest, b->digest);
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
	return true;
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

void library_init(struct library *l, const struct config *config)
{
	struct buf policy;

	*l = (struct library){.stamp = {.version = LIBRARY_VERSION, .loaded_ms = (int64_t)config->loaded_ms}};
	buf_init(&l->text, LIBRARY_MAX);
	buf_init(&policy, LIBRARY_MAX);
	put_policy(&policy, config);
	digest(buf_bytes(&policy), l->stamp.digest);
	assert(buf_ok(&policy));
	buf_puts(&l->text, "#!lua name=fanfare\n");
	l->script = l->text.len;
	buf_putf(&l->text, "local POLICY={stamp=%" PRId64 ",digest='%s',", l->stamp.loaded_ms,
	         l->stamp.digest);
	buf_put_bytes(&l->text, buf_bytes(&policy));
	buf_puts(&l->text, "}\n");
	buf_put(&l->text, functions_lua, functions_lua_len);
	buf_free(&policy);
	assert(buf_ok(&l->text));
}

void library_free(struct library *l)
{
	buf_free(&l->text);
}
