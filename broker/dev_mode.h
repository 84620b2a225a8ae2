/* What dev mode says: in the log what it leaves open, on the terminal how to try it. */
#pragma once

#include "config.h"
#include "config_args.h"

/* Warns of every option that stands open because of dev mode, and of addresses that others can reach. */
void dev_mode_warn(const struct config *config);
/* For people, to standard error: the page to open, the command to publish with. `args` are those of serve. */
void dev_mode_say_how_to_try(const struct config *config, const struct config_args *args);
