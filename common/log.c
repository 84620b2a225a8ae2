#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

enum { LOG_LINE_MAX = 4096, LOG_PER_WINDOW = 5, LOG_WINDOW_MS = 10000 };

static struct {
	enum log_level level;
	enum log_format format;
	char who[32];
	unsigned lost; /* lines that could not be written */
} out = {.level = LOG_INFO, .format = LOG_TEXT};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

struct line {
	char text[LOG_LINE_MAX];
	size_t len;
};
_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line is written at once, or not at all");

void log_setup(enum log_level level, enum log_format format)
{
	out.level = level;
	out.format = format;
}

void log_set_who(const char *who)
{
	snprintf(out.who, sizeof(out.who), "%s", who);
}

enum log_level log_level(void)
{
	return out.level;
}

static void line_put(struct line *l, const char *s, size_t len)
{
	size_t room = sizeof(l->text) - 4 - l->len;

	if (len > room)
		len = room;
	memcpy(l->text + l->len, s, len);
	l->len += len;
}

static void line_puts(struct line *l, const char *s)
{
	line_put(l, s, strlen(s));
}

/* What a peer sent must not break the line, nor, in JSON, the string. Bytes that are not ASCII are kept in
 * text and escaped in JSON, where they might not be UTF-8. */
static void line_escape(struct line *l, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		char esc[8];

		if (c < 0x20 || c == 0x7f || (out.format == LOG_JSON && c >= 0x80))
			line_put(l, esc,
			         (size_t)snprintf(esc, sizeof(esc),
			                          out.format == LOG_JSON ? "\\u%04x" : "\\x%02x", c));
		else if (out.format == LOG_JSON && (c == '"' || c == '\\'))
			line_put(l, (char[]){'\\', (char)c}, 2);
		else
			line_put(l, s, 1);
	}
}

static void line_time(struct line *l)
{
	struct timespec ts;
	struct tm tm;
	char stamp[40];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(stamp + n, sizeof(stamp) - n, ".%03ldZ", ts.tv_nsec / 1000000);
	line_put(l, stamp, n);
}

static void line_text(struct line *l, enum log_level level, const char *subject, const char *message)
{
	line_time(l);
	line_puts(l, " ");
	line_puts(l, level_names[level]);
	line_puts(l, " ");
	if (out.who[0] != '\0') {
		line_puts(l, "[");
		line_puts(l, out.who);
		line_puts(l, "] ");
	}
	if (subject != NULL) {
		line_escape(l, subject);
		line_puts(l, ": ");
	}
	line_escape(l, message);
}

static void line_json_member(struct line *l, const char *name, const char *value)
{
	line_puts(l, ",\"");
	line_puts(l, name);
	line_puts(l, "\":\"");
	line_escape(l, value);
	line_puts(l, "\"");
}

static void line_json(struct line *l, enum log_level level, const char *subject, const char *message)
{
	line_puts(l, "{\"time\":\"");
	line_time(l);
	line_puts(l, "\"");
	line_json_member(l, "level", level_names[level]);
	if (out.who[0] != '\0')
		line_json_member(l, "process", out.who);
	if (subject != NULL)
		line_json_member(l, "subject", subject);
	line_json_member(l, "message", message);
	line_puts(l, "}");
}

/* When whoever reads the log has stopped to, lines are lost and counted; the process does not stand still. A
 * pipe that can be written at all takes PIPE_BUF bytes at once (pipe(7)), and no line is longer. */
static bool can_write(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) != 0;
}

static void line_write(const struct line *l)
{
	if (!can_write()) {
		out.lost++;
		return;
	}
	while (write(STDERR_FILENO, l->text, l->len) < 0 && errno == EINTR)
		continue;
	if (out.lost > 0) {
		unsigned lost = out.lost;

		out.lost = 0;
		log_warning("%u lines of the log were lost: nobody read them", lost);
	}
}

void log_line(enum log_level level, const char *subject, const char *fmt, ...)
{
	/* A message is cut so that even with every byte escaped the JSON line stays whole. */
	char message[LOG_LINE_MAX / 8];
	struct line l = {.len = 0};
	int saved = errno;
	va_list args;

	if (level < out.level)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	if (out.format == LOG_JSON)
		line_json(&l, level, subject, message);
	else
		line_text(&l, level, subject, message);
	l.text[l.len++] = '\n';
	line_write(&l);
	errno = saved;
}

void log_lines(enum log_level level, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t line_len = newline != NULL ? (size_t)(newline - text) - at : len - at;

		log_line(level, NULL, "%.*s", (int)line_len, text + at);
		at += line_len + 1;
	}
}

bool log_allowed(struct log_limit *limit)
{
	uint64_t now = clock_ms();

	if (now >= limit->window_ends_ms) {
		if (limit->suppressed > 0)
			log_info("%u similar lines were not logged", limit->suppressed);
		*limit = (struct log_limit){.window_ends_ms = now + LOG_WINDOW_MS};
	}
	if (limit->in_window < LOG_PER_WINDOW) {
		limit->in_window++;
		return true;
	}
	limit->suppressed++;
	return false;
}
