/* What the fuzz targets share. A target is one file, fuzz_<name>.c, with LLVMFuzzerTestOneInput(): any
 * bytes are an input, nothing beside them is, and a broken promise ends the process. libFuzzer invents inputs
 * (tests/fuzz/run), replay.c plays those of the corpus (tests/run).
 *
 * An input is given to the parser in memory of exactly its size. What has to come in pieces is cut by
 * fuzz_cut(), in several ways for each input, so that an input is just the bytes that a peer would send. */
#pragma once

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "bytes.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() always there. */
#define CHECK(truth)                                                                          \
	do {                                                                                  \
		if (!(truth)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #truth); \
			abort();                                                              \
		}                                                                             \
	} while (0)

enum { FUZZ_BUF_MAX = 64 << 20 };

/* A copy without a byte to spare, not terminated: a sanitizer sees who goes beyond it. Free with mem_free().
 */
static inline char *fuzz_copy(const void *data, size_t size)
{
	char *copy = mem_try_alloc(size > 0 ? size : 1);

	CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	else
		ASAN_POISON_MEMORY_REGION(copy, 1);
	return copy;
}

/* The same as a text: up to its first zero byte, and terminated. */
static inline char *fuzz_text(const void *data, size_t size)
{
	return mem_strndup(data, strnlen(data, size));
}

/* Only the first `len` bytes of a copy have come so far: a sanitizer sees who touches the rest. */
static inline void fuzz_show(const char *copy, size_t size, size_t len)
{
	ASAN_UNPOISON_MEMORY_REGION(copy, len);
	ASAN_POISON_MEMORY_REGION(copy + len, size - len);
}

/* How an input is cut into pieces: whole, a byte at a time, then at random places. */
enum { FUZZ_CUTS = 8 };

/* Where the piece ends that begins at `at`, in the way of cutting of that number. */
static inline size_t fuzz_cut(unsigned way, size_t at, size_t size)
{
	uint32_t dice = (uint32_t)(at * 2654435761u + way * 40503u + size * 97u);
	size_t piece = way == 0 ? size : way == 1 ? 1 : 1 + (dice ^ dice >> 13) % (1u << way);

	return size - at < piece ? size : at + piece;
}

static inline bool fuzz_same(const struct buf *a, const struct buf *b)
{
	CHECK(buf_ok(a) && buf_ok(b));
	return bytes_eq(buf_bytes(a), buf_bytes(b));
}
