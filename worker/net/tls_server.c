/* What all TLS connections of a process share.
 *
 * Records are not left to the kernel (kTLS, SSL_OP_ENABLE_KTLS). That needs OpenSSL's own socket BIO in place
 * of the stream's, and connections that know which of the two they are. Whether it pays was to be measured,
 * but the kernel at hand does not offer it (net.ipv4.tcp_available_ulp without "tls"; setsockopt(TCP_ULP)
 * says ENOENT), and what was not measured is not kept. Where it is offered: tests/bench tells what a delivery
 * costs. */
#include "mem.h"
#include "tls_contexts.h"
#include "tls_internal.h"
#include "tls_reason.h"

bool tls_server_load(struct tls_server *server, const struct tls_bundle *bundle, struct buf *errors)
{
	SSL_CTX *context = tls_contexts_new(bundle, server->index, server->tickets, errors);

	if (context == NULL)
		return false;
	SSL_CTX_free(server->context);
	server->context = context;
	return true;
}

struct tls_server *tls_server_new(const struct config *config, const struct tls_bundle *bundle,
                                  struct buf *errors)
{
	struct tls_server *server = mem_alloc(sizeof(*server));

	server->handshake_timeout_ms = config->tls.handshake_timeout_ms;
	server->handshake_limit = (size_t)config->tls.handshake_limit;
	list_init(&server->handshakes);
	server->index = tls_contexts_index();
	server->tickets = tls_tickets_new();
	if (!tls_gear_init(&server->gear, &tls_role_of_accepted) || server->index < 0 ||
	    server->tickets == NULL) {
		buf_putf(errors, "tls: %s\n", tls_reason());
		tls_server_free(&server);
	} else if (!tls_server_load(server, bundle, errors)) {
		tls_server_free(&server);
	}
	return server;
}

void tls_server_free(struct tls_server **server)
{
	struct tls_server *dead = *server;

	if (dead == NULL)
		return;
	SSL_CTX_free(dead->context);
	if (dead->index >= 0)
		CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL_CTX, dead->index);
	tls_gear_free(&dead->gear);
	tls_tickets_free(&dead->tickets);
	mem_free(dead);
	*server = NULL;
}

void tls_server_describe(const struct tls_server *server, void (*tell)(bool is_warning, const char *line))
{
	tls_contexts_describe(server->context, server->index, tell);
}

uint64_t tls_server_turn_keys(struct tls_server *server)
{
	return tls_tickets_turn(server->tickets);
}
