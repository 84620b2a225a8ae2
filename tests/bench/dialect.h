/* What the servers that are measured want to hear, and say: Fanfare, the floors, and its peers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct saying {
	char *text;
	size_t size;
	size_t len;
};

struct dialect {
	const char *name;
	/* What a client says to subscribe to these channels. */
	void (*subscribe)(struct saying *s, const unsigned *channels, unsigned count, const char *headers);
	/* What the server says for each channel, or once if it is `welcome_once`. */
	const char *welcome;
	size_t welcome_len;
	bool welcome_once;
	/* What who publishes says first, and for each message. */
	const char *greeting;
	size_t greeting_len;
	void (*publish)(struct saying *s, unsigned channel, const char *data, size_t data_len);
};

/* Ends the program if there is none of that name. */
const struct dialect *dialect_find(const char *name);
