/* The files of the built-in pages (deploy/web), as they were when the broker was built. */
#pragma once

#include <stddef.h>

#include "bytes.h"
#include "conn.h"
#include "http1.h"

struct asset {
	const char *path; /* "/demo.css" */
	const char *content_type;
	const char *etag; /* with its quotes; changes with the content */
	struct bytes content;
};

/* Written by embed.cmake. */
extern const struct asset assets[];
extern const size_t asset_count;

/* NULL when there is none of that path. */
const struct asset *asset_find(struct bytes path);
/* Answers with the file, or with 304 if the client has it. Browsers are told to ask each time, and what a
 * page may load and connect to. */
void asset_respond(const struct asset *asset, struct conn *c, const struct http1_request *req);
