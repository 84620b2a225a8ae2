/* The messages of the client protocol (version 2) as data, apart from any encoding. Members are called as in
 * the protocol's schema. Strings and payloads are borrowed, from the decoded message or from who replies. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "codes.h"

/* In the order in which the first request that is present wins (client protocol 5). */
#define COMMANDS(X)                       \
	X(CONNECT, connect)               \
	X(SUBSCRIBE, subscribe)           \
	X(UNSUBSCRIBE, unsubscribe)       \
	X(PUBLISH, publish)               \
	X(PRESENCE, presence)             \
	X(PRESENCE_STATS, presence_stats) \
	X(HISTORY, history)               \
	X(RPC, rpc)                       \
	X(SEND, send)                     \
	X(REFRESH, refresh)               \
	X(SUB_REFRESH, sub_refresh)

enum command_kind {
#define COMMAND_ENUM(upper, lower) COMMAND_##upper,
	COMMANDS(COMMAND_ENUM)
#undef COMMAND_ENUM
		COMMAND_KINDS,
	COMMAND_PONG = COMMAND_KINDS, /* no id and no send */
	COMMAND_UNKNOWN,              /* an id, but no known request: fatal. Also a lone `ping` */
};

/* Bits of the flag of a subscribe request. */
enum { FLAG_CHANNEL_IDS = 1, FLAG_STRICT_RECOVERY = 2 };

struct subscribe_request {
	struct bytes channel;
	struct bytes token;
	bool recover, positioned, recoverable, join_leave;
	struct bytes epoch;
	uint64_t offset;
	struct bytes data; /* raw; ptr NULL when absent */
	struct bytes delta;
	struct bytes tf; /* raw tags filter; ptr NULL when absent */
	int64_t flag;
	int32_t type, phase, limit;
	struct bytes cursor;
	bool asc;
};

struct connect_request {
	struct bytes token;
	struct bytes data;
	struct bytes name;
	struct bytes version;
	int64_t flag;
	/* The members of `subs`: each a request with its channel filled in from the member's name. As many as
	 * the message has room for; a channel may be named twice. */
	struct subscribe_request *subs;
	size_t sub_count;
};

struct publish_request {
	struct bytes channel;
	struct bytes data; /* raw; ptr NULL when absent, "null" is a value */
	int32_t type;
	struct bytes key;
	bool removed;
};

struct history_request {
	struct bytes channel;
	int32_t limit;
	bool has_since;
	struct {
		uint64_t offset;
		struct bytes epoch;
	} since;
	bool reverse;
};

struct command {
	uint32_t id;
	enum command_kind kind;
	bool has_ping; /* a `ping` request stood beside */
	union {
		struct connect_request connect;
		struct subscribe_request subscribe;
		struct publish_request publish;
		struct history_request history;
		struct {
			struct bytes channel;
		} unsubscribe, presence, presence_stats;
		struct {
			struct bytes method;
			struct bytes data;
		} rpc;
		struct {
			struct bytes data;
		} send;
		struct {
			struct bytes token;
		} refresh;
		struct {
			struct bytes channel;
			struct bytes token;
			int32_t type;
		} sub_refresh;
	};
};

struct client_info {
	struct bytes user;
	struct bytes client;
	struct bytes conn_info; /* raw JSON; ptr NULL when absent */
	struct bytes chan_info;
};

struct tag {
	struct bytes key;
	struct bytes value;
};

struct publication {
	struct bytes data;              /* raw JSON, without raw newlines */
	const struct client_info *info; /* NULL: not published by a client */
	uint64_t offset;                /* 0: none */
	struct bytes epoch;             /* sent with offset 1 only */
	const struct tag *tags;
	size_t tag_count;
};

struct subscribe_result {
	struct bytes channel; /* used in `subs` of a connect result only */
	bool expires;
	uint32_t ttl;
	bool recoverable, recovered, positioned, was_recovering, delta;
	struct bytes epoch;
	uint64_t offset;
	struct bytes publications; /* as codec->put_publication() has put them; empty: none */
	struct bytes data;
	uint64_t id; /* of the channel in pushes, in place of its name; 0: none */
};

struct history_result {
	const struct publication *publications;
	size_t publication_count;
	struct bytes epoch;
	uint64_t offset;
};

struct presence_result {
	const struct client_info *members;
	size_t count;
};

struct presence_stats_result {
	uint32_t num_clients;
	uint32_t num_users;
};

struct connect_result {
	struct bytes client;
	struct bytes version;
	bool expires;
	uint32_t ttl;
	struct bytes data;
	const struct subscribe_result *subs;
	size_t sub_count;
	uint32_t ping;
	bool pong;
	struct bytes session;
	int64_t time_ms;
};

/* A reply: an error, or the result of the command's kind. Kinds without a result are empty objects. */
struct reply {
	uint32_t id;
	enum command_kind kind;
	enum error_code error; /* ERROR_NONE: success */
	union {
		const struct connect_result *connect;
		const struct subscribe_result *subscribe;
		const struct history_result *history;
		const struct presence_result *presence;
		const struct presence_stats_result *presence_stats;
	};
};

enum push_kind { PUSH_PUBLICATION, PUSH_JOIN, PUSH_LEAVE, PUSH_UNSUBSCRIBE, PUSH_DISCONNECT, PUSH_CONNECT };

struct push {
	enum push_kind kind;
	struct bytes channel; /* empty for PUSH_DISCONNECT and PUSH_CONNECT */
	uint64_t id;          /* in place of the channel, if not 0 */
	union {
		const struct publication *publication;
		const struct client_info *info; /* of PUSH_JOIN and PUSH_LEAVE */
		const struct connect_result *connect;
		struct {
			uint32_t code;
			const char *reason;
		} unsubscribe, disconnect;
	};
};
