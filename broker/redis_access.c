#include "redis_access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

#include "cli.h"
#include "embedded_redis.h"
#include "mem.h"
#include "terminal.h"

int redis_access_open(const char *command, const struct config_args *args, struct redis_access *out)
{
	const char *reason;
	int code;

	*out = (struct redis_access){.config = config_args_load(args, command, &code)};
	if (out->config == NULL)
		return code;
	out->is_embedded = out->config->redis.address == NULL;
	out->address = out->is_embedded ? embedded_redis_address(out->config->runtime_dir)
	                                : mem_strdup(out->config->redis.address);
	if (redis_url_parse(out->address, &out->url, &reason))
		return EXIT_OK;
	fprintf(stderr, "fanfare %s: the address of Redis: %s\n", command, reason);
	redis_access_close(out);
	return EXIT_FAILED;
}

void redis_access_close(struct redis_access *a)
{
	redis_url_free(&a->url);
	mem_free(a->address);
	config_free(&a->config);
}

static void tell_unreachable(const char *command, const struct redis_access *a, const char *reason)
{
	char *masked = redis_url_mask(a->address);

	fprintf(stderr, "fanfare %s: cannot reach Redis at %s: ", command, masked);
	terminal_print(stderr, reason);
	fprintf(stderr, "%s\n",
	        a->is_embedded ? " (the embedded Redis: is `fanfare serve` running? --redis, --config and "
	                         "--runtime-dir tell where to look)"
	                       : "");
	mem_free(masked);
}

static struct redisContext *connect_to(const struct redis_url *url)
{
	struct timeval limit = {.tv_sec = REDIS_ACCESS_TIMEOUT_MS / 1000};

	if (url->is_unix)
		return redisConnectUnixWithTimeout(url->path, limit);
	return redisConnectWithTimeout(url->host, (int)strtol(url->port, NULL, 10), limit);
}

/* NULL when the call went well, else why not; the text lives as long as the context. */
static const char *call(struct redisContext *c, int argc, const char **argv)
{
	redisReply *reply = redisCommandArgv(c, argc, argv, NULL);
	const char *reason = NULL;

	if (reply == NULL)
		return c->errstr[0] != '\0' ? c->errstr : "no answer";
	if (reply->type == REDIS_REPLY_ERROR) {
		snprintf(c->errstr, sizeof(c->errstr), "%s", reply->str);
		reason = c->errstr;
	}
	freeReplyObject(reply);
	return reason;
}

static const char *log_in(struct redisContext *c, const struct redis_url *url)
{
	const char *with_user[] = {"AUTH", url->user, url->password};
	const char *without[] = {"AUTH", url->password};

	if (url->password == NULL)
		return NULL;
	return url->user != NULL ? call(c, 3, with_user) : call(c, 2, without);
}

static const char *choose_db(struct redisContext *c, const struct redis_url *url)
{
	char number[16];
	const char *argv[] = {"SELECT", number};

	snprintf(number, sizeof(number), "%d", url->db);
	return url->db != 0 ? call(c, 2, argv) : NULL;
}

struct redisContext *redis_access_connect(const char *command, const struct redis_access *a)
{
	struct timeval limit = {.tv_sec = REDIS_ACCESS_TIMEOUT_MS / 1000};
	struct redisContext *c = connect_to(&a->url);
	const char *reason = c == NULL ? "out of memory" : c->err != 0 ? c->errstr : NULL;

	if (reason == NULL && redisSetTimeout(c, limit) != REDIS_OK)
		reason = c->errstr;
	if (reason == NULL)
		reason = log_in(c, &a->url);
	if (reason == NULL)
		reason = choose_db(c, &a->url);
	if (reason == NULL)
		return c;
	tell_unreachable(command, a, reason);
	if (c != NULL)
		redisFree(c);
	return NULL;
}
