#include "redis_trouble.h"

#include <stddef.h>

#include "compiler.h"
#include "redis.h"
#include "redis_resp.h"

/* One with which Redis may answer what is said first, or a write, and of which it is known what helps. */
struct known_error {
	const char *begin;          /* of the error: whole words */
	enum redis_trouble trouble; /* REDIS_FINE: it does not keep us out */
	const char *what;
	const char *remedy;
};

static const char refused[] = "refused authentication";
static const char not_ready[] = "is not ready";

static const struct known_error known_errors[] = {
	{"ERR max number of clients", REDIS_UNFIT, "has no room for another client",
         "; raise its maxclients, or see by CLIENT LIST who is connected"},
	{"LOADING", REDIS_UNFIT, not_ready, "; it is asked again until it has its data"},
	{"MASTERDOWN", REDIS_UNFIT, not_ready, "; its master must be reachable for it, or be our address"},
	{"BUSY", REDIS_UNFIT, not_ready, "; SCRIPT KILL or FUNCTION KILL ends what keeps it busy"},
	{"DENIED", REDIS_REFUSING, "lets only its own host in",
         "; it needs a password, or protected-mode no"},
	{"NOAUTH", REDIS_REFUSING, refused, "; our configuration lacks its password"},
	{"WRONGPASS", REDIS_REFUSING, refused,
         "; our user and password must be those of its ACL, and the user be on"},
	{"NOPERM", REDIS_FINE, NULL, "; its ACL must allow our user what a broker needs"},
	{"MISCONF", REDIS_FINE, NULL, "; its log tells why it cannot write to its disk"},
	{"NOREPLICAS", REDIS_FINE, NULL, "; its replicas are away or late, see its min-replicas-to-write"},
};

static const struct known_error *find(const struct redis_reply *error)
{
	for (size_t i = 0; i < ARRAY_LEN(known_errors); i++) {
		if (resp_is_error(error, known_errors[i].begin))
			return &known_errors[i];
	}
	return NULL;
}

struct bytes redis_error_text(const struct redis_reply *error)
{
	struct bytes text = error->text;

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
