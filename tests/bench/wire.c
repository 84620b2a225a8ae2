#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 1024 };

static const char hello[] = "GET /connection/websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
			    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			    "Sec-WebSocket-Version: 13\r\n\r\n";

static uint16_t broker_port;
static SSL_CTX *tls; /* NULL: the connections are plain */

void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(2);
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
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

static int dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons(broker_port),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
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

/* A text frame with a mask of zeros, which is a mask and leaves the text as it is. */
static size_t text_frame(char *out, const char *text)
{
	size_t len = strlen(text);
	size_t head = 2;

	out[0] = (char)0x81;
	out[1] = (char)(0x80 | (len < 126 ? len : 126));
	if (len >= 126) {
		out[2] = (char)(len >> 8);
		out[3] = (char)len;
		head = 4;
	}
	memset(out + head, 0, 4);
	memcpy(out + head + 4, text, len);
	return head + 4 + len;
}

static ssize_t send_all(struct wire *w, const char *data, size_t len)
{
	return w->ssl != NULL ? SSL_write(w->ssl, data, (int)len) : write(w->fd, data, len);
}

void wire_open(struct wire *w, const char *message)
{
	char out[sizeof(hello) + MESSAGE_MAX];
	size_t len = strlen(hello);

	w->fd = dial();
	if (tls != NULL)
		secure(w);
	memcpy(out, hello, len);
	len += text_frame(out + len, message);
	if (send_all(w, out, len) != (ssize_t)len)
		die("write");
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
