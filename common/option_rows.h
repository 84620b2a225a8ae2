/* What the rows of the option table are written with, in options.c and options_channel.c. */
#pragma once

#include "config.h"
#include "option_checks.h"
#include "options.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum {
	MS = 1,
	SECOND = 1000,
	MINUTE = 60 * SECOND,
	HOUR = 60 * MINUTE,
};

#define DAY (24ull * HOUR)
