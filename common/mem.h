/* Memory. Small allocations die when there is none: a broker that cannot get 100 bytes cannot answer either.
 * Sizes that a peer decides go through mem_try_alloc(), after a ceiling was checked. */
#pragma once

#include <stddef.h>

#include "compiler.h"

/* Zeroed memory; aborts with a message when there is none. Freed by mem_free(). */
void *mem_alloc(size_t size);
/* realloc() that aborts; new bytes are not zeroed. */
void *mem_realloc(void *ptr, size_t size);
/* Uninitialised memory, NULL when there is none. */
void *mem_try_alloc(size_t size) MUST_CHECK;
void *mem_try_realloc(void *ptr, size_t size) MUST_CHECK;
char *mem_strdup(const char *s);
/* Copies len bytes and adds a terminating zero. */
char *mem_strndup(const char *s, size_t len);
/* As asprintf(3). For small texts of our own making. */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
void mem_free(void *ptr);
/* What an allocation of that size takes, with what malloc(3) puts around it. */
size_t mem_cost(size_t size);
