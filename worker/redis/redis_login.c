#include "redis_login.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "redis_endpoint.h"
#include "redis_resp.h"

/* --- what is said --- */

static void put_step(struct redis_login *login, struct buf *out, const struct bytes *argv, size_t argc)
{
	assert(login->count < REDIS_LOGIN_STEPS && argv[0].ptr != NULL);
	resp_put_command(out, argv, argc);
	login->steps[login->count++] = argv[0].ptr;
}

static void put_auth(struct redis_login *login, struct buf *out, const struct redis_url *url)
{
	struct bytes args[3] = {BYTES("AUTH")};
	size_t argc = 1;

	if (url->user != NULL)
		args[argc++] = BYTES_OF_STR(url->user);
	args[argc++] = BYTES_OF_STR(url->password);
	put_step(login, out, args, argc);
}

static void put_select(struct redis_login *login, struct buf *out, const struct redis_url *url)
{
	char db[16];

	snprintf(db, sizeof(db), "%d", url->db);
	put_step(login, out, (struct bytes[]){BYTES("SELECT"), BYTES_OF_STR(db)}, 2);
}

/* PING comes last, as Redis answers it only when it would serve us. */
void redis_login_begin(struct redis_login *login, const struct redis_endpoint *endpoint, const char *name,
                       struct buf *out)
{
	*login = (struct redis_login){.endpoint = endpoint};
	if (endpoint->url.password != NULL)
		put_auth(login, out, &endpoint->url);
	if (endpoint->url.db != 0)
		put_select(login, out, &endpoint->url);
	put_step(login, out, (struct bytes[]){BYTES("CLIENT"), BYTES("SETNAME"), BYTES_OF_STR(name)}, 3);
	if (!endpoint->is_sentinel)
		put_step(login, out, (struct bytes[]){BYTES("HELLO")}, 1);
	put_step(login, out, (struct bytes[]){BYTES("ROLE")}, 1);
	put_step(login, out, (struct bytes[]){BYTES("PING")}, 1);
}

/* --- what is answered --- */

static bool has_role(const struct redis_reply *reply, const char *role)
{
	return reply->type == REDIS_ARRAY && reply->count > 0 && reply->elements[0]->type == REDIS_STRING &&
	       bytes_eq(reply->elements[0]->text, BYTES_OF_STR(role));
}

/* What it is instead of what we look for; NULL: nothing is wrong, or it does not tell (NOPERM). A replica
 * takes subscriptions, but no publications. */
static const char *wrong_role(const struct redis_endpoint *e, const struct redis_reply *reply)
{
	if (e->is_sentinel)
		return has_role(reply, "master") || has_role(reply, "slave") ? "is a Redis and no sentinel"
		                                                             : NULL;
	if (has_role(reply, "sentinel"))
		return "is a sentinel and no Redis";
	return has_role(reply, "slave") && !e->may_be_replica ? "is a read-only replica" : NULL;
}

/* The value of a name in the answer to HELLO, where they stand by turns. */
static struct bytes find_value(const struct redis_reply *reply, struct bytes name)
{
	for (size_t i = 0; reply->type == REDIS_ARRAY && i + 1 < reply->count; i += 2) {
		const struct redis_reply *key = reply->elements[i], *value = reply->elements[i + 1];

		if (key->type == REDIS_STRING && value->type == REDIS_STRING && bytes_eq(key->text, name))
			return value->text;
	}
	return BYTES_NONE;
}

/* As wrong_role(). Who takes a node of a cluster for a Redis would be sent away with most of what he asks. */
static const char *wrong_mode(const struct redis_endpoint *e, const struct redis_reply *reply)
{
	struct bytes mode = find_value(reply, BYTES("mode"));

	if (bytes_eq(mode, BYTES("cluster")) && !e->in_cluster)
		return "is a node of a Redis Cluster, whose addresses belong into redis.cluster_address";
	if (bytes_eq(mode, BYTES("standalone")) && e->in_cluster)
		return "is no node of a Redis Cluster";
	return NULL;
}

/* Whether this error keeps us out, and how that is told. Others do not matter: the commands of the login are
 * a courtesy, and may be forbidden to us (NOPERM), or PING be refused to warn of a full disk (MISCONF). What
 * Redis says of itself counts first: one that is full of clients says so to AUTH, too. */
static enum redis_trouble trouble_of(const char *step, const struct redis_reply *reply, const char **what)
{
	enum redis_trouble trouble = redis_error_trouble(reply, what);

	if (trouble != REDIS_FINE || reply->type != REDIS_ERROR)
		return trouble;
	if (strcmp(step, "AUTH") == 0) {
		*what = "refused authentication";
		return REDIS_REFUSING;
	}
	*what = "is not ready";
	return strcmp(step, "SELECT") == 0 ? REDIS_UNFIT : REDIS_FINE;
}

/* It lets us in, and takes nothing that is to be kept. */
static void warn_of_disk(const struct redis_login *login, const struct redis_reply *reply)
{
	static struct log_limit limit;

	if (resp_is_error(reply, "MISCONF") && log_allowed(&limit))
		log_warning("Redis at %s takes nothing that is to be kept, history and presence: %.*s%s",
		            login->endpoint->text, BYTES_FMT(redis_error_text(reply)),
		            redis_error_remedy(reply));
}

static enum redis_trouble say(char why[REDIS_ERROR_MAX], enum redis_trouble trouble, const char *text)
{
	snprintf(why, REDIS_ERROR_MAX, "%s", text);
	return trouble;
}

static enum redis_trouble say_error(char why[REDIS_ERROR_MAX], enum redis_trouble trouble, const char *what,
                                    const struct redis_reply *reply)
{
	snprintf(why, REDIS_ERROR_MAX, "%s: %.*s%s", what, BYTES_FMT(redis_error_text(reply)),
	         redis_error_remedy(reply));
	return trouble;
}

enum redis_trouble redis_login_reply(struct redis_login *login, const struct redis_reply *reply,
                                     char why[REDIS_ERROR_MAX])
{
	const char *step = login->steps[login->answered++];
	const char *what;
	enum redis_trouble trouble = trouble_of(step, reply, &what);

	if (trouble != REDIS_FINE)
		return say_error(why, trouble, what, reply);
	warn_of_disk(login, reply);
	if (strcmp(step, "ROLE") == 0 && wrong_role(login->endpoint, reply) != NULL)
		return say(why, REDIS_UNFIT, wrong_role(login->endpoint, reply));
	if (strcmp(step, "HELLO") == 0 && wrong_mode(login->endpoint, reply) != NULL)
		return say(why, REDIS_REFUSING, wrong_mode(login->endpoint, reply));
	return login->answered < login->count ? REDIS_CONNECTING : REDIS_FINE;
}
