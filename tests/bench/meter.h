/* What the kernel says about processes: CPU time and memory. Lists of processes are texts like "12,34". */
#pragma once

#include <stdint.h>

struct cpu {
	uint64_t ns;         /* user and system */
	uint64_t ticks;      /* the same, counted coarsely, */
	uint64_t user_ticks; /* and how much of that was user time */
};

/* Sum over the threads of the processes. What runs this moment is a tick late: read it when they rest. */
struct cpu meter_cpu(const char *pids);
struct cpu meter_since(struct cpu before, struct cpu after);
/* User time in nanoseconds: the fine sum, divided as the coarse one is. */
double meter_user_ns(struct cpu spent);
/* CPU time of this process, in nanoseconds. */
uint64_t meter_own_ns(void);
/* Proportional set size of the processes: bytes of user memory that is no file's, shared pages divided by who
 * shares them. */
uint64_t meter_memory(const char *pids);
