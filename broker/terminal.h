/* What others wrote, shown to people: a name or a reason that comes from a server may hold what moves the
 * cursor or begins a line that looks like one of ours. */
#pragma once

#include <stdio.h>

/* Control characters, those of Unicode (U+0080 to U+009F) too, and what is not UTF-8 become \xNN, a byte
 * each. */
void terminal_print(FILE *to, const char *text);
