#include "gate.h"

#include <string.h>
#include <sys/resource.h>

#include "census.h"
#include "clock.h"
#include "log.h"
#include "map.h"
#include "mem.h"
#include "metrics.h"
#include "rate.h"

enum {
	DESCRIPTORS_KEPT = 64, /* for Redis, above all: a worker full of clients must be able to reconnect */
	/* How fast each address comes is not kept for each, since it has to be known of those that are gone,
	 * too. An address has one bucket in each row, by its hash, and is too fast only if all of them are
	 * full: others that share one with it are not hurt, unless thousands flood (a count-min sketch,
	 * Cormode and Muthukrishnan, 2005). */
	ROWS = 4,
	ROW_BITS = 12,
	BUCKETS = 1 << ROW_BITS,
};

struct gate {
	const struct config *config;
	struct peer_set load_balancers; /* that begin with a PROXY header */
	struct peer_set proxies;        /* that say X-Forwarded-For */
	size_t most;                    /* connections that there are descriptors for */
	struct rate rate;
	struct census census;
	struct rate (*address_rates)[BUCKETS]; /* ROWS of them; NULL: not needed yet */
};

static size_t descriptors_for_connections(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	return limit.rlim_cur < 2 * DESCRIPTORS_KEPT ? limit.rlim_cur / 2 : limit.rlim_cur - DESCRIPTORS_KEPT;
}

struct gate *gate_new(const struct config *config)
{
	struct gate *g = mem_alloc(sizeof(*g));

	g->config = config;
	g->most = descriptors_for_connections();
	peer_set_init(&g->load_balancers, &config->proxy_protocol.trusted_peers);
	peer_set_init(&g->proxies, &config->forwarded_for.trusted_peers);
	return g;
}

void gate_free(struct gate **gate)
{
	struct gate *g = *gate;

	if (g == NULL)
		return;
	peer_set_free(&g->load_balancers);
	peer_set_free(&g->proxies);
	census_free(&g->census);
	mem_free(g->address_rates);
	mem_free(g);
	*gate = NULL;
}

/* --- limits --- */

enum refusal gate_knock(struct gate *g, size_t connections)
{
	size_t limit = (size_t)g->config->client.connection_limit;
	uint64_t per_s = (uint64_t)g->config->client.connection_rate_limit;

	if (connections >= g->most)
		return REFUSED_DESCRIPTORS;
	if (limit > 0 && connections >= limit)
		return REFUSED_FULL;
	if (per_s > 0 && !rate_take(&g->rate, clock_ms(), per_s, 1))
		return REFUSED_RATE;
	return REFUSED_NOT;
}

static bool in_set(const struct peer_set *set, const struct peer *peer)
{
	return peer->is_unix ? set->unix_sockets : peer_set_has(set, &peer->ip);
}

/* One that stands for many, or is the host itself. */
static bool is_exempt(const struct gate *g, const struct peer *peer)
{
	return peer->is_unix || ip_is_loopback(&peer->ip) || in_set(&g->load_balancers, peer) ||
	       in_set(&g->proxies, peer);
}

static bool address_rate_take(struct gate *g, uint64_t key, uint64_t per_s)
{
	uint64_t hash, now = clock_ms();
	char bytes[sizeof(key)];
	bool allowed = false;

	if (g->address_rates == NULL)
		g->address_rates = mem_alloc(ROWS * sizeof(*g->address_rates));
	memcpy(bytes, &key, sizeof(key));
	hash = map_hash((struct bytes){bytes, sizeof(bytes)});
	for (size_t row = 0; row < ROWS; row++) {
		struct rate *bucket = &g->address_rates[row][hash >> row * ROW_BITS & (BUCKETS - 1)];

		if (rate_take(bucket, now, per_s, RATE_BURST_S))
			allowed = true;
	}
	return allowed;
}

enum refusal gate_admit(struct gate *g, const struct peer *client, bool *counted)
{
	uint32_t limit = (uint32_t)g->config->limits.connections_per_address;
	uint64_t per_s = (uint64_t)g->config->limits.connection_rate_per_address;
	uint64_t key = census_key(&client->ip);

	*counted = false;
	if (is_exempt(g, client))
		return REFUSED_NOT;
	if (limit > 0 && census_count(&g->census, key) >= limit)
		return REFUSED_ADDRESS;
	if (per_s > 0 && !address_rate_take(g, key, per_s))
		return REFUSED_ADDRESS_RATE;
	if (limit > 0) {
		census_add(&g->census, key);
		*counted = true;
	}
	return REFUSED_NOT;
}

void gate_leave(struct gate *g, const struct peer *client)
{
	census_remove(&g->census, census_key(&client->ip));
}

/* --- whose word counts --- */

bool gate_expects_header(const struct gate *g, const struct peer *peer)
{
	return in_set(&g->load_balancers, peer);
}

bool gate_trusts_forwarded(const struct gate *g, const struct peer *peer)
{
	return in_set(&g->proxies, peer);
}

enum forwarded_for gate_client_of(const struct gate *g, const struct http1_request *req, struct peer *client)
{
	*client = (struct peer){0};
	return forwarded_for(req, &g->proxies, &client->ip, &client->port);
}

/* --- what is said --- */

#define ANSWER(line)                                                                                      \
	{                                                                                                 \
		"HTTP/1.1 " line "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",                    \
			sizeof("HTTP/1.1 " line "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") - 1 \
	}
#define ANSWER_503 ANSWER("503 Service Unavailable")
#define ANSWER_429 ANSWER("429 Too Many Requests")

/* 503 is about us: a load balancer may ask another worker. 429 is about the client. */
static const struct {
	int status;
	const char *reason;
	struct bytes answer;
} rows[REFUSALS] = {
	[REFUSED_FULL] = {503, "client.connection_limit is reached", ANSWER_503},
	[REFUSED_DESCRIPTORS] = {503, "descriptors are short", ANSWER_503},
	[REFUSED_RATE] = {503, "client.connection_rate_limit is reached", ANSWER_503},
	[REFUSED_ADDRESS] = {429, "limits.connections_per_address is reached for this address", ANSWER_429},
	[REFUSED_ADDRESS_RATE] = {429, "limits.connection_rate_per_address is reached for this address",
                                  ANSWER_429},
};

static void count(enum refusal why)
{
	switch (why) {
	case REFUSED_FULL: metrics_inc(connections_refused); return;
	case REFUSED_DESCRIPTORS: metrics_inc(refused_descriptors); return;
	case REFUSED_RATE: metrics_inc(refused_rate); return;
	case REFUSED_ADDRESS: metrics_inc(refused_address); return;
	case REFUSED_ADDRESS_RATE: metrics_inc(refused_address_rate); return;
	case REFUSED_NOT:
	case REFUSALS: return;
	}
}

/* All clients have one address if nobody says theirs. */
static const char *hint(const struct gate *g, enum refusal why)
{
	bool told = g->config->proxy_protocol.trusted_peers.count > 0 ||
	            g->config->forwarded_for.trusted_peers.count > 0;

	return (why == REFUSED_ADDRESS || why == REFUSED_ADDRESS_RATE) && !told
	               ? " (behind a load balancer? see proxy_protocol and forwarded_for)"
	               : "";
}

void gate_refused(const struct gate *g, enum refusal why, const char *who)
{
	static struct log_limit limits[REFUSALS];

	count(why);
	if (log_allowed(&limits[why]))
		log_warning("refused %s: %s%s", who, rows[why].reason, hint(g, why));
}

int gate_status(enum refusal why)
{
	return rows[why].status;
}

const char *gate_reason(enum refusal why)
{
	return rows[why].reason;
}

struct bytes gate_answer(enum refusal why, bool tls)
{
	/* Record of type alert, TLS 1.2 in name as every record, two bytes long: fatal, internal_error. */
	static const struct bytes alert = {"\x15\3\3\0\2\2\x50", 7};

	return tls ? alert : rows[why].answer;
}
