#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 4096 };

static uint16_t broker_port;
static SSL_CTX *tls; /* NULL: the connections are plain */

void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(2);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

void wire_set_broker(const char *text)
{
	bool with_tls = strncmp(text, "tls:", 4) == 0;

	broker_port = (uint16_t)atoi(text + (with_tls ? 4 : 0));
	if (!with_tls)
		return;
	tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
}

int dial_port(uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	return fd;
}

int dial_unix(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(path);
	return fd;
}

/* Whom it speaks to does not matter here. */
static void secure(struct wire *w)
{
	w->ssl = SSL_new(tls);
	if (w->ssl == NULL || SSL_set_fd(w->ssl, w->fd) != 1 || SSL_connect(w->ssl) != 1)
		die("TLS handshake");
	if (fcntl(w->fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
}

void wire_put(char *out, size_t size, size_t *len, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out + *len, size - *len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= size - *len)
		die("no room for what is to be said");
	*len += (size_t)n;
}

void wire_put_hello(char *out, size_t size, size_t *len, const char *path, const char *headers)
{
	wire_put(out, size, len,
	         "GET %s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
	         path, headers);
}

void wire_put_text(char *out, size_t size, size_t *len, const char *text)
{
	size_t text_len = strlen(text);
	size_t head = text_len < 126 ? 6 : 8;
	char *at = out + *len;

	if (text_len > UINT16_MAX || head + text_len > size - *len)
		die("no room for a frame");
	at[0] = (char)0x81;
	at[1] = (char)(0x80 | (text_len < 126 ? text_len : 126));
	if (text_len >= 126) {
		at[2] = (char)(text_len >> 8);
		at[3] = (char)text_len;
	}
	memset(at + head - 4, 0, 4);
	memcpy(at + head, text, text_len);
	*len += head + text_len;
}

void wire_send(struct wire *w, const char *data, size_t len)
{
	ssize_t n = w->ssl != NULL ? SSL_write(w->ssl, data, (int)len) : write(w->fd, data, len);

	if (n != (ssize_t)len)
		die("write");
}

void wire_dial(struct wire *w, const char *data, size_t len)
{
	w->fd = dial_port(broker_port);
	if (tls != NULL)
		secure(w);
	wire_send(w, data, len);
}

void wire_open(struct wire *w, const char *message)
{
	char out[OUTPUT_MAX];
	size_t len = 0;

	wire_put_hello(out, sizeof(out), &len, "/connection/websocket", "");
	wire_put_text(out, sizeof(out), &len, message);
	wire_dial(w, out, len);
}

void wire_say(struct wire *w, const char *message)
{
	char out[OUTPUT_MAX];
	size_t len = 0;

	wire_put_text(out, sizeof(out), &len, message);
	wire_send(w, out, len);
}

void wire_close(struct wire *w)
{
	SSL_free(w->ssl);
	close(w->fd);
	*w = (struct wire){.fd = -1};
}

ssize_t wire_receive(struct wire *w, char *data, size_t len)
{
	int n;

	if (w->ssl == NULL)
		return recv(w->fd, data, len, MSG_DONTWAIT);
	n = SSL_read(w->ssl, data, (int)len);
	if (n < 0 && SSL_get_error(w->ssl, n) == SSL_ERROR_WANT_READ)
		errno = EAGAIN;
	return n;
}
