/* What a stream is made of, for those who put something between its owner and its socket. A layer is an
 * object of its own that begins with a struct stream_layer; that of plain sockets is one for all. */
#pragma once

#include "stream.h"

struct stream_ops {
	/* As the functions of stream.h with these names. */
	int (*connected)(struct stream *s);
	const char *(*reason)(const struct stream *s);
	ssize_t (*read)(struct stream *s, void *data, size_t len);
	ssize_t (*writev)(struct stream *s, const struct iovec *iov, int count);
	void (*shutdown)(struct stream *s);
	/* It is another stream's now. */
	void (*moved)(struct stream *s);
	/* Lets go of the layer; the socket is closed after that. */
	void (*release)(struct stream *s, bool reset);
	/* What the owner wants to hear of: EV_READ, EV_WRITE, both or none. */
	void (*want)(struct stream *s, int events);
	int (*wanted)(const struct stream *s);
	/* The socket is ready for what was asked for by stream_watch(). May close the stream. */
	void (*on_event)(struct stream *s, int events);
};

struct stream_layer {
	const struct stream_ops *ops;
};

/* A socket that begins to connect; -1 with errno. */
int stream_dial(const struct address *to) MUST_CHECK;
/* 0, or the errno with which that failed. */
int stream_socket_error(struct stream *s) MUST_CHECK;
/* Takes the socket over, with a layer. Nothing is watched yet. */
void stream_attach_layer(struct stream *s, int fd, struct stream_layer *layer);
/* What the socket is watched for. */
void stream_watch(struct stream *s, int events);
/* Calls the owner back: on_writable after it was taken out of what he wants, then on_readable if he wants
 * that. */
void stream_tell(struct stream *s, int events);
/* The socket itself: bytes, 0 at the end, STREAM_AGAIN or STREAM_ERROR. */
ssize_t stream_recv(struct stream *s, void *data, size_t len) MUST_CHECK;
ssize_t stream_sendv(struct stream *s, const struct iovec *iov, int count) MUST_CHECK;
