/* The text of the function library as it is loaded into Redis: functions.lua, and before it the policy, which
 * is what the namespaces of the configuration say about history. Talks to nobody. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"
#include "redis.h"

struct config;

/* Made from functions.lua by the build. */
extern const unsigned char functions_lua[];
extern const size_t functions_lua_len;

/* A configuration has at most 1000 namespaces, with names of 64 bytes. */
enum { LIBRARY_VERSION = 4, LIBRARY_MAX = 1 << 20 };

/* Of two, the greater one is to be in force; the members count in this order. So all brokers of all versions
 * agree, whichever comes last. */
struct library_stamp {
	int64_t version;   /* of functions.lua */
	int64_t loaded_ms; /* of the configuration that the policy is from */
	char digest[17];   /* of the policy; decides when nothing else does */
};

int library_compare(const struct library_stamp *a, const struct library_stamp *b);
/* Reads the answer of fanfare_version. False when it is none. */
bool library_read_stamp(const struct redis_reply *reply, struct library_stamp *out) MUST_CHECK;

struct library {
	struct buf text;
	size_t script; /* where the text for SCRIPT LOAD begins: it has no first line that names the library
	                */
	struct library_stamp stamp;
};

void library_init(struct library *l, const struct config *config);
void library_free(struct library *l);
