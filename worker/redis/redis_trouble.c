#include "redis_trouble.h"

#include <stdbool.h>
#include <string.h>

#include "compiler.h"
#include "redis.h"
#include "redis_resp.h"

/* One with which Redis may answer what is said first, or a write, and of which it is known what helps. */
struct known_error {
	const char *begin;          /* of the error: whole words; NULL: anything */
	const char *within;         /* NULL: anything */
	enum redis_trouble trouble; /* REDIS_FINE: it does not keep us out */
	const char *what;
	const char *remedy;
};

static const char refused[] = "refused authentication";
static const char not_ready[] = "is not ready";

static const char needs_rights[] = "; its ACL must allow our user what a broker needs";

static const struct known_error known_errors[] = {
	{"ERR max number of clients", NULL, REDIS_UNFIT, "has no room for another client",
         "; raise its maxclients, or see by CLIENT LIST who is connected"},
	{"LOADING", NULL, REDIS_UNFIT, not_ready, "; it is asked again until it has its data"},
	{"MASTERDOWN", NULL, REDIS_UNFIT, not_ready,
         "; its master must be reachable for it, or be our address"},
	{"BUSY", NULL, REDIS_UNFIT, not_ready, "; SCRIPT KILL or FUNCTION KILL ends what keeps it busy"},
	{"DENIED", NULL, REDIS_REFUSING, "lets only its own host in",
         "; it needs a password, or protected-mode no"},
	{"NOAUTH", NULL, REDIS_REFUSING, refused, "; our configuration lacks its password"},
	{"WRONGPASS", NULL, REDIS_REFUSING, refused,
         "; our user and password must be those of its ACL, and the user be on"},
	{"NOPERM", NULL, REDIS_FINE, NULL, needs_rights},
	/* What a function or script may not do, as Redis 7.0 and 7.2 put it. */
	{NULL, "he user executing the script can't", REDIS_FINE, NULL, needs_rights},
	{NULL, "ACL failure in script", REDIS_FINE, NULL, needs_rights},
	{"MISCONF", NULL, REDIS_FINE, NULL, "; its log tells why it cannot write to its disk"},
	{"NOREPLICAS", NULL, REDIS_FINE, NULL,
         "; its replicas are away or late, see its min-replicas-to-write"},
};

static bool is_known(const struct redis_reply *error, const struct known_error *known)
{
	if (known->begin != NULL)
		return resp_is_error(error, known->begin);
	return error->type == REDIS_ERROR &&
	       memmem(error->text.ptr, error->text.len, known->within, strlen(known->within)) != NULL;
}

static const struct known_error *find(const struct redis_reply *error)
{
	for (size_t i = 0; i < ARRAY_LEN(known_errors); i++) {
		if (is_known(error, &known_errors[i]))
			return &known_errors[i];
	}
	return NULL;
}

struct bytes redis_error_text(const struct redis_reply *error)
{
	struct bytes text = error->text;

	if (error->type != REDIS_ERROR)
		return BYTES("an answer of another kind");
	while (bytes_start_with(text, BYTES("ERR ")))
		text = bytes_skip(text, strlen("ERR "));
	return bytes_first(text, REDIS_ERROR_SHOWN);
}

const char *redis_error_remedy(const struct redis_reply *error)
{
	const struct known_error *known = find(error);

	return known != NULL ? known->remedy : "";
}

enum redis_trouble redis_error_trouble(const struct redis_reply *error, const char **what)
{
	const struct known_error *known = find(error);

	*what = known != NULL ? known->what : NULL;
	return known != NULL ? known->trouble : REDIS_FINE;
}
