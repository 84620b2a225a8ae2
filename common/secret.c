#include "secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *secret_alloc(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || madvise(pages, size, MADV_DONTDUMP) < 0) {
		fprintf(stderr, "fanfare: out of memory (%zu bytes of pages)\n", size);
		abort();
	}
	return pages;
}

void secret_free(void *ptr, size_t size)
{
	if (ptr == NULL)
		return;
	explicit_bzero(ptr, size);
	munmap(ptr, size);
}
