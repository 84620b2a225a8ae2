/* Log lines to standard error, as text or JSON, one write(2) a line. Control characters in what peers sent
 * are escaped.
 *
 * error: someone should act; warning: degraded; info: life cycle; debug: per message. Never secrets, tokens
 * or payload above debug. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* For all later lines of this process and its children. */
void log_setup(enum log_level level, enum log_format format);
/* Put into every line: "master", "worker 2". Copied. */
void log_set_who(const char *who);
enum log_level log_level(void);

/* `subject` names what the line is about ("conn 17 127.0.0.1:4711", "channel news"), NULL for none. */
void log_line(enum log_level level, const char *subject, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A line of the log for each line of the text. */
void log_lines(enum log_level level, const char *text, size_t len);

#define log_debug(...)   (log_level() <= LOG_DEBUG ? log_line(LOG_DEBUG, NULL, __VA_ARGS__) : (void)0)
#define log_info(...)    log_line(LOG_INFO, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, NULL, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERROR, NULL, __VA_ARGS__)

/* For lines that a peer can cause: true for the first few in each ten seconds; the first line let through
 * after a silence says how many were held back. One static struct per place: static struct log_limit limit;
 *     if (log_allowed(&limit)) log_warning(...); */
struct log_limit {
	uint64_t window_ends_ms;
	unsigned in_window;
	unsigned suppressed;
};
bool log_allowed(struct log_limit *limit);
