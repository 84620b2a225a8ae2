/* config_load(): from a file, the environment and the command line to a struct config. Goes on after a
 * problem, so that all of them are told at once. How the sources are read stands in config_yaml.c and
 * config_variables.c. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "config.h"
#include "config_loader.h"
#include "mem.h"
#include "units.h"

/* Dev mode decides about the defaults and so has to be known before anything is read. */
static bool is_dev(const struct config_sources *sources, yaml_document_t *doc)
{
	const char *value = loader_variable(sources, "FANFARE_DEV");

	if (sources->dev)
		return true;
	if (value != NULL && *value != '\0')
		return strcmp(value, "true") == 0;
	return doc != NULL && loader_is_dev_file(doc);
}

/* --- what values may not stand together --- */

/* The place of the first that is not a default. */
static struct place place_of_either(const struct loader *l, const char *name, const char *other)
{
	struct place at = loader_place(l, name);

	return at.source.len > 0 ? at : loader_place(l, other);
}

static void check_pings(struct loader *l)
{
	const struct config *c = l->config;
	char ping[UNITS_TEXT_MAX], pong[UNITS_TEXT_MAX];

	if (c->client.ping_interval_ms == 0 || c->client.pong_timeout_ms < c->client.ping_interval_ms)
		return;
	units_format_duration(c->client.ping_interval_ms, ping);
	units_format_duration(c->client.pong_timeout_ms, pong);
	loader_problem(l, place_of_either(l, "client.pong_timeout", "client.ping_interval"),
	               "client.pong_timeout", "must be shorter than client.ping_interval, %s, not %s", ping,
	               pong);
}

static void check_fixed_paths(struct loader *l, const char *name, const char *path)
{
	static const char *const fixed[] = FIXED_PATHS;

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		if (strcmp(path, fixed[i]) == 0)
			loader_problem(l, loader_place(l, name), name,
			               "must not be %s, which the broker itself answers", path);
	}
}

static void check_paths(struct loader *l)
{
	const struct config *c = l->config;

	check_fixed_paths(l, "websocket.handler_prefix", c->websocket.handler_prefix);
	check_fixed_paths(l, "uni_websocket.handler_prefix", c->uni_websocket.handler_prefix);

	if (!c->uni_websocket.enabled ||
	    strcmp(c->websocket.handler_prefix, c->uni_websocket.handler_prefix) != 0)
		return;
	loader_problem(l, place_of_either(l, "uni_websocket.handler_prefix", "websocket.handler_prefix"),
	               "uni_websocket.handler_prefix", "must not be websocket.handler_prefix, %s",
	               c->websocket.handler_prefix);
}

/* Port 0 is another one each time. */
static bool is_any_port(const char *text)
{
	const char *colon = strrchr(text, ':');

	return colon != NULL && strcmp(colon, ":0") == 0;
}

/* An address may be written in several ways. */
static bool is_same_address(const char *one, const char *other)
{
	char texts[2][ADDRESS_TEXT_MAX];
	struct address a, b;
	struct address_manner manner;
	const char *reason;

	if (!address_parse(address_manner(one, &manner), &a, &reason) ||
	    !address_parse(address_manner(other, &manner), &b, &reason))
		return false;
	address_format(&a, texts[0]);
	address_format(&b, texts[1]);
	return strcmp(texts[0], texts[1]) == 0 && !is_any_port(texts[0]);
}

static void check_listen_pair(struct loader *l, const char *first, const char *second)
{
	if (strcmp(first, second) == 0)
		loader_problem(l, loader_place(l, "listen"), "listen", "must name \"%s\" once", first);
	else if (is_same_address(first, second))
		loader_problem(l, loader_place(l, "listen"), "listen",
		               "must name \"%s\" once, \"%s\" is the same", first, second);
}

static void check_listen(struct loader *l)
{
	const struct strings *listen = &l->config->listen;

	for (size_t i = 0; i < listen->count; i++) {
		for (size_t j = 0; j < i; j++)
			check_listen_pair(l, listen->items[j], listen->items[i]);
	}
}

/* Known here, as the place in the file is. */
static void check_accounts(struct loader *l)
{
	const struct config *c = l->config;

	if (c->user != NULL && getpwnam(c->user) == NULL)
		loader_problem(l, loader_place(l, "user"), "user", "\"%s\" is no user of this machine",
		               c->user);
	if (c->group != NULL && getgrnam(c->group) == NULL)
		loader_problem(l, loader_place(l, "group"), "group", "\"%s\" is no group of this machine",
		               c->group);
	if (c->group != NULL && c->user == NULL)
		loader_problem(l, loader_place(l, "group"), "group", "must not be set without user");
}

static void check_together(struct loader *l)
{
	const struct scope channel = {&options_of_channel, &l->config->channel.without_namespace,
	                              "channel.without_namespace.", l->channel_places};

	check_accounts(l);
	check_pings(l);
	check_paths(l);
	check_listen(l);
	loader_check_redis(l);
	loader_check_channel(l, &channel);
}

/* --- the runtime directory --- */

static char *default_runtime_dir(const struct config_sources *sources)
{
	const char *state = loader_variable(sources, "XDG_STATE_HOME");
	const char *home = loader_variable(sources, "HOME");

	if (geteuid() == 0)
		return mem_strdup("/var/lib/fanfare");
	if (state != NULL && state[0] == '/')
		return mem_printf("%s/fanfare", state);
	if (home != NULL && home[0] == '/')
		return mem_printf("%s/.local/state/fanfare", home);
	return mem_printf("/tmp/fanfare-%u", (unsigned)geteuid());
}

/* Absolute, because the embedded Redis works in another directory than the one we were started in. */
static void set_runtime_dir(struct loader *l)
{
	char **dir = &l->config->runtime_dir;
	char cwd[4096];
	char *absolute;

	if (*dir == NULL)
		*dir = default_runtime_dir(l->sources);
	if ((*dir)[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL) {
		absolute = mem_printf("%s/%s", cwd, *dir);
		mem_free(*dir);
		*dir = absolute;
	}
	if (strlen(*dir) > option_find(&options_of_broker, BYTES("runtime_dir"))->max)
		loader_problem(l, loader_place(l, "runtime_dir"), "runtime_dir",
		               "\"%s\" is too long for the path of a socket in it", *dir);
}

static const char *file_of(const struct config_sources *sources)
{
	const char *file = sources->file != NULL ? sources->file : loader_variable(sources, "FANFARE_CONFIG");

	return file != NULL && file[0] != '\0' ? file : NULL;
}

struct config *config_load(const struct config_sources *sources, struct buf *errors)
{
	struct loader l = {.sources = sources, .errors = errors};
	yaml_document_t file;
	const char *path = file_of(sources);
	bool has_file = path != NULL && loader_open_file(&l, path, &file);
	bool dev = is_dev(sources, has_file ? &file : NULL);

	l.config = mem_alloc(sizeof(*l.config));
	l.places = mem_alloc(options_of_broker.count * sizeof(*l.places));
	l.channel_places = mem_alloc(options_of_channel.count * sizeof(*l.channel_places));
	options_set_defaults(&options_of_broker, l.config, dev);
	l.config->dev = dev;
	if (has_file)
		loader_read_file(&l, BYTES_OF_STR(path), &file);
	loader_read_environment(&l);
	loader_read_flags(&l);
	l.config->dev = dev;
	l.config->loaded_ms = clock_ms();
	if (gethostname(l.config->host, sizeof(l.config->host) - 1) < 0)
		l.config->host[0] = '\0';
	set_runtime_dir(&l);
	check_together(&l);
	if (has_file)
		yaml_document_delete(&file);
	mem_free(l.places);
	mem_free(l.channel_places);
	if (l.problems > 0)
		config_free(&l.config);
	return l.config;
}
