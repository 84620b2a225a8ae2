/* worker/redis against a Redis Cluster of two masters, which say of slots what the test wants them to say. */
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
	if (!mock_is_subscribed(c, channel))
		c->channels[c->channel_count++] = strdup(channel);
	mock_push(c, "ssubscribe", channel);
	mock_send(c, ":1\r\n");
}

static void drop_channel(struct mock_conn *c, const char *channel)
{
	for (size_t i = 0; i < c->channel_count; i++) {
		if (strcmp(c->channels[i], channel) != 0)
			continue;
		free(c->channels[i]);
		c->channels[i] = c->channels[--c->channel_count];
	}
	mock_push(c, "sunsubscribe", channel);
	mock_send(c, ":0\r\n");
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
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&nodes[i], 0, sizeof(nodes[i]));
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(nodes[i].port, sizeof(nodes[i].port), "%d", ntohs(in.sin_port));
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

static void move_slot(const char *key, int to)
{
	owner[slot_of(key)] = claimed[slot_of(key)] = (uint8_t)to;
}

/* From now on the map is not asked for by itself for seconds: what happens within two is for another reason.
 */
static void start_and_settle(void)
{
	start();
	WAIT_FOR(&world, 3000, questions >= 2);
	STAYS_SO(&world, 50, true);
}

/* Names in slots of the first node, and of the second one. */
static const char low[] = "t:bar", high[] = "t:foo";

static void names_are_where_the_tests_need_them(void **state)
{
	assert_true(slot_of(low) < REDIS_SLOTS / 2);
	assert_true(slot_of(high) >= REDIS_SLOTS / 2);
}

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

static void forget_said(void)
{
	for (int i = 0; i < NODES; i++)
		nodes[i].said[0] = '\0';
}

/* --- calls --- */

static void calls_go_where_their_slot_is(void **state)
{
	start();
	assert_got(low);
	assert_got(high);
	assert_string_equal(nodes[0].said, "GET t:bar\n");
	assert_string_equal(nodes[1].said, "GET t:foo\n");
}

static void a_call_without_a_key_goes_anywhere(void **state)
{
	const struct bytes argv[] = {BYTES("PING")};
	struct answer a = {.count = 0};

	start();
	redis_call(world.redis, argv, 1, on_answer, &a);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_string_equal(a.text, "PONG");
}

static void moved_is_followed_and_remembered(void **state)
{
	start();
	owner[slot_of(low)] = 1; /* and CLUSTER SLOTS does not know it yet */
	assert_got(low);
	assert_string_equal(nodes[1].said, "GET t:bar\n");
	forget_said();
	assert_got(low);
	assert_string_equal(nodes[1].said, "GET t:bar\n");
}

static void ask_is_followed_once(void **state)
{
	start();
	asks_at = 0;
	assert_got(low);
	assert_string_equal(nodes[0].said, "GET t:bar\n");
	assert_string_equal(nodes[1].said, "ASKING \nGET t:bar\n");
	asks_at = -1;
	forget_said();
	assert_got(low);
	assert_string_equal(nodes[0].said, "GET t:bar\n");
	assert_string_equal(nodes[1].said, "");
}

static void a_call_is_tried_again_and_later_ones_wait_behind_it(void **state)
{
	struct answer a, b, other;

	start();
	tries_again = 2;
	get(&a, "{t:bar}1");
	WAIT_FOR(&world, 2000, tries_again == 1);
	/* The reply is on its way; when it is there, b waits. */
	WAIT_FOR(&world, 2000, tries_again == 0);
	get(&b, "{t:bar}2");
	get(&other, high);
	WAIT_FOR(&world, 2000, a.count == 1 && b.count == 1 && other.count == 1);
	assert_string_equal(a.text, "{t:bar}1");
	assert_string_equal(b.text, "{t:bar}2");
}

static void later_calls_of_the_slot_do_not_overtake(void **state)
{
	struct answer a, b;

	start();
	tries_again = 3;
	get(&a, "{t:bar}1");
	WAIT_FOR(&world, 2000, tries_again < 3);
	STAYS_SO(&world, 20, a.count == 0); /* it waits now */
	get(&b, "{t:bar}2");
	WAIT_FOR(&world, 2000, a.count == 1 || b.count == 1);
	assert_int_equal(a.count, 1);
	WAIT_FOR(&world, 2000, b.count == 1);
}

static void a_cluster_that_is_down_is_waited_for_until_the_deadline(void **state)
{
	struct answer a;

	start();
	down = true;
	get(&a, low);
	STAYS_SO(&world, 100, a.count == 0);
	down = false;
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_string_equal(a.text, low);
	down = true;
	get(&a, low);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_true(a.null || strncmp(a.text, "CLUSTERDOWN", 11) == 0);
	STAYS_SO(&world, 200, a.count == 1);
}

static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == '\n';
	return count;
}

static void a_circle_of_redirections_is_left(void **state)
{
	struct answer a;

	start();
	in_circles = true;
	get(&a, low);
	WAIT_FOR(&world, 3000, a.count == 1);
	assert_true(a.null || strncmp(a.text, "MOVED", 5) == 0);
	/* Five at once, and then one each 50 ms until the deadline of 300 ms. */
	assert_in_range(count_lines(nodes[0].said) + count_lines(nodes[1].said), 6, 30);
}

static void a_redirection_to_nowhere_ends_with_the_deadline(void **state)
{
	static const char *const places[] = {"-MOVED 1 127.0.0.1:1\r\n", "-MOVED 1 ?:7000\r\n", "-MOVED\r\n",
	                                     "-ASK 99999 a:1\r\n", "-MOVED 1 x y:1\r\n"};
	struct answer a;

	start();
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		sent_away = places[i];
		get(&a, low);
		WAIT_FOR(&world, 3000, a.count == 1);
		assert_true(a.null || a.text[0] != '\0');
	}
	sent_away = NULL;
	assert_got(low);
}

static void a_cancelled_call_is_not_answered(void **state)
{
	struct answer a, b;
	struct redis_call *call;

	start();
	tries_again = 1;
	call = get(&a, low);
	WAIT_FOR(&world, 2000, tries_again == 0);
	STAYS_SO(&world, 20, a.count == 0);
	redis_call_cancel(&call);
	call = get(&b, high);
	redis_call_cancel(&call);
	assert_got(low);
	STAYS_SO(&world, 150, a.count == 0 && b.count == 0);
}

/* --- subscriptions --- */

static int publish(const char *channel, const char *payload)
{
	return publish_at(owner[slot_of(channel)], channel, payload);
}

static void subscriptions_are_where_their_slot_is(void **state)
{
	struct listener_sub a, b;

	start();
	listen_on(&world, &a, low);
	listen_on(&world, &b, high);
	WAIT_FOR(&world, 2000, a.confirmed == 1 && b.confirmed == 1);
	assert_true(redis_sub_confirmed(a.sub));
	assert_int_equal(publish(low, "1"), 1);
	assert_int_equal(publish(high, "1"), 1);
	WAIT_FOR(&world, 2000, a.messages == 1 && b.messages == 1);
	redis_sub_close(&a.sub);
	redis_sub_close(&b.sub);
	WAIT_FOR(&world, 2000, publish(low, "2") == 0 && publish(high, "2") == 0);
}

static void what_is_published_here_is_heard_here(void **state)
{
	struct listener_sub l;
	struct answer a = {.count = 0};

	start();
	listen_on(&world, &l, high);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_publish(world.redis, BYTES_OF_STR(high), BYTES("7"), on_answer, &a);
	WAIT_FOR(&world, 2000, a.count == 1 && l.last == 7);
	redis_sub_close(&l.sub);
}

static void a_subscription_that_is_ended_by_redis_moves(void **state)
{
	struct listener_sub l;

	start_and_settle();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	move_slot(low, 1);
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	WAIT_FOR(&world, 2000, l.confirmed == 2);
	assert_int_equal(publish(low, "1"), 1);
	WAIT_FOR(&world, 2000, l.messages == 1);
	assert_true(is_ready(&world));
	redis_sub_close(&l.sub);
}

/* What is not heard until then is lost, for channels without history. */
static void a_subscription_that_is_ended_by_redis_does_not_wait_for_the_map(void **state)
{
	struct listener_sub l;

	start_and_settle();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	instead = "-ERR not now\r\n";
	owner[slot_of(low)] = 1;
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	WAIT_FOR(&world, 2000, l.confirmed == 2);
	assert_non_null(mock_subscriber(&nodes[1].mock, low));
	STAYS_SO(&world, 300, l.confirmed == 2);
	redis_sub_close(&l.sub);
}

static void a_subscription_is_led_away_by_moved(void **state)
{
	struct listener_sub l;

	start_and_settle();
	move_slot(low, 1);
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	assert_non_null(mock_subscriber(&nodes[1].mock, low));
	redis_sub_close(&l.sub);
}

static void a_subscription_follows_the_map_without_being_told(void **state)
{
	struct listener_sub l;

	start_and_settle();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	move_slot(low, 1);
	assert_got(low); /* MOVED: the map is asked for */
	WAIT_FOR(&world, 2000, l.confirmed == 2);
	assert_int_equal(publish(low, "1"), 1);
	WAIT_FOR(&world, 2000, l.messages == 1);
	redis_sub_close(&l.sub);
}

static void a_subscription_that_is_led_in_circles_waits_every_now_and_then(void **state)
{
	struct listener_sub l;

	start_and_settle();
	in_circles = true;
	listen_on(&world, &l, low);
	STAYS_SO(&world, 500, l.confirmed == 0);
	/* Six in each 100 ms. */
	assert_in_range(count_lines(nodes[0].said) + count_lines(nodes[1].said), 6, 60);
	in_circles = false;
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
}

static void a_subscription_waits_while_nobody_takes_it(void **state)
{
	struct listener_sub l;

	start();
	down = true;
	listen_on(&world, &l, low);
	STAYS_SO(&world, 300, l.confirmed == 0);
	down = false;
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
}

static void an_unsubscription_may_meet_the_end_that_redis_makes(void **state)
{
	struct listener_sub l, other;
	unsigned accepted;

	start();
	listen_on(&world, &l, low);
	listen_on(&world, &other, "{t:bar}x");
	WAIT_FOR(&world, 2000, l.confirmed == 1 && other.confirmed == 1);
	accepted = nodes[0].mock.accepted;
	/* Both ends come, and MOVED for the second one. */
	owner[slot_of(low)] = 1;
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	redis_sub_close(&l.sub);
	WAIT_FOR(&world, 2000, strstr(nodes[0].said, "SUNSUBSCRIBE t:bar") != NULL || other.confirmed >= 1);
	claimed[slot_of(low)] = 1;
	drop_channel(mock_subscriber(&nodes[0].mock, "{t:bar}x"), "{t:bar}x");
	WAIT_FOR(&world, 2000, other.confirmed == 2);
	STAYS_SO(&world, 200, nodes[0].mock.accepted == accepted);
	redis_sub_close(&other.sub);
}

static void a_closed_subscription_that_moves_tells_nobody(void **state)
{
	struct listener_sub l;

	start();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
	move_slot(low, 1);
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	STAYS_SO(&world, 300, l.confirmed == 1);
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	assert_int_equal(publish(low, "1"), 1);
	redis_sub_close(&l.sub);
}

/* --- canaries --- */

static const char *canary_at(int node)
{
	for (struct mock_conn *c = nodes[node].mock.conns; c != NULL; c = c->next) {
		for (size_t i = 0; i < c->channel_count; i++) {
			if (strncmp(c->channels[i], "t.canary.", 9) == 0)
				return c->channels[i];
		}
	}
	return NULL;
}

static void every_node_has_a_canary_in_a_slot_of_its_own(void **state)
{
	start();
	for (int i = 0; i < NODES; i++) {
		assert_non_null(canary_at(i));
		assert_int_equal(owner[slot_of(canary_at(i))], i);
	}
}

static void a_canary_whose_slot_moves_gets_another_channel(void **state)
{
	unsigned long before;
	char old[64];

	start_and_settle();
	snprintf(old, sizeof(old), "%s", canary_at(0));
	move_slot(old, 1);
	drop_channel(mock_subscriber(&nodes[0].mock, old), old);
	WAIT_FOR(&world, 2000, canary_at(0) != NULL && strcmp(canary_at(0), old) != 0);
	before = metrics_mine->values[METRIC_redis_canaries_missed];
	STAYS_SO(&world, 800, is_ready(&world));
	assert_int_equal(metrics_mine->values[METRIC_redis_canaries_missed], before);
}

static bool hears_nothing(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "SPUBLISH"))
		return do_command(c, command);
	mock_send(c, ":1\r\n");
	return true;
}

static void a_node_that_is_not_heard_is_named(void **state)
{
	start();
	nodes[1].mock.on_command = hears_nothing;
	WAIT_FOR(&world, 3000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), nodes[1].port));
	assert_null(strstr(reason(&world), nodes[0].port));
	nodes[1].mock.on_command = do_command;
	WAIT_FOR(&world, 3000, is_ready(&world));
}

static void a_node_that_is_not_heard_does_not_silence_the_others(void **state)
{
	struct listener_sub l;

	start();
	assert_true(redis_hears(world.redis, BYTES_OF_STR(low)) &&
	            redis_hears(world.redis, BYTES_OF_STR(high)));
	nodes[1].mock.on_command = hears_nothing;
	WAIT_FOR(&world, 3000, !is_ready(&world));
	assert_true(redis_hears(world.redis, BYTES_OF_STR(low)));
	assert_false(redis_hears(world.redis, BYTES_OF_STR(high)));
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
}

/* --- maps --- */

static void a_bad_map_changes_nothing(void **state)
{
	struct listener_sub l;
	struct answer a;
	unsigned before;

	start();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	instead = "*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\na\r\n:1\r\n";
	before = questions;
	in_circles = true;
	get(&a, high);
	WAIT_FOR(&world, 3000, questions > before + 2);
	WAIT_FOR(&world, 3000, a.count == 1);
	in_circles = false;
	assert_int_equal(l.confirmed, 1);
	assert_got(low);
	instead = "-ERR This instance has cluster support disabled\r\n";
	STAYS_SO(&world, 300, l.confirmed == 1);
	instead = NULL;
	redis_sub_close(&l.sub);
}

static void the_map_is_not_asked_for_without_pause(void **state)
{
	unsigned before;
	struct answer a[20];

	start();
	before = questions;
	in_circles = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		get(&a[i], low);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		WAIT_FOR(&world, 3000, a[i].count == 1);
	assert_true(questions - before < 20);
}

static void a_node_without_slots_is_left(void **state)
{
	struct listener_sub l;

	start();
	listen_on(&world, &l, high);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	for (int slot = 0; slot < REDIS_SLOTS; slot++)
		owner[slot] = claimed[slot] = 0;
	assert_got(high);
	WAIT_FOR(&world, 2000, l.confirmed == 2);
	WAIT_FOR(&world, 2000, mock_calls(&nodes[1].mock) == NULL && canary_at(1) == NULL);
	assert_true(is_ready(&world));
	redis_sub_close(&l.sub);
}

static bool is_frozen(struct mock_conn *c, const redisReply *command)
{
	return true;
}

/* Long before its links are given up. */
static void a_node_that_is_silent_is_not_waited_for_by_the_map(void **state)
{
	struct listener_sub l;

	world.config.redis.call_timeout_ms = world.config.redis.canary_timeout_ms = 20000;
	start_and_settle();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	nodes[0].mock.on_command = is_frozen;
	for (int slot = 0; slot < REDIS_SLOTS; slot++)
		owner[slot] = claimed[slot] = 1;
	WAIT_FOR(&world, 4000, l.confirmed == 2);
	assert_non_null(mock_subscriber(&nodes[1].mock, low));
	assert_true(is_ready(&world));
	redis_sub_close(&l.sub);
}

static unsigned answered;

static void count_answer(void *arg, const struct redis_reply *reply)
{
	answered++;
}

static void calls_to_a_silent_node_leave_room_for_others(void **state)
{
	const struct bytes argv[2] = {BYTES("GET"), BYTES_OF_STR(high)};
	unsigned made;

	start();
	answered = 0;
	nodes[1].mock.on_command = is_frozen;
	WAIT_FOR(&world, 3000, !redis_hears(world.redis, BYTES_OF_STR(high)));
	for (made = 0; made < 70000; made++)
		redis_call(world.redis, argv, 2, count_answer, NULL);
	WAIT_FOR(&world, 5000, answered > 0); /* those for which there is no room */
	assert_got(low);
	WAIT_FOR(&world, 10000, answered == made);
}

static void a_node_may_be_gone_from_the_start(void **state)
{
	nodes[0].mock.refuse = true;
	for (int slot = 0; slot < REDIS_SLOTS; slot++)
		owner[slot] = claimed[slot] = 1;
	start();
	assert_got(low);
}

static void nothing_answers_and_it_says_so(void **state)
{
	struct answer a;

	nodes[0].mock.refuse = nodes[1].mock.refuse = true;
	world_redis(&world);
	assert_false(is_ready(&world));
	get(&a, low);
	WAIT_FOR(&world, 3000, a.count == 1);
	assert_true(a.null);
	assert_non_null(strstr(reason(&world), "127.0.0.1"));
	nodes[0].mock.refuse = nodes[1].mock.refuse = false;
	WAIT_FOR(&world, 5000, is_ready(&world));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_where_the_tests_need_them),
		TEST(calls_go_where_their_slot_is),
		TEST(a_call_without_a_key_goes_anywhere),
		TEST(moved_is_followed_and_remembered),
		TEST(ask_is_followed_once),
		TEST(a_call_is_tried_again_and_later_ones_wait_behind_it),
		TEST(later_calls_of_the_slot_do_not_overtake),
		TEST(a_cluster_that_is_down_is_waited_for_until_the_deadline),
		TEST(a_circle_of_redirections_is_left),
		TEST(a_redirection_to_nowhere_ends_with_the_deadline),
		TEST(a_cancelled_call_is_not_answered),
		TEST(subscriptions_are_where_their_slot_is),
		TEST(what_is_published_here_is_heard_here),
		TEST(a_subscription_that_is_ended_by_redis_moves),
		TEST(a_subscription_that_is_ended_by_redis_does_not_wait_for_the_map),
		TEST(a_subscription_is_led_away_by_moved),
		TEST(a_subscription_follows_the_map_without_being_told),
		TEST(a_subscription_that_is_led_in_circles_waits_every_now_and_then),
		TEST(a_subscription_waits_while_nobody_takes_it),
		TEST(an_unsubscription_may_meet_the_end_that_redis_makes),
		TEST(a_closed_subscription_that_moves_tells_nobody),
		TEST(every_node_has_a_canary_in_a_slot_of_its_own),
		TEST(a_canary_whose_slot_moves_gets_another_channel),
		TEST(a_node_that_is_not_heard_is_named),
		TEST(a_node_that_is_not_heard_does_not_silence_the_others),
		TEST(a_bad_map_changes_nothing),
		TEST(the_map_is_not_asked_for_without_pause),
		TEST(a_node_without_slots_is_left),
		TEST(a_node_that_is_silent_is_not_waited_for_by_the_map),
		TEST(calls_to_a_silent_node_leave_room_for_others),
		TEST(a_node_may_be_gone_from_the_start),
		TEST(nothing_answers_and_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
