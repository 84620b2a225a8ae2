/* The parts of config_load() that read the environment and the command line. */
#include <stdio.h>
#include <string.h>

#include "config_loader.h"
#include "suggest.h"

static const char prefix[] = "FANFARE_";

/* How a letter of an option's name is written in a variable. */
static char variable_letter(char c)
{
	return (char)(c == '.' ? '_' : c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

/* "client.ping_interval" is called FANFARE_CLIENT_PING_INTERVAL. True if `name` is it or, with *rest not
 * empty, begins with it and an underscore. */
static bool is_variable_of(const struct option *o, struct bytes name, struct bytes *rest)
{
	size_t len = strlen(o->name);

	if (name.len < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name.ptr[i] != variable_letter(o->name[i]))
			return false;
	}
	*rest = bytes_skip(name, len);
	if (rest->len == 0)
		return true;
	if (rest->ptr[0] != '_')
		return false;
	*rest = bytes_skip(*rest, 1);
	return rest->len > 0;
}

static const struct option *find_variable(const struct option_table *table, struct bytes name,
                                          struct bytes *rest)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (is_variable_of(o, name, rest) && (rest->len == 0 || o->type == OPTION_CHANNEL))
			return o;
	}
	return NULL;
}

static void read_items(struct loader *l, const struct scope *scope, const struct option *o, struct bytes text,
                       struct place at)
{
	struct bytes rest = text, item;
	size_t count = 0;

	option_clear(o, scope->base);
	while (option_next_item(&rest, &item))
		loader_add(l, scope, o, count++, item, at);
	if (count < o->min)
		loader_set(l, scope, o, text, at);
}

static void read_value(struct loader *l, const struct scope *scope, const struct option *o,
                       struct bytes value, struct bytes source)
{
	struct place at = {.source = source};

	if (o->type == OPTION_CHANNEL || o->type == OPTION_NAMESPACES ||
	    (o->type == OPTION_STRINGS && value.ptr[0] == '[')) {
		loader_read_yaml(l, scope, o, value, source);
		return;
	}
	loader_remember(scope, o, at);
	if (o->type == OPTION_STRINGS)
		read_items(l, scope, o, value, at);
	else
		loader_set(l, scope, o, value, at);
}

static bool contains(struct bytes text, const char *part)
{
	return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* Kubernetes puts the addresses of all services of a namespace into the environment, and one may well be
 * called fanfare or fanfare-redis: FANFARE_SERVICE_HOST, FANFARE_PORT=tcp://…, FANFARE_PORT_8080_TCP_ADDR. */
static bool is_from_kubernetes(struct bytes name, struct bytes value)
{
	if (contains(name, "SERVICE_HOST") || contains(name, "SERVICE_PORT"))
		return true;
	return contains(name, "PORT") &&
	       (bytes_start_with(value, BYTES("tcp://")) || bytes_start_with(value, BYTES("udp://")) ||
	        bytes_start_with(value, BYTES("sctp://")) || contains(name, "_TCP") ||
	        contains(name, "_UDP") || contains(name, "_SCTP"));
}

/* "client.ping_interval" as "CLIENT_PING_INTERVAL". */
static struct bytes variable_of(const struct option *o, char name[LOADER_NAME_SIZE])
{
	size_t len = strlen(o->name);

	for (size_t i = 0; i < len; i++)
		name[i] = variable_letter(o->name[i]);
	return (struct bytes){name, len};
}

static void unknown_variable(struct loader *l, struct bytes source, struct bytes name, struct bytes value)
{
	struct suggest s = suggest_for(name);
	char near[LOADER_NAME_SIZE] = "", one[LOADER_NAME_SIZE];

	if (is_from_kubernetes(name, value))
		return;
	for (size_t i = 0; i < options_of_broker.count; i++) {
		struct bytes candidate = variable_of(&options_of_broker.rows[i], one);

		s.best = BYTES_NONE;
		suggest_try(&s, candidate);
		if (s.best.len > 0)
			snprintf(near, sizeof(near), "%.*s", BYTES_FMT(candidate));
	}
	if (near[0] != '\0')
		loader_problem(l, (struct place){.source = source}, NULL,
		               "no option is called so, did you mean %s%s?", prefix, near);
	else
		loader_problem(l, (struct place){.source = source}, NULL,
		               "no option is called so; see fanfare config --example");
}

static void read_variable(struct loader *l, const struct scope *broker, struct bytes source,
                          struct bytes name, struct bytes value)
{
	struct bytes rest;
	const struct option *o = find_variable(broker->table, name, &rest);

	/* FANFARE_CONFIG is the path of the file and no option. An empty variable is one that is not set:
	 * that is all that compose files and unit files can say. */
	if (value.len == 0 || bytes_eq(name, BYTES("CONFIG")))
		return;
	if (o != NULL && rest.len > 0) {
		struct scope channel = {&options_of_channel, option_at(o, broker->base),
		                        "channel.without_namespace.", l->channel_places};

		o = find_variable(channel.table, rest, &rest);
		if (o != NULL)
			read_value(l, &channel, o, value, source);
	} else if (o != NULL) {
		read_value(l, broker, o, value, source);
	}
	if (o == NULL)
		unknown_variable(l, source, name, value);
}

const char *loader_variable(const struct config_sources *sources, const char *name)
{
	size_t len = strlen(name);

	for (char *const *entry = sources->environment; entry != NULL && *entry != NULL; entry++) {
		if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
			return *entry + len + 1;
	}
	return NULL;
}

void loader_read_environment(struct loader *l)
{
	const struct scope broker = {&options_of_broker, l->config, "", l->places};
	size_t skipped = strlen(prefix);

	for (char *const *entry = l->sources->environment; entry != NULL && *entry != NULL; entry++) {
		struct bytes source = {*entry, strcspn(*entry, "=")};

		if (strncmp(*entry, prefix, skipped) == 0 && (*entry)[source.len] == '=')
			read_variable(l, &broker, source, bytes_skip(source, skipped),
			              BYTES_OF_STR(*entry + source.len + 1));
	}
}

static bool is_first_of_option(const struct loader *l, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(l->sources->flags[j].option, l->sources->flags[i].option) == 0)
			return false;
	}
	return true;
}

/* The flag stands once for each item: no need to count them. */
static void add_flag_item(struct loader *l, const struct scope *broker, const struct option *o,
                          struct bytes item, struct place at)
{
	struct buf why;

	buf_init(&why, LOADER_WHY_MAX);
	if (!option_add(o, broker->base, item, &why))
		loader_problem_of(l, at, broker, o, "%.*s", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
}

static void read_flag(struct loader *l, const struct scope *broker, size_t i)
{
	const struct config_flag *flag = &l->sources->flags[i];
	const struct option *o = option_find(broker->table, BYTES_OF_STR(flag->option));
	struct place at = {.source = BYTES_OF_STR(flag->flag != NULL ? flag->flag : flag->option),
	                   .is_flag = true};

	if (o == NULL) {
		loader_problem(l, at, NULL, "unknown option");
		return;
	}
	loader_remember(broker, o, at);
	/* A flag that is repeated adds to the list that the first one began. */
	if (o->type == OPTION_STRINGS && is_first_of_option(l, i))
		option_clear(o, broker->base);
	if (o->type == OPTION_STRINGS)
		add_flag_item(l, broker, o, BYTES_OF_STR(flag->value), at);
	else
		loader_set(l, broker, o, BYTES_OF_STR(flag->value), at);
}

void loader_read_flags(struct loader *l)
{
	const struct scope broker = {&options_of_broker, l->config, "", l->places};

	for (size_t i = 0; i < l->sources->flag_count; i++)
		read_flag(l, &broker, i);
}
