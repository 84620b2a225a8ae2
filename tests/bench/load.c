/* The load generator of the measurements: plays clients and backend of one server, on one processor.
 *
 *     bench_load LOAD NAME=VALUE…
 *
 * The loads and the names stand in load.h. Prints one line of JSON. */
#include "load.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

static const struct {
	const char *name;
	void (*run)(const struct options *o);
} loads[] = {
	{"publish", load_publish},
	{"idle", load_idle},
	{"accept", load_accept},
	{"flood", load_flood},
};

#define OPTION(name)                                  \
	{                                             \
#name, offsetof(struct options, name) \
	}

static const struct name {
	const char *name;
	size_t offset;
} texts[] = {OPTION(dialect), OPTION(server), OPTION(feed), OPTION(pids), OPTION(apart)},
  numbers[] = {
	  OPTION(cpu),  OPTION(deflate), OPTION(clients),  OPTION(seats),  OPTION(channels), OPTION(first),
	  OPTION(zipf), OPTION(size),    OPTION(messages), OPTION(warmup), OPTION(burst),    OPTION(rate),
	  OPTION(wait), OPTION(seconds), OPTION(at_once),  OPTION(beside),
};

static void *find(struct options *o, const struct name *names, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(names[i].name);

		if (strncmp(word, names[i].name, len) == 0 && word[len] == '=')
			return (char *)o + names[i].offset;
	}
	return NULL;
}

static void set_option(struct options *o, const char *word)
{
	const char *value = strchr(word, '=');
	const char **text = find(o, texts, sizeof(texts) / sizeof(texts[0]), word);
	uint64_t *number = find(o, numbers, sizeof(numbers) / sizeof(numbers[0]), word);

	if (text != NULL) {
		*text = value + 1;
	} else if (number != NULL) {
		*number = strtoull(value + 1, NULL, 10);
	} else {
		fprintf(stderr, "bench_load: what is %s?\n", word);
		exit(2);
	}
}

static void stay_on(uint64_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* A machine of one processor is measured, too. */
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "bench_load: there is no processor %u\n", (unsigned)cpu);
}

int main(int argc, char **argv)
{
	struct options o = {
		.dialect = "fanfare",
		.server = "0",
		.feed = "0",
		.pids = "",
		.apart = "",
		.cpu = 1,
		.clients = 1,
		.seats = 1,
		.channels = 1,
		.size = 128,
		.messages = 1,
		.burst = 1,
		.rate = 10,
		.seconds = 1,
		.at_once = 500,
	};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 2; i < argc; i++)
		set_option(&o, argv[i]);
	stay_on(o.cpu);
	wire_set_broker(o.server);
	for (size_t i = 0; argc > 1 && i < sizeof(loads) / sizeof(loads[0]); i++) {
		if (strcmp(argv[1], loads[i].name) == 0) {
			loads[i].run(&o);
			return 0;
		}
	}
	fprintf(stderr, "usage: bench_load LOAD NAME=VALUE...\n");
	return 2;
}
