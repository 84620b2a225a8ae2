/* Messages between master and worker over a SOCK_SEQPACKET socketpair: one fixed struct a packet. Knows
 * nothing of processes: who sends what when is the supervisor's and the worker's business. */
#pragma once

#include <stdint.h>

#include "compiler.h"

enum control_kind {
	CONTROL_READY = 1, /* worker: listening and serving */
	CONTROL_DRAIN,     /* master: close clients with 3001, spread over the drain time, and exit 0 */
	CONTROL_STOP,      /* master: exit now, but for one word to Redis */
	/* master: use these files for TLS from now on; comes with a descriptor, see tls_bundle.h */
	CONTROL_TLS_FILES,
	/* master: the worker of this name is no more, and its successor is in no hurry; comes with a text */
	CONTROL_DEAD,
};

enum { CONTROL_VERSION = 2, CONTROL_TEXT_MAX = 63 };

struct control_message {
	uint32_t version; /* CONTROL_VERSION */
	uint32_t kind;
	char text[CONTROL_TEXT_MAX + 1]; /* ends with a zero; empty but for CONTROL_DEAD */
};

/* A pair of connected, non-blocking, close-on-exec sockets. -1 with errno. */
int control_pair(int fds[2]) MUST_CHECK;
/* -1 with errno; a full socket is an error, too: the peer is stuck. */
int control_send(int fd, enum control_kind kind) MUST_CHECK;
/* The same with a descriptor, of which the peer gets a copy. */
int control_send_file(int fd, enum control_kind kind, int file) MUST_CHECK;
/* The same with a text, of CONTROL_TEXT_MAX bytes at most. */
int control_send_text(int fd, enum control_kind kind, const char *text) MUST_CHECK;
/* 1: a message, in *kind; 0: nothing there now; -1: the peer is gone or speaks nonsense. A descriptor that
 * comes with it is dropped. */
int control_receive(int fd, enum control_kind *kind) MUST_CHECK;
/* The same for the whole message; the descriptor that came with it is *file, to be closed; -1: nothing, or
 * this process is out of descriptors. */
int control_receive_message(int fd, struct control_message *m, int *file) MUST_CHECK;
