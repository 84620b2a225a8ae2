/* The part of config_load() that looks at the options of one kind of channels together. Where one needs
 * another, the problem is told at the one that was set. */
#include "config.h"
#include "config_loader.h"

/* What is of no use without history, and would be a promise that is not kept. */
static const char *const needing_history[] = {
	"force_positioning",
	"allow_positioning",
	"force_recovery",
	"allow_recovery",
	"auto_cache_recover",
	"allow_history_for_client",
	"allow_history_for_subscriber",
	"allow_history_for_anonymous",
};

static const char *const needing_presence[] = {
	"allow_presence_for_client",
	"allow_presence_for_subscriber",
	"allow_presence_for_anonymous",
};

static void problem_of(struct loader *l, const struct scope *scope, const char *name, const char *text)
{
	loader_problem_of(l, loader_place_in(scope, name), scope,
	                  option_find(scope->table, BYTES_OF_STR(name)), "%s", text);
}

static void check_needs(struct loader *l, const struct scope *scope, const char *const names[], size_t count,
                        const char *text)
{
	for (size_t i = 0; i < count; i++) {
		const struct option *o = option_find(scope->table, BYTES_OF_STR(names[i]));

		if (*(const bool *)option_at(o, scope->base))
			problem_of(l, scope, o->name, text);
	}
}

static void check_presence(struct loader *l, const struct scope *scope)
{
	const struct channel_options *c = scope->base;

	if (!c->presence)
		check_needs(l, scope, needing_presence, ARRAY_LEN(needing_presence), "needs presence: true");
	if (c->force_push_join_leave && !c->join_leave)
		problem_of(l, scope, "force_push_join_leave", "needs join_leave: true");
	if (c->join_leave_grace_ms > 0 && !c->join_leave)
		problem_of(l, scope, "join_leave_grace", "needs join_leave: true");
}

static bool recovers(const struct channel_options *c)
{
	return c->force_recovery || c->allow_recovery;
}

static void check_modes(struct loader *l, const struct scope *scope)
{
	const struct channel_options *c = scope->base;

	if (c->auto_cache_recover && c->force_recovery_mode != RECOVERY_CACHE)
		problem_of(l, scope, "auto_cache_recover", "needs force_recovery_mode: cache");
	if (c->force_recovery_mode == RECOVERY_CACHE && !recovers(c))
		problem_of(l, scope, "force_recovery_mode", "needs force_recovery or allow_recovery");
}

void loader_check_channel(struct loader *l, const struct scope *scope)
{
	const struct channel_options *c = scope->base;

	if (c->history_size > 0 && c->history_ttl_ms == 0)
		problem_of(l, scope, "history_size", "needs history_ttl, too");
	else if (c->history_size == 0 && c->history_ttl_ms > 0)
		problem_of(l, scope, "history_ttl", "needs history_size, too");
	else if (!config_has_history(c))
		check_needs(l, scope, needing_history, ARRAY_LEN(needing_history),
		            "needs history: set history_size and history_ttl, too");
	else if (c->history_meta_ttl_ms < c->history_ttl_ms)
		problem_of(l, scope, "history_ttl", "must not be longer than history_meta_ttl");
	check_modes(l, scope);
	check_presence(l, scope);
}
