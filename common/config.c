#include "config.h"

#include <string.h>

#include "mem.h"
#include "options.h"

void config_free(struct config **c)
{
	if (*c == NULL)
		return;
	options_clear(&options_of_broker, *c);
	mem_free(*c);
	*c = NULL;
}

const struct channel_options *config_channel(const struct config *c, const char *name, size_t len)
{
	const char *start = len > 0 && name[0] == '$' ? name + 1 : name;
	const char *colon = len > 0 ? memchr(start, ':', len - (size_t)(start - name)) : NULL;
	struct bytes wanted = {start, colon != NULL ? (size_t)(colon - start) : 0};

	if (wanted.len == 0)
		return &c->channel.without_namespace;
	for (size_t i = 0; i < c->channel.namespace_count; i++) {
		if (bytes_eq(wanted, BYTES_OF_STR(c->channel.namespaces[i].name)))
			return &c->channel.namespaces[i];
	}
	return NULL;
}

bool config_has_history(const struct channel_options *o)
{
	return o->history_size > 0 && o->history_ttl_ms > 0;
}

bool config_has_presence(const struct channel_options *o)
{
	return o->presence || o->join_leave;
}

bool config_any_channel(const struct config *config, bool (*has)(const struct channel_options *o))
{
	if (has(&config->channel.without_namespace))
		return true;
	for (size_t i = 0; i < config->channel.namespace_count; i++) {
		if (has(&config->channel.namespaces[i]))
			return true;
	}
	return false;
}

bool config_has_sentinels(const struct config *c)
{
	return c->redis.sentinel_address.count > 0;
}

bool config_has_cluster(const struct config *c)
{
	return c->redis.cluster_address.count > 0;
}

bool config_has_embedded_redis(const struct config *c)
{
	return c->redis.address == NULL && !config_has_sentinels(c) && !config_has_cluster(c);
}
