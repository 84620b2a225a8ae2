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

/* A handshake, for that path and with those further header lines, and a message as a frame of text, whose
 * mask of zeros leaves it as it is. Both append at *len and end the program when there is no room. */
void wire_put_hello(char *out, size_t size, size_t *len, const char *path, const char *headers);
void wire_put_text(char *out, size_t size, size_t *len, const char *text);
/* Appends as printf(3) does. */
__attribute__((format(printf, 4, 5))) void wire_put(char *out, size_t size, size_t *len, const char *format,
                                                    ...);

/* Ends the program, with the name of what failed and errno. */
_Noreturn void die(const char *what);
uint64_t now_ms(void);
uint64_t now_ns(void);

/* Connected sockets that block. */
int dial_port(uint16_t port); /* on loopback */
int dial_unix(const char *path);

/* "PORT" or "tls:PORT" of the broker on loopback, for all connections of this process and its children. */
void wire_set_broker(const char *text);
/* Connects and says that. */
void wire_dial(struct wire *w, const char *data, size_t len);
/* Handshake and one message in one write: the server must not lose what comes behind the request. */
void wire_open(struct wire *w, const char *message);
/* Says more on it: bytes, or a message. */
void wire_send(struct wire *w, const char *data, size_t len);
void wire_say(struct wire *w, const char *message);
void wire_close(struct wire *w);
/* As recv(2) of a socket that does not block. */
ssize_t wire_receive(struct wire *w, char *data, size_t len);
