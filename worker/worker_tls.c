#include "worker_tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "worker.h"

static bool has_tls_address(const struct strings *listen)
{
	struct address_manner manner = {0};

	for (size_t i = 0; i < listen->count && !manner.tls; i++)
		address_manner(listen->items[i], &manner);
	return manner.tls;
}

static bool is_no_tls_right(const struct config *config, struct buf *errors)
{
	if (has_tls_address(&config->listen))
		buf_puts(errors,
		         "listen: has an address with TLS, for which tls.cert_pem_file must be set\n");
	if (config->tls.key_pem_file != NULL || config->tls.client_ca_pem_file != NULL ||
	    config->tls.sni_pem_files.count > 0)
		buf_puts(errors, "tls.cert_pem_file: must be set, because others of tls are\n");
	return errors->len == 0;
}

bool worker_load_tls(const struct config *config, struct tls_server **tls, struct buf *errors)
{
	struct tls_bundle *bundle;

	*tls = NULL;
	if (config->tls.cert_pem_file == NULL)
		return is_no_tls_right(config, errors);
	bundle = tls_bundle_read(config, errors);
	if (bundle != NULL)
		*tls = tls_server_new(config, bundle, errors);
	tls_bundle_free(&bundle);
	return *tls != NULL;
}

int worker_reload_tls(const struct config *config, struct tls_server *tls, struct buf *errors)
{
	struct tls_bundle *bundle = tls_bundle_read(config, errors);
	int file;

	if (bundle == NULL)
		return -1;
	file = tls_bundle_seal(bundle);
	if (file < 0)
		buf_putf(errors, "tls: nothing to hand files to workers in: %s\n", strerror(errno));
	if (file >= 0 && !tls_server_load(tls, bundle, errors)) {
		close(file);
		file = -1;
	}
	tls_bundle_free(&bundle);
	return file;
}

void worker_describe_tls(const struct tls_server *tls, void (*tell)(bool is_warning, const char *line))
{
	if (tls != NULL)
		tls_server_describe(tls, tell);
}

uint64_t worker_turn_tls_keys(struct tls_server *tls)
{
	return tls_server_turn_keys(tls);
}

void worker_free_tls(struct tls_server **tls)
{
	tls_server_free(tls);
}

void worker_take_tls(const struct config *config, struct tls_server *tls, int file)
{
	enum { TEXT_MAX = 65536 };
	struct tls_bundle *bundle = file >= 0 ? tls_bundle_receive(config, file) : NULL;
	struct buf errors;

	buf_init(&errors, TEXT_MAX);
	if (bundle == NULL)
		buf_puts(&errors, "the master's message did not bring them\n");
	if (bundle != NULL && tls_server_load(tls, bundle, &errors)) {
		log_info("new TLS handshakes use the new files");
	} else {
		log_lines(LOG_ERROR, errors.data, errors.len);
		log_error("TLS goes on with the files of before");
	}
	buf_free(&errors);
	tls_bundle_free(&bundle);
}
