/* The load of one client that sends commands without end, some hundred to a message and some to a frame of
 * their own, and reads what it is answered, so that nothing holds it back but the server. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"
#include "meter.h"
#include "wire.h"

enum { COMMANDS = 256, FLOOD_MAX = 1 << 16, ANSWERS_MAX = 1 << 16 };

static const char command[] = "{\"id\":2,\"rpc\":{}}";

static size_t put_flood(char *out)
{
	char message[COMMANDS * sizeof(command)];
	size_t len = 0, message_len = 0;

	for (int i = 0; i < COMMANDS; i++) {
		wire_put_text(out, FLOOD_MAX, &len, command);
		wire_put(message, sizeof(message), &message_len, "%s%s", i > 0 ? "\n" : "", command);
	}
	wire_put_text(out, FLOOD_MAX, &len, message);
	return len;
}

static uint64_t read_answers(int fd)
{
	static char answers[ANSWERS_MAX];
	ssize_t n = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("the server hung up");
	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t send_some(int fd, const char *flood, size_t len, size_t *at)
{
	ssize_t n = send(fd, flood + *at, len - *at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		die("send");
	if (n < 0)
		return 0;
	*at = (*at + (size_t)n) % len;
	return (uint64_t)n;
}

void load_flood(const struct options *o)
{
	char *flood = malloc(FLOOD_MAX);
	uint64_t end = now_ms() + o->seconds * 1000, sent = 0, answered = 0;
	struct cpu before = meter_cpu(o->pids);
	size_t len, at = 0;
	struct wire w;

	if (flood == NULL)
		die("memory");
	len = put_flood(flood);
	wire_open(&w, "{\"id\":1,\"connect\":{}}");
	while (now_ms() < end) {
		struct pollfd fd = {.fd = w.fd, .events = POLLIN | POLLOUT};

		poll(&fd, 1, 100);
		if (fd.revents & POLLIN)
			answered += read_answers(w.fd);
		if (fd.revents & POLLOUT)
			sent += send_some(w.fd, flood, len, &at);
	}
	printf("{\"commands\":%llu,\"answer_bytes\":%llu,\"cpu_ns\":%llu}\n",
	       (unsigned long long)(sent * 2 * COMMANDS / len), (unsigned long long)answered,
	       (unsigned long long)meter_since(before, meter_cpu(o->pids)).ns);
	wire_close(&w);
	free(flood);
}
