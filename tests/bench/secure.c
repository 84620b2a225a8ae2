#include "secure.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>

static SSL_CTX *context;
static SSL **connections;

bool secure_begin(const char *certificate, int descriptors)
{
	context = SSL_CTX_new(TLS_server_method());
	connections = calloc((size_t)descriptors, sizeof(SSL *));
	if (context == NULL || connections == NULL)
		return false;
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
	       SSL_CTX_use_PrivateKey_file(context, certificate, SSL_FILETYPE_PEM) == 1;
}

bool secure_accept(int fd)
{
	SSL *ssl = SSL_new(context);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
		return false;
	SSL_set_accept_state(ssl);
	connections[fd] = ssl;
	return true;
}

static ssize_t outcome(SSL *ssl, int n)
{
	int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl, n);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	return error == SSL_ERROR_NONE ? n : 0;
}

ssize_t secure_receive(int fd, void *data, size_t len)
{
	return outcome(connections[fd], SSL_read(connections[fd], data, (int)len));
}

ssize_t secure_send(int fd, const void *data, size_t len)
{
	return outcome(connections[fd], SSL_write(connections[fd], data, (int)len));
}

void secure_close(int fd)
{
	SSL_free(connections[fd]);
	connections[fd] = NULL;
}
