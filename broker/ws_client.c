#include "ws_client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"
#include "random.h"
#include "ws_frame.h"
#include "ws_handshake.h"

enum { HEAD_MAX = 16384, READ_CHUNK = 65536, MASK_LEN = 4 };

struct ws_client {
	int fd;
	const sigset_t *waiting;
	struct buf input;   /* what came */
	size_t decoded;     /* so much of it is done with */
	struct buf message; /* the one in progress, or handed out */
	bool handed_out;
	struct ws_decoder decoder;
	uint16_t close_code; /* 0 while the connection stands */
	char close_reason[WS_CLOSE_REASON_MAX + 1];
};

struct ws_url {
	char *authority; /* as in the URL, for Host */
	char *host;
	char *port;
	char *target;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Poll: 1 when the event is there, 0 when the time is over, -1 when a signal came. */
static int wait_for(const struct ws_client *c, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	uint64_t now = now_ms();
	uint64_t left_ms = deadline_ms > now ? deadline_ms - now : 0;
	struct timespec ts = {
		.tv_sec = (time_t)(left_ms / 1000),
		.tv_nsec = (long)(left_ms % 1000) * 1000000,
	};

	return ppoll(&p, 1, &ts, c->waiting);
}

/* --- the URL --- */

static void url_free(struct ws_url *url)
{
	mem_free(url->authority);
	mem_free(url->host);
	mem_free(url->port);
	mem_free(url->target);
}

static bool is_visible(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static bool split_authority(struct ws_url *url)
{
	const char *text = url->authority;
	const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
	size_t host_len;

	if (text[0] == '[' && bracket == NULL)
		return false;
	if (colon != NULL && bracket != NULL && colon < bracket)
		colon = NULL;
	host_len = colon != NULL ? (size_t)(colon - text) : strlen(text);
	url->host = text[0] == '[' ? mem_strndup(text + 1, (size_t)(bracket - text) - 1)
	                           : mem_strndup(text, host_len);
	url->port = mem_strdup(colon != NULL ? colon + 1 : "80");
	return url->host[0] != '\0' && url->port[0] != '\0' &&
	       url->port[strspn(url->port, "0123456789")] == '\0' && strchr(text, '@') == NULL;
}

static bool url_parse(const char *text, struct ws_url *url)
{
	const char *rest;
	size_t len;

	*url = (struct ws_url){0};
	if (strncmp(text, "ws://", 5) != 0 || !is_visible(text))
		return false;
	rest = text + 5;
	len = strcspn(rest, "/?#");
	url->authority = mem_strndup(rest, len);
	rest += len;
	len = strcspn(rest, "#");
	url->target = mem_printf("%s%.*s", rest[0] == '/' ? "" : "/", (int)len, rest);
	if (split_authority(url))
		return true;
	url_free(url);
	return false;
}

bool ws_client_is_url(const char *text)
{
	struct ws_url url;
	bool good = url_parse(text, &url);

	if (good)
		url_free(&url);
	return good;
}

/* --- opening --- */

static void fail(struct ws_client_failure *f, enum ws_client_error error, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static void fail(struct ws_client_failure *f, enum ws_client_error error, const char *fmt, ...)
{
	va_list args;

	f->error = error;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

static void fail_waiting(struct ws_client_failure *f, int rc)
{
	if (rc == 0)
		fail(f, WS_CLIENT_TRY_LATER, "no answer");
	else
		fail(f, errno == EINTR ? WS_CLIENT_INTERRUPTED : WS_CLIENT_TRY_LATER, "%s", strerror(errno));
}

static bool connect_to(struct ws_client *c, const struct addrinfo *a, uint64_t deadline_ms,
                       struct ws_client_failure *f)
{
	int error = 0, rc;
	socklen_t len = sizeof(error);

	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd >= 0 && connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
		return true;
	if (c->fd < 0 || errno != EINPROGRESS) {
		fail(f, WS_CLIENT_TRY_LATER, "%s", strerror(errno));
		return false;
	}
	rc = wait_for(c, POLLOUT, deadline_ms);
	if (rc <= 0) {
		fail_waiting(f, rc);
		return false;
	}
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
		return true;
	fail(f, WS_CLIENT_TRY_LATER, "%s", strerror(error));
	return false;
}

/* Tries the addresses of the host one after the other. */
static bool connect_to_host(struct ws_client *c, const struct ws_url *url, uint64_t deadline_ms,
                            struct ws_client_failure *f)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int rc = getaddrinfo(url->host, url->port, &hints, &found);
	bool ok = false;

	if (rc != 0) {
		fail(f, WS_CLIENT_TRY_LATER, "%s", rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
		return false;
	}
	for (struct addrinfo *a = found; a != NULL && !ok; a = a->ai_next) {
		ok = connect_to(c, a, deadline_ms, f);
		if (!ok && c->fd >= 0) {
			close(c->fd);
			c->fd = -1;
		}
		if (!ok && f->error == WS_CLIENT_INTERRUPTED)
			break;
	}
	freeaddrinfo(found);
	return ok;
}

static bool send_all(struct ws_client *c, struct bytes bytes, uint64_t deadline_ms)
{
	while (bytes.len > 0) {
		ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

		if (n > 0) {
			bytes.ptr += n;
			bytes.len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (wait_for(c, POLLOUT, deadline_ms) == 0)
				return false;
		} else if (n == 0 || errno != EINTR) {
			return false;
		}
	}
	return true;
}

/* What is there goes into the input: false when nothing will come any more. */
static bool read_some(struct ws_client *c)
{
	char *room = buf_reserve(&c->input, READ_CHUNK);
	ssize_t n = room != NULL ? recv(c->fd, room, READ_CHUNK, 0) : -1;

	if (n > 0)
		buf_commit(&c->input, (size_t)n);
	return n > 0 || (n < 0 && room != NULL && (errno == EAGAIN || errno == EINTR));
}

static void make_key(char key[WS_KEY_LEN + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char nonce[18];
	size_t n = 0;

	/* Base64 of 16 random bytes: of the last group only the first byte counts. */
	random_bytes(nonce, sizeof(nonce));
	nonce[16] = nonce[17] = 0;
	for (size_t i = 0; i < sizeof(nonce); i += 3) {
		unsigned group = (unsigned)nonce[i] << 16 | (unsigned)nonce[i + 1] << 8 | nonce[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			key[n++] = digits[group >> shift & 63];
	}
	key[WS_KEY_LEN - 1] = key[WS_KEY_LEN - 2] = '=';
	key[WS_KEY_LEN] = '\0';
}

static bool send_request(struct ws_client *c, const struct ws_url *url, const char *key, uint64_t deadline_ms)
{
	struct buf b;
	bool ok;

	buf_init(&b, HEAD_MAX);
	buf_putf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", url->target, url->authority);
	buf_puts(&b, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
	buf_putf(&b, "Sec-WebSocket-Key: %s\r\n\r\n", key);
	ok = buf_ok(&b) && send_all(c, buf_bytes(&b), deadline_ms);
	buf_free(&b);
	return ok;
}

/* The value of a header in a terminated head, up to the end of its line; NULL when it is not there. */
static const char *find_header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	}
	return NULL;
}

static bool check_response(const char *head, const char *key, struct ws_client_failure *f)
{
	const char *value = find_header(head, "Sec-WebSocket-Accept");
	char accept[WS_ACCEPT_LEN];
	int status;

	if (strncmp(head, "HTTP/1.1 ", 9) != 0) {
		fail(f, WS_CLIENT_WRONG, "who answers there does not speak HTTP");
		return false;
	}
	status = (int)strtol(head + 9, NULL, 10);
	if (status != 101) {
		fail(f, status >= 500 ? WS_CLIENT_TRY_LATER : WS_CLIENT_WRONG, "refused: HTTP %.*s",
		     (int)strcspn(head + 9, "\r\n"), head + 9);
		return false;
	}
	ws_handshake_accept(BYTES_OF_STR(key), accept);
	if (value != NULL && strncmp(value, accept, WS_ACCEPT_LEN) == 0)
		return true;
	fail(f, WS_CLIENT_WRONG, "who answers there does not speak WebSocket");
	return false;
}

/* 1: the head is there, terminated in *head (to be freed), and out of the input; 0: not all of it yet; -1: it
 * will never be. */
static int take_head(struct ws_client *c, char **head)
{
	const char *end;
	size_t len;

	end = c->input.len > 0 ? memmem(c->input.data, c->input.len, "\r\n\r\n", 4) : NULL;
	if (end == NULL)
		return c->input.len < HEAD_MAX ? 0 : -1;
	len = (size_t)(end - c->input.data) + 4;
	*head = mem_strndup(c->input.data, len);
	buf_consume(&c->input, len);
	return 1;
}

static bool shake_hands(struct ws_client *c, const struct ws_url *url, uint64_t deadline_ms,
                        struct ws_client_failure *f)
{
	char key[WS_KEY_LEN + 1], *head = NULL;
	int rc, taken;
	bool ok;

	make_key(key);
	if (!send_request(c, url, key, deadline_ms)) {
		fail(f, WS_CLIENT_TRY_LATER, "the connection was lost");
		return false;
	}
	while ((taken = take_head(c, &head)) == 0) {
		rc = wait_for(c, POLLIN, deadline_ms);
		if (rc <= 0) {
			fail_waiting(f, rc);
			return false;
		}
		if (!read_some(c)) {
			fail(f, WS_CLIENT_TRY_LATER, "the connection was closed before an answer came");
			return false;
		}
	}
	if (taken < 0)
		fail(f, WS_CLIENT_WRONG, "who answers there does not speak WebSocket");
	ok = taken > 0 && check_response(head, key, f);
	mem_free(head);
	return ok;
}

struct ws_client *ws_client_open(const char *url_text, const sigset_t *waiting,
                                 struct ws_client_failure *failure)
{
	uint64_t deadline_ms = now_ms() + WS_CLIENT_OPEN_LIMIT_MS;
	struct ws_client *c;
	struct ws_url url;

	if (!url_parse(url_text, &url)) {
		fail(failure, WS_CLIENT_WRONG, "the URL must be ws://HOST[:PORT]/PATH");
		return NULL;
	}
	c = mem_alloc(sizeof(*c));
	c->fd = -1;
	c->waiting = waiting;
	buf_init(&c->input, WS_CLIENT_MESSAGE_MAX);
	buf_init(&c->message, WS_CLIENT_MESSAGE_MAX);
	ws_decoder_init(&c->decoder, false, WS_CLIENT_MESSAGE_MAX);
	if (!connect_to_host(c, &url, deadline_ms, failure) || !shake_hands(c, &url, deadline_ms, failure)) {
		c->close_code = WS_CLOSE_ABNORMAL;
		ws_client_close(&c);
	}
	url_free(&url);
	return c;
}

/* --- sending --- */

/* A client's frames are masked (RFC 6455, 5.3), which the encoder for servers does not do. */
static bool send_frame(struct ws_client *c, enum ws_opcode opcode, struct bytes payload)
{
	char header[WS_HEADER_MAX];
	uint8_t mask[MASK_LEN];
	size_t header_len = ws_encode_header(header, opcode, payload.len);
	struct buf b;
	bool ok;

	random_bytes(mask, sizeof(mask));
	header[1] = (char)(header[1] | 0x80);
	buf_init(&b, WS_CLIENT_MESSAGE_MAX);
	buf_put(&b, header, header_len);
	buf_put(&b, mask, sizeof(mask));
	buf_put_bytes(&b, payload);
	ok = buf_ok(&b);
	if (ok) {
		ws_mask(b.data + header_len + MASK_LEN, payload.len, mask, 0);
		ok = send_all(c, buf_bytes(&b), now_ms() + WS_CLIENT_SEND_LIMIT_MS);
	}
	buf_free(&b);
	return ok;
}

bool ws_client_send(struct ws_client *c, struct bytes text)
{
	return c->close_code == 0 && send_frame(c, WS_TEXT, text);
}

static void send_close(struct ws_client *c, uint16_t code)
{
	char payload[2] = {(char)(code >> 8), (char)code};

	/* Out of politeness: the connection ends either way. */
	(void)!send_frame(c, WS_CLOSE, (struct bytes){payload, sizeof(payload)});
}

void ws_client_close(struct ws_client **c)
{
	if (*c == NULL)
		return;
	if ((*c)->close_code == 0)
		send_close(*c, WS_CLOSE_NORMAL);
	if ((*c)->fd >= 0)
		close((*c)->fd);
	buf_free(&(*c)->input);
	buf_free(&(*c)->message);
	mem_free(*c);
	*c = NULL;
}

/* --- receiving --- */

static enum ws_client_event closed(struct ws_client *c, uint16_t code, struct bytes reason)
{
	c->close_code = code;
	snprintf(c->close_reason, sizeof(c->close_reason), "%.*s", BYTES_FMT(reason));
	return WS_CLIENT_CLOSED;
}

/* True when a message is complete or the connection over, with the event. */
static bool take_piece(struct ws_client *c, enum ws_event event, const struct ws_piece *piece,
                       enum ws_client_event *out)
{
	*out = WS_CLIENT_MESSAGE;
	if (event == WS_FAILED) {
		send_close(c, piece->code);
		*out = closed(c, piece->code, BYTES_OF_STR(piece->error));
		return true;
	}
	if (event == WS_PIECE) {
		buf_put_bytes(&c->message, piece->payload);
		return piece->end;
	}
	if (piece->opcode == WS_CLOSE) {
		send_close(c, piece->code == WS_CLOSE_NO_STATUS ? WS_CLOSE_NORMAL : piece->code);
		*out = closed(c, piece->code, piece->payload);
		return true;
	}
	if (piece->opcode == WS_PING && !send_frame(c, WS_PONG, piece->payload)) {
		*out = closed(c, WS_CLOSE_ABNORMAL, BYTES("the connection was lost"));
		return true;
	}
	return false;
}

/* Decodes what came; true as take_piece(). */
static bool decode(struct ws_client *c, enum ws_client_event *out)
{
	while (c->decoded < c->input.len) {
		struct ws_piece piece;
		size_t used;
		enum ws_event event = ws_decode(&c->decoder, c->input.data + c->decoded,
		                                c->input.len - c->decoded, &used, &piece);

		c->decoded += used;
		if (event == WS_NEED_MORE)
			break;
		if (take_piece(c, event, &piece, out))
			return true;
	}
	buf_consume(&c->input, c->decoded);
	c->decoded = 0;
	return false;
}

enum ws_client_event ws_client_receive(struct ws_client *c, uint64_t silence_ms, struct bytes *message)
{
	enum ws_client_event event;
	int rc;

	if (c->handed_out)
		buf_reset(&c->message);
	c->handed_out = false;
	while (!decode(c, &event)) {
		rc = wait_for(c, POLLIN, now_ms() + silence_ms);
		if (rc == 0)
			return WS_CLIENT_SILENCE;
		if (rc < 0)
			return WS_CLIENT_SIGNAL;
		if (!read_some(c))
			return closed(c, WS_CLOSE_ABNORMAL, BYTES("the connection was lost"));
	}
	if (event != WS_CLIENT_MESSAGE)
		return event;
	c->handed_out = true;
	*message = buf_bytes(&c->message);
	return WS_CLIENT_MESSAGE;
}

uint16_t ws_client_close_code(const struct ws_client *c)
{
	return c->close_code;
}

const char *ws_client_close_reason(const struct ws_client *c)
{
	return c->close_reason;
}
