/* The door of a worker: who may come in, how many of them and how fast, whose word counts about others, and
 * what those are told who may not come in. Works on addresses, not on sockets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "compiler.h"
#include "config.h"
#include "forwarded_for.h"
#include "http1.h"
#include "peer.h"

struct gate;

/* At which limit a connection is refused. */
enum refusal {
	REFUSED_NOT,
	REFUSED_FULL,        /* client.connection_limit */
	REFUSED_DESCRIPTORS, /* of the process: a worker that has none to reconnect to Redis would be deaf */
	REFUSED_RATE,        /* client.connection_rate_limit */
	REFUSED_ADDRESS,     /* limits.connections_per_address */
	REFUSED_ADDRESS_RATE,
	REFUSALS
};

struct gate *gate_new(const struct config *config);
void gate_free(struct gate **gate);

/* Whether one more may come, while there are so many. */
enum refusal gate_knock(struct gate *gate, size_t connections) MUST_CHECK;
/* The same for the address of a client. With *counted it counts there from now on, until gate_leave(). */
enum refusal gate_admit(struct gate *gate, const struct peer *client, bool *counted) MUST_CHECK;
void gate_leave(struct gate *gate, const struct peer *client);

/* Whether a PROXY header comes first from that peer. */
bool gate_expects_header(const struct gate *gate, const struct peer *peer);
/* Whether X-Forwarded-For of that peer is believed; then who the request is from. */
bool gate_trusts_forwarded(const struct gate *gate, const struct peer *peer);
enum forwarded_for gate_client_of(const struct gate *gate, const struct http1_request *req,
                                  struct peer *client) MUST_CHECK;

/* Counts a refusal, and tells it in the log, where that is not too much. */
void gate_refused(const struct gate *gate, enum refusal why, const char *who);
int gate_status(enum refusal why);
const char *gate_reason(enum refusal why);
/* A whole response, or with `tls` an alert in the clear, since no handshake is wasted on it (RFC 8446, 6.2).
 */
struct bytes gate_answer(enum refusal why, bool tls);
