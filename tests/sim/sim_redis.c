#include "sim_redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_stream.h"
#include "sim_truth.h"

enum {
	IN_MAX = 4 << 20,
	IN_FIRST = 16 << 10,
	ARGS_MAX = 600,
	CONNS_MAX = 512,
	CHANNELS_MAX = 64,
	NAME_MAX_LEN = 128,
};

struct redis_conn {
	struct sim_link *link;
	bool gone;       /* Redis knows */
	bool subscribed; /* ever */
	bool lost;       /* counted as lost */
	bool let_in;
	char *in;
	size_t in_len, in_cap;
	unsigned channel_count;
	char channels[CHANNELS_MAX][NAME_MAX_LEN];
};

static struct {
	const char *password;
	struct bytes prefix;
	struct redis_conn *conns[CONNS_MAX];
	unsigned count;
	uint64_t paused_until_us;
	uint64_t down_until_us; /* nobody listens */
	uint64_t loading_until_us;
	uint64_t troubled_us;
	uint64_t away_since_us;
} r;

static bool paused(void)
{
	return r.paused_until_us > sim.now_us;
}

static bool is_down(void)
{
	return r.down_until_us > sim.now_us;
}

/* --- replies --- */

static void say(struct redis_conn *c, const char *text)
{
	sim_link_send(c->link, text, strlen(text));
}

static void say_bulk(struct redis_conn *c, struct bytes text)
{
	char head[32];

	snprintf(head, sizeof(head), "$%zu\r\n", text.len);
	say(c, head);
	sim_link_send(c->link, text.ptr, text.len);
	say(c, "\r\n");
}

static void say_push(struct redis_conn *c, const char *kind, struct bytes channel)
{
	say(c, "*3\r\n");
	say_bulk(c, BYTES_OF_STR(kind));
	say_bulk(c, channel);
}

/* --- subscriptions --- */

static int find(const struct redis_conn *c, struct bytes channel)
{
	for (unsigned i = 0; i < c->channel_count; i++)
		if (bytes_eq(channel, BYTES_OF_STR(c->channels[i])))
			return (int)i;
	return -1;
}

static void subscribe(struct redis_conn *c, struct bytes channel)
{
	char number[32];

	SIM_CHECK(channel.len < NAME_MAX_LEN && c->channel_count < CHANNELS_MAX, "SUBSCRIBE of too much");
	SIM_CHECK(find(c, channel) < 0, "SUBSCRIBE of %.*s, which is subscribed", BYTES_FMT(channel));
	memcpy(c->channels[c->channel_count], channel.ptr, channel.len);
	c->channels[c->channel_count++][channel.len] = '\0';
	if (!c->subscribed && !sim_link_dead(c->link))
		truth_link_made();
	c->subscribed = true;
	say_push(c, "subscribe", channel);
	snprintf(number, sizeof(number), ":%u\r\n", c->channel_count);
	say(c, number);
}

static void unsubscribe(struct redis_conn *c, struct bytes channel)
{
	int i = find(c, channel);
	char number[32];

	SIM_CHECK(i >= 0, "UNSUBSCRIBE of %.*s, which is not subscribed", BYTES_FMT(channel));
	memmove(c->channels[i], c->channels[i + 1],
	        (--c->channel_count - (unsigned)i) * sizeof(c->channels[0]));
	say_push(c, "unsubscribe", channel);
	snprintf(number, sizeof(number), ":%u\r\n", c->channel_count);
	say(c, number);
}

/* --- publishing --- */

static int channel_of(struct bytes name)
{
	if (name.len < r.prefix.len || memcmp(name.ptr, r.prefix.ptr, r.prefix.len) != 0)
		return -1;
	return truth_find_channel((struct bytes){name.ptr + r.prefix.len, name.len - r.prefix.len});
}

static unsigned publish(struct bytes name, struct bytes payload, const struct sim_link *from)
{
	int channel = channel_of(name);
	unsigned count = 0;

	if (channel >= 0)
		truth_published((unsigned)channel, payload, from);
	else
		SIM_CHECK(memmem(name.ptr, name.len, ".canary.", 8) != NULL, "PUBLISH to %.*s",
		          BYTES_FMT(name));
	if (channel < 0 && memmem(payload.ptr, payload.len, "marker ", 7) == payload.ptr)
		truth_marker();
	for (unsigned i = 0; i < r.count; i++) {
		struct redis_conn *c = r.conns[i];

		if (c->gone || find(c, name) < 0)
			continue;
		say_push(c, "message", name);
		say_bulk(c, payload);
		if (channel >= 0 && !sim_link_dead(c->link))
			truth_carried((unsigned)channel, c->link);
		count++;
	}
	return count;
}

/* --- commands --- */

static bool is(struct bytes word, const char *name)
{
	return bytes_eq(word, BYTES_OF_STR(name));
}

/* What a subscriber may still do. */
static void check_mode(const struct redis_conn *c, struct bytes name)
{
	SIM_CHECK(c->channel_count == 0 || is(name, "SUBSCRIBE") || is(name, "UNSUBSCRIBE") ||
	                  is(name, "PING"),
	          "%.*s on a connection with subscriptions", BYTES_FMT(name));
}

static bool is_kept(int channel)
{
	return channel == TRUTH_KEPT;
}

/* What fanfare_publish does. */
static void publish_kept(struct bytes name, struct bytes data, const struct sim_link *from)
{
	uint32_t number = truth_number_in(data);

	truth_keep(number, sim_stream_epoch(), sim_stream_top() + 1);
	publish(name, sim_stream_add(number), from);
}

static void say_piece(void *ctx, struct bytes text)
{
	struct redis_conn *c = ctx;

	sim_link_send(c->link, text.ptr, text.len);
}

static void call_function(struct redis_conn *c, const struct bytes *args, unsigned count)
{
	if (is(args[1], "fanfare_version")) {
		/* The library is there, loaded by a broker of a later version. */
		say(c, "*3\r\n:99\r\n:9999999999999\r\n$16\r\nffffffffffffffff\r\n");
		return;
	}
	SIM_CHECK(count > 4 && is(args[2], "1") && is_kept(channel_of(args[3])),
	          "FCALL %.*s of another channel", BYTES_FMT(args[1]));
	if (is(args[1], "fanfare_publish")) {
		publish_kept(args[3], args[4], c->link);
		sim_stream_tell_position(say_piece, c);
		return;
	}
	SIM_CHECK(is(args[1], "fanfare_history"), "FCALL %.*s", BYTES_FMT(args[1]));
	sim_stream_read(args + 4, count - 4, say_piece, c);
}

static void run(struct redis_conn *c, const struct bytes *args, unsigned count)
{
	char number[32];

	check_mode(c, args[0]);
	if (is(args[0], "AUTH")) {
		c->let_in = r.password != NULL && is(args[count - 1], r.password);
		say(c, c->let_in ? "+OK\r\n" : "-WRONGPASS invalid username-password pair\r\n");
	} else if (!c->let_in) {
		say(c, "-NOAUTH Authentication required.\r\n");
	} else if (r.loading_until_us > sim.now_us) {
		say(c, "-LOADING Redis is loading the dataset in memory\r\n");
	} else if (is(args[0], "SUBSCRIBE")) {
		for (unsigned i = 1; i < count; i++)
			subscribe(c, args[i]);
	} else if (is(args[0], "UNSUBSCRIBE")) {
		for (unsigned i = 1; i < count; i++)
			unsubscribe(c, args[i]);
	} else if (is(args[0], "PUBLISH") && count == 3) {
		SIM_CHECK(!is_kept(channel_of(args[1])), "PUBLISH to the channel with history");
		snprintf(number, sizeof(number), ":%u\r\n", publish(args[1], args[2], c->link));
		say(c, number);
	} else if (is(args[0], "ROLE")) {
		say(c, "*3\r\n$6\r\nmaster\r\n:3129659\r\n*0\r\n");
	} else if (is(args[0], "HELLO")) {
		say(c, "*2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n");
	} else if (is(args[0], "PING")) {
		say(c, "+PONG\r\n");
	} else if (is(args[0], "TIME")) {
		say(c, "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
	} else if (is(args[0], "FCALL")) {
		call_function(c, args, count);
	} else {
		SIM_CHECK(is(args[0], "CLIENT"), "Redis is told to %.*s", BYTES_FMT(args[0]));
		say(c, "+OK\r\n");
	}
}

/* One header of the protocol, "*3" or "$17", with its end; 0: not all there. */
static size_t take_header(const char *in, size_t len, char kind, size_t *value)
{
	const char *end = memchr(in, '\n', len);
	char *stop;

	if (end == NULL) {
		SIM_CHECK(len < 32, "Redis is sent nonsense");
		return 0;
	}
	*value = strtoul(in + 1, &stop, 10);
	SIM_CHECK(in[0] == kind && stop == end - 1 && *stop == '\r', "Redis is sent nonsense: %.*s",
	          (int)(end - in), in);
	return (size_t)(end - in) + 1;
}

/* Runs the first command; the bytes of it, or 0 when it is not all there. */
static size_t take_command(struct redis_conn *c, const char *in, size_t len)
{
	struct bytes args[ARGS_MAX];
	size_t count, at = take_header(in, len, '*', &count);

	if (at == 0)
		return 0;
	SIM_CHECK(count > 0 && count <= ARGS_MAX, "a command of %zu words", count);
	for (size_t i = 0; i < count; i++) {
		size_t head = at < len ? take_header(in + at, len - at, '$', &args[i].len) : 0;

		if (head == 0 || len - at - head < args[i].len + 2)
			return 0;
		args[i].ptr = in + at + head;
		at += head + args[i].len + 2;
		SIM_CHECK(memcmp(in + at - 2, "\r\n", 2) == 0, "a torn command");
	}
	run(c, args, (unsigned)count);
	return at;
}

static void work(struct redis_conn *c)
{
	size_t done = 0, used;

	if (paused() || c->gone || c->in_len == 0)
		return;
	while (done < c->in_len && (used = take_command(c, c->in + done, c->in_len - done)) > 0)
		done += used;
	memmove(c->in, c->in + done, c->in_len - done);
	c->in_len -= done;
}

/* --- connections --- */

/* The worker has closed it, or cannot go on with it. Once. */
static void look_for_losses(void)
{
	for (unsigned i = 0; i < r.count; i++) {
		struct redis_conn *c = r.conns[i];

		if (c->lost || !(c->gone || sim_link_dead(c->link)))
			continue;
		c->lost = true;
		r.troubled_us = sim.now_us;
		if (c->subscribed)
			truth_link_lost();
	}
}

static bool worker_ignorant(void)
{
	for (unsigned i = 0; i < r.count; i++)
		if (r.conns[i]->subscribed && r.conns[i]->lost && !r.conns[i]->link->closed)
			return true;
	return false;
}

static void make_room(struct redis_conn *c, size_t len)
{
	size_t cap = c->in_cap > 0 ? c->in_cap : IN_FIRST;
	char *in;

	SIM_CHECK(IN_MAX - c->in_len >= len, "Redis is sent more than it takes");
	while (cap - c->in_len < len)
		cap *= 2;
	if (cap == c->in_cap)
		return;
	in = sim_alloc_bytes(cap);
	if (c->in_len > 0)
		memcpy(in, c->in, c->in_len);
	c->in = in;
	c->in_cap = cap;
}

static void on_data(struct sim_link *l, const char *data, size_t len)
{
	struct redis_conn *c = l->ctx;

	if (c->gone)
		return;
	make_room(c, len);
	memcpy(c->in + c->in_len, data, len);
	c->in_len += len;
	look_for_losses();
	work(c);
}

static void on_end(struct sim_link *l, bool reset)
{
	struct redis_conn *c = l->ctx;

	c->gone = true;
	look_for_losses();
	sim_link_close(l);
}

static const struct sim_actor actor = {on_data, on_end};

static int on_connect(struct sim_link *l)
{
	struct redis_conn *c;

	if (is_down())
		return sim_chance(5000) ? ECONNREFUSED : ENOENT;
	if (sim_lies(sim.weather.socket_fails))
		return SIM_SILENT;
	SIM_CHECK(r.count < CONNS_MAX, "the worker connects to Redis again and again");
	c = sim_alloc(sizeof(*c));
	c->link = l;
	c->let_in = r.password == NULL;
	l->actor = &actor;
	l->ctx = c;
	r.conns[r.count++] = c;
	return 0;
}

static void drop(struct redis_conn *c)
{
	static void (*const ways[])(struct sim_link *) = {sim_link_close, sim_link_reset, sim_link_cut};

	if (c->gone)
		return;
	c->gone = true;
	ways[sim_below(ARRAY_LEN(ways))](c->link);
	look_for_losses();
}

/* --- troubles --- */

static void on_resume(void *ctx)
{
	for (unsigned i = 0; i < r.count; i++)
		work(r.conns[i]);
}

static void pause_for(uint64_t duration_us)
{
	sim.counts.redis_pauses++;
	sim_note("Redis stands still for %.3f s", (double)duration_us / SIM_SECOND);
	r.paused_until_us = sim.now_us + duration_us;
	sim_after(duration_us, on_resume, NULL);
}

static void restart(void)
{
	uint64_t duration_us = (uint64_t)sim_between(0, 6000) * SIM_MS;

	sim.counts.redis_restarts++;
	sim_note("Redis goes down for %.3f s", (double)duration_us / SIM_SECOND);
	for (unsigned i = 0; i < r.count; i++)
		drop(r.conns[i]);
	if (sim_chance(3000))
		sim_stream_lose();
	r.down_until_us = sim.now_us + duration_us;
	r.loading_until_us = r.down_until_us + (sim_chance(3000) ? (uint64_t)sim_below(3000) * SIM_MS : 0);
}

static struct redis_conn *any_conn(void)
{
	struct redis_conn *c = r.count > 0 ? r.conns[r.count - 1 - sim_below(r.count < 4 ? r.count : 4)]
	                                   : NULL;

	return c == NULL || c->gone ? NULL : c;
}

void sim_redis_trouble(void)
{
	struct redis_conn *c = any_conn();

	switch (sim_below(7)) {
	case 0: pause_for((uint64_t)sim_between(1, 9000) * SIM_MS); break;
	case 1: restart(); break;
	case 2: sim_stream_lose(); break;
	case 3:
	case 4:
		if (c != NULL) {
			sim.counts.redis_cuts++;
			sim_note("Redis drops descriptor %d", c->link->fd);
			drop(c);
		}
		break;
	default:
		if (c != NULL)
			sim_link_hole(c->link, (uint64_t)sim_between(100, 20000) * SIM_MS);
	}
	r.troubled_us = sim.now_us;
}

void sim_redis_recover(void)
{
	r.paused_until_us = r.down_until_us = r.loading_until_us = 0;
	r.troubled_us = sim.now_us;
	for (unsigned i = 0; i < r.count; i++)
		sim_link_mend(r.conns[i]->link);
	on_resume(NULL);
}

static bool is_away(void)
{
	return paused() || is_down() || r.loading_until_us > sim.now_us;
}

/* The look of the moment, taken often enough. */
static void on_watch(void *ctx)
{
	bool hole = false;

	for (unsigned i = 0; i < r.count; i++)
		hole = hole ||
		       (!sim_link_dead(r.conns[i]->link) && r.conns[i]->link->hole_until_us > sim.now_us);
	if (is_away() || hole)
		r.troubled_us = sim.now_us;
	if (!is_away())
		r.away_since_us = SIM_NEVER;
	else if (r.away_since_us == SIM_NEVER)
		r.away_since_us = sim.now_us;
	look_for_losses();
	sim_after(50 * SIM_MS, on_watch, NULL);
}

uint64_t sim_redis_away_since(void)
{
	return is_away() ? r.away_since_us : SIM_NEVER;
}

uint64_t sim_redis_troubled_us(void)
{
	return r.troubled_us;
}

void sim_redis_publish(unsigned channel, struct bytes data)
{
	char name[NAME_MAX_LEN];
	int len = snprintf(name, sizeof(name), "%.*s%s", BYTES_FMT(r.prefix), truth_channel(channel));

	if (is_away())
		return;
	look_for_losses();
	if (is_kept((int)channel))
		publish_kept((struct bytes){name, (size_t)len}, data, NULL);
	else
		publish((struct bytes){name, (size_t)len}, data, NULL);
}

void sim_redis_start(const char *password, const char *prefix)
{
	memset(&r, 0, sizeof(r));
	r.password = password;
	r.prefix = BYTES_OF_STR(prefix);
	r.away_since_us = SIM_NEVER;
	r.troubled_us = sim.now_us;
	sim_on_connect(on_connect);
	truth_on_worker_ignorant(worker_ignorant);
	sim_stream_start();
	on_watch(NULL);
}
