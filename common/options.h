/* The one table of options. What a user can configure is a row here: the configuration file, the environment,
 * `fanfare config` and the example file all come from it.
 *
 * There are two tables of the same kind of row: the options of the broker (options.c), whose offsets lead
 * into struct config, and the options of channels (options_channel.c), whose offsets lead into struct
 * channel_options. Rows know one value at a time; what values may not stand together is checked in
 * config_load.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"

enum option_type {
	OPTION_BOOL,       /* bool */
	OPTION_INT,        /* int */
	OPTION_DURATION,   /* uint64_t, milliseconds */
	OPTION_SIZE,       /* uint64_t, bytes */
	OPTION_WORD,       /* int, the index into `words` */
	OPTION_STRING,     /* char *, NULL without a default */
	OPTION_STRINGS,    /* struct strings */
	OPTION_CHANNEL,    /* struct channel_options, the other table */
	OPTION_NAMESPACES, /* struct channel_options *, and a size_t behind it: a list of them, with names */
};

struct option {
	const char *name; /* dotted: "client.ping_interval" */
	size_t offset;
	const char *fallback;     /* the default, written as in the environment; NULL: none */
	const char *dev;          /* the default of dev mode; NULL: the same */
	uint64_t min;             /* of numbers, in their unit; bytes of a string; items of a list */
	uint64_t max;             /* as min, inclusive */
	const char *zero_word;    /* how zero is written: "auto"; then the digit 0 is not allowed */
	const char *const *words; /* of OPTION_WORD, ends with NULL; "warning|warn" are two writings of one */
	bool (*check)(const char *text, const char **reason); /* of a string, and of each in a list */
	const char *doc;                                      /* a sentence */
	enum option_type type;
	bool or_zero;    /* zero is allowed, too, though below min */
	bool reloadable; /* takes effect without a restart */
	bool secret;     /* never repeated in messages */
	bool opaque;     /* all of it is the secret; otherwise an address, of which the password is */
};

struct option_table {
	const struct option *rows;
	size_t count;
};

extern const struct option_table options_of_broker;
/* Those of the channels without a namespace; those of a namespace: its name, and then the same. */
extern const struct option_table options_of_channel;
extern const struct option_table options_of_namespace;

/* NULL when there is none of that name. */
const struct option *option_find(const struct option_table *table, struct bytes name);
/* Where the value stands. */
void *option_at(const struct option *o, void *base);

/* Sets the value from a text; a list from items between spaces or commas. False with the reason, a sentence
 * that says what is allowed; then the value is as it was, only a list may be cut short. Not for
 * OPTION_CHANNEL and OPTION_NAMESPACES. */
bool option_set(const struct option *o, void *base, struct bytes text, struct buf *why) MUST_CHECK;
/* Takes the next item off such a text: false when there is none any more. */
bool option_next_item(struct bytes *text, struct bytes *item) MUST_CHECK;
/* Adds an item to a list. */
bool option_add(const struct option *o, void *base, struct bytes item, struct buf *why) MUST_CHECK;
/* Back to zero, NULL or the empty list; frees what the value owned. */
void option_clear(const struct option *o, void *base);
/* Sets all options of a table to their defaults. */
void options_set_defaults(const struct option_table *table, void *base, bool dev);
void options_clear(const struct option_table *table, void *base);

/* "must be ..." for messages and documentation; without the verb. */
void option_print_allowed(const struct option *o, struct buf *out);
/* The short form for a place where the default shows the type: "1s to 1h", "text or json". Nothing for types
 * without such a range. */
void option_print_range(const struct option *o, struct buf *out);
/* A text for the option as people may see it: *** in place of what is secret. Free with mem_free(). */
char *option_mask(const struct option *o, const char *text) MUST_CHECK;
/* The value as it is written in YAML. Not for OPTION_CHANNEL and OPTION_NAMESPACES. */
void option_print(const struct option *o, const void *base, bool mask_secrets, struct buf *out);
/* A text as a YAML scalar in double quotes. */
void option_print_text(const char *text, struct buf *out);
