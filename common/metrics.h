/* Counters and gauges. One list; each process counts into its own slot of a page that the master maps and
 * shares, and whoever reads sums the slots. A slot outlives its process: counters of a worker that died are
 * not lost. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* COUNTER only grows. GAUGE is zeroed when a process takes over the slot. */
#define METRICS(COUNTER, GAUGE)                                                                        \
	GAUGE(connections, "Open connections, of any kind")                                            \
	GAUGE(clients, "Clients that are connected in the sense of the client protocol")               \
	GAUGE(subscriptions, "Subscriptions of clients")                                               \
	GAUGE(channels, "Channels with at least one subscriber in a worker")                           \
	GAUGE(redis_ready, "Workers whose Redis links are up and hear their canary")                   \
	GAUGE(redis_sentinels, "Redis Sentinels that answer, each for each worker")                    \
	COUNTER(redis_master_changes, "Times a worker went to another master, by its sentinels")       \
	COUNTER(connections_accepted, "Connections accepted")                                          \
	COUNTER(connections_refused, "Connections refused at client.connection_limit")                 \
	COUNTER(refused_descriptors, "Connections refused because descriptors were short")             \
	COUNTER(refused_rate, "Connections refused at client.connection_rate_limit")                   \
	COUNTER(refused_address, "Connections refused at limits.connections_per_address")              \
	COUNTER(refused_address_rate, "Same, limits.connection_rate_per_address")                      \
	COUNTER(proxy_headers_refused, "Connections whose PROXY header was bad, or late")              \
	COUNTER(origins_refused, "WebSocket requests refused for their Origin")                        \
	COUNTER(heads_refused, "Request heads that were too long")                                     \
	COUNTER(heads_malformed, "Request heads that were no HTTP/1.1, or not one that is answered")   \
	COUNTER(heads_late, "Connections closed because no request head came in time")                 \
	COUNTER(held_back_commands, "Times a client waited at limits.commands_per_second")             \
	COUNTER(held_back_bytes, "Times a client waited at limits.bytes_per_second")                   \
	COUNTER(rate_disconnects, "Connections ended for far too many commands (3013)")                \
	COUNTER(accept_errors, "Failures of accept(2), running out of descriptors above all")          \
	GAUGE(tls_handshakes_in_flight, "TLS handshakes that are not done")                            \
	COUNTER(tls_handshakes, "TLS handshakes done")                                                 \
	COUNTER(tls_resumptions, "TLS handshakes done that resumed a session")                         \
	COUNTER(tls_handshakes_failed, "TLS handshakes that failed, or took too long")                 \
	COUNTER(http_requests, "HTTP requests")                                                        \
	COUNTER(http_errors, "HTTP requests answered with a status of 400 or more")                    \
	COUNTER(commands, "Commands of the client protocol")                                           \
	COUNTER(command_errors, "Commands answered with an error")                                     \
	COUNTER(disconnects, "Connections that the broker ended with a code")                          \
	COUNTER(slow_disconnects, "Connections ended because they did not read (3008)")                \
	GAUGE(answer_bytes, "Bytes of answers that wait for their clients to read")                    \
	COUNTER(answers_full, "Times no more answers were made, as clients had not read theirs")       \
	COUNTER(publications_received, "Publications that came from Redis")                            \
	COUNTER(publications_invalid, "Messages from Redis that were no publication and were dropped") \
	COUNTER(publications_repeated, "Publications that came from Redis once more and were dropped") \
	COUNTER(publications_filled, "Publications read from the history because they were missed")    \
	COUNTER(publications_shed, "Publications dropped because more came than could be delivered")   \
	COUNTER(positions_lost, "Losses of publications that the history could not make good")         \
	COUNTER(publications_sent, "Publications published into Redis for clients")                    \
	COUNTER(deliveries, "Publications handed to a connection")                                     \
	COUNTER(bytes_received, "Bytes read from clients")                                             \
	COUNTER(bytes_sent, "Bytes written to clients")                                                \
	COUNTER(presence_updates_refused, "Times Redis refused to be told who is there")               \
	COUNTER(presence_reads_refused, "Times Redis refused to say who is there")                     \
	COUNTER(redis_connects, "Connections made to Redis")                                           \
	COUNTER(redis_link_losses, "Connections to Redis that were lost or given up")                  \
	COUNTER(redis_call_failures, "Calls to Redis that failed or were not answered in time")        \
	COUNTER(redis_canaries_missed, "Canaries that were not heard in time")

enum metric {
#define METRIC_ENUM(name, help) METRIC_##name,
	METRICS(METRIC_ENUM, METRIC_ENUM)
#undef METRIC_ENUM
		METRIC_COUNT
};

struct metrics_slot {
	_Alignas(64) uint64_t values[METRIC_COUNT];
};

/* Points at a private slot until metrics_use() is called, so that code may count before, or without, the
 * shared page. */
extern struct metrics_slot *metrics_mine;

/* Maps a zeroed page of slots shared with all children to come. NULL with errno on failure. */
struct metrics_slot *metrics_map(size_t slots) MUST_CHECK;
/* From now on this process counts into the slot; its gauges start at zero. */
void metrics_use(struct metrics_slot *slot);
/* The process that counted into the slot is gone, and so is what its gauges told. For the master. */
void metrics_retire(struct metrics_slot *slot);
/* Sum over slots. */
uint64_t metrics_sum(const struct metrics_slot *slots, size_t count, enum metric metric);
/* All metrics in the text format of Prometheus, names prefixed fanfare_. */
void metrics_print(const struct metrics_slot *slots, size_t count, struct buf *out);

/* One writer a slot: a plain store, made whole for readers in other processes by its size. */
#define metrics_add(name, n)                                   \
	__atomic_store_n(&metrics_mine->values[METRIC_##name], \
	                 metrics_mine->values[METRIC_##name] + (uint64_t)(n), __ATOMIC_RELAXED)
#define metrics_inc(name) metrics_add(name, 1)
#define metrics_dec(name) metrics_add(name, -1)
#define metrics_set(name, n) \
	__atomic_store_n(&metrics_mine->values[METRIC_##name], (uint64_t)(n), __ATOMIC_RELAXED)
