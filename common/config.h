/* The configuration of a broker: plain data, filled by config_load() from the YAML file, the environment and
 * the command line by way of the one option table (options.h), and not changed after that. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"

struct strings {
	char **items;
	size_t count;
};

/* What may go over a channel as payload: anything that is not empty, JSON, or a JSON object. */
enum data_format { DATA_FORMAT_ANY, DATA_FORMAT_JSON, DATA_FORMAT_JSON_OBJECT, DATA_FORMAT_BINARY };

enum recovery_mode { RECOVERY_STREAM, RECOVERY_CACHE };

/* Options of the channels of one namespace (client protocol 18). */
struct channel_options {
	char *name; /* of the namespace; NULL for the channels without one */
	bool allow_subscribe_for_client;
	bool allow_subscribe_for_anonymous;
	bool allow_publish_for_client;
	bool allow_publish_for_subscriber;
	bool allow_publish_for_anonymous;
	bool allow_user_limited_channels;
	int history_size;
	uint64_t history_ttl_ms;
	uint64_t history_meta_ttl_ms;
	bool force_positioning;
	bool allow_positioning;
	bool force_recovery;
	bool allow_recovery;
	int force_recovery_mode; /* enum recovery_mode */
	bool auto_cache_recover;
	bool allow_channel_compaction;
	bool allow_history_for_client;
	bool allow_history_for_subscriber;
	bool allow_history_for_anonymous;
	bool presence;
	bool join_leave;
	bool force_push_join_leave;
	uint64_t join_leave_grace_ms;
	bool allow_presence_for_client;
	bool allow_presence_for_subscriber;
	bool allow_presence_for_anonymous;
	int publication_data_format; /* enum data_format */
};

/* Paths with a meaning of their own, which no endpoint can be given; some answer only in dev mode. */
#define PATH_ROOT    "/"
#define PATH_ECHO    "/echo"
#define PATH_LIVE    "/health/live"
#define PATH_READY   "/health/ready"
#define PATH_METRICS "/metrics"
#define FIXED_PATHS                                                       \
	{                                                                 \
		PATH_ROOT, PATH_ECHO, PATH_LIVE, PATH_READY, PATH_METRICS \
	}

/* Permessage-deflate (RFC 7692) on an endpoint. */
struct compression_options {
	bool enabled;
	int level;         /* of zlib, 1 to 9 */
	uint64_t min_size; /* bytes of a message that is worth it */
};

/* TLS to a server that we connect to. */
struct tls_client_options {
	bool enabled;             /* of use where no address says so */
	char *cert_pem_file;      /* NULL: we show none */
	char *key_pem_file;       /* NULL: in the same file */
	char *server_ca_pem_file; /* NULL: the authorities of the system */
	char *server_name;        /* NULL: the host that we connect to */
	bool insecure_skip_verify;
};

struct config {
	uint64_t loaded_ms; /* by clock_ms(), when it was loaded: of two, the later one is the newer */
	char host[65];      /* the name of the host where that was */
	bool dev;
	struct strings listen; /* "ADDR:PORT", "[v6]:PORT", ":PORT" or "unix:/path", words before it */
	int workers;           /* 0: as many as this process may use CPUs */
	bool sandbox;          /* workers give up system calls that they never need */
	char *user;            /* whom children become when root starts us; NULL: nobody else */
	char *group;           /* NULL: that of the user */
	char *runtime_dir;     /* holds the pid file, the data and socket of the embedded Redis */

	struct {
		char *cert_pem_file;
		char *key_pem_file; /* NULL: in the same file */
		struct strings sni_pem_files;
		char *client_ca_pem_file; /* NULL: clients need no certificate */
		uint64_t handshake_timeout_ms;
		int handshake_limit; /* of one worker */
	} tls;

	struct {
		int level;  /* enum log_level */
		int format; /* enum log_format */
	} log;

	struct {
		char *address; /* NULL: the embedded Redis, or what the sentinels say */
		/* Of the master that sentinels name; an address has its own. */
		char *user;
		char *password;
		int db;
		struct tls_client_options tls;   /* nothing, unless it is spoken */
		struct strings cluster_address;  /* HOST or HOST:PORT of nodes; none: Redis is no cluster */
		struct strings sentinel_address; /* HOST or HOST:PORT; none: Redis has a fixed address */
		char *sentinel_master_name;
		char *sentinel_user;
		char *sentinel_password;
		struct tls_client_options sentinel_tls;
		char *prefix;
		uint64_t connect_timeout_ms;
		uint64_t call_timeout_ms;
		uint64_t canary_interval_ms; /* how often a worker proves to itself that it hears Redis */
		uint64_t canary_timeout_ms;
		uint64_t presence_ttl_ms;
		uint64_t unsubscribe_linger_ms;
	} redis;

	struct {
		struct strings allowed_origins;
		bool allow_anonymous_connect_without_token;
		bool connect_include_server_time;
		uint64_t ping_interval_ms; /* 0: no pings */
		uint64_t pong_timeout_ms;
		uint64_t stale_close_delay_ms;
		uint64_t queue_max_size; /* bytes of output waiting for one connection */
		int channel_limit;
		int connection_limit;      /* of one worker; 0: none */
		int connection_rate_limit; /* new ones in a second, of one worker; 0: none */
		int history_max_publication_limit;
		int recovery_max_publication_limit;
		uint64_t presence_update_interval_ms;
		uint64_t channel_position_check_delay_ms; /* 0: never */
	} client;

	/* 0: none. An address is one of IPv4, or 64 bits of IPv6. */
	struct {
		int connections_per_address;     /* of one worker */
		int connection_rate_per_address; /* new ones in a second, of one worker */
		int commands_per_second;         /* of one connection */
		uint64_t bytes_per_second;       /* of one connection, in */
		uint64_t head_timeout_ms;
		uint64_t keep_alive_timeout_ms;
	} limits;

	struct {
		struct strings trusted_peers;
	} proxy_protocol, forwarded_for;

	struct {
		uint64_t message_size_limit; /* bytes, all fragments of a message together, decompressed */
		char *handler_prefix;
		struct compression_options compression;
	} websocket;

	struct {
		bool enabled;
		char *handler_prefix;
		uint64_t message_size_limit;
		struct compression_options compression;
	} uni_websocket;

	struct {
		uint64_t cache_size; /* bytes of recent publications that a worker keeps */
	} history;

	struct {
		uint64_t timeout_ms; /* over which a draining worker spreads the closing of its connections */
	} shutdown;

	struct {
		int max_length; /* bytes of a channel name */
		struct channel_options without_namespace;
		struct channel_options *namespaces;
		size_t namespace_count;
	} channel;
};

/* The options for a channel name: those of its namespace, or of the channels without one. The namespace is
 * the text before the first ':', without a leading '$'; empty is none. NULL when it is not configured. */
const struct channel_options *config_channel(const struct config *c, const char *name, size_t len);

/* Whether publications of these channels are kept, and have offsets. */
bool config_has_history(const struct channel_options *o);
/* Whether it is kept who is subscribed, to be asked for or to be told when it changes. */
bool config_has_presence(const struct channel_options *o);
/* Whether that is true of any channel. */
bool config_any_channel(const struct config *config, bool (*has)(const struct channel_options *o));
/* Whether Redis is found by asking sentinels. */
bool config_has_sentinels(const struct config *c);
/* Whether Redis is a Redis Cluster. */
bool config_has_cluster(const struct config *c);
/* Whether the broker has a Redis of its own. */
bool config_has_embedded_redis(const struct config *c);

struct config_flag {
	const char *option; /* dotted name of the option table, "redis.address" */
	const char *value;
	const char *flag; /* as the user wrote it, for messages: "--redis" */
};

/* Where option values come from, later ones win: defaults, file, environment (FANFARE_…), command line. */
struct config_sources {
	const char *file;         /* NULL: that of the variable FANFARE_CONFIG, or none */
	char *const *environment; /* as environ; NULL: not read. Empty variables count as not set. */
	const struct config_flag *flags;
	size_t flag_count;
	bool dev; /* the defaults of dev mode in place of the safe ones */
};

/* Builds a configuration; NULL when anything is wrong, and then each problem is a line in `errors` that names
 * file, line and key ("fanfare.yaml:12: client.ping_interval: ..."). Free with config_free(). */
struct config *config_load(const struct config_sources *sources, struct buf *errors) MUST_CHECK;
void config_free(struct config **c);
/* The effective configuration as YAML that config_load() reads back to the same; secrets (the password in a
 * Redis address) are masked if asked for. */
void config_print(const struct config *c, bool mask_secrets, struct buf *out);
/* Every option with its documentation and default, as a commented YAML file: deploy/fanfare.example.yaml. */
void config_print_example(struct buf *out);
