/* Small words for the compiler, used everywhere. */
#pragma once

#include <stddef.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a)           (sizeof(a) / sizeof((a)[0]))

/* The object that holds `member` at `ptr`: how an embedded watcher, timer or list node finds its owner. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
