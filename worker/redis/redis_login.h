/* What is said first on a connection to a Redis or a sentinel, and what the answers mean: whether it lets us
 * in, and is what we look for. Knows no connection: commands go into a buffer, replies come one by one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "redis.h"
#include "redis_trouble.h"

struct redis_endpoint;

enum { REDIS_LOGIN_STEPS = 6 };

struct redis_login {
	const struct redis_endpoint *endpoint;
	const char *steps[REDIS_LOGIN_STEPS]; /* names of the commands */
	size_t count;
	size_t answered;
};

/* Puts all commands at once. name: by which Redis is to list the connection. The endpoint must outlive the
 * login. */
void redis_login_begin(struct redis_login *login, const struct redis_endpoint *endpoint, const char *name,
                       struct buf *out);
/* Takes the next reply. REDIS_CONNECTING: there are more to come; REDIS_FINE: logged in. Otherwise why is
 * what is wrong, and goes on where "Redis at 127.0.0.1:6379 " ends. */
enum redis_trouble redis_login_reply(struct redis_login *login, const struct redis_reply *reply,
                                     char why[REDIS_ERROR_MAX]);
