#include "redis_access.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "bytes.h"
#include "cli.h"
#include "embedded_redis.h"
#include "mem.h"
#include "terminal.h"

enum { REASONS_MAX = 65536, REASON_MAX = 8192 };

int redis_access_open(const char *command, const struct config_args *args, struct redis_access *out)
{
	const char *reason;
	int code;

	*out = (struct redis_access){.config = config_args_load(args, command, &code)};
	if (out->config == NULL)
		return code;
	if (config_has_sentinels(out->config) || config_has_cluster(out->config))
		return EXIT_OK;
	out->is_embedded = config_has_embedded_redis(out->config);
	out->address = out->is_embedded ? embedded_redis_address(out->config->runtime_dir)
	                                : mem_strdup(out->config->redis.address);
	if (redis_url_parse(out->address, &out->url, &reason))
		return EXIT_OK;
	fprintf(stderr, "fanfare %s: the address of Redis: %s\n", command, reason);
	redis_access_close(out);
	return EXIT_FAILED;
}

void redis_access_close(struct redis_access *a)
{
	redis_url_free(&a->url);
	mem_free(a->address);
	config_free(&a->config);
}

static void tell_unreachable(const char *command, const struct redis_access *a, struct bytes reasons)
{
	while (reasons.len > 0) {
		struct bytes line = bytes_first(
			reasons,
			(size_t)((const char *)memchr(reasons.ptr, '\n', reasons.len) - reasons.ptr));
		char text[REASON_MAX];

		snprintf(text, sizeof(text), "%.*s", BYTES_FMT(line));
		fprintf(stderr, "fanfare %s: ", command);
		terminal_print(stderr, text);
		fprintf(stderr, "%s\n",
		        a->is_embedded
		                ? " (the embedded Redis: is `fanfare serve` running? --redis, --config and "
		                  "--runtime-dir tell where to look)"
		                : "");
		reasons = bytes_skip(reasons, line.len + 1);
	}
}

struct redis_errand *redis_access_connect(const char *command, const struct redis_access *a)
{
	struct redis_errand *errand;
	struct buf why;

	buf_init(&why, REASONS_MAX);
	errand = redis_errand_open(a->config, a->address, REDIS_ACCESS_TIMEOUT_MS, &why);
	if (errand == NULL)
		tell_unreachable(command, a, buf_bytes(&why));
	buf_free(&why);
	return errand;
}
