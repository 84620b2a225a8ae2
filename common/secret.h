/* Memory for keys: pages of its own that stand in no core file, and are wiped before they are given back. */
#pragma once

#include <stddef.h>

/* Zeroed; aborts with a message when there is none. For sizes that no peer decides. */
void *secret_alloc(size_t size);
/* `size` as it was asked for. Accepts NULL. */
void secret_free(void *ptr, size_t size);
