/* TLS to Redis, from the configuration: for the workers before they are forked, and for the command line. */
#include "redis_url.h"
#include "tls_client.h"
#include "worker.h"

bool worker_load_redis_tls(const struct config *config, struct tls_client **tls, struct buf *errors)
{
	struct redis_url url;
	const char *reason;
	bool ok;

	*tls = NULL;
	if (config->redis.address == NULL || !redis_url_parse(config->redis.address, &url, &reason))
		return true;
	if (url.tls)
		*tls = tls_client_new(&config->redis.tls, "redis.tls", url.host, errors);
	ok = !url.tls || *tls != NULL;
	redis_url_free(&url);
	return ok;
}

void worker_free_redis_tls(struct tls_client **tls)
{
	tls_client_free(tls);
}
