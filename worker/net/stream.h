/* A non-blocking byte stream: TCP or unix socket, or TLS over one of them (tls.h, tls_client.h), behind the
 * same few operations. Embedded in its owner, who does not know which it is. Holds no buffer. Tells when it
 * can be read or written; the owner does the rest. */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "address.h"
#include "compiler.h"
#include "loop.h"

struct stream_layer;

struct stream;

struct stream_events {
	/* May close the stream. Also called at an error or the end: the next read or write tells. */
	void (*on_readable)(struct stream *s);
	/* Once per stream_want_write(true). The first one after stream_connect() says that the connection is
	 * there, or failed. */
	void (*on_writable)(struct stream *s);
};

struct stream {
	struct ev_io io;            /* its data is the loop: stream_loop() */
	struct stream_layer *layer; /* what is between the owner and the socket: stream_layer.h */
	const struct stream_events *events;
};

enum { STREAM_AGAIN = -1, STREAM_ERROR = -2 }; /* errno is set with STREAM_ERROR */

/* Zeroes the rest of the struct; a stream without a socket. The events must outlive it. */
void stream_init(struct stream *s, struct loop *l, const struct stream_events *events);
struct loop *stream_loop(const struct stream *s);
/* Takes the socket over, which is non-blocking, and starts to read. */
void stream_attach(struct stream *s, int fd);
/* Starts to connect; on_writable follows when it is done, and stream_connected() tells. False with errno. */
bool stream_connect(struct stream *s, const struct address *to) MUST_CHECK;
/* 0, or the errno with which connecting failed. */
int stream_connected(struct stream *s) MUST_CHECK;
/* Why connecting, reading or writing failed just now, with errno as it was left; or what connecting still
 * waits for. For people, and until the next call of any function here. */
const char *stream_reason(const struct stream *s);

/* Bytes read, 0 at the end of the stream, STREAM_AGAIN or STREAM_ERROR. */
ssize_t stream_read(struct stream *s, void *data, size_t len) MUST_CHECK;
/* Bytes written (maybe fewer), STREAM_AGAIN or STREAM_ERROR. What was not written is offered again, unless
 * nothing more is written at all. Never raises SIGPIPE. */
ssize_t stream_writev(struct stream *s, const struct iovec *iov, int count) MUST_CHECK;
void stream_want_read(struct stream *s, bool on);
void stream_want_write(struct stream *s, bool on);
bool stream_wants_read(const struct stream *s);
bool stream_wants_write(const struct stream *s);
/* Bytes that were written and that the peer's system has not got yet, as ours counts them; 0: none, or it is
 * not known. */
size_t stream_unsent(const struct stream *s) MUST_CHECK;
/* No more will be written; the peer reads the end. */
void stream_shutdown(struct stream *s);
/* Moves the connection of `from` into `to`, which has none, with what is watched for; callbacks are those of
 * `to` from now on. `from` is without a socket then. Not from within their callbacks. */
void stream_move(struct stream *to, struct stream *from);
/* Closes the socket; safe on a stream that has none. `reset`: with RST, and what is unsent is dropped. */
void stream_close(struct stream *s, bool reset);
bool stream_open(const struct stream *s);
int stream_fd(const struct stream *s);
/* Who is at the other end of the socket; false when he is gone. */
bool stream_peer(const struct stream *s, struct address *out) MUST_CHECK;
