/* config_load(): from a file, the environment and the command line to a struct config. Goes on after a
 * problem, so that all of them are told at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "mem.h"
#include "options.h"
#include "suggest.h"
#include "units.h"
#include "yaml_text.h"

enum {
	PROBLEMS_MAX = 100, /* told; a file may hold a million */
	NAME_SIZE = 128,    /* of a dotted name; longer ones are unknown */
	SHOWN_MAX = 60,     /* bytes of a key that is not known */
	KEYS_MAX = 64,      /* known keys in one map: those of a section */
	WHY_MAX = 1024,
};

/* Where a value came from. */
struct origin {
	struct bytes source; /* a file, a variable, a flag; empty: the default */
	unsigned line;       /* 0: has none */
};

struct loader {
	const struct config_sources *sources;
	struct config *config;
	struct buf *errors;
	unsigned problems;
	struct origin *origins; /* of the rows of options_of_broker */
	/* The document that is being read, and what it is called. */
	yaml_document_t *doc;
	struct bytes source;
};

/* A table, the struct that it is about, and how its keys are called in messages. */
struct scope {
	const struct option_table *table;
	void *base;
	const char *prefix; /* "", "channel.without_namespace." */
};

struct keys {
	const yaml_node_t *nodes[KEYS_MAX];
	size_t count;
};

static void read_map(struct loader *l, const struct scope *scope, const char *section, yaml_node_t *node);

/* "source:line: " */
static void print_origin(struct buf *out, struct origin at)
{
	buf_put_bytes(out, at.source);
	if (at.line > 0)
		buf_putf(out, ":%u", at.line);
	buf_puts(out, ": ");
}

static bool may_tell(struct loader *l)
{
	if (++l->problems == PROBLEMS_MAX + 1)
		buf_puts(l->errors, "and more problems, which are not shown\n");
	return l->problems <= PROBLEMS_MAX;
}

static void PRINTF_LIKE(4, 5)
	problem(struct loader *l, struct origin at, const char *key, const char *fmt, ...)
{
	char text[WHY_MAX];
	va_list ap;

	if (!may_tell(l))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_origin(l->errors, at);
	if (key != NULL)
		buf_putf(l->errors, "%s: ", key);
	buf_putf(l->errors, "%s\n", text);
}

/* A problem of an option, which names it as the user knows it. */
static void PRINTF_LIKE(5, 6) problem_of(struct loader *l, struct origin at, const struct scope *scope,
                                         const struct option *o, const char *fmt, ...)
{
	char key[NAME_SIZE], text[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(key, sizeof(key), "%s%s", scope->prefix, o->name);
	problem(l, at, key, "%s", text);
}

static struct origin origin_of_node(const struct loader *l, const yaml_node_t *node)
{
	return (struct origin){l->source, (unsigned)node->start_mark.line + 1};
}

static void remember_origin(struct loader *l, const struct scope *scope, const struct option *o,
                            struct origin at)
{
	if (scope->table == &options_of_broker)
		l->origins[o - options_of_broker.rows] = at;
}

static struct bytes scalar_of(const yaml_node_t *node)
{
	return (struct bytes){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool is_null(const yaml_node_t *node)
{
	struct bytes text;

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	text = scalar_of(node);
	return text.len == 0 || bytes_eq(text, BYTES("~")) || bytes_eq(text, BYTES("null"));
}

/* What to say about a value of the wrong kind. */
static void refuse_value(struct loader *l, const struct scope *scope, const struct option *o,
                         const yaml_node_t *node)
{
	struct buf why;

	buf_init(&why, WHY_MAX);
	option_print_allowed(o, &why);
	problem_of(l, origin_of_node(l, node), scope, o, "%smust be %.*s",
	           is_null(node) ? "has no value, " : "", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
}

static void set_or_tell(struct loader *l, const struct scope *scope, const struct option *o,
                        struct bytes text, struct origin at,
                        bool (*set)(const struct option *, void *, struct bytes, struct buf *))
{
	struct buf why;

	buf_init(&why, WHY_MAX);
	if (!set(o, scope->base, text, &why))
		problem_of(l, at, scope, o, "%.*s", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
}

static void read_scalar(struct loader *l, const struct scope *scope, const struct option *o,
                        yaml_node_t *node)
{
	/* An option that may be absent may say so. */
	if (is_null(node) && o->type == OPTION_STRING && o->fallback == NULL) {
		option_clear(o, scope->base);
		return;
	}
	if (node->type != YAML_SCALAR_NODE || is_null(node)) {
		refuse_value(l, scope, o, node);
		return;
	}
	set_or_tell(l, scope, o, scalar_of(node), origin_of_node(l, node), option_set);
}

static void read_list_item(struct loader *l, const struct scope *scope, const struct option *o,
                           yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE || is_null(node)) {
		problem_of(l, origin_of_node(l, node), scope, o, "each item must be a text");
		return;
	}
	set_or_tell(l, scope, o, scalar_of(node), origin_of_node(l, node), option_add);
}

/* The items of a list; NULL with the problem told when it is none, or too long or short. */
static bool is_list(struct loader *l, const struct scope *scope, const struct option *o, yaml_node_t *node,
                    size_t *count)
{
	if (node->type == YAML_SEQUENCE_NODE) {
		*count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
		if (*count >= o->min && *count <= o->max)
			return true;
	}
	refuse_value(l, scope, o, node);
	return false;
}

static yaml_node_t *list_item(const struct loader *l, const yaml_node_t *list, size_t i)
{
	return yaml_document_get_node(l->doc, list->data.sequence.items.start[i]);
}

static void read_list(struct loader *l, const struct scope *scope, const struct option *o, yaml_node_t *node)
{
	size_t count;

	if (!is_list(l, scope, o, node, &count))
		return;
	option_clear(o, scope->base);
	for (size_t i = 0; i < count; i++)
		read_list_item(l, scope, o, list_item(l, node, i));
}

static void read_channel(struct loader *l, const struct scope *scope, const struct option *o,
                         yaml_node_t *node)
{
	char prefix[NAME_SIZE];
	struct scope inner = {&options_of_channel, option_at(o, scope->base), prefix};

	snprintf(prefix, sizeof(prefix), "%s.", o->name);
	if (!is_null(node))
		read_map(l, &inner, "", node);
}

static bool name_is_taken(const struct channel_options *namespaces, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (namespaces[j].name != NULL && strcmp(namespaces[j].name, namespaces[i].name) == 0)
			return true;
	}
	return false;
}

static void read_namespace(struct loader *l, const struct option *o, struct channel_options *namespaces,
                           size_t i, yaml_node_t *node)
{
	char prefix[NAME_SIZE];
	struct scope scope = {&options_of_namespace, &namespaces[i], prefix};
	unsigned problems = l->problems;

	snprintf(prefix, sizeof(prefix), "%s[%zu].", o->name, i);
	options_set_defaults(&options_of_namespace, &namespaces[i], l->config->dev);
	read_map(l, &scope, "", node);
	if (namespaces[i].name == NULL && l->problems == problems)
		problem_of(l, origin_of_node(l, node), &scope, options_of_namespace.rows,
		           "is missing: each namespace has a name");
	if (namespaces[i].name != NULL && name_is_taken(namespaces, i))
		problem_of(l, origin_of_node(l, node), &scope, options_of_namespace.rows,
		           "must be unique, there is another namespace \"%s\"", namespaces[i].name);
}

static void read_namespaces(struct loader *l, const struct scope *scope, const struct option *o,
                            yaml_node_t *node)
{
	struct channel_options *namespaces;
	size_t count = 0;

	if (!is_null(node) && !is_list(l, scope, o, node, &count))
		return;
	option_clear(o, scope->base);
	namespaces = mem_alloc(count * sizeof(*namespaces));
	l->config->channel.namespaces = namespaces;
	l->config->channel.namespace_count = count;
	for (size_t i = 0; i < count; i++)
		read_namespace(l, o, namespaces, i, list_item(l, node, i));
}

static void read_option(struct loader *l, const struct scope *scope, const struct option *o,
                        yaml_node_t *node)
{
	remember_origin(l, scope, o, origin_of_node(l, node));
	switch (o->type) {
	case OPTION_STRINGS: read_list(l, scope, o, node); return;
	case OPTION_CHANNEL: read_channel(l, scope, o, node); return;
	case OPTION_NAMESPACES: read_namespaces(l, scope, o, node); return;
	default: read_scalar(l, scope, o, node); return;
	}
}

/* The part of an option's name that stands at the level of the section, if it is below it: for the section
 * "client" and the option "client.ping_interval" "ping_interval", for no section "client". */
static struct bytes key_at_level(const struct option *o, const char *section)
{
	size_t len = strlen(section);
	const char *rest = o->name + len;

	if (strncmp(o->name, section, len) != 0)
		return BYTES_NONE;
	if (len > 0 && *rest++ != '.')
		return BYTES_NONE;
	return (struct bytes){rest, strcspn(rest, ".")};
}

static bool is_section(const struct option_table *table, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < table->count; i++) {
		if (strncmp(table->rows[i].name, name, len) == 0 && table->rows[i].name[len] == '.')
			return true;
	}
	return false;
}

/* Whether the key is the option's name without its section, or with '_' for '.', as other programs, and
 * older versions of them, call it. */
static bool is_misplaced(const struct option *o, struct bytes key)
{
	const char *dot = strrchr(o->name, '.');

	if (dot == NULL)
		return false;
	if (bytes_eq(key, BYTES_OF_STR(dot + 1)))
		return true;
	if (key.len != strlen(o->name))
		return false;
	for (size_t i = 0; i < key.len; i++) {
		if (key.ptr[i] != o->name[i] && !(o->name[i] == '.' && key.ptr[i] == '_'))
			return false;
	}
	return true;
}

static struct bytes nearest(const struct option_table *table, const char *section, struct bytes key)
{
	struct suggest s = suggest_for(key);

	for (size_t i = 0; i < table->count; i++)
		suggest_try(&s, key_at_level(&table->rows[i], section));
	for (size_t i = 0; i < table->count && s.best.len == 0; i++) {
		if (is_misplaced(&table->rows[i], key))
			s.best = BYTES_OF_STR(table->rows[i].name);
	}
	return s.best;
}

/* A key may be anything: what cannot be shown becomes '?'. */
static void make_showable(struct bytes text, char out[SHOWN_MAX + 1])
{
	size_t len = text.len < SHOWN_MAX ? text.len : SHOWN_MAX;

	for (size_t i = 0; i < len; i++)
		out[i] = (char)(text.ptr[i] > ' ' && text.ptr[i] < 127 ? text.ptr[i] : '?');
	out[len] = '\0';
}

static void unknown_key(struct loader *l, const struct scope *scope, const char *section,
                        const yaml_node_t *node)
{
	struct bytes key = scalar_of(node), near = BYTES_NONE;
	char shown[SHOWN_MAX + 1], full[2 * NAME_SIZE];

	make_showable(key, shown);
	snprintf(full, sizeof(full), "%s%s%s%s", scope->prefix, section, *section != '\0' ? "." : "", shown);
	if (l->problems < PROBLEMS_MAX)
		near = nearest(scope->table, section, key);
	if (near.len > 0)
		problem(l, origin_of_node(l, node), full, "unknown option, did you mean %.*s?",
		        BYTES_FMT(near));
	else
		problem(l, origin_of_node(l, node), full, "unknown option");
}

static bool is_repeated(struct loader *l, const struct scope *scope, const char *name, struct keys *keys,
                        const yaml_node_t *key)
{
	char full[2 * NAME_SIZE];

	for (size_t i = 0; i < keys->count; i++) {
		if (!bytes_eq(scalar_of(keys->nodes[i]), scalar_of(key)))
			continue;
		snprintf(full, sizeof(full), "%s%s", scope->prefix, name);
		problem(l, origin_of_node(l, key), full, "must stand here once, it is already in line %zu",
		        keys->nodes[i]->start_mark.line + 1);
		return true;
	}
	if (keys->count < KEYS_MAX)
		keys->nodes[keys->count++] = key;
	return false;
}

static void read_pair(struct loader *l, const struct scope *scope, const char *section, struct keys *keys,
                      yaml_node_t *key, yaml_node_t *value)
{
	const struct option *o;
	char name[NAME_SIZE];
	int len;

	if (key->type != YAML_SCALAR_NODE) {
		problem(l, origin_of_node(l, key), *section != '\0' ? section : NULL, "a key must be a word");
		return;
	}
	len = snprintf(name, sizeof(name), "%s%s%.*s", section, *section != '\0' ? "." : "",
	               BYTES_FMT(scalar_of(key)));
	/* A key that holds a dot is no way into a section, and one with a zero byte would be cut there. */
	if (len >= NAME_SIZE || memchr(key->data.scalar.value, '.', key->data.scalar.length) != NULL ||
	    memchr(key->data.scalar.value, '\0', key->data.scalar.length) != NULL) {
		unknown_key(l, scope, section, key);
		return;
	}
	o = option_find(scope->table, BYTES_OF_STR(name));
	if (o == NULL && !is_section(scope->table, name))
		unknown_key(l, scope, section, key);
	else if (is_repeated(l, scope, name, keys, key))
		return;
	else if (o != NULL)
		read_option(l, scope, o, value);
	else if (!is_null(value))
		read_map(l, scope, name, value);
}

static void read_map(struct loader *l, const struct scope *scope, const char *section, yaml_node_t *node)
{
	struct keys keys = {.count = 0};
	char name[2 * NAME_SIZE];

	if (node->type != YAML_MAPPING_NODE) {
		snprintf(name, sizeof(name), "%s%s", scope->prefix, section);
		/* "channel.without_namespace." is a prefix. */
		if (*section == '\0' && name[0] != '\0')
			name[strlen(name) - 1] = '\0';
		problem(l, origin_of_node(l, node), name[0] != '\0' ? name : NULL,
		        "must be a map of options");
		return;
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
	     pair++)
		read_pair(l, scope, section, &keys, yaml_document_get_node(l->doc, pair->key),
		          yaml_document_get_node(l->doc, pair->value));
}

/* The file */

/* The whole file in a buffer, which may be longer than allowed by one byte: the parser will say so. */
static bool read_all(int fd, struct buf *out)
{
	for (;;) {
		size_t room = YAML_TEXT_MAX + 1 - out->len;
		char *space = buf_reserve(out, room < 65536 ? room : 65536);
		ssize_t n;

		if (space == NULL || room == 0)
			return true;
		n = read(fd, space, room < 65536 ? room : 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		buf_commit(out, (size_t)n);
	}
}

static bool read_file(struct loader *l, const char *path, struct buf *out)
{
	struct origin at = {BYTES_OF_STR(path), 0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good;

	if (fd < 0) {
		problem(l, at, NULL, "cannot open: %s", strerror(errno));
		return false;
	}
	good = read_all(fd, out);
	if (!good)
		problem(l, at, NULL, "cannot read: %s", strerror(errno));
	close(fd);
	return good;
}

static bool load_document(struct loader *l, struct bytes text, struct bytes source, yaml_document_t *doc)
{
	struct origin at = {.source = source};
	struct buf why;
	bool good;

	buf_init(&why, WHY_MAX);
	good = yaml_text_load(text, doc, &at.line, &why);
	if (!good)
		problem(l, at, NULL, "%.*s", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
	return good;
}

static bool load_file(struct loader *l, const char *path, yaml_document_t *doc)
{
	struct buf text;
	bool good;

	buf_init(&text, 2 * YAML_TEXT_MAX);
	good = read_file(l, path, &text) && load_document(l, buf_bytes(&text), BYTES_OF_STR(path), doc);
	buf_free(&text);
	return good;
}

/* The environment */

/* "client.ping_interval" is called FANFARE_CLIENT_PING_INTERVAL. True if `name` is it or, with *rest not
 * empty, begins with it and an underscore. */
static bool is_variable_of(const struct option *o, struct bytes name, struct bytes *rest)
{
	size_t len = strlen(o->name);

	if (name.len < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = o->name[i];
		char wanted = (char)(c == '.' ? '_' : c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);

		if (name.ptr[i] != wanted)
			return false;
	}
	*rest = (struct bytes){name.ptr + len, name.len - len};
	if (rest->len == 0)
		return true;
	if (rest->ptr[0] != '_')
		return false;
	*rest = (struct bytes){rest->ptr + 1, rest->len - 1};
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

/* A value that is written as YAML: maps, and lists that begin with a bracket. */
static void read_yaml_value(struct loader *l, const struct scope *scope, const struct option *o,
                            struct bytes value, struct bytes source)
{
	yaml_document_t doc;
	yaml_node_t *root;

	if (!load_document(l, value, source, &doc))
		return;
	l->doc = &doc;
	l->source = source;
	root = yaml_document_get_root_node(&doc);
	if (root != NULL)
		read_option(l, scope, o, root);
	l->doc = NULL;
	yaml_document_delete(&doc);
}

static void read_value(struct loader *l, const struct scope *scope, const struct option *o,
                       struct bytes value, struct bytes source)
{
	struct origin at = {.source = source};

	if (o->type == OPTION_CHANNEL || o->type == OPTION_NAMESPACES ||
	    (o->type == OPTION_STRINGS && value.ptr[0] == '[')) {
		read_yaml_value(l, scope, o, value, source);
		return;
	}
	remember_origin(l, scope, o, at);
	set_or_tell(l, scope, o, value, at, option_set);
}

static bool contains(struct bytes text, const char *part)
{
	return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* Kubernetes puts the addresses of all services of a namespace into the environment, and one of them may well
 * be called fanfare or fanfare-redis: FANFARE_SERVICE_HOST, FANFARE_PORT=tcp://…, FANFARE_PORT_8080_TCP_ADDR.
 */
static bool is_from_kubernetes(struct bytes name, struct bytes value)
{
	return contains(name, "SERVICE_HOST") || contains(name, "SERVICE_PORT") || contains(value, "://") ||
	       contains(name, "_TCP") || contains(name, "_UDP") || contains(name, "_SCTP");
}

static void unknown_variable(struct loader *l, struct bytes source, struct bytes name, struct bytes value)
{
	if (!is_from_kubernetes(name, value))
		problem(l, (struct origin){.source = source}, NULL,
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
		                        "channel.without_namespace."};

		o = find_variable(channel.table, rest, &rest);
		if (o != NULL)
			read_value(l, &channel, o, value, source);
	} else if (o != NULL) {
		read_value(l, broker, o, value, source);
	}
	if (o == NULL)
		unknown_variable(l, source, name, value);
}

static const char prefix[] = "FANFARE_";

/* The value of a variable, NULL when it is not set. */
static const char *variable(char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
		if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
			return *entry + len + 1;
	}
	return NULL;
}

static void read_environment(struct loader *l, const struct scope *broker)
{
	size_t skipped = strlen(prefix);

	for (char *const *entry = l->sources->environment; entry != NULL && *entry != NULL; entry++) {
		struct bytes source = {*entry, strcspn(*entry, "=")};

		if (strncmp(*entry, prefix, skipped) == 0 && (*entry)[source.len] == '=')
			read_variable(l, broker, source,
			              (struct bytes){source.ptr + skipped, source.len - skipped},
			              BYTES_OF_STR(*entry + source.len + 1));
	}
}

/* The command line */

static bool is_first_of_option(const struct loader *l, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(l->sources->flags[j].option, l->sources->flags[i].option) == 0)
			return false;
	}
	return true;
}

static void read_flag(struct loader *l, const struct scope *broker, size_t i)
{
	const struct config_flag *flag = &l->sources->flags[i];
	const struct option *o = option_find(broker->table, BYTES_OF_STR(flag->option));
	struct origin at = {.source = BYTES_OF_STR(flag->flag != NULL ? flag->flag : flag->option)};

	if (o == NULL) {
		problem(l, at, flag->option, "unknown option");
		return;
	}
	remember_origin(l, broker, o, at);
	/* A flag that is repeated adds to the list that the first one began. */
	if (o->type == OPTION_STRINGS && is_first_of_option(l, i))
		option_clear(o, broker->base);
	set_or_tell(l, broker, o, BYTES_OF_STR(flag->value), at,
	            o->type == OPTION_STRINGS ? option_add : option_set);
}

/* Dev mode, which decides about the defaults and so has to be known before anything is read. */

static bool file_is_dev(yaml_document_t *doc)
{
	yaml_node_t *root = yaml_document_get_root_node(doc);
	bool dev = false;

	if (root == NULL || root->type != YAML_MAPPING_NODE)
		return false;
	for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top;
	     pair++) {
		yaml_node_t *key = yaml_document_get_node(doc, pair->key);
		yaml_node_t *value = yaml_document_get_node(doc, pair->value);

		if (key->type == YAML_SCALAR_NODE && bytes_eq(scalar_of(key), BYTES("dev")))
			dev = value->type == YAML_SCALAR_NODE && bytes_eq(scalar_of(value), BYTES("true"));
	}
	return dev;
}

static bool is_dev(const struct config_sources *sources, yaml_document_t *doc)
{
	const char *value = variable(sources->environment, "FANFARE_DEV");

	if (sources->dev)
		return true;
	if (value != NULL && *value != '\0')
		return strcmp(value, "true") == 0;
	return doc != NULL && file_is_dev(doc);
}

/* What values may not stand together */

static struct origin origin_of(const struct loader *l, const char *name)
{
	return l->origins[option_find(&options_of_broker, BYTES_OF_STR(name)) - options_of_broker.rows];
}

/* The place of the first that is not a default. */
static struct origin origin_of_either(const struct loader *l, const char *name, const char *other)
{
	struct origin at = origin_of(l, name);

	return at.source.len > 0 ? at : origin_of(l, other);
}

static void check_pings(struct loader *l)
{
	const struct config *c = l->config;
	char ping[UNITS_TEXT_MAX], pong[UNITS_TEXT_MAX];

	if (c->client.ping_interval_ms == 0 || c->client.pong_timeout_ms < c->client.ping_interval_ms)
		return;
	units_format_duration(c->client.ping_interval_ms, ping);
	units_format_duration(c->client.pong_timeout_ms, pong);
	problem(l, origin_of_either(l, "client.pong_timeout", "client.ping_interval"), "client.pong_timeout",
	        "must be shorter than client.ping_interval, %s, not %s", ping, pong);
}

static void check_paths(struct loader *l)
{
	const struct config *c = l->config;

	if (!c->uni_websocket.enabled ||
	    strcmp(c->websocket.handler_prefix, c->uni_websocket.handler_prefix) != 0)
		return;
	problem(l, origin_of_either(l, "uni_websocket.handler_prefix", "websocket.handler_prefix"),
	        "uni_websocket.handler_prefix", "must not be websocket.handler_prefix, %s",
	        c->websocket.handler_prefix);
}

static void check_listen(struct loader *l)
{
	const struct strings *listen = &l->config->listen;

	for (size_t i = 0; i < listen->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(listen->items[i], listen->items[j]) == 0)
				problem(l, origin_of(l, "listen"), "listen", "must name \"%s\" once",
				        listen->items[i]);
		}
	}
}

static void check_together(struct loader *l)
{
	check_pings(l);
	check_paths(l);
	check_listen(l);
}

/* The runtime directory */

static char *join(const char *directory, const char *name)
{
	size_t size = strlen(directory) + strlen(name) + 2;
	char *path = mem_alloc(size);

	snprintf(path, size, "%s/%s", directory, name);
	return path;
}

static char *default_runtime_dir(char *const *environment)
{
	const char *state = variable(environment, "XDG_STATE_HOME");
	const char *home = variable(environment, "HOME");
	char name[UNITS_TEXT_MAX];

	if (geteuid() == 0)
		return mem_strdup("/var/lib/fanfare");
	if (state != NULL && state[0] == '/')
		return join(state, "fanfare");
	if (home != NULL && home[0] == '/')
		return join(home, ".local/state/fanfare");
	snprintf(name, sizeof(name), "fanfare-%u", (unsigned)geteuid());
	return join("/tmp", name);
}

/* Absolute, because the embedded Redis works in another directory than the one we were started in. */
static void set_runtime_dir(struct loader *l)
{
	char **dir = &l->config->runtime_dir;
	char cwd[4096];
	char *absolute;

	if (*dir == NULL)
		*dir = default_runtime_dir(l->sources->environment);
	if ((*dir)[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL) {
		absolute = join(cwd, *dir);
		mem_free(*dir);
		*dir = absolute;
	}
	if (strlen(*dir) > option_find(&options_of_broker, BYTES("runtime_dir"))->max)
		problem(l, origin_of(l, "runtime_dir"), "runtime_dir",
		        "\"%s\" is too long for the path of a socket in it", *dir);
}

static const char *file_of(const struct config_sources *sources)
{
	const char *file = sources->file != NULL ? sources->file
	                                         : variable(sources->environment, "FANFARE_CONFIG");

	return file != NULL && file[0] != '\0' ? file : NULL;
}

static void read_sources(struct loader *l, const char *path, yaml_document_t *doc)
{
	struct scope broker = {&options_of_broker, l->config, ""};
	yaml_node_t *root = doc != NULL ? yaml_document_get_root_node(doc) : NULL;

	if (root != NULL && !is_null(root)) {
		l->doc = doc;
		l->source = BYTES_OF_STR(path);
		read_map(l, &broker, "", root);
		l->doc = NULL;
	}
	read_environment(l, &broker);
	for (size_t i = 0; i < l->sources->flag_count; i++)
		read_flag(l, &broker, i);
}

struct config *config_load(const struct config_sources *sources, struct buf *errors)
{
	struct loader l = {.sources = sources, .errors = errors};
	yaml_document_t file;
	const char *path = file_of(sources);
	bool has_file = path != NULL && load_file(&l, path, &file);
	bool dev = is_dev(sources, has_file ? &file : NULL);

	l.config = mem_alloc(sizeof(*l.config));
	l.origins = mem_alloc(options_of_broker.count * sizeof(*l.origins));
	options_set_defaults(&options_of_broker, l.config, dev);
	l.config->dev = dev;
	read_sources(&l, path, has_file ? &file : NULL);
	l.config->dev = dev;
	set_runtime_dir(&l);
	check_together(&l);
	if (has_file)
		yaml_document_delete(&file);
	mem_free(l.origins);
	if (l.problems > 0)
		config_free(&l.config);
	return l.config;
}
