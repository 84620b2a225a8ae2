#include "certificates.h"

#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

enum { ERRORS_TEXT_MAX = 65536 };

struct certificates {
	const struct config *config;
	struct tls_server *tls;
	struct ev_loop *loop; /* NULL before certificates_watch() */
	ev_timer keys;
};

static void tell(bool is_warning, const char *line)
{
	log_line(is_warning ? LOG_WARNING : LOG_INFO, NULL, "%s", line);
}

struct certificates *certificates_load(const struct config *config)
{
	struct certificates *c = mem_alloc(sizeof(*c));
	struct buf errors;

	c->config = config;
	buf_init(&errors, ERRORS_TEXT_MAX);
	if (worker_load_tls(config, &c->tls, &errors))
		worker_describe_tls(c->tls, tell);
	else
		certificates_free(&c);
	log_lines(LOG_ERROR, errors.data, errors.len);
	buf_free(&errors);
	return c;
}

struct tls_server *certificates_tls(const struct certificates *c)
{
	return c->tls;
}

static void on_keys_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
	const struct certificates *c = timer->data;

	ev_timer_stop(loop, timer);
	ev_timer_set(timer, (double)worker_turn_tls_keys(c->tls) / 1000, 0);
	ev_timer_start(loop, timer);
}

void certificates_watch(struct certificates *c, struct ev_loop *loop)
{
	c->loop = loop;
	ev_init(&c->keys, on_keys_due);
	c->keys.data = c;
	if (c->tls != NULL)
		on_keys_due(loop, &c->keys, 0);
}

void certificates_reload(struct certificates *c, struct supervisor *s)
{
	struct buf errors;
	int file;

	if (c->tls == NULL) {
		log_info("there are no certificates to read anew");
		return;
	}
	clock_refresh();
	buf_init(&errors, ERRORS_TEXT_MAX);
	file = worker_reload_tls(c->config, c->tls, &errors);
	if (file >= 0) {
		worker_describe_tls(c->tls, tell);
		supervisor_send_file(s, CONTROL_TLS_FILES, file);
		close(file);
	} else {
		log_lines(LOG_ERROR, errors.data, errors.len);
		log_error("TLS goes on with the certificates of before");
	}
	buf_free(&errors);
}

void certificates_free(struct certificates **c)
{
	if (*c == NULL)
		return;
	if ((*c)->loop != NULL)
		ev_timer_stop((*c)->loop, &(*c)->keys);
	worker_free_tls(&(*c)->tls);
	mem_free(*c);
	*c = NULL;
}
