#include "codes.h"

const char *error_message(enum error_code code)
{
	switch (code) {
#define ERROR_MESSAGE(name, number, message, temporary) \
	case ERROR_##name: return message;
		ERROR_CODES(ERROR_MESSAGE)
#undef ERROR_MESSAGE
	case ERROR_NONE: break;
	}
	return "unknown error";
}

bool error_temporary(enum error_code code)
{
	switch (code) {
#define ERROR_TEMPORARY(name, number, message, temporary) \
	case ERROR_##name: return temporary;
		ERROR_CODES(ERROR_TEMPORARY)
#undef ERROR_TEMPORARY
	case ERROR_NONE: break;
	}
	return false;
}

const char *disconnect_reason(enum disconnect_code code)
{
	switch (code) {
#define DISCONNECT_REASON(name, number, reason) \
	case DISCONNECT_##name: return reason;
		DISCONNECT_CODES(DISCONNECT_REASON)
#undef DISCONNECT_REASON
	case DISCONNECT_NONE: break;
	}
	return "disconnected";
}

const char *unsubscribe_reason(enum unsubscribe_code code)
{
	switch (code) {
#define UNSUBSCRIBE_REASON(name, number, reason) \
	case UNSUBSCRIBE_##name: return reason;
		UNSUBSCRIBE_CODES(UNSUBSCRIBE_REASON)
#undef UNSUBSCRIBE_REASON
	}
	return "unsubscribed";
}
