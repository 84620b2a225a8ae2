/* A world of its own around one worker: time that jumps from event to event, chance that comes from the seed,
 * sockets in memory (sim_net.h). The real worker runs in it, unmodified, from worker_run() to its return, in
 * this one thread; its system calls end here (sim_syscalls.c). The same seed gives the same run, to the byte.
 *
 * Memory of the world comes from an arena that is emptied between two seeds, so that what malloc() says is
 * the worker's alone. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

enum { SIM_MS = 1000, SIM_SECOND = 1000 * SIM_MS }; /* in microseconds */
#define SIM_NEVER UINT64_MAX

/* What the world is like, drawn from the seed. Chances are in 10,000. */
struct sim_weather {
	bool lies; /* off: the system calls tell the truth, and nothing breaks */
	unsigned short_read;
	unsigned short_write;
	unsigned again_read;  /* EAGAIN, although there is something */
	unsigned again_write; /* EAGAIN, although there is room */
	unsigned interrupted; /* EINTR */
	unsigned late;        /* ready, and not told yet */
	unsigned spurious;    /* told, and not ready */
	unsigned accept_fails;
	unsigned socket_fails;
	unsigned option_fails;
	unsigned client_breaks; /* a call on the socket of a client: ECONNRESET, EPIPE, ETIMEDOUT */
	unsigned redis_breaks;  /* the same on a socket to Redis */
	unsigned no_memory;     /* mem_try_alloc() */
	unsigned latency_us;    /* at most, of each piece of data on each link */
	unsigned turn_us;       /* at most, that a turn of the worker takes */
};

/* What was seen, over all seeds: a test that meets nothing proves nothing. */
#define SIM_COUNTS(X)            \
	X(turns)                 \
	X(short_reads)           \
	X(short_writes)          \
	X(false_again)           \
	X(interrupted)           \
	X(spurious)              \
	X(late)                  \
	X(accept_failures)       \
	X(socket_failures)       \
	X(connect_failures)      \
	X(option_failures)       \
	X(broken_clients)        \
	X(broken_redis)          \
	X(no_memory)             \
	X(holes)                 \
	X(stalls)                \
	X(clock_jumps)           \
	X(redis_pauses)          \
	X(redis_restarts)        \
	X(redis_cuts)            \
	X(epoch_losses)          \
	X(recoveries)            \
	X(caught_up)             \
	X(told_losses)           \
	X(handshakes)            \
	X(commands)              \
	X(replies)               \
	X(error_replies)         \
	X(pings)                 \
	X(publications)          \
	X(deliveries)            \
	X(excused_losses)        \
	X(slow_closes)           \
	X(shutdown_closes)       \
	X(no_pong_closes)        \
	X(stale_closes)          \
	X(bad_request_closes)    \
	X(protocol_error_closes) \
	X(refusals)              \
	X(http_responses)        \
	X(ready_answers)         \
	X(not_ready_answers)     \
	X(drains)                \
	X(drains_with_lies)      \
	X(masters_gone)          \
	X(stops)                 \
	X(idle_checks)

struct sim_counts {
#define SIM_COUNT_MEMBER(name) uint64_t name;
	SIM_COUNTS(SIM_COUNT_MEMBER)
#undef SIM_COUNT_MEMBER
};

struct sim {
	uint64_t seed;
	uint64_t now_us;
	int64_t unix_offset_us; /* of the wall clock */
	uint64_t stalled_us;    /* when the worker stood still last */
	struct sim_weather weather;
	uint64_t trace; /* hash of all that happened */
	bool running;   /* system calls are ours */
	bool verbose;
	struct sim_counts counts;
};
extern struct sim sim;

/* Forgets everything but the counts. */
void sim_start(uint64_t seed);

/* --- chance --- */
uint64_t sim_random(void);
/* 0 … n-1 */
uint32_t sim_below(uint32_t n);
/* from … to, both included */
uint32_t sim_between(uint32_t from, uint32_t to);
bool sim_chance(unsigned in_10000);
/* A chance that is only taken while the weather has lies. */
bool sim_lies(unsigned in_10000);

/* --- time --- */
/* Runs once, after so long. There is no cancelling: what it does is guarded by its owner's state. */
void sim_after(uint64_t delay_us, void (*run)(void *ctx), void *ctx);
/* When the next event is due. */
uint64_t sim_next_us(void);
/* Moves the time, and runs what is due by then. */
void sim_advance(uint64_t to_us);

/* --- memory: lives until the next seed --- */
/* Zeroed. */
void *sim_alloc(size_t size);
/* With whatever is in it. */
void *sim_alloc_bytes(size_t size);

/* Joins the trace. */
void sim_trace(uint64_t value);
void sim_trace_bytes(const char *data, size_t len);
/* A promise is broken: says so, with the seed, and ends the process. */
_Noreturn void sim_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* For those who look at one seed. */
void sim_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
#define SIM_CHECK(condition, ...) ((condition) ? (void)0 : sim_fail(__VA_ARGS__))
