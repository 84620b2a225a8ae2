/* rpc and send (client protocol 8.7 and 8.8) are for a backend, and there is none to pass them on to. */
#include "commands.h"

struct verdict cmd_rpc(struct session *s, const struct command *cmd)
{
	return VERDICT_ERROR(ERROR_NOT_AVAILABLE);
}

struct verdict cmd_send(struct session *s, const struct command *cmd)
{
	return VERDICT_DISCONNECT(DISCONNECT_NOT_AVAILABLE, "send, and no backend to take it");
}
