/* The commands of a client, as JSON. */
#include <stdio.h>
#include <string.h>

#include "sim_client_internal.h"

static const char *const kind_names[] = {"connect", "subscribe", "unsubscribe", "publish"};

const char *sim_command_name(enum kind kind)
{
	return kind_names[kind];
}

static struct command *add_command(struct client *c, enum kind kind, unsigned channel)
{
	struct command *cmd = &c->commands[c->command_count++];

	*cmd = (struct command){.id = ++c->next_id, .kind = kind, .channel = channel};
	sim.counts.commands++;
	sim_wire_begin_line(&c->wire);
	return cmd;
}

static void put_text(struct client *c, const char *text)
{
	sim_wire_put(&c->wire, text, strlen(text));
}

static void put_json_name(struct client *c, const char *name)
{
	put_text(c, "\"");
	for (; *name != '\0'; name++) {
		if (*name == '"' || *name == '\\')
			put_text(c, "\\");
		sim_wire_put(&c->wire, name, 1);
	}
	put_text(c, "\"");
}

static void put_head(struct client *c, const struct command *cmd)
{
	char head[64];

	snprintf(head, sizeof(head), "{\"id\":%u,\"%s\":{", cmd->id, kind_names[cmd->kind]);
	put_text(c, head);
}

/* Most go on from where they were; a few begin anew. */
static void put_position(struct client *c, struct command *cmd)
{
	char text[80];

	if (cmd->channel != TRUTH_KEPT || cmd->kind != SUBSCRIBE || c->kept.epoch == 0 || sim_chance(1000))
		return;
	cmd->recover = true;
	snprintf(text, sizeof(text), ",\"recover\":true,\"epoch\":\"e%u\",\"offset\":%zu", c->kept.epoch,
	         c->kept.next - 1);
	put_text(c, text);
}

void sim_command_channel(struct client *c, enum kind kind, unsigned channel)
{
	struct command *cmd = add_command(c, kind, channel);

	put_head(c, cmd);
	put_text(c, "\"channel\":");
	put_json_name(c, truth_channel(channel));
	put_position(c, cmd);
	put_text(c, "}}");
}

void sim_command_connect(struct client *c)
{
	put_head(c, add_command(c, CONNECT, 0));
	put_text(c, "}}");
}

static size_t draw_size(const struct client *c)
{
	size_t most = c->wire.link->in.cap * 3 < 60000 ? c->wire.link->in.cap * 3 : 60000;

	return sim_lies(1000) ? sim_below((uint32_t)most) : sim_below(200);
}

void sim_command_publish(struct client *c, unsigned channel)
{
	static char data[TRUTH_DATA_MAX];
	struct command *cmd;
	size_t len;

	sim_wire_flush(&c->wire);
	cmd = add_command(c, PUBLISH, channel);
	cmd->number = truth_draft(channel, c->author, draw_size(c));
	len = truth_write(cmd->number, data);
	put_head(c, cmd);
	put_text(c, "\"channel\":");
	put_json_name(c, truth_channel(channel));
	put_text(c, ",\"data\":");
	sim_wire_put(&c->wire, data, len);
	put_text(c, "}}");
}
