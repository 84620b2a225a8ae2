/* What the parts of config_load() share: the configuration that is being built, the problems found so far,
 * and where each value came from. The parts read one source each: config_yaml.c a tree of YAML,
 * config_variables.c the environment and the command line. Only config_load() is for others. */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"
#include "config.h"
#include "options.h"
#include "yaml_text.h"

enum {
	LOADER_NAME_SIZE = 128, /* of a dotted name; longer ones are unknown */
	LOADER_WHY_MAX = 1024,
	LOADER_PROBLEMS_MAX = 100, /* told; a file may hold a million */
};

/* Where a value came from. */
struct place {
	struct bytes source; /* a file, a variable, a flag; empty: the default */
	unsigned line;       /* 0: has none */
	bool is_flag;        /* then the source says which option it is about */
};

struct loader {
	const struct config_sources *sources;
	struct config *config;
	struct buf *errors;
	unsigned problems;
	struct place *places;         /* of the rows of options_of_broker */
	struct place *channel_places; /* of the rows of options_of_channel, for without_namespace */
};

/* A table, the struct that it is about, how its keys are called in messages, and where they came from. */
struct scope {
	const struct option_table *table;
	void *base;
	const char *prefix;   /* "", "channel.without_namespace." */
	struct place *places; /* of the rows of the table */
};

/* Tells a problem, with the key if there is one, and counts it. */
void loader_problem(struct loader *l, struct place at, const char *key, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The same for an option, named as the user knows it. */
void loader_problem_of(struct loader *l, struct place at, const struct scope *scope, const struct option *o,
                       const char *fmt, ...) PRINTF_LIKE(5, 6);
/* For what is found out later: loader_place_in(), and loader_place() for options of the broker. */
void loader_remember(const struct scope *scope, const struct option *o, struct place at);
struct place loader_place_in(const struct scope *scope, const char *name);
struct place loader_place(const struct loader *l, const char *name);
/* Calls option_set() and tells what it refuses. */
void loader_set(struct loader *l, const struct scope *scope, const struct option *o, struct bytes text,
                struct place at);
/* The same for an item of a list, counted from 0, and option_add(): the message names the item. */
void loader_add(struct loader *l, const struct scope *scope, const struct option *o, size_t i,
                struct bytes item, struct place at);

/* config_channel.c: tells what the options of one kind of channels may not say together. */
void loader_check_channel(struct loader *l, const struct scope *scope);

/* config_redis.c: the same for those of the way to Redis. */
void loader_check_redis(struct loader *l);

/* config_yaml.c: a document, called `source` in messages. False with the problem told. Free it with
 * yaml_document_delete() otherwise. */
bool loader_open_yaml(struct loader *l, struct bytes text, struct bytes source,
                      yaml_document_t *doc) MUST_CHECK;
bool loader_open_file(struct loader *l, const char *path, yaml_document_t *doc) MUST_CHECK;
/* Whether a document switches dev mode on. To be known first, as it decides about the defaults. */
bool loader_is_dev_file(yaml_document_t *doc);
/* Sets all that a configuration file says. */
void loader_read_file(struct loader *l, struct bytes source, yaml_document_t *doc);
/* Sets one option from YAML text: a map, or a list in brackets. */
void loader_read_yaml(struct loader *l, const struct scope *scope, const struct option *o, struct bytes text,
                      struct bytes source);

/* config_variables.c. The value of a variable; NULL when it is not set. */
const char *loader_variable(const struct config_sources *sources, const char *name);
void loader_read_environment(struct loader *l);
void loader_read_flags(struct loader *l);
