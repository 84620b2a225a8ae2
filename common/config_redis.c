/* The part of config_load() that looks at the options of the way to Redis together: an address, sentinels, or
 * neither, which is the embedded Redis, and what each of them is of use for. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config.h"
#include "config_loader.h"
#include "redis_url.h"

static void problem(struct loader *l, const char *name, const char *text)
{
	loader_problem(l, loader_place(l, name), name, "%s", text);
}

/* --- TLS --- */

static bool is_tls(const char *redis_address)
{
	struct redis_url url;
	const char *reason;
	bool tls = redis_address != NULL && redis_url_parse(redis_address, &url, &reason) && url.tls;

	if (redis_address != NULL)
		redis_url_free(&url);
	return tls;
}

/* Who gives one of these believes that his connections are safe. */
static void check_tls(struct loader *l, const char *section, const struct tls_client_options *tls,
                      bool spoken, const char *why_not)
{
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{"cert_pem_file", tls->cert_pem_file != NULL},
		{"key_pem_file", tls->key_pem_file != NULL},
		{"server_ca_pem_file", tls->server_ca_pem_file != NULL},
		{"server_name", tls->server_name != NULL},
		{"insecure_skip_verify", tls->insecure_skip_verify},
	};
	char name[LOADER_NAME_SIZE];
	char why[LOADER_WHY_MAX];

	for (size_t i = 0; i < ARRAY_LEN(options) && !spoken; i++) {
		snprintf(name, sizeof(name), "%s.%s", section, options[i].name);
		if (options[i].given)
			problem(l, name, why_not);
	}
	snprintf(name, sizeof(name), "%s.key_pem_file", section);
	snprintf(why, sizeof(why), "is of use only with %s.cert_pem_file", section);
	if (spoken && tls->key_pem_file != NULL && tls->cert_pem_file == NULL)
		problem(l, name, why);
}

static const char *why_no_tls(const struct config *c)
{
	if (config_has_sentinels(c) || config_has_cluster(c))
		return "is for TLS, which needs redis.tls.enabled";
	return "is for TLS, which redis.address does not ask for: it must begin with rediss://";
}

static void check_both_tls(struct loader *l)
{
	const struct config *c = l->config;

	check_tls(l, "redis.tls", &c->redis.tls,
	          is_tls(c->redis.address) ||
	                  ((config_has_sentinels(c) || config_has_cluster(c)) && c->redis.tls.enabled),
	          why_no_tls(c));
	if (config_has_sentinels(c))
		check_tls(l, "redis.sentinel_tls", &c->redis.sentinel_tls, c->redis.sentinel_tls.enabled,
		          "is for TLS, which needs redis.sentinel_tls.enabled");
}

/* --- sentinels --- */

/* What would be believed to have an effect. */
static void check_without_sentinels(struct loader *l)
{
	const struct config *c = l->config;
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{"redis.sentinel_master_name", c->redis.sentinel_master_name != NULL},
		{"redis.sentinel_user", c->redis.sentinel_user != NULL},
		{"redis.sentinel_password", c->redis.sentinel_password != NULL},
		{"redis.sentinel_tls.enabled", c->redis.sentinel_tls.enabled},
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].given)
			problem(l, options[i].name, "is of use only with redis.sentinel_address");
	}
	check_tls(l, "redis.sentinel_tls", &c->redis.sentinel_tls, c->redis.sentinel_tls.enabled,
	          "is of use only with redis.sentinel_address");
}

/* What redis.address says itself. */
static void check_without_places(struct loader *l)
{
	const struct config *c = l->config;
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{"redis.user", c->redis.user != NULL},
		{"redis.password", c->redis.password != NULL},
		{"redis.db", c->redis.db != 0},
		{"redis.tls.enabled", c->redis.tls.enabled},
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].given)
			problem(l, options[i].name,
			        "is of use only with redis.sentinel_address or redis.cluster_address: an "
			        "address has its own");
	}
}

/* --- lists of places --- */

static bool is_same_place(const char *one, const char *other, const char *default_port)
{
	struct redis_url a, b;
	const char *reason;
	bool same;

	if (!redis_url_parse_host(one, default_port, &a, &reason))
		return false;
	same = redis_url_parse_host(other, default_port, &b, &reason) && strcasecmp(a.host, b.host) == 0 &&
	       strcmp(a.port, b.port) == 0;
	redis_url_free(&a);
	redis_url_free(&b);
	return same;
}

static void check_places(struct loader *l, const char *name, const struct strings *list,
                         const char *default_port)
{
	for (size_t i = 0; i < list->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (is_same_place(list->items[j], list->items[i], default_port))
				loader_problem(l, loader_place(l, name), name, "must name \"%s\" once",
				               list->items[i]);
		}
	}
}

static void check_user(struct loader *l)
{
	if (l->config->redis.user != NULL && l->config->redis.password == NULL)
		problem(l, "redis.user", "needs redis.password");
}

static void check_cluster(struct loader *l)
{
	const struct config *c = l->config;

	if (c->redis.address != NULL)
		problem(l, "redis.address", "must not be set with redis.cluster_address");
	if (config_has_sentinels(c))
		problem(l, "redis.sentinel_address",
		        "must not be set with redis.cluster_address: a Redis Cluster has no sentinels");
	if (c->redis.db != 0)
		problem(l, "redis.db", "must be 0: a Redis Cluster has no other database");
	check_user(l);
	check_places(l, "redis.cluster_address", &c->redis.cluster_address, REDIS_PORT);
}

static void check_sentinels(struct loader *l)
{
	const struct config *c = l->config;

	if (c->redis.address != NULL)
		problem(l, "redis.address",
		        "must not be set with redis.sentinel_address: sentinels say where Redis is");
	if (c->redis.sentinel_master_name == NULL)
		problem(l, "redis.sentinel_address", "needs redis.sentinel_master_name");
	if (c->redis.sentinel_user != NULL && c->redis.sentinel_password == NULL)
		problem(l, "redis.sentinel_user", "needs redis.sentinel_password");
	check_user(l);
	check_places(l, "redis.sentinel_address", &c->redis.sentinel_address, SENTINEL_PORT);
}

void loader_check_redis(struct loader *l)
{
	check_both_tls(l);
	if (config_has_sentinels(l->config))
		check_sentinels(l);
	else
		check_without_sentinels(l);
	if (config_has_cluster(l->config))
		check_cluster(l);
	else if (!config_has_sentinels(l->config))
		check_without_places(l);
}
