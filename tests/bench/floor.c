/* The floor: the least that a WebSocket server can do for what is measured, one process with epoll. Clients
 * come as they come to Fanfare, and are subscribed to each "channel":"c000012" of their first message;
 * whoever publishes says number of channel, length and the ready frame.
 *
 *     bench_floor [batched | pings [CERTIFICATE]]
 *
 * Without batched, one send(2) for each subscriber and message; with it, all messages that can be read at
 * once are put together, and each subscriber gets one send. With pings, each client gets one every 25 s, over
 * TLS where there is a file with certificate and key. Prints the ports for clients and for publishing. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "secure.h"

enum {
	CLIENTS_MAX = 20000, /* descriptors that one process may have */
	CHANNELS_MAX = 1000000,
	SEATS_MAX = 64, /* channels of a client */
	INPUT_MAX = 1 << 16,
	FEED_MAX = 1 << 20,
	EVENTS = 512,
	BACKLOG = 4096,
	KEY_LEN = 24,
	RESPONSE_MAX = 8192,
	PING_TURNS = 1000, /* in 25 s */
};

/* A place in the list of a channel's subscribers. */
struct seat {
	unsigned channel;
	unsigned place;
};

struct client {
	bool upgraded;
	unsigned seats_len;
	struct seat *seats;
	unsigned parts_len; /* that wait for this turn's send */
	struct iovec *parts;
};

struct subscriber {
	int fd;
	unsigned seat;
};

struct channel {
	struct subscriber *subscribers;
	unsigned len, size;
	char *chunk; /* messages of this turn */
	size_t chunk_len, chunk_size;
};

static struct client clients[CLIENTS_MAX];
static struct channel *channels[CHANNELS_MAX];
static char input[INPUT_MAX + 1];
static char feed_input[FEED_MAX];
static size_t feed_len;
static unsigned touched[CHANNELS_MAX]; /* channels that have a chunk */
static int waiting[CLIENTS_MAX];       /* clients that have parts */
static unsigned touched_len, waiting_len;
static int ep;
static bool with_tls;

static void *need(void *p)
{
	if (p == NULL) {
		perror("bench_floor");
		exit(2);
	}
	return p;
}

/* --- subscribers --- */

static void subscribe(int fd, unsigned number)
{
	struct client *client = &clients[fd];
	struct channel *c;

	if (number >= CHANNELS_MAX || client->seats_len == SEATS_MAX)
		return;
	if (channels[number] == NULL)
		channels[number] = need(calloc(1, sizeof(*c)));
	c = channels[number];
	if (c->len == c->size) {
		c->size = c->size > 0 ? c->size * 2 : 4;
		c->subscribers = need(realloc(c->subscribers, c->size * sizeof(*c->subscribers)));
	}
	if (client->seats == NULL)
		client->seats = need(calloc(SEATS_MAX, sizeof(*client->seats)));
	client->seats[client->seats_len] = (struct seat){number, c->len};
	c->subscribers[c->len++] = (struct subscriber){fd, client->seats_len++};
}

static void hang_up(int fd)
{
	struct client *client = &clients[fd];

	for (unsigned i = 0; i < client->seats_len; i++) {
		struct channel *c = channels[client->seats[i].channel];
		struct subscriber last = c->subscribers[--c->len];

		c->subscribers[client->seats[i].place] = last;
		clients[last.fd].seats[last.seat].place = client->seats[i].place;
	}
	client->seats_len = 0;
	client->upgraded = false;
	if (with_tls)
		secure_close(fd);
	close(fd);
}

/* --- sending --- */

static ssize_t send_once(int fd, const struct msghdr *message)
{
	struct iovec first = message->msg_iov[0];

	if (with_tls)
		return secure_send(fd, first.iov_base, first.iov_len);
	if (message->msg_iovlen == 1)
		return send(fd, first.iov_base, first.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* A floor has nothing better to do than to wait for who is slow. */
static void send_parts(int fd, struct iovec *parts, size_t len)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = len};

	while (message.msg_iovlen > 0) {
		ssize_t n = send_once(fd, &message);

		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
			continue;
		}
		if (n <= 0)
			return;
		while (message.msg_iovlen > 0 && (size_t)n >= message.msg_iov->iov_len) {
			n -= (ssize_t)message.msg_iov->iov_len;
			message.msg_iov++;
			message.msg_iovlen--;
		}
		if (message.msg_iovlen > 0) {
			message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + n;
			message.msg_iov->iov_len -= (size_t)n;
		}
	}
}

static void send_to_all(const struct channel *c, char *data, size_t len)
{
	for (unsigned i = 0; i < c->len; i++)
		send_parts(c->subscribers[i].fd, &(struct iovec){data, len}, 1);
}

/* --- batches --- */

static void add_to_chunk(unsigned number, const char *data, size_t len)
{
	struct channel *c = channels[number];

	if (c->chunk_len == 0)
		touched[touched_len++] = number;
	if (c->chunk_len + len > c->chunk_size) {
		c->chunk_size = (c->chunk_len + len) * 2;
		c->chunk = need(realloc(c->chunk, c->chunk_size));
	}
	memcpy(c->chunk + c->chunk_len, data, len);
	c->chunk_len += len;
}

static void share_chunk(const struct channel *c)
{
	for (unsigned i = 0; i < c->len; i++) {
		struct client *client = &clients[c->subscribers[i].fd];

		if (client->parts == NULL)
			client->parts = need(calloc(SEATS_MAX, sizeof(*client->parts)));
		if (client->parts_len == 0)
			waiting[waiting_len++] = c->subscribers[i].fd;
		client->parts[client->parts_len++] = (struct iovec){c->chunk, c->chunk_len};
	}
}

static void send_batch(void)
{
	if (touched_len == 1) {
		send_to_all(channels[touched[0]], channels[touched[0]]->chunk,
		            channels[touched[0]]->chunk_len);
	} else {
		for (unsigned i = 0; i < touched_len; i++)
			share_chunk(channels[touched[i]]);
		for (unsigned i = 0; i < waiting_len; i++) {
			struct client *client = &clients[waiting[i]];

			send_parts(waiting[i], client->parts, client->parts_len);
			client->parts_len = 0;
		}
	}
	for (unsigned i = 0; i < touched_len; i++)
		channels[touched[i]]->chunk_len = 0;
	touched_len = waiting_len = 0;
}

/* --- who publishes --- */

static void take_messages(bool batched)
{
	size_t at = 0;

	while (feed_len - at >= 8) {
		uint32_t number, len;

		memcpy(&number, feed_input + at, 4);
		memcpy(&len, feed_input + at + 4, 4);
		if (feed_len - at - 8 < len)
			break;
		if (number < CHANNELS_MAX && channels[number] != NULL) {
			if (batched)
				add_to_chunk(number, feed_input + at + 8, len);
			else
				send_to_all(channels[number], feed_input + at + 8, len);
		}
		at += 8 + len;
	}
	if (batched)
		send_batch();
	feed_len -= at;
	memmove(feed_input, feed_input + at, feed_len);
}

/* False: it hung up. */
static bool read_feed(int fd, bool batched)
{
	ssize_t n = recv(fd, feed_input + feed_len, FEED_MAX - feed_len, 0);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0) {
		close(fd);
		feed_len = 0;
		return false;
	}
	feed_len += (size_t)n;
	take_messages(batched);
	return true;
}

/* --- clients --- */

static int put_response(char *out, size_t size, const char *request)
{
	static const char name[] = "Sec-WebSocket-Key: ", uuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strstr(request, name);
	char text[KEY_LEN + sizeof(uuid)], answer[32];
	uint8_t digest[SHA_DIGEST_LENGTH];

	if (key == NULL || strlen(key) < strlen(name) + KEY_LEN)
		return 0;
	memcpy(text, key + strlen(name), KEY_LEN);
	memcpy(text + KEY_LEN, uuid, sizeof(uuid));
	SHA1((uint8_t *)text, KEY_LEN + strlen(uuid), digest);
	EVP_EncodeBlock((uint8_t *)answer, digest, SHA_DIGEST_LENGTH);
	return snprintf(out, size,
	                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                "Sec-WebSocket-Accept: %s\r\n\r\n",
	                answer);
}

/* Text of a frame that is there as a whole; NULL: it is not. */
static char *unmask(char *frame, size_t len)
{
	size_t text_len = len >= 2 ? (uint8_t)frame[1] & 0x7f : 0;
	size_t head = text_len == 126 ? 8 : 6;
	char *text = frame + head;

	if (len < head)
		return NULL;
	if (text_len == 126)
		text_len = (size_t)(uint8_t)frame[2] << 8 | (uint8_t)frame[3];
	if (len < head + text_len)
		return NULL;
	for (size_t i = 0; i < text_len; i++)
		text[i] = (char)(text[i] ^ frame[head - 4 + (i & 3)]);
	text[text_len] = '\0';
	return text;
}

/* Subscribes, and puts a frame with as many replies. */
static int put_replies(char *out, size_t size, int fd, const char *text)
{
	static const char word[] = "\"channel\":\"c";
	size_t len = 4;

	for (unsigned id = 2; (text = strstr(text, word)) != NULL; id++) {
		text += strlen(word);
		subscribe(fd, (unsigned)strtoul(text, NULL, 10));
		len += (size_t)snprintf(out + len, size - len, "\n{\"id\":%u,\"subscribe\":{}}" + (id == 2),
		                        id);
		if (len > size - 64)
			break;
	}
	out[0] = (char)0x81;
	out[1] = 126;
	out[2] = (char)((len - 4) >> 8);
	out[3] = (char)(len - 4);
	return (int)len;
}

static void take_request(int fd, size_t len)
{
	char *body = strstr(input, "\r\n\r\n");
	char out[RESPONSE_MAX];
	int out_len = put_response(out, sizeof(out), input);
	char *text = body != NULL ? unmask(body + 4, len - (size_t)(body + 4 - input)) : NULL;

	if (out_len == 0 || text == NULL) {
		hang_up(fd);
		return;
	}
	out_len += put_replies(out + out_len, sizeof(out) - (size_t)out_len, fd, text);
	clients[fd].upgraded = true;
	send_parts(fd, &(struct iovec){out, (size_t)out_len}, 1);
}

/* All that a client says comes with its request; what comes later is nothing to us. */
static void read_client(int fd)
{
	ssize_t n = with_tls ? secure_receive(fd, input, INPUT_MAX) : recv(fd, input, INPUT_MAX, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up(fd);
		return;
	}
	input[n] = '\0';
	if (!clients[fd].upgraded)
		take_request(fd, (size_t)n);
}

/* --- the whole --- */

static void watch(int fd)
{
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd}) < 0)
		need(NULL);
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= CLIENTS_MAX || (with_tls && !secure_accept(fd)))
			need(NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		watch(fd);
	}
}

/* A turn for the next of those who are there, so that each is pinged every 25 s. */
static void ping_some(int timer)
{
	static int next;
	uint64_t turns;

	if (read(timer, &turns, sizeof(turns)) != sizeof(turns))
		return;
	for (turns *= CLIENTS_MAX / PING_TURNS; turns > 0; turns--) {
		if (clients[next].upgraded)
			send_parts(next, &(struct iovec){(char *)"\x81\x02{}", 4}, 1);
		next = (next + 1) % CLIENTS_MAX;
	}
}

static int start_pings(void)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct timespec turn = {.tv_nsec = 25 * (1000000000 / PING_TURNS)};

	timerfd_settime(timer, 0, &(struct itimerspec){turn, turn}, NULL);
	watch(timer);
	return timer;
}

static int listen_somewhere(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		need(NULL);
	watch(fd);
	printf("%u\n", ntohs(at.sin_port));
	return fd;
}

int main(int argc, char **argv)
{
	bool batched = argc > 1 && strcmp(argv[1], "batched") == 0;
	struct epoll_event events[EVENTS];
	int listener, feed_listener, feed = -1, timer = -1;

	ep = epoll_create1(EPOLL_CLOEXEC);
	with_tls = argc > 2;
	if (with_tls && !secure_begin(argv[2], CLIENTS_MAX))
		need(NULL);
	listener = listen_somewhere();
	feed_listener = listen_somewhere();
	fflush(stdout);
	if (argc > 1 && strcmp(argv[1], "pings") == 0)
		timer = start_pings();
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == listener) {
				accept_all(listener);
			} else if (fd == feed_listener) {
				feed = accept4(feed_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
				watch(feed);
			} else if (fd == feed) {
				if (!read_feed(feed, batched))
					feed = -1;
			} else if (fd == timer) {
				ping_some(timer);
			} else {
				read_client(fd);
			}
		}
	}
}
