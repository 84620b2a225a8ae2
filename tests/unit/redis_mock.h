/* A Redis that misbehaves: a small server in the test's own loop that does what a Redis does for
 * worker/redis, unless the test answers a command in another way. Over TLS, too. */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "buf.h"
#include "redis_tls.h"
#include "redis_world.h"

enum { MOCK_CHANNELS = 600 };

struct mock;

struct mock_conn {
	struct mock_conn *next;
	struct mock *mock;
	struct ev_io readable;
	struct ev_io writable;
	redisReader *reader;
	SSL *ssl;         /* NULL: plain */
	size_t retry_len; /* what OpenSSL wants to be asked for again; 0: nothing */
	struct buf out;
	char *channels[MOCK_CHANNELS];
	size_t channel_count;
	bool open;
	bool blocked; /* a test holds a command back, and with it what follows on the connection */
};

struct mock {
	struct world *world;
	struct ev_io acceptable;
	struct mock_conn *conns; /* newest first */
	unsigned accepted;
	SSL_CTX *tls; /* NULL: plain */
	bool byte_by_byte;
	bool changes_keys; /* with every write, over TLS */
	/* True: the test has answered, or wants silence. */
	bool (*on_command)(struct mock_conn *c, const redisReply *command);
	bool refuse; /* closes each connection at once */
	bool deaf;   /* reads nothing of new connections: mock_listen_again() */
};

static void mock_close(struct mock_conn *c)
{
	if (!c->open)
		return;
	c->open = false;
	ev_io_stop(loop_ev(c->mock->world->loop), &c->readable);
	ev_io_stop(loop_ev(c->mock->world->loop), &c->writable);
	SSL_free(c->ssl);
	close(c->readable.fd);
	buf_free(&c->out);
	redisReaderFree(c->reader);
	for (size_t i = 0; i < c->channel_count; i++)
		free(c->channels[i]);
	c->channel_count = 0;
}

static UNUSED_OK void mock_send(struct mock_conn *c, const char *data)
{
	if (!c->open)
		return;
	buf_puts(&c->out, data);
	ev_io_start(loop_ev(c->mock->world->loop), &c->writable);
}

static void mock_bulk(struct mock_conn *c, const char *text)
{
	buf_putf(&c->out, "$%zu\r\n%s\r\n", strlen(text), text);
	mock_send(c, "");
}

static ssize_t mock_write(struct mock_conn *c, size_t len)
{
	ssize_t n;

	if (c->ssl == NULL)
		return send(c->writable.fd, c->out.data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (c->retry_len > 0)
		len = c->retry_len;
	else if (c->mock->changes_keys && SSL_version(c->ssl) == TLS1_3_VERSION)
		SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
	n = mock_tls_outcome(c->ssl, SSL_write(c->ssl, c->out.data, (int)len));
	c->retry_len = n < 0 ? len : 0;
	return n;
}

static ssize_t mock_read(struct mock_conn *c, char *data, size_t len)
{
	if (c->ssl == NULL)
		return recv(c->readable.fd, data, len, MSG_DONTWAIT);
	return mock_tls_outcome(c->ssl, SSL_read(c->ssl, data, (int)len));
}

static void on_fake_writable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct mock_conn *c = container_of(io, struct mock_conn, writable);
	size_t len = c->mock->byte_by_byte && c->out.len > 1 ? 1 : c->out.len;
	ssize_t n = mock_write(c, len);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		mock_close(c);
		return;
	}
	buf_consume(&c->out, (size_t)n);
	if (c->out.len == 0)
		ev_io_stop(ev, io);
}

/* --- what a Redis does --- */

static void mock_push(struct mock_conn *c, const char *kind, const char *channel)
{
	mock_send(c, "*3\r\n");
	mock_bulk(c, kind);
	mock_bulk(c, channel);
}

static bool mock_is_subscribed(const struct mock_conn *c, const char *channel)
{
	for (size_t i = 0; i < c->channel_count; i++)
		if (strcmp(c->channels[i], channel) == 0)
			return true;
	return false;
}

static void mock_add_channel(struct mock_conn *c, const char *channel)
{
	assert_true(c->channel_count < MOCK_CHANNELS);
	if (!mock_is_subscribed(c, channel))
		c->channels[c->channel_count++] = strdup(channel);
}

static void mock_remove_channel(struct mock_conn *c, const char *channel)
{
	for (size_t i = 0; i < c->channel_count; i++) {
		if (strcmp(c->channels[i], channel) != 0)
			continue;
		free(c->channels[i]);
		c->channels[i] = c->channels[--c->channel_count];
		return;
	}
}

/* kind: the word of the command and of its answer, "subscribe" or "ssubscribe". */
static void mock_subscribe_by(struct mock_conn *c, const char *kind, const char *channel)
{
	mock_add_channel(c, channel);
	mock_push(c, kind, channel);
	mock_send(c, ":1\r\n");
}

static void mock_unsubscribe_by(struct mock_conn *c, const char *kind, const char *channel)
{
	mock_remove_channel(c, channel);
	mock_push(c, kind, channel);
	mock_send(c, ":0\r\n");
}

static UNUSED_OK void mock_subscribe(struct mock_conn *c, const char *channel)
{
	mock_subscribe_by(c, "subscribe", channel);
}

static UNUSED_OK int mock_publish(struct mock *f, const char *channel, const char *payload)
{
	int count = 0;

	for (struct mock_conn *c = f->conns; c != NULL; c = c->next) {
		for (size_t i = 0; i < c->channel_count; i++) {
			if (strcmp(c->channels[i], channel) != 0)
				continue;
			mock_push(c, "message", channel);
			mock_bulk(c, payload);
			count++;
		}
	}
	return count;
}

static bool is_command(const redisReply *command, const char *name)
{
	return strcasecmp(command->element[0]->str, name) == 0;
}

static const char *word(const redisReply *command, size_t i)
{
	return command->elements > i ? command->element[i]->str : "";
}

static void mock_do(struct mock_conn *c, const redisReply *command)
{
	char number[32];

	if (is_command(command, "SUBSCRIBE")) {
		for (size_t i = 1; i < command->elements; i++)
			mock_subscribe(c, word(command, i));
	} else if (is_command(command, "UNSUBSCRIBE")) {
		for (size_t i = 1; i < command->elements; i++)
			mock_unsubscribe_by(c, "unsubscribe", word(command, i));
	} else if (is_command(command, "PUBLISH")) {
		snprintf(number, sizeof(number), ":%d\r\n",
		         mock_publish(c->mock, word(command, 1), word(command, 2)));
		mock_send(c, number);
	} else if (is_command(command, "ROLE")) {
		mock_send(c, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
	} else if (is_command(command, "ECHO")) {
		mock_bulk(c, word(command, 1));
	} else {
		mock_send(c, is_command(command, "PING") ? "+PONG\r\n" : "+OK\r\n");
	}
}

static void on_fake_readable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct mock_conn *c = container_of(io, struct mock_conn, readable);
	char data[16384]; /* a record of TLS fits in: nothing is left of which the socket does not tell */
	ssize_t n = mock_read(c, data, sizeof(data));
	redisReply *command;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		mock_close(c);
		return;
	}
	assert_int_equal(redisReaderFeed(c->reader, data, (size_t)n), REDIS_OK);
	while (c->open && redisReaderGetReply(c->reader, (void **)&command) == REDIS_OK && command != NULL) {
		if (c->mock->on_command == NULL || !c->mock->on_command(c, command))
			mock_do(c, command);
		freeReplyObject(command);
	}
}

static void on_fake_acceptable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct mock *f = container_of(io, struct mock, acceptable);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct mock_conn *c;

	assert_true(fd >= 0);
	f->accepted++;
	if (f->refuse) {
		close(fd);
		return;
	}
	c = mem_alloc(sizeof(*c));
	c->mock = f;
	c->open = true;
	c->reader = redisReaderCreate();
	if (f->tls != NULL)
		c->ssl = mock_tls_open(f->tls, fd);
	buf_init(&c->out, 100 << 20);
	c->next = f->conns;
	f->conns = c;
	ev_io_init(&c->readable, on_fake_readable, fd, EV_READ);
	ev_io_init(&c->writable, on_fake_writable, fd, EV_WRITE);
	if (!f->deaf)
		ev_io_start(ev, &c->readable);
}

static UNUSED_OK void mock_listen_again(struct mock *f)
{
	f->deaf = false;
	for (struct mock_conn *c = f->conns; c != NULL; c = c->next)
		if (c->open)
			ev_io_start(loop_ev(f->world->loop), &c->readable);
}

static void mock_listen(struct mock *f, struct world *w, int fd)
{
	f->world = w;
	assert_int_equal(listen(fd, 64), 0);
	ev_io_init(&f->acceptable, on_fake_acceptable, fd, EV_READ);
	ev_io_start(loop_ev(w->loop), &f->acceptable);
}

/* Listens where the world's config points. */
static UNUSED_OK void mock_start(struct mock *f, struct world *w)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(f, 0, sizeof(*f));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", w->socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	mock_listen(f, w, fd);
}

/* A socket on a port of its own. */
static UNUSED_OK int mock_bind(in_addr_t to, int *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(to)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

/* Listens on a port, for all of 127.0.0.0/8. */
static UNUSED_OK void mock_start_port(struct mock *f, struct world *w, int *port)
{
	memset(f, 0, sizeof(*f));
	mock_listen(f, w, mock_bind(INADDR_ANY, port));
}

/* Listens for TLS on a port, and points the world's config there. */
static UNUSED_OK void mock_start_tls(struct mock *f, struct world *w)
{
	char ca_file[96];
	struct buf errors = {.max = 1000};
	int port;
	int fd = mock_bind(INADDR_LOOPBACK, &port);

	memset(f, 0, sizeof(*f));
	snprintf(w->address, sizeof(w->address), "rediss://127.0.0.1:%d", port);
	snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", w->dir);
	f->tls = mock_tls_context(ca_file);
	w->config.redis.tls.server_ca_pem_file = ca_file;
	w->tls.nodes = tls_client_new(&w->config.redis.tls, "redis.tls", "127.0.0.1", &errors);
	w->config.redis.tls.server_ca_pem_file = NULL;
	assert_non_null(w->tls.nodes);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL's own sockets are not asked for MSG_NOSIGNAL */
	mock_listen(f, w, fd);
}

static UNUSED_OK void mock_stop(struct mock *f)
{
	while (f->conns != NULL) {
		struct mock_conn *c = f->conns;
		f->conns = c->next;
		mock_close(c);
		mem_free(c);
	}
	ev_io_stop(loop_ev(f->world->loop), &f->acceptable);
	close(f->acceptable.fd);
	SSL_CTX_free(f->tls);
}

/* The newest open connection that is subscribed to the channel. */
static UNUSED_OK struct mock_conn *mock_subscriber(struct mock *f, const char *channel)
{
	for (struct mock_conn *c = f->conns; c != NULL; c = c->next)
		for (size_t i = 0; i < c->channel_count; i++)
			if (strcmp(c->channels[i], channel) == 0)
				return c;
	return NULL;
}

/* The newest open connection that is subscribed to nothing. */
static UNUSED_OK struct mock_conn *mock_calls(struct mock *f)
{
	struct mock_conn *c = f->conns;

	while (c != NULL && (!c->open || c->channel_count > 0))
		c = c->next;
	return c;
}
