/* What the tests of worker/redis against a Redis Cluster stand on: two masters, which are mocks and say of
 * slots what the test wants them to say. Included by one test program each. */
#pragma once

#include "cluster_map.h"
#include "redis_mock.h"
#include "redis_slots.h"

enum { NODES = 2, SAID_MAX = 4000 };

static struct world world;
static struct {
	struct mock mock;
	char port[8];
	char said[SAID_MAX]; /* commands for keys and channels that came, a line each */
} nodes[NODES];

static uint8_t owner[REDIS_SLOTS];   /* as all nodes say */
static uint8_t claimed[REDIS_SLOTS]; /* as CLUSTER SLOTS says, true or not */
static const char *instead;          /* CLUSTER SLOTS is answered so */
static unsigned questions;           /* for the slots */
static unsigned tries_again;         /* so many calls are answered by TRYAGAIN */
static int asks_at = -1;             /* the node that sends calls to the other one by ASK */
static bool down;                    /* CLUSTERDOWN */
static bool in_circles;              /* each says that the other one has it */
static const char *sent_away;        /* to where no node is */

static int index_of(const struct mock_conn *c)
{
	return c->mock == &nodes[1].mock;
}

static unsigned slot_of(const char *key)
{
	return redis_slot_of(BYTES_OF_STR(key));
}

static void note(struct mock_conn *c, const redisReply *command)
{
	char *said = nodes[index_of(c)].said;
	size_t len = strlen(said);

	if (strstr(word(command, 1), ".canary.") == NULL && len < SAID_MAX - 100)
		snprintf(said + len, SAID_MAX - len, "%.20s %.40s\n", word(command, 0), word(command, 1));
}

/* --- the answer to CLUSTER SLOTS --- */

static void say_range(struct buf *out, int first, int last)
{
	const char *port = nodes[claimed[first]].port;

	buf_putf(out, "*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%s\r\n$2\r\nid\r\n", first, last, port);
}

static void say_slots(struct mock_conn *c)
{
	struct buf ranges;
	int count = 0, first = 0;

	questions++;
	if (instead != NULL) {
		mock_send(c, instead);
		return;
	}
	buf_init(&ranges, 10 << 20);
	for (int slot = 1; slot <= REDIS_SLOTS; slot++) {
		if (slot < REDIS_SLOTS && claimed[slot] == claimed[first])
			continue;
		say_range(&ranges, first, slot - 1);
		count++;
		first = slot;
	}
	buf_putf(&c->out, "*%d\r\n", count);
	buf_put_bytes(&c->out, buf_bytes(&ranges));
	mock_send(c, "");
	buf_free(&ranges);
}

/* --- what a node does --- */

static void redirect(struct mock_conn *c, const char *kind, unsigned slot, int to)
{
	buf_putf(&c->out, "-%s %u 127.0.0.1:%s\r\n", kind, slot, nodes[to].port);
	mock_send(c, "");
}

/* True when it has said why not. */
static bool says_no(struct mock_conn *c, const char *key)
{
	unsigned slot = slot_of(key);

	if (down)
		mock_send(c, "-CLUSTERDOWN The cluster is down\r\n");
	else if (in_circles)
		redirect(c, "MOVED", slot, !index_of(c));
	else if (owner[slot] != index_of(c))
		redirect(c, "MOVED", slot, owner[slot]);
	else
		return false;
	return true;
}

static void do_subscribe(struct mock_conn *c, const char *channel)
{
	if (says_no(c, channel))
		return;
	mock_subscribe_by(c, "ssubscribe", channel);
}

static void drop_channel(struct mock_conn *c, const char *channel)
{
	mock_unsubscribe_by(c, "sunsubscribe", channel);
}

static int publish_at(int node, const char *channel, const char *payload)
{
	int count = 0;

	for (struct mock_conn *c = nodes[node].mock.conns; c != NULL; c = c->next) {
		if (!mock_is_subscribed(c, channel))
			continue;
		mock_push(c, "smessage", channel);
		mock_bulk(c, payload);
		count++;
	}
	return count;
}

static void do_publish(struct mock_conn *c, const char *channel, const char *payload)
{
	if (says_no(c, channel))
		return;
	buf_putf(&c->out, ":%d\r\n", publish_at(index_of(c), channel, payload));
	mock_send(c, "");
}

static bool was_asking; /* the command before was ASKING */

static void do_get(struct mock_conn *c, const char *key)
{
	if (sent_away != NULL)
		mock_send(c, sent_away);
	else if (was_asking)
		mock_bulk(c, key);
	else if (asks_at == index_of(c))
		redirect(c, "ASK", slot_of(key), !index_of(c));
	else if (says_no(c, key))
		return;
	else if (tries_again > 0 && tries_again--)
		mock_send(c, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
	else
		mock_bulk(c, key);
}

static bool do_command(struct mock_conn *c, const redisReply *command)
{
	const char *name = word(command, 1);

	if (is_command(command, "CLUSTER")) {
		say_slots(c);
		return true;
	}
	if (is_command(command, "HELLO")) {
		mock_send(c, "*2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n");
		return true;
	}
	if (is_command(command, "SSUBSCRIBE"))
		do_subscribe(c, name);
	else if (is_command(command, "SPUBLISH"))
		do_publish(c, name, word(command, 2));
	else if (is_command(command, "GET"))
		do_get(c, name);
	else if (is_command(command, "SUNSUBSCRIBE") && !says_no(c, name))
		drop_channel(c, name);
	else if (!is_command(command, "SUNSUBSCRIBE") && !is_command(command, "ASKING"))
		return false;
	note(c, command);
	was_asking = is_command(command, "ASKING");
	if (was_asking)
		mock_send(c, "+OK\r\n");
	return true;
}

/* --- the world --- */

static char addresses[NODES][32];
static char *address_list[NODES];

static void start_node(int i)
{
	int port;
	int fd = mock_bind(INADDR_LOOPBACK, &port);

	memset(&nodes[i], 0, sizeof(nodes[i]));
	snprintf(nodes[i].port, sizeof(nodes[i].port), "%d", port);
	snprintf(addresses[i], sizeof(addresses[i]), "127.0.0.1:%s", nodes[i].port);
	address_list[i] = addresses[i];
	nodes[i].mock.on_command = do_command;
	mock_listen(&nodes[i].mock, &world, fd);
}

static int setup(void **state)
{
	world_init(&world);
	for (int i = 0; i < NODES; i++)
		start_node(i);
	world.config.redis.address = NULL;
	world.config.redis.cluster_address = (struct strings){address_list, NODES};
	for (int slot = 0; slot < REDIS_SLOTS; slot++)
		owner[slot] = claimed[slot] = slot >= REDIS_SLOTS / 2;
	instead = sent_away = NULL;
	tries_again = questions = 0;
	asks_at = -1;
	down = in_circles = was_asking = false;
	return 0;
}

static int teardown(void **state)
{
	redis_free(&world.redis);
	for (int i = 0; i < NODES; i++)
		mock_stop(&nodes[i].mock);
	world_free(&world);
	return 0;
}

static void start(void)
{
	world_redis(&world);
	WAIT_FOR(&world, 3000, is_ready(&world));
}

/* What happens so soon afterwards is for another reason than that the map is asked for every now and then. */
enum { SETTLED_MS = CLUSTER_MAP_EVERY_MS - 200 };

static UNUSED_OK void start_and_settle(void)
{
	start();
	WAIT_FOR(&world, 3000, questions >= 2);
	STAYS_SO(&world, 50, true);
}

/* Names in slots of the first node, and of the second one. */
static const char low[] = "t:bar", high[] = "t:foo";

static struct redis_call *get(struct answer *a, const char *key)
{
	struct bytes argv[2] = {BYTES("GET"), BYTES_OF_STR(key)};

	*a = (struct answer){.count = 0};
	return redis_call(world.redis, argv, 2, on_answer, a);
}

static void assert_got(const char *key)
{
	struct answer a;

	get(&a, key);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_string_equal(a.text, key);
}

/* Commands for keys and channels that came to all nodes. */
static UNUSED_OK size_t count_said(void)
{
	size_t count = 0;

	for (int i = 0; i < NODES; i++) {
		for (const char *c = nodes[i].said; *c != '\0'; c++)
			count += *c == '\n';
	}
	return count;
}

static UNUSED_OK const char *canary_at(int node)
{
	for (struct mock_conn *c = nodes[node].mock.conns; c != NULL; c = c->next) {
		for (size_t i = 0; i < c->channel_count; i++) {
			if (strncmp(c->channels[i], "t.canary.", 9) == 0)
				return c->channels[i];
		}
	}
	return NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
