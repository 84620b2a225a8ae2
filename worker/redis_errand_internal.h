/* What the files of an errand share: redis_errand.c connects and calls, redis_errand_publish.c publishes. */
#pragma once

#include "loop.h"
#include "redis_endpoint.h"
#include "redis_errand.h"
#include "redis_link.h"
#include "redis_place.h"
#include "redis_sentinels.h"

struct redis_tls;

/* How far the last reply says that there are no functions for us. */
enum redis_lack {
	LACKS_NOTHING,
	LACKS_FUNCTION, /* not there, but a broker that sees it puts it back */
	LACKS_LEAVE,    /* we may not call functions, or this Redis does not know them */
	LACKS_POLICY,   /* it serves brokers with another prefix, and does not know what is kept */
};

struct redis_errand {
	struct loop *loop;
	struct redis_tls *tls;
	struct redis_sentinels *sentinels; /* while they are asked where Redis is */
	struct redis_endpoint endpoint;
	struct redis_link link;
	struct timer deadline; /* of the call, or of the sentinels */
	struct timer pause;
	uint64_t timeout_ms;
	bool waiting; /* for the link to come up, or for a reply */
	bool ok;
	bool in_cluster;
	bool again;                  /* after a pause, said the last reply; or at another node, by moved_to */
	struct redis_place moved_to; /* "": nowhere */
	const struct config *config;
	char why[REDIS_ERROR_MAX];

	enum redis_lack lack;
	bool is_unscripted; /* the last reply: no such script */
	bool has_waited;    /* for the library, in vain: not once more for each message */
	char sha[41];       /* of the script, as Redis answered last; "": not loaded */
	struct redis_errand_result result;
};

/* Calls, and waits for the reply, which redis_errand_take() gets. In a cluster at the node that is to be
 * asked. False with the reason in e->why. */
bool redis_errand_call(struct redis_errand *e, const struct bytes *argv, size_t argc) MUST_CHECK;
void redis_errand_pause(struct redis_errand *e, uint64_t ms);
void redis_errand_refuse(struct redis_errand *e, const char *what);
/* Of redis_errand_publish.c: takes over what a reply says. False for an error, and for what is of no use. */
bool redis_errand_take(struct redis_errand *e, const struct redis_reply *reply) MUST_CHECK;
