#include "options.h"

#include <string.h>

#include "address.h"
#include "ascii.h"
#include "config.h"
#include "ip.h"
#include "redis_url.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum {
	MS = 1,
	SECOND = 1000,
	MINUTE = 60 * SECOND,
	HOUR = 60 * MINUTE,
};

#define DAY (24ull * HOUR)

/* The socket of the embedded Redis stands in the runtime directory, and has to fit into a sockaddr_un. */
enum { RUNTIME_DIR_MAX = 88, NAMESPACE_NAME_MAX = 64, FILE_PATH_MAX = 4000 };

static const char *const log_levels[] = {"debug", "info", "warning|warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const recovery_modes[] = {"stream", "cache", NULL};
static const char *const data_formats[] = {"any|", "json", "json_object", "binary", NULL};

static bool check_listen(const char *text, const char **reason)
{
	struct address_manner manner;
	struct address address;

	return address_parse(address_manner(text, &manner), &address, reason);
}

static bool check_redis_address(const char *text, const char **reason)
{
	struct redis_url url;
	bool good = redis_url_parse(text, &url, reason);

	redis_url_free(&url);
	return good;
}

static bool check_place(const char *text, const char **reason)
{
	struct redis_url url;
	bool good = redis_url_parse_host(text, REDIS_PORT, &url, reason);

	if (strchr(text, '/') != NULL)
		*reason = "must be HOST or HOST:PORT, neither a URL nor a unix socket";

	redis_url_free(&url);
	return good;
}

static bool only_holds(const char *text, const char *others)
{
	for (; *text != '\0'; text++) {
		if (!ascii_is_letter(*text) && !ascii_is_digit(*text) && strchr(others, *text) == NULL)
			return false;
	}
	return true;
}

/* Names beside the channels are made from the prefix without its last byte, "fanfare.control": that byte
 * keeps them apart. A brace would be a hash tag of Redis Cluster. */
static bool check_redis_prefix(const char *text, const char **reason)
{
	*reason = "must be of letters, digits, '-', '_', '.' and ':', and end with ':'";
	return text[0] != '\0' && text[0] != ':' && text[strlen(text) - 1] == ':' && only_holds(text, "-_.:");
}

static bool is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Browsers leave the port out if it is the usual one of the scheme. */
static bool has_usual_port(const char *text)
{
	return (strncmp(text, "https:", 6) == 0 && ends_with(text, ":443")) ||
	       (strncmp(text, "http:", 5) == 0 && ends_with(text, ":80"));
}

/* What no browser ever sends would never match, which is hard to find out: paths, names that are not in the
 * writing of the DNS, and ports that go without saying. */
static bool check_origin(const char *text, const char **reason)
{
	const char *host = strstr(text, "://");

	if (!is_ascii(text)) {
		*reason = "must have its name in the writing of the DNS, xn--...";
		return false;
	}
	if (has_usual_port(text)) {
		*reason = "must not have the usual port of its scheme, which browsers leave out";
		return false;
	}
	*reason =
		"must be an origin such as https://app.example.com or https://*.example.com, without a path, "
		"or *";
	return text[0] != '\0' && strpbrk(text, " \t,\"'") == NULL &&
	       strchr(host != NULL ? host + 3 : text, '/') == NULL;
}

static bool check_path(const char *text, const char **reason)
{
	*reason =
		"must be a path such as /connection/websocket, of letters, digits, '-', '_', '.' and '/', not "
		"ending with '/'";
	return text[0] == '/' && text[1] != '\0' && text[strlen(text) - 1] != '/' &&
	       strstr(text, "//") == NULL && only_holds(text, "-_./");
}

static bool check_namespace_name(const char *text, const char **reason)
{
	*reason = "must be of letters, digits, '-', '_' and '.', and not empty";
	return text[0] != '\0' && only_holds(text, "-_.");
}

static bool check_directory(const char *text, const char **reason)
{
	*reason = "must be the path of a directory";
	return text[0] != '\0';
}

/* Sentinel takes no others, says its sentinel.conf. */
static bool check_master_name(const char *text, const char **reason)
{
	*reason = "must be of letters, digits, '-', '_' and '.', and not empty";
	return text[0] != '\0' && only_holds(text, "-_.");
}

static bool check_not_empty(const char *text, const char **reason)
{
	*reason = "must not be empty";
	return text[0] != '\0';
}

static bool check_account(const char *text, const char **reason)
{
	*reason = "must be a name";
	return text[0] != '\0';
}

static bool check_file(const char *text, const char **reason)
{
	*reason = "must be the path of a file";
	return text[0] != '\0';
}

static bool check_server_name(const char *text, const char **reason)
{
	*reason = "must be a name or an address, without a port";
	return text[0] != '\0' && only_holds(text, "-_.:");
}

#define IN_CONFIG(field) .offset = offsetof(struct config, field)

static const struct option broker_rows[] = {
	{.name = "dev",
         .type = OPTION_BOOL,
         IN_CONFIG(dev),
         .fallback = "false",
         .doc = "Dev mode, for trying things out: other defaults, which let anybody in, and the demo pages."},
	{.name = "listen",
         .type = OPTION_STRINGS,
         IN_CONFIG(listen),
         .fallback = "0.0.0.0:8080",
         .dev = "127.0.0.1:8080",
         .min = 1,
         .max = 64,
         .check = check_listen,
         .doc = "Where to listen: IPV4:PORT, [IPV6]:PORT, localhost:PORT, :PORT (all addresses) or unix:/PATH. "
                "With tls: before it, TLS is spoken there: tls:0.0.0.0:8443. With deflate: before it, websocket.compression "
                "and uni_websocket.compression are on there."},
	{.name = "workers",
         .type = OPTION_INT,
         IN_CONFIG(workers),
         .fallback = "auto",
         .min = 1,
         .max = 1024,
         .zero_word = "auto",
         .doc = "Worker processes; auto: one for each CPU that the broker may use."},
	{.name = "sandbox",
         .type = OPTION_BOOL,
         IN_CONFIG(sandbox),
         .fallback = "true",
         .doc = "Workers give up system calls that they never need (seccomp): they start no program, write no file, touch no "
                "other process."},
	{.name = "user",
         .type = OPTION_STRING,
         IN_CONFIG(user),
         .min = 1,
         .max = 256,
         .check = check_account,
         .doc = "When root starts the broker: the user that the workers and the embedded Redis become. The master, "
                "which reads nothing from the network, stays root; absent: they all do."},
	{.name = "group",
         .type = OPTION_STRING,
         IN_CONFIG(group),
         .min = 1,
         .max = 256,
         .check = check_account,
         .doc = "The group that they become; who is in it may connect to the unix sockets of listen; absent: that of "
                "the user."},
	{.name = "runtime_dir",
         .type = OPTION_STRING,
         IN_CONFIG(runtime_dir),
         .max = RUNTIME_DIR_MAX,
         .check = check_directory,
         .doc = "Directory of the pid file and of the embedded Redis; absent: /var/lib/fanfare for root, "
                "~/.local/state/fanfare for others."},

	{.name = "tls.cert_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(tls.cert_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "The certificate, and those that lead from it to its authority, for the addresses that begin with "
                "tls:. An OCSP response beside it, as FILE.ocsp, is shown to clients."},
	{.name = "tls.key_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(tls.key_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "Its private key, without a password; absent: it stands in tls.cert_pem_file."},
	{.name = "tls.sni_pem_files",
         .type = OPTION_STRINGS,
         IN_CONFIG(tls.sni_pem_files),
         .fallback = "",
         .max = 256,
         .check = check_file,
         .doc = "More certificates, for clients that ask for a name in them: files with certificate and private "
                "key. Who asks for another name is shown tls.cert_pem_file."},
	{.name = "tls.client_ca_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(tls.client_ca_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "Authorities of clients: who has no certificate of one of them is refused; absent: nobody needs one."},
	{.name = "tls.handshake_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(tls.handshake_timeout_ms),
         .fallback = "5s",
         .min = 10 * MS,
         .max = 10 * SECOND,
         .doc = "How long a TLS handshake may take."},
	{.name = "tls.handshake_limit",
         .type = OPTION_INT,
         IN_CONFIG(tls.handshake_limit),
         .fallback = "1000",
         .min = 1,
         .max = 100000,
         .doc = "How many handshakes a worker has in hand at once; at more, the oldest ends."},

	{.name = "log.level",
         .type = OPTION_WORD,
         IN_CONFIG(log.level),
         .fallback = "info",
         .words = log_levels,
         .reloadable = true,
         .doc = "What is logged: this and what is more important."},
	{.name = "log.format",
         .type = OPTION_WORD,
         IN_CONFIG(log.format),
         .fallback = "text",
         .words = log_formats,
         .reloadable = true,
         .doc = "How log lines are written."},

	{.name = "redis.address",
         .type = OPTION_STRING,
         IN_CONFIG(redis.address),
         .max = 1024,
         .check = check_redis_address,
         .secret = true,
         .doc = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for the same over TLS, or unix:/PATH; absent: the "
                "broker runs a Redis of its own."},
	{.name = "redis.user",
         .type = OPTION_STRING,
         IN_CONFIG(redis.user),
         .max = 256,
         .check = check_not_empty,
         .doc = "The user at what redis.sentinel_address or redis.cluster_address lead to; absent: the default user."},
	{.name = "redis.password",
         .type = OPTION_STRING,
         IN_CONFIG(redis.password),
         .max = 1024,
         .check = check_not_empty,
         .secret = true,
         .opaque = true,
         .doc = "Its password; absent: none."},
	{.name = "redis.db",
         .type = OPTION_INT,
         IN_CONFIG(redis.db),
         .fallback = "0",
         .max = 65535,
         .doc = "The number of the database there."},
	{.name = "redis.prefix",
         .type = OPTION_STRING,
         IN_CONFIG(redis.prefix),
         .fallback = "fanfare:",
         .min = 1,
         .max = 64,
         .check = check_redis_prefix,
         .doc = "Begins the name of every channel in Redis; nothing else in Redis is looked at."},
	{.name = "redis.connect_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(redis.connect_timeout_ms),
         .fallback = "2s",
         .min = 10 * MS,
         .max = MINUTE,
         .reloadable = true,
         .doc = "How long connecting to Redis may take."},
	{.name = "redis.call_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(redis.call_timeout_ms),
         .fallback = "3s",
         .min = 10 * MS,
         .max = MINUTE,
         .reloadable = true,
         .doc = "How long an answer of Redis is waited for."},
	{.name = "redis.canary_interval",
         .type = OPTION_DURATION,
         IN_CONFIG(redis.canary_interval_ms),
         .fallback = "2s",
         .min = 10 * MS,
         .max = MINUTE,
         .reloadable = true,
         .doc = "How often a worker proves, by a message to itself, that it hears what is published in Redis."},
	{.name = "redis.canary_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(redis.canary_timeout_ms),
         .fallback = "3s",
         .min = 10 * MS,
         .max = MINUTE,
         .reloadable = true,
         .doc = "After how long without hearing it a worker counts as deaf: not ready, and making a new "
                "connection."},
	{.name = "redis.presence_ttl",
         .type = OPTION_DURATION,
         IN_CONFIG(redis.presence_ttl_ms),
         .fallback = "20s",
         .min = SECOND,
         .max = HOUR,
         .reloadable = true,
         .doc = "How long a worker that is not heard of any more, because its host died, say, has its members in "
                "the presence of channels."},
	{.name = "redis.unsubscribe_linger",
         .type = OPTION_DURATION,
         IN_CONFIG(redis.unsubscribe_linger_ms),
         .fallback = "5s",
         .max = HOUR,
         .reloadable = true,
         .doc = "How long a worker stays subscribed in Redis after the last subscriber left, for those who come "
                "back."},
	{.name = "redis.tls.enabled",
         .type = OPTION_BOOL,
         IN_CONFIG(redis.tls.enabled),
         .fallback = "false",
         .doc = "Speaks TLS to what redis.sentinel_address or redis.cluster_address lead to; an address of rediss:// says so itself."},
	{.name = "redis.tls.cert_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(redis.tls.cert_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "The certificate that is shown to a Redis that is spoken to over TLS; absent: none."},
	{.name = "redis.tls.key_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(redis.tls.key_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "Its private key, without a password; absent: it stands in redis.tls.cert_pem_file."},
	{.name = "redis.tls.server_ca_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(redis.tls.server_ca_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "Authorities that the certificate of Redis may come from; absent: those that the system trusts."},
	{.name = "redis.tls.server_name",
         .type = OPTION_STRING,
         IN_CONFIG(redis.tls.server_name),
         .max = 253,
         .check = check_server_name,
         .doc = "The name or the address that the certificate of Redis must be for; absent: HOST of redis.address, or what "
                "the sentinels or the nodes call it."},
	{.name = "redis.tls.insecure_skip_verify",
         .type = OPTION_BOOL,
         IN_CONFIG(redis.tls.insecure_skip_verify),
         .fallback = "false",
         .doc = "Takes any certificate of Redis: who is in between can read and change everything. For trying things "
                "out."},
	{.name = "redis.cluster_address",
         .type = OPTION_STRINGS,
         IN_CONFIG(redis.cluster_address),
         .max = 16,
         .check = check_place,
         .doc = "HOST[:PORT] of nodes of a Redis Cluster; port 6379 if none is given. Two or three of them will do, they name "
                "the others."},
	{.name = "redis.sentinel_address",
         .type = OPTION_STRINGS,
         IN_CONFIG(redis.sentinel_address),
         .max = 16,
         .check = check_place,
         .doc = "HOST[:PORT] of Redis Sentinels, which know where Redis is; port 26379 if none is given. Three of them will "
                "do, they name the others."},
	{.name = "redis.sentinel_master_name",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_master_name),
         .max = 128,
         .check = check_master_name,
         .doc = "What the sentinels call the master."},
	{.name = "redis.sentinel_user",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_user),
         .max = 256,
         .check = check_not_empty,
         .doc = "The user at the sentinels; absent: the default user."},
	{.name = "redis.sentinel_password",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_password),
         .max = 1024,
         .check = check_not_empty,
         .secret = true,
         .opaque = true,
         .doc = "The password of the sentinels themselves; absent: none."},
	{.name = "redis.sentinel_tls.enabled",
         .type = OPTION_BOOL,
         IN_CONFIG(redis.sentinel_tls.enabled),
         .fallback = "false",
         .doc = "Speaks TLS to the sentinels."},
	{.name = "redis.sentinel_tls.cert_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_tls.cert_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "The certificate that is shown to sentinels; absent: none."},
	{.name = "redis.sentinel_tls.key_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_tls.key_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "Its private key, without a password; absent: it stands in redis.sentinel_tls.cert_pem_file."},
	{.name = "redis.sentinel_tls.server_ca_pem_file",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_tls.server_ca_pem_file),
         .max = FILE_PATH_MAX,
         .check = check_file,
         .doc = "Authorities that certificates of sentinels may come from; absent: those that the system trusts."},
	{.name = "redis.sentinel_tls.server_name",
         .type = OPTION_STRING,
         IN_CONFIG(redis.sentinel_tls.server_name),
         .max = 253,
         .check = check_server_name,
         .doc = "The name or the address that certificates of sentinels must be for; absent: HOST of each."},
	{.name = "redis.sentinel_tls.insecure_skip_verify",
         .type = OPTION_BOOL,
         IN_CONFIG(redis.sentinel_tls.insecure_skip_verify),
         .fallback = "false",
         .doc = "Takes any certificate of sentinels: who is in between can name another master. For trying things out."},

	{.name = "client.allowed_origins",
         .type = OPTION_STRINGS,
         IN_CONFIG(client.allowed_origins),
         .fallback = "",
         .dev = "* null",
         .max = 256,
         .check = check_origin,
         .reloadable = true,
         .doc = "Origins of the web pages that may connect; * stands for a part of the name or the port, alone for all "
                "but null, the origin of sandboxed frames and files. Clients that are no browsers send none and pass."},
	{.name = "client.allow_anonymous_connect_without_token",
         .type = OPTION_BOOL,
         IN_CONFIG(client.allow_anonymous_connect_without_token),
         .fallback = "false",
         .dev = "true",
         .reloadable = true,
         .doc = "Lets clients connect that do not say who they are."},
	{.name = "client.connect_include_server_time",
         .type = OPTION_BOOL,
         IN_CONFIG(client.connect_include_server_time),
         .fallback = "false",
         .reloadable = true,
         .doc = "Tells clients the time of the server when they connect."},
	{.name = "client.ping_interval",
         .type = OPTION_DURATION,
         IN_CONFIG(client.ping_interval_ms),
         .fallback = "25s",
         .min = SECOND,
         .max = HOUR,
         .or_zero = true,
         .reloadable = true,
         .doc = "How often a client is pinged; 0: never."},
	{.name = "client.pong_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(client.pong_timeout_ms),
         .fallback = "8s",
         .min = 10 * MS,
         .max = HOUR,
         .reloadable = true,
         .doc = "How long the answer to a ping is waited for; shorter than client.ping_interval."},
	{.name = "client.stale_close_delay",
         .type = OPTION_DURATION,
         IN_CONFIG(client.stale_close_delay_ms),
         .fallback = "10s",
         .min = 10 * MS,
         .max = 10 * MINUTE,
         .reloadable = true,
         .doc = "How long a new connection may take until its client has introduced itself."},
	{.name = "client.queue_max_size",
         .type = OPTION_SIZE,
         IN_CONFIG(client.queue_max_size),
         .fallback = "1MiB",
         .min = KIB,
         .max = GIB,
         .reloadable = true,
         .doc = "How much may wait for a client that reads too slowly before it is disconnected."},
	{.name = "client.channel_limit",
         .type = OPTION_INT,
         IN_CONFIG(client.channel_limit),
         .fallback = "128",
         .min = 1,
         .max = 100000,
         .reloadable = true,
         .doc = "How many channels a client may be subscribed to."},
	{.name = "client.connection_limit",
         .type = OPTION_INT,
         IN_CONFIG(client.connection_limit),
         .fallback = "0",
         .max = 10000000,
         .reloadable = true,
         .doc = "How many connections a worker accepts; 0: as many as it has descriptors for."},
	{.name = "client.history_max_publication_limit",
         .type = OPTION_INT,
         IN_CONFIG(client.history_max_publication_limit),
         .fallback = "300",
         .min = 1,
         .max = 100000,
         .reloadable = true,
         .doc = "How many publications a client gets at most when it asks for the history of a channel."},
	{.name = "client.recovery_max_publication_limit",
         .type = OPTION_INT,
         IN_CONFIG(client.recovery_max_publication_limit),
         .fallback = "300",
         .min = 1,
         .max = 100000,
         .reloadable = true,
         .doc = "How many publications a client may have missed to get them when it comes back."},
	{.name = "client.presence_update_interval",
         .type = OPTION_DURATION,
         IN_CONFIG(client.presence_update_interval_ms),
         .fallback = "27s",
         .min = SECOND,
         .max = HOUR,
         .reloadable = true,
         .doc = "How often a worker compares the presence of each channel in Redis with what it knows."},
	{.name = "client.channel_position_check_delay",
         .type = OPTION_DURATION,
         IN_CONFIG(client.channel_position_check_delay_ms),
         .fallback = "40s",
         .min = SECOND,
         .max = HOUR,
         .or_zero = true,
         .doc = "How long a channel with history may be quiet until its position is compared with Redis; 0: never."},
	{.name = "client.connection_rate_limit",
         .type = OPTION_INT,
         IN_CONFIG(client.connection_rate_limit),
         .fallback = "0",
         .max = 1000000,
         .reloadable = true,
         .doc = "How many new connections a worker accepts in a second; 0: no limit."},

	{.name = "limits.connections_per_address",
         .type = OPTION_INT,
         IN_CONFIG(limits.connections_per_address),
         .fallback = "1000",
         .max = 10000000,
         .reloadable = true,
         .doc = "How many connections a worker has from one address, of IPv6 from one /64; 0: no limit. Loopback, unix "
                "sockets and the trusted_peers below are not counted."},
	{.name = "limits.connection_rate_per_address",
         .type = OPTION_INT,
         IN_CONFIG(limits.connection_rate_per_address),
         .fallback = "100",
         .max = 1000000,
         .reloadable = true,
         .doc = "How many new connections a worker accepts from such an address in a second, ten times that at once; 0: "
                "no limit."},
	{.name = "limits.commands_per_second",
         .type = OPTION_INT,
         IN_CONFIG(limits.commands_per_second),
         .fallback = "500",
         .max = 1000000,
         .reloadable = true,
         .doc = "How many commands and frames of a client are looked at in a second, ten times that at once; others "
                "wait, and who would have to wait longer than 10 s is disconnected (3013); 0: no limit."},
	{.name = "limits.bytes_per_second",
         .type = OPTION_SIZE,
         IN_CONFIG(limits.bytes_per_second),
         .fallback = "1MiB",
         .min = 16 * KIB,
         .max = GIB,
         .or_zero = true,
         .reloadable = true,
         .doc = "How much of what a client sends is read in a second, ten times that at once; the rest waits; 0: no "
                "limit."},
	{.name = "limits.head_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(limits.head_timeout_ms),
         .fallback = "10s",
         .min = 100 * MS,
         .max = 10 * MINUTE,
         .reloadable = true,
         .doc = "How long the head of a request may take, from the beginning of the connection or from its first byte."},
	{.name = "limits.keep_alive_timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(limits.keep_alive_timeout_ms),
         .fallback = "75s",
         .min = 100 * MS,
         .max = HOUR,
         .reloadable = true,
         .doc = "How long an HTTP connection is kept for its next request; longer than the load balancer keeps it."},

	{.name = "proxy_protocol.trusted_peers",
         .type = OPTION_STRINGS,
         IN_CONFIG(proxy_protocol.trusted_peers),
         .fallback = "",
         .max = 256,
         .check = peer_set_check,
         .doc = "Load balancers that begin each connection with a PROXY header, which is then demanded: addresses, ranges "
                "such as 10.0.0.0/8, or unix for all that come over unix sockets."},
	{.name = "forwarded_for.trusted_peers",
         .type = OPTION_STRINGS,
         IN_CONFIG(forwarded_for.trusted_peers),
         .fallback = "",
         .max = 256,
         .check = peer_set_check,
         .doc = "Proxies whose X-Forwarded-For is believed, written in the same way."},

	{.name = "websocket.handler_prefix",
         .type = OPTION_STRING,
         IN_CONFIG(websocket.handler_prefix),
         .fallback = "/connection/websocket",
         .min = 2,
         .max = 128,
         .check = check_path,
         .doc = "The path of the WebSocket endpoint."},
	{.name = "websocket.message_size_limit",
         .type = OPTION_SIZE,
         IN_CONFIG(websocket.message_size_limit),
         .fallback = "64KiB",
         .min = 64,
         .max = 128 * MIB,
         .reloadable = true,
         .doc = "How long a message of a client may be, all its fragments together, and decompressed."},
	{.name = "websocket.compression",
         .type = OPTION_BOOL,
         IN_CONFIG(websocket.compression.enabled),
         .fallback = "false",
         .reloadable = true,
         .doc = "Compresses messages (permessage-deflate) for clients that ask for it: less traffic for more CPU."},
	{.name = "websocket.compression_min_size",
         .type = OPTION_SIZE,
         IN_CONFIG(websocket.compression.min_size),
         .fallback = "0",
         .max = GIB,
         .reloadable = true,
         .doc = "Messages shorter than this are sent as they are; so is what does not get smaller."},
	{.name = "websocket.compression_level",
         .type = OPTION_INT,
         IN_CONFIG(websocket.compression.level),
         .fallback = "1",
         .min = 1,
         .max = 9,
         .reloadable = true,
         .doc = "Level of compression: 1 is fast, 9 makes the smallest messages."},

	{.name = "uni_websocket.enabled",
         .type = OPTION_BOOL,
         IN_CONFIG(uni_websocket.enabled),
         .fallback = "false",
         .dev = "true",
         .doc = "Serves the endpoint for clients that only listen."},
	{.name = "uni_websocket.handler_prefix",
         .type = OPTION_STRING,
         IN_CONFIG(uni_websocket.handler_prefix),
         .fallback = "/connection/uni_websocket",
         .min = 2,
         .max = 128,
         .check = check_path,
         .doc = "The path of this endpoint."},
	{.name = "uni_websocket.message_size_limit",
         .type = OPTION_SIZE,
         IN_CONFIG(uni_websocket.message_size_limit),
         .fallback = "64KiB",
         .min = 64,
         .max = 128 * MIB,
         .reloadable = true,
         .doc = "How long a message of a client may be, all its fragments together, and decompressed."},
	{.name = "uni_websocket.compression",
         .type = OPTION_BOOL,
         IN_CONFIG(uni_websocket.compression.enabled),
         .fallback = "false",
         .reloadable = true,
         .doc = "Compresses messages (permessage-deflate) for clients that ask for it: less traffic for more CPU."},
	{.name = "uni_websocket.compression_min_size",
         .type = OPTION_SIZE,
         IN_CONFIG(uni_websocket.compression.min_size),
         .fallback = "0",
         .max = GIB,
         .reloadable = true,
         .doc = "Messages shorter than this are sent as they are; so is what does not get smaller."},
	{.name = "uni_websocket.compression_level",
         .type = OPTION_INT,
         IN_CONFIG(uni_websocket.compression.level),
         .fallback = "1",
         .min = 1,
         .max = 9,
         .reloadable = true,
         .doc = "Level of compression: 1 is fast, 9 makes the smallest messages."},

	{.name = "history.cache_size",
         .type = OPTION_SIZE,
         IN_CONFIG(history.cache_size),
         .fallback = "64MiB",
         .min = 64 * KIB,
         .max = 64 * GIB,
         .doc = "How much of the newest publications a worker keeps, of all channels with history, so that clients who "
                "come back cost Redis nothing. What is recovered at one time must fit into twice as much."},
	{.name = "shutdown.timeout",
         .type = OPTION_DURATION,
         IN_CONFIG(shutdown.timeout_ms),
         .fallback = "30s",
         .dev = "1s",
         .max = HOUR,
         .reloadable = true,
         .doc = "When it stops, clients are told to go elsewhere one after the other, spread over this time, so that "
                "they do not come back all at once; those that do not answer then get 5 s more."},

	{.name = "channel.max_length",
         .type = OPTION_INT,
         IN_CONFIG(channel.max_length),
         .fallback = "255",
         .min = 1,
         .max = 4096,
         .reloadable = true,
         .doc = "How many bytes the name of a channel may have."},
	{.name = "channel.without_namespace",
         .type = OPTION_CHANNEL,
         IN_CONFIG(channel.without_namespace),
         .reloadable = true,
         .doc = "What holds for channels that are in no namespace, which have no ':' in their name."},
	{.name = "channel.namespaces",
         .type = OPTION_NAMESPACES,
         IN_CONFIG(channel.namespaces),
         .max = 1000,
         .reloadable = true,
         .doc = "What holds for channels NAME:..., a list: each has a name and the options of without_namespace; "
                "the channels of other namespaces do not exist."},
};

_Static_assert(offsetof(struct config, channel.namespace_count) ==
                       offsetof(struct config, channel.namespaces) + sizeof(struct channel_options *),
               "OPTION_NAMESPACES: the count stands behind the pointer");

const struct option_table options_of_broker = {broker_rows, ARRAY_LEN(broker_rows)};

#define IN_CHANNEL(field) .offset = offsetof(struct channel_options, field)

static const struct option namespace_rows[] = {
	{.name = "name",
         .type = OPTION_STRING,
         IN_CHANNEL(name),
         .min = 1,
         .max = NAMESPACE_NAME_MAX,
         .check = check_namespace_name,
         .reloadable = true,
         .doc = "The name of the namespace: what stands before the first ':' of a channel."},
	{.name = "allow_subscribe_for_client",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_subscribe_for_client),
         .fallback = "false",
         .dev = "true",
         .reloadable = true,
         .doc = "Clients that are users may subscribe."},
	{.name = "allow_subscribe_for_anonymous",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_subscribe_for_anonymous),
         .fallback = "false",
         .dev = "true",
         .reloadable = true,
         .doc = "What allow_subscribe_for_client lets users do, clients without a user may do, too."},
	{.name = "allow_publish_for_client",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_publish_for_client),
         .fallback = "false",
         .dev = "true",
         .reloadable = true,
         .doc = "Clients that are users may publish."},
	{.name = "allow_publish_for_subscriber",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_publish_for_subscriber),
         .fallback = "false",
         .reloadable = true,
         .doc = "Clients that are subscribed to the channel may publish."},
	{.name = "allow_publish_for_anonymous",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_publish_for_anonymous),
         .fallback = "false",
         .dev = "true",
         .reloadable = true,
         .doc = "What the two options before let users do, clients without a user may do, too."},
	{.name = "allow_user_limited_channels",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_user_limited_channels),
         .fallback = "false",
         .reloadable = true,
         .doc = "Makes NAME#USER,USER a channel for these users only."},
	{.name = "history_size",
         .type = OPTION_INT,
         IN_CHANNEL(history_size),
         .fallback = "0",
         .max = 1000000,
         .reloadable = true,
         .doc = "How many publications of a channel are kept; 0: none."},
	{.name = "history_ttl",
         .type = OPTION_DURATION,
         IN_CHANNEL(history_ttl_ms),
         .fallback = "0",
         .min = SECOND,
         .max = 3650 * DAY,
         .or_zero = true,
         .reloadable = true,
         .doc = "How long they are kept after the last one; 0: not at all."},
	{.name = "history_meta_ttl",
         .type = OPTION_DURATION,
         IN_CHANNEL(history_meta_ttl_ms),
         .fallback = "720h",
         .min = SECOND,
         .max = 3650 * DAY,
         .reloadable = true,
         .doc = "How long the position of a channel is remembered after its last use; then it begins anew, "
                "and nobody recovers."},
	{.name = "force_positioning",
         .type = OPTION_BOOL,
         IN_CHANNEL(force_positioning),
         .fallback = "false",
         .reloadable = true,
         .doc = "Subscribers are told when they missed something, whether they ask for it or not."},
	{.name = "allow_positioning",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_positioning),
         .fallback = "false",
         .reloadable = true,
         .doc = "Subscribers are told when they missed something, if they ask for it."},
	{.name = "force_recovery",
         .type = OPTION_BOOL,
         IN_CHANNEL(force_recovery),
         .fallback = "false",
         .reloadable = true,
         .doc = "Subscribers that come back get what they missed, whether they ask for it or not."},
	{.name = "allow_recovery",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_recovery),
         .fallback = "false",
         .reloadable = true,
         .doc = "Subscribers that come back get what they missed, if they ask for it."},
	{.name = "force_recovery_mode",
         .type = OPTION_WORD,
         IN_CHANNEL(force_recovery_mode),
         .fallback = "stream",
         .words = recovery_modes,
         .reloadable = true,
         .doc = "What subscribers that come back get: all they missed, or only the newest publication."},
	{.name = "auto_cache_recover",
         .type = OPTION_BOOL,
         IN_CHANNEL(auto_cache_recover),
         .fallback = "false",
         .reloadable = true,
         .doc = "With force_recovery_mode cache: whoever subscribes gets the newest publication at once."},
	{.name = "allow_channel_compaction",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_channel_compaction),
         .fallback = "false",
         .reloadable = true,
         .doc = "Pushes have a number in place of the channel's name, for clients that offer to take it."},
	{.name = "allow_history_for_client",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_history_for_client),
         .fallback = "false",
         .reloadable = true,
         .doc = "Clients that are users may ask for the history."},
	{.name = "allow_history_for_subscriber",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_history_for_subscriber),
         .fallback = "false",
         .reloadable = true,
         .doc = "Clients that are subscribed to the channel may ask for its history."},
	{.name = "allow_history_for_anonymous",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_history_for_anonymous),
         .fallback = "false",
         .reloadable = true,
         .doc = "What the two options before let users do, clients without a user may do, too."},
	{.name = "presence",
         .type = OPTION_BOOL,
         IN_CHANNEL(presence),
         .fallback = "false",
         .reloadable = true,
         .doc = "It is known which clients are subscribed, and can be asked for."},
	{.name = "join_leave",
         .type = OPTION_BOOL,
         IN_CHANNEL(join_leave),
         .fallback = "false",
         .reloadable = true,
         .doc = "Subscribers are told when others subscribe and leave, if they ask for it."},
	{.name = "force_push_join_leave",
         .type = OPTION_BOOL,
         IN_CHANNEL(force_push_join_leave),
         .fallback = "false",
         .reloadable = true,
         .doc = "With join_leave: they are told whether they ask for it or not."},
	{.name = "join_leave_grace",
         .type = OPTION_DURATION,
         IN_CHANNEL(join_leave_grace_ms),
         .fallback = "0",
         .max = HOUR,
         .reloadable = true,
         .doc = "With join_leave: a user who left and is back so soon has neither left nor joined for the others."},
	{.name = "allow_presence_for_client",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_presence_for_client),
         .fallback = "false",
         .reloadable = true,
         .doc = "Clients that are users may ask who is subscribed."},
	{.name = "allow_presence_for_subscriber",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_presence_for_subscriber),
         .fallback = "false",
         .reloadable = true,
         .doc = "Clients that are subscribed to the channel may ask who else is."},
	{.name = "allow_presence_for_anonymous",
         .type = OPTION_BOOL,
         IN_CHANNEL(allow_presence_for_anonymous),
         .fallback = "false",
         .reloadable = true,
         .doc = "What the two options before let users do, clients without a user may do, too."},
	{.name = "publication_data_format",
         .type = OPTION_WORD,
         IN_CHANNEL(publication_data_format),
         .fallback = "any",
         .words = data_formats,
         .reloadable = true,
         .doc = "What may be published."},
};

const struct option_table options_of_namespace = {namespace_rows, ARRAY_LEN(namespace_rows)};
const struct option_table options_of_channel = {namespace_rows + 1, ARRAY_LEN(namespace_rows) - 1};
