/* TLS for the floor: what OpenSSL takes and costs where it does no more than it must. One connection for each
 * descriptor; sockets do not block. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptors below `descriptors` are what it is for. With the certificate and key of a file. */
bool secure_begin(const char *certificate, int descriptors);
bool secure_accept(int fd);
/* As recv(2) and send(2). The first call makes the handshake. */
ssize_t secure_receive(int fd, void *data, size_t len);
ssize_t secure_send(int fd, const void *data, size_t len);
/* Before the descriptor is closed. */
void secure_close(int fd);
