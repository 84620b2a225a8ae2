/* One WebSocket connection of a load generator, plain or over TLS, and what every one of them needs besides.
 * What the broker says is given as it comes, frames' heads included: who looks for words in it needs no
 * decoder. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wire {
	int fd;
	SSL *ssl; /* NULL: plain */
};

/* Ends the program, with the name of what failed and errno. */
_Noreturn void die(const char *what);
uint64_t now_ms(void);

/* "PORT" or "tls:PORT" of the broker on loopback, for all connections of this process and its children. */
void wire_set_broker(const char *text);
/* Handshake and one message in one write: the server must not lose what comes behind the request. */
void wire_open(struct wire *w, const char *message);
void wire_close(struct wire *w);
/* As recv(2) of a socket that does not block. */
ssize_t wire_receive(struct wire *w, char *data, size_t len);
