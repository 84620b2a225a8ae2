/* What a text must be to stand in an option: the checks that rows of the option table name. Each looks at one
 * text and knows no option. When it returns false, the reason is a constant: what the text must be. */
#pragma once

#include <stdbool.h>

#include "compiler.h"

/* An address to listen on, and the manner before it: "tls:127.0.0.1:8443". */
bool option_check_listen(const char *text, const char **reason) MUST_CHECK;
/* Where Redis is, with all that redis_url.h takes. */
bool option_check_redis_address(const char *text, const char **reason) MUST_CHECK;
/* HOST or HOST:PORT. */
bool option_check_place(const char *text, const char **reason) MUST_CHECK;
/* What begins the names of all channels in Redis. */
bool option_check_redis_prefix(const char *text, const char **reason) MUST_CHECK;
/* An origin of web pages, in which * may stand. */
bool option_check_origin(const char *text, const char **reason) MUST_CHECK;
/* The path of a URL. */
bool option_check_path(const char *text, const char **reason) MUST_CHECK;
/* A namespace, or what sentinels call a master: they take no other characters, says their sentinel.conf. */
bool option_check_name(const char *text, const char **reason) MUST_CHECK;
/* What a certificate is for. */
bool option_check_server_name(const char *text, const char **reason) MUST_CHECK;

/* Of these nothing is known but that they are not empty. The reason says what they are. */
bool option_check_directory(const char *text, const char **reason) MUST_CHECK;
bool option_check_file(const char *text, const char **reason) MUST_CHECK;
bool option_check_account(const char *text, const char **reason) MUST_CHECK;
bool option_check_not_empty(const char *text, const char **reason) MUST_CHECK;
