/* The way of the commands to the Redis of a broker: the one that --redis names, or the configuration
 * by its address or its sentinels, or else
 * the embedded one of the runtime directory. For commands that people and scripts run: everything here may
 * block, up to a deadline, and tells on standard error, as `fanfare COMMAND: ...`, what went wrong. */
#pragma once

#include <stdbool.h>

#include "compiler.h"
#include "config.h"
#include "config_args.h"
#include "redis_errand.h"
#include "redis_url.h"

struct redis_access {
	struct config *config;
	char *address;        /* as text, with the password: not for messages; NULL: the sentinels know it */
	struct redis_url url; /* of the address */
	bool is_embedded;
};

/* EXIT_OK, or the exit code of the command after telling what is wrong; then there is nothing to close. */
int redis_access_open(const char *command, const struct config_args *args,
                      struct redis_access *out) MUST_CHECK;
void redis_access_close(struct redis_access *a);

enum { REDIS_ACCESS_TIMEOUT_MS = 5000 }; /* of connecting, and of each call */

/* Connected, logged in and in its database. NULL after telling what is wrong. */
struct redis_errand *redis_access_connect(const char *command, const struct redis_access *a) MUST_CHECK;
