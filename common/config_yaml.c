/* The part of config_load() that walks a tree of YAML along the option table. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config_loader.h"
#include "mem.h"
#include "suggest.h"

enum {
	SHOWN_MAX = 60, /* bytes of a key that is not known */
	KEYS_MAX = 64,  /* known keys in one map: those of a section */
};

/* The document that is being read, and what it is called. */
struct reader {
	struct loader *loader;
	yaml_document_t *doc;
	struct bytes source;
};

struct keys {
	const yaml_node_t *nodes[KEYS_MAX];
	size_t count;
};

static void read_map(const struct reader *r, const struct scope *scope, const char *section,
                     yaml_node_t *node);

static struct place place_of_node(const struct reader *r, const yaml_node_t *node)
{
	return (struct place){.source = r->source, .line = (unsigned)node->start_mark.line + 1};
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
static void refuse_value(const struct reader *r, const struct scope *scope, const struct option *o,
                         const yaml_node_t *node)
{
	struct buf why;

	buf_init(&why, LOADER_WHY_MAX);
	option_print_allowed(o, &why);
	loader_problem_of(r->loader, place_of_node(r, node), scope, o, "%smust be %.*s",
	                  is_null(node) ? "has no value, " : "", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
}

static void read_scalar(const struct reader *r, const struct scope *scope, const struct option *o,
                        yaml_node_t *node)
{
	/* An option that may be absent may say so. */
	if (is_null(node) && o->type == OPTION_STRING && o->fallback == NULL) {
		option_clear(o, scope->base);
		return;
	}
	if (node->type != YAML_SCALAR_NODE || is_null(node)) {
		refuse_value(r, scope, o, node);
		return;
	}
	loader_set(r->loader, scope, o, scalar_of(node), place_of_node(r, node));
}

static void read_list_item(const struct reader *r, const struct scope *scope, const struct option *o,
                           size_t i, yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE || is_null(node)) {
		loader_problem_of(r->loader, place_of_node(r, node), scope, o, "item %zu must be a text",
		                  i + 1);
		return;
	}
	loader_add(r->loader, scope, o, i, scalar_of(node), place_of_node(r, node));
}

/* The items of a list; NULL with the problem told when it is none, or too long or short. */
static bool is_list(const struct reader *r, const struct scope *scope, const struct option *o,
                    yaml_node_t *node, size_t *count)
{
	if (node->type == YAML_SEQUENCE_NODE) {
		*count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
		if (*count >= o->min && *count <= o->max)
			return true;
	}
	refuse_value(r, scope, o, node);
	return false;
}

static yaml_node_t *list_item(const struct reader *r, const yaml_node_t *list, size_t i)
{
	return yaml_document_get_node(r->doc, list->data.sequence.items.start[i]);
}

static void read_list(const struct reader *r, const struct scope *scope, const struct option *o,
                      yaml_node_t *node)
{
	size_t count;

	if (!is_list(r, scope, o, node, &count))
		return;
	option_clear(o, scope->base);
	for (size_t i = 0; i < count; i++)
		read_list_item(r, scope, o, i, list_item(r, node, i));
}

static void read_channel(const struct reader *r, const struct scope *scope, const struct option *o,
                         yaml_node_t *node)
{
	char prefix[LOADER_NAME_SIZE];
	struct scope inner = {&options_of_channel, option_at(o, scope->base), prefix,
	                      r->loader->channel_places};

	snprintf(prefix, sizeof(prefix), "%s.", o->name);
	if (!is_null(node))
		read_map(r, &inner, "", node);
}

static bool name_is_taken(const struct channel_options *namespaces, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (namespaces[j].name != NULL && strcmp(namespaces[j].name, namespaces[i].name) == 0)
			return true;
	}
	return false;
}

static void read_namespace(const struct reader *r, const struct option *o, struct channel_options *namespaces,
                           size_t i, yaml_node_t *node)
{
	char prefix[LOADER_NAME_SIZE];
	struct scope scope = {&options_of_namespace, &namespaces[i], prefix,
	                      mem_alloc(options_of_namespace.count * sizeof(struct place))};
	unsigned problems = r->loader->problems;

	snprintf(prefix, sizeof(prefix), "%s[%zu].", o->name, i);
	options_set_defaults(&options_of_namespace, &namespaces[i], r->loader->config->dev);
	read_map(r, &scope, "", node);
	if (namespaces[i].name == NULL && r->loader->problems == problems)
		loader_problem_of(r->loader, place_of_node(r, node), &scope, options_of_namespace.rows,
		                  "is missing: each namespace has a name");
	if (namespaces[i].name != NULL && name_is_taken(namespaces, i))
		loader_problem_of(r->loader, place_of_node(r, node), &scope, options_of_namespace.rows,
		                  "must be unique, there is another namespace \"%s\"", namespaces[i].name);
	if (r->loader->problems == problems)
		loader_check_channel(r->loader, &scope);
	mem_free(scope.places);
}

static void read_namespaces(const struct reader *r, const struct scope *scope, const struct option *o,
                            yaml_node_t *node)
{
	struct channel_options *namespaces;
	size_t count = 0;

	if (!is_null(node) && !is_list(r, scope, o, node, &count))
		return;
	option_clear(o, scope->base);
	namespaces = mem_alloc(count * sizeof(*namespaces));
	r->loader->config->channel.namespaces = namespaces;
	r->loader->config->channel.namespace_count = count;
	for (size_t i = 0; i < count; i++)
		read_namespace(r, o, namespaces, i, list_item(r, node, i));
}

static void read_option(const struct reader *r, const struct scope *scope, const struct option *o,
                        yaml_node_t *node)
{
	loader_remember(scope, o, place_of_node(r, node));
	switch (o->type) {
	case OPTION_STRINGS: read_list(r, scope, o, node); return;
	case OPTION_CHANNEL: read_channel(r, scope, o, node); return;
	case OPTION_NAMESPACES: read_namespaces(r, scope, o, node); return;
	default: read_scalar(r, scope, o, node); return;
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

static void unknown_key(const struct reader *r, const struct scope *scope, const char *section,
                        const yaml_node_t *node)
{
	struct bytes key = scalar_of(node), near = BYTES_NONE;
	char shown[SHOWN_MAX + 1], full[2 * LOADER_NAME_SIZE];

	make_showable(key, shown);
	snprintf(full, sizeof(full), "%s%s%s%s", scope->prefix, section, *section != '\0' ? "." : "", shown);
	if (r->loader->problems < LOADER_PROBLEMS_MAX)
		near = nearest(scope->table, section, key);
	if (near.len > 0)
		loader_problem(r->loader, place_of_node(r, node), full, "unknown option, did you mean %.*s?",
		               BYTES_FMT(near));
	else
		loader_problem(r->loader, place_of_node(r, node), full, "unknown option");
}

static bool is_repeated(const struct reader *r, const struct scope *scope, const char *name,
                        struct keys *keys, const yaml_node_t *key)
{
	char full[2 * LOADER_NAME_SIZE];

	for (size_t i = 0; i < keys->count; i++) {
		if (!bytes_eq(scalar_of(keys->nodes[i]), scalar_of(key)))
			continue;
		snprintf(full, sizeof(full), "%s%s", scope->prefix, name);
		loader_problem(r->loader, place_of_node(r, key), full,
		               "must stand here once, it is already in line %zu",
		               keys->nodes[i]->start_mark.line + 1);
		return true;
	}
	if (keys->count < KEYS_MAX)
		keys->nodes[keys->count++] = key;
	return false;
}

static void read_pair(const struct reader *r, const struct scope *scope, const char *section,
                      struct keys *keys, yaml_node_t *key, yaml_node_t *value)
{
	const struct option *o;
	char name[LOADER_NAME_SIZE];
	int len;

	if (key->type != YAML_SCALAR_NODE) {
		loader_problem(r->loader, place_of_node(r, key), *section != '\0' ? section : NULL,
		               "a key must be a word");
		return;
	}
	len = snprintf(name, sizeof(name), "%s%s%.*s", section, *section != '\0' ? "." : "",
	               BYTES_FMT(scalar_of(key)));
	/* A key that holds a dot is no way into a section, and one with a zero byte would be cut there. */
	if (len >= LOADER_NAME_SIZE || memchr(key->data.scalar.value, '.', key->data.scalar.length) != NULL ||
	    memchr(key->data.scalar.value, '\0', key->data.scalar.length) != NULL) {
		unknown_key(r, scope, section, key);
		return;
	}
	o = option_find(scope->table, BYTES_OF_STR(name));
	if (o == NULL && !is_section(scope->table, name))
		unknown_key(r, scope, section, key);
	else if (is_repeated(r, scope, name, keys, key))
		return;
	else if (o != NULL)
		read_option(r, scope, o, value);
	else if (!is_null(value))
		read_map(r, scope, name, value);
}

static void read_map(const struct reader *r, const struct scope *scope, const char *section,
                     yaml_node_t *node)
{
	struct keys keys = {.count = 0};
	char name[2 * LOADER_NAME_SIZE];

	if (node->type != YAML_MAPPING_NODE) {
		snprintf(name, sizeof(name), "%s%s", scope->prefix, section);
		/* "channel.without_namespace." is a prefix. */
		if (*section == '\0' && name[0] != '\0')
			name[strlen(name) - 1] = '\0';
		loader_problem(r->loader, place_of_node(r, node), name[0] != '\0' ? name : NULL,
		               "must be a map of options");
		return;
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
	     pair++)
		read_pair(r, scope, section, &keys, yaml_document_get_node(r->doc, pair->key),
		          yaml_document_get_node(r->doc, pair->value));
}

bool loader_is_dev_file(yaml_document_t *doc)
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
	struct place at = {.source = BYTES_OF_STR(path)};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good;

	if (fd < 0) {
		loader_problem(l, at, NULL, "cannot open: %s", strerror(errno));
		return false;
	}
	good = read_all(fd, out);
	if (!good)
		loader_problem(l, at, NULL, "cannot read: %s", strerror(errno));
	close(fd);
	return good;
}

bool loader_open_yaml(struct loader *l, struct bytes text, struct bytes source, yaml_document_t *doc)
{
	struct place at = {.source = source};
	struct buf why;
	bool good;

	buf_init(&why, LOADER_WHY_MAX);
	good = yaml_text_load(text, doc, &at.line, &why);
	if (!good)
		loader_problem(l, at, NULL, "%.*s", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
	return good;
}

bool loader_open_file(struct loader *l, const char *path, yaml_document_t *doc)
{
	struct buf text;
	bool good;

	buf_init(&text, 2 * YAML_TEXT_MAX);
	good = read_file(l, path, &text) && loader_open_yaml(l, buf_bytes(&text), BYTES_OF_STR(path), doc);
	buf_free(&text);
	return good;
}

void loader_read_file(struct loader *l, struct bytes source, yaml_document_t *doc)
{
	const struct reader r = {l, doc, source};
	struct scope broker = {&options_of_broker, l->config, "", l->places};
	yaml_node_t *root = yaml_document_get_root_node(doc);

	if (root != NULL && !is_null(root))
		read_map(&r, &broker, "", root);
}

void loader_read_yaml(struct loader *l, const struct scope *scope, const struct option *o, struct bytes text,
                      struct bytes source)
{
	yaml_document_t doc;
	const struct reader r = {l, &doc, source};
	yaml_node_t *root;

	if (!loader_open_yaml(l, text, source, &doc))
		return;
	root = yaml_document_get_root_node(&doc);
	if (root != NULL)
		read_option(&r, scope, o, root);
	yaml_document_delete(&doc);
}
