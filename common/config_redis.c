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
	if (config_has_sentinels(c))
		return "is for TLS, which needs redis.tls.enabled";
	return "is for TLS, which redis.address does not ask for: it must begin with rediss://";
}

static void check_both_tls(struct loader *l)
{
	const struct config *c = l->config;

	check_tls(l, "redis.tls", &c->redis.tls,
	          is_tls(c->redis.address) || (config_has_sentinels(c) && c->redis.tls.enabled),
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
		{"redis.user", c->redis.user != NULL},
		{"redis.password", c->redis.password != NULL},
		{"redis.db", c->redis.db != 0},
		{"redis.tls.enabled", c->redis.tls.enabled},
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].given)
			problem(l, options[i].name,
			        strncmp(options[i].name, "redis.sentinel", strlen("redis.sentinel")) == 0
			                ? "is of use only with redis.sentinel_address"
			                : "is of use only with redis.sentinel_address: an address has its own");
	}
	check_tls(l, "redis.sentinel_tls", &c->redis.sentinel_tls, c->redis.sentinel_tls.enabled,
	          "is of use only with redis.sentinel_address");
}

static bool is_same_sentinel(const char *one, const char *other)
{
	struct redis_url a, b;
	const char *reason;
	bool same;

	if (!redis_url_parse_host(one, SENTINEL_PORT, &a, &reason))
		return false;
	same = redis_url_parse_host(other, SENTINEL_PORT, &b, &reason) && strcasecmp(a.host, b.host) == 0 &&
	       strcmp(a.port, b.port) == 0;
	redis_url_free(&a);
	redis_url_free(&b);
	return same;
}

static void check_sentinels(struct loader *l)
{
	const struct config *c = l->config;
	const struct strings *list = &c->redis.sentinel_address;

	if (c->redis.address != NULL)
		problem(l, "redis.address",
		        "must not be set with redis.sentinel_address: sentinels say where Redis is");
	if (c->redis.sentinel_master_name == NULL)
		problem(l, "redis.sentinel_address", "needs redis.sentinel_master_name");
	if (c->redis.sentinel_user != NULL && c->redis.sentinel_password == NULL)
		problem(l, "redis.sentinel_user", "needs redis.sentinel_password");
	if (c->redis.user != NULL && c->redis.password == NULL)
		problem(l, "redis.user", "needs redis.password");
	for (size_t i = 0; i < list->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (is_same_sentinel(list->items[j], list->items[i]))
				loader_problem(l, loader_place(l, "redis.sentinel_address"),
				               "redis.sentinel_address", "must name \"%s\" once",
				               list->items[i]);
		}
	}
}

void loader_check_redis(struct loader *l)
{
	check_both_tls(l);
	if (config_has_sentinels(l->config))
		check_sentinels(l);
	else
		check_without_sentinels(l);
}
