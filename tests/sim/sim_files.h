/* The system calls of the worker, on descriptors of this world. Named after those that they stand for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

int sim_socket(void);
int sim_connect(int fd);
int sim_accept(int fd, struct sockaddr *peer, socklen_t *len);
ssize_t sim_recv(int fd, void *data, size_t len, int flags);
ssize_t sim_sendv(int fd, const struct iovec *iov, size_t count);
int sim_shutdown(int fd);
int sim_close(int fd);
int sim_setsockopt(int fd, int level, int name, const void *value);
int sim_getsockopt(int fd, int level, int name, void *value);
int sim_epoll_create(void);
int sim_epoll_ctl(int op, int fd, const struct epoll_event *event);
int sim_epoll_wait(struct epoll_event *events, int max, int timeout_ms);
