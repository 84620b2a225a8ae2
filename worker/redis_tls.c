/* TLS to Redis, from the configuration: for the workers before they are forked, and for the command line. */
#include "mem.h"
#include "redis.h"
#include "redis_url.h"
#include "tls_client.h"
#include "worker.h"

static bool load_for_address(const struct config *config, struct redis_tls *tls, struct buf *errors)
{
	struct redis_url url;
	const char *reason;
	bool ok;

	if (config->redis.address == NULL || !redis_url_parse(config->redis.address, &url, &reason))
		return true;
	if (url.tls)
		tls->nodes = tls_client_new(&config->redis.tls, "redis.tls", url.host, errors);
	ok = !url.tls || tls->nodes != NULL;
	redis_url_free(&url);
	return ok;
}

static bool load_for_places(const struct config *config, struct redis_tls *tls, struct buf *errors)
{
	if (config->redis.tls.enabled)
		tls->nodes = tls_client_new(&config->redis.tls, "redis.tls", NULL, errors);
	if (config->redis.sentinel_tls.enabled)
		tls->sentinels = tls_client_new(&config->redis.sentinel_tls, "redis.sentinel_tls", NULL,
		                                errors);
	return (!config->redis.tls.enabled || tls->nodes != NULL) &&
	       (!config->redis.sentinel_tls.enabled || tls->sentinels != NULL);
}

bool worker_load_redis_tls(const struct config *config, struct redis_tls **tls, struct buf *errors)
{
	bool ok;

	*tls = mem_alloc(sizeof(**tls));
	ok = config_has_sentinels(config) || config_has_cluster(config)
	             ? load_for_places(config, *tls, errors)
	             : load_for_address(config, *tls, errors);
	if (!ok)
		worker_free_redis_tls(tls);
	return ok;
}

void worker_free_redis_tls(struct redis_tls **tls)
{
	if (*tls == NULL)
		return;
	tls_client_free(&(*tls)->nodes);
	tls_client_free(&(*tls)->sentinels);
	mem_free(*tls);
	*tls = NULL;
}
