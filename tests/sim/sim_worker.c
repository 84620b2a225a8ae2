/* The whole worker over sockets that lie. For each seed a world is drawn: its weather, its clients, what
 * befalls Redis. The worker starts in it, lives through a time of troubles, is left in peace and has to
 * recover, and then drains, is stopped, or loses its master. All along the promises of the design are
 * checked: order, nothing twice, nothing lost that need not be, whole frames, one answer to each command, no
 * spinning, no deafness, no descriptor and no memory kept.
 *
 *     sim_worker              the seeds of the test
 *     sim_worker SEED [COUNT] these
 *     sim_worker -v SEED      one, and tells what happens */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "log.h"
#include "sim_client.h"
#include "sim_net.h"
#include "sim_redis.h"
#include "sim_truth.h"
#include "worker.h"

#ifdef SIM_SANITIZED
#include <sanitizer/common_interface_defs.h>
/* Of sanitizer/allocator_interface.h, which GCC does not bring. */
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

enum {
	SEEDS = 3000,
	TWICE_EVERY = 100, /* that many seeds: one is run again, and must take the same course */
	RECOVERY_US = 90 * SIM_SECOND,
	DELIVERY_US = 15 * SIM_SECOND,
	DRAIN_SLACK_US = 10 * SIM_SECOND,
	IDLE_SLACK = 1280 << 10, /* bytes: each buffer that is shared by all keeps up to 256 KiB */
	HANG_S = 300,
};

enum ending { DRAIN, MASTER_GONE, STOP };

static struct {
	struct config *defaults;
	struct config config;
	struct metrics_slot *metrics;
	int listen_fd;
	enum ending ending;
	bool ends_in_troubles;
	bool hungry;
	uint64_t troubles_end_us;
	uint64_t deadline_us;
	uint64_t end_us; /* told to end */
	size_t memory_before;
	size_t memory_idle; /* 0: not known */
	bool over;
	bool warm; /* libraries have what they keep */
} w;

/* How exact memory_in_use() is: malloc() itself counts what it has put aside for the next one. */
#ifdef SIM_SANITIZED
enum { MEMORY_SLACK = 0 };
#else
enum { MEMORY_SLACK = 1 << 20 };
#endif

static size_t memory_in_use(void)
{
#ifdef SIM_SANITIZED
	return __sanitizer_get_current_allocated_bytes();
#else
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
#endif
}

static uint64_t metric(enum metric m)
{
	return w.metrics->values[m];
}

/* --- what befalls the world --- */

static void stand_still(void)
{
	uint64_t duration_us = (uint64_t)sim_between(1, sim_chance(2000) ? 12000 : 300) * SIM_MS;

	sim.counts.stalls++;
	sim_note("the worker stands still for %.3f s", (double)duration_us / SIM_SECOND);
	sim_advance(sim.now_us + duration_us);
	if (duration_us > 200 * SIM_MS)
		sim.stalled_us = sim.now_us;
}

static void on_turn(void)
{
	size_t queues = (size_t)metric(METRIC_connections) * (w.config.client.queue_max_size + (256 << 10));

	if (sim_lies(3))
		stand_still();
	if (sim_lies(10)) {
		sim.counts.clock_jumps++;
		sim.unix_offset_us += ((int64_t)sim_below(7200) - 3600) * SIM_SECOND;
	}
	if (sim_chance(100))
		SIM_CHECK(memory_in_use() < w.memory_before + queues + (24 << 20), "%zu bytes are in use",
		          memory_in_use() - w.memory_before);
}

static void on_publish(void *ctx)
{
	static char data[TRUTH_DATA_MAX];
	unsigned channel = sim_below(TRUTH_CHANNELS);
	unsigned count = sim_chance(500) ? sim_between(2, 30) : 1;

	if (w.over)
		return;
	for (unsigned i = 0; i < count; i++) {
		size_t size = sim_lies(300) ? sim_below(50000) : sim_below(300);
		size_t len = truth_write(truth_draft(channel, 0, size), data);

		sim_redis_publish(channel, (struct bytes){data, len});
	}
	sim_after((uint64_t)sim_between(5, 1500) * SIM_MS, on_publish, NULL);
}

static void on_redis_trouble(void *ctx)
{
	if (!sim.weather.lies)
		return;
	sim_redis_trouble();
	sim_after((uint64_t)sim_between(100, 15000) * SIM_MS, on_redis_trouble, NULL);
}

/* --- the course of things --- */

static void on_end(void *ctx)
{
	w.end_us = sim.now_us;
	sim_clients_expect_end(w.ending == STOP);
	sim_note("the end begins");
	switch (w.ending) {
	case DRAIN:
		sim.counts.drains++;
		sim.counts.drains_with_lies += sim.weather.lies;
		sim_control_send(CONTROL_DRAIN);
		break;
	case MASTER_GONE:
		sim.counts.masters_gone++;
		sim_control_hang_up();
		break;
	case STOP:
		sim.counts.stops++;
		sim_control_send(CONTROL_STOP);
		break;
	}
}

static void check_idle(void *ctx)
{
	const uint64_t gauges[] = {metric(METRIC_clients), metric(METRIC_subscriptions),
	                           metric(METRIC_channels)};

	SIM_CHECK(gauges[0] + gauges[1] + gauges[2] == 0,
	          "all are gone, and counted are %" PRIu64 " clients, %" PRIu64 " subscriptions, %" PRIu64
	          " channels",
	          gauges[0], gauges[1], gauges[2]);
	sim.counts.idle_checks += w.memory_idle != 0;
	SIM_CHECK(w.memory_idle == 0 || memory_in_use() < w.memory_idle + IDLE_SLACK + MEMORY_SLACK,
	          "all are gone, and %zu bytes are in use that were not", memory_in_use() - w.memory_idle);
	sim_note("idle: %zd bytes more than before", (ssize_t)(memory_in_use() - w.memory_idle));
	on_end(NULL);
}

static void wait_until_gone(void *ctx)
{
	if (metric(METRIC_connections) == 0) {
		sim_after(w.config.redis.unsubscribe_linger_ms * SIM_MS + 3 * SIM_SECOND, check_idle, NULL);
		return;
	}
	SIM_CHECK(sim.now_us < w.deadline_us, "all have left, and the worker keeps %" PRIu64 " connections",
	          metric(METRIC_connections));
	sim_after(100 * SIM_MS, wait_until_gone, NULL);
}

static void wait_until_delivered(void *ctx)
{
	const char *who;

	if (!sim_clients_up_to_date(&who)) {
		SIM_CHECK(sim.now_us < w.deadline_us, "%s: deaf, what was published last does not come", who);
		sim_after(100 * SIM_MS, wait_until_delivered, NULL);
		return;
	}
	if (sim_chance(5000)) {
		on_end(NULL);
		return;
	}
	sim_note("all leave");
	sim_clients_leave();
	w.deadline_us = sim.now_us + 2 * 60 * SIM_SECOND;
	wait_until_gone(NULL);
}

static void publish_last(void)
{
	static char data[TRUTH_DATA_MAX];

	w.over = true;
	sim_clients_hush();
	for (unsigned i = 0; i < 2 * TRUTH_CHANNELS; i++) {
		size_t len = truth_write(truth_draft(i % TRUTH_CHANNELS, 0, 10), data);

		sim_redis_publish(i % TRUTH_CHANNELS, (struct bytes){data, len});
	}
}

static void wait_until_recovered(void *ctx)
{
	const char *who = "nobody";

	if (metric(METRIC_redis_ready) == 1 && sim_clients_settled(&who)) {
		sim_note("recovered");
		publish_last();
		w.deadline_us = sim.now_us + DELIVERY_US;
		wait_until_delivered(NULL);
		return;
	}
	SIM_CHECK(sim.now_us < w.deadline_us, "no recovery: Redis is %sready, and %s is not served",
	          metric(METRIC_redis_ready) == 1 ? "" : "not ", who);
	sim_after(100 * SIM_MS, wait_until_recovered, NULL);
}

static void end_troubles(void *ctx)
{
	if (w.ends_in_troubles) {
		on_end(NULL);
		return;
	}
	sim_note("the troubles are over");
	sim.weather.lies = false;
	sim_redis_recover();
	sim_clients_calm();
	w.deadline_us = sim.now_us + RECOVERY_US;
	wait_until_recovered(NULL);
}

/* The worker had its time to start. */
static void begin_troubles(void *ctx)
{
	if (metric(METRIC_redis_ready) == 1 && metric(METRIC_connections) == 0)
		w.memory_idle = memory_in_use();
	sim.weather.lies = true;
	sim_after((uint64_t)sim_between(2000, 15000) * SIM_MS, end_troubles, NULL);
	sim_after((uint64_t)sim_between(500, 12000) * SIM_MS, on_redis_trouble, NULL);
	sim_after((uint64_t)sim_between(100, 2000) * SIM_MS, on_publish, NULL);
}

/* --- the drawing of a world --- */

/* Some things never happen, most rarely, some nearly always. */
static unsigned draw_chance(unsigned most)
{
	switch (sim_below(4)) {
	case 0: return 0;
	case 1: return sim_below(most / 10 + 1);
	case 2: return sim_below(most / 3 + 1);
	default: return sim_below(most + 1);
	}
}

static void draw_weather(void)
{
	static const unsigned latencies[] = {200, 5 * SIM_MS, 50 * SIM_MS, 250 * SIM_MS};
	static const unsigned turns[] = {20, 200, 2 * SIM_MS, 8 * SIM_MS};

	sim.weather = (struct sim_weather){
		.short_read = draw_chance(9000),
		.short_write = draw_chance(9000),
		.again_read = draw_chance(5000),
		.again_write = draw_chance(5000),
		.interrupted = draw_chance(5000),
		.late = draw_chance(3000),
		.spurious = draw_chance(1000),
		.accept_fails = draw_chance(6000),
		.socket_fails = draw_chance(4000),
		.option_fails = draw_chance(5000),
		.client_breaks = draw_chance(30),
		.redis_breaks = draw_chance(10),
		.no_memory = w.hungry ? sim_between(1, 200) : 0,
		.latency_us = latencies[sim_below(ARRAY_LEN(latencies))],
		.turn_us = turns[sim_below(ARRAY_LEN(turns))],
	};
}

static void draw_config(void)
{
	static char tcp[] = "redis://127.0.0.1:6379", closed[] = "redis://:secret@127.0.0.1:6379";
	static char local[] = "unix:/redis.sock";
	static char *const addresses[] = {tcp, closed, local};
	static const uint64_t queues[] = {16 << 10, 64 << 10, 256 << 10, 1 << 20};

	w.config = *w.defaults;
	w.config.client.queue_max_size = queues[sim_below(ARRAY_LEN(queues))];
	w.config.client.ping_interval_ms = sim_between(9, 25) * 1000;
	w.config.redis.unsubscribe_linger_ms = sim_between(0, 5000);
	w.config.redis.address = addresses[sim_below(ARRAY_LEN(addresses))];
	w.config.shutdown.timeout_ms = sim_between(0, 6000);
}

static void draw_world(uint64_t seed)
{
	sim_start(seed);
	w.memory_idle = 0;
	w.over = false;
	w.end_us = 0;
	w.hungry = sim_chance(1500);
	w.ending = sim_chance(7000) ? DRAIN : sim_chance(5000) ? MASTER_GONE : STOP;
	w.ends_in_troubles = sim_chance(2500);
	draw_weather();
	draw_config();
	sim_net_start();
	sim_on_turn(on_turn);
	sim_set_file_limit(sim_chance(2000) ? sim_between(20, 60) : 1024);
	truth_start();
	sim_redis_start(strchr(w.config.redis.address, '@') != NULL ? "secret" : NULL, w.config.redis.prefix);
	sim_clients_start(
		&(struct sim_society){.config = &w.config, .count = sim_between(3, 12), .hungry = w.hungry});
	sim_after(1000 * SIM_MS, begin_troubles, NULL);
}

/* --- a run --- */

static void check_end(int code)
{
	uint64_t took_us = sim.now_us - w.end_us;

	SIM_CHECK(code == 0, "the worker ends with %d", code);
	SIM_CHECK(w.end_us != 0, "the worker ends, and nobody told it to");
	SIM_CHECK(took_us < w.config.shutdown.timeout_ms * SIM_MS + 5 * SIM_SECOND + DRAIN_SLACK_US ||
	                  sim.stalled_us > w.end_us,
	          "the end took %.3f s", (double)took_us / SIM_SECOND);
	SIM_CHECK(sim_control_ready(), "the worker has never said that it serves");
	SIM_CHECK(sim_open_files() == (w.ending == MASTER_GONE ? 1 : 2), "%u descriptors are left open",
	          sim_open_files());
	SIM_CHECK(metric(METRIC_connections) == 0 && metric(METRIC_clients) == 0 &&
	                  metric(METRIC_subscriptions) == 0 && metric(METRIC_channels) == 0,
	          "what is gone is still counted");
	SIM_CHECK(!w.warm || memory_in_use() <= w.memory_before + MEMORY_SLACK, "%zu bytes are left behind",
	          memory_in_use() - w.memory_before);
}

/* Returns the hash of all that happened. */
static uint64_t run_seed(uint64_t seed)
{
	struct worker_args args = {.config = &w.config,
	                           .metrics = w.metrics,
	                           .metrics_count = 1,
	                           .node_id = "5e4f0000-0000-4000-8000-000000000000",
	                           .listen_count = 1};
	int code;

	alarm(HANG_S);
	draw_world(seed);
	w.listen_fd = sim_listener_open();
	args.listen_fds = &w.listen_fd;
	args.control_fd = sim_control_open();
	memset(w.metrics, 0, sizeof(*w.metrics));
	w.memory_before = memory_in_use();
	sim.running = true;
	code = worker_run(&args);
	sim.running = false;
	check_end(code);
	w.warm = true;
	sim.weather.lies = false;
	sim_advance(sim.now_us + 60 * SIM_SECOND);
	sim_clients_check_gone();
	return sim.trace;
}

static void run_seeds(uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t trace = run_seed(first + i);

		if (i % TWICE_EVERY == 0)
			SIM_CHECK(run_seed(first + i) == trace, "another course, with the same seed");
	}
}

/* --- the program --- */

static void tell_seed(void)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "\nseed %" PRIu64 "\n", sim.seed);

	sim.running = false;
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		_exit(1);
}

static void on_signal(int signal)
{
	tell_seed();
	_exit(1);
}

#ifdef SIM_SANITIZED
/* So that its death is told, too. */
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}
#endif

static void tell_deaths(void)
{
	signal(SIGABRT, on_signal);
	signal(SIGALRM, on_signal);
#ifdef SIM_SANITIZED
	__sanitizer_set_death_callback(tell_seed);
#endif
}

static void load_config(void)
{
	static const char *const variables[] = {
		"FANFARE_CLIENT_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN=true",
		"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_CLIENT=true",
		"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_ANONYMOUS=true",
		"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT=true",
		"FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_ANONYMOUS=true",
		"FANFARE_CHANNEL_NAMESPACES=[{name: ns, allow_subscribe_for_client: true, "
		"allow_subscribe_for_anonymous: true, allow_publish_for_client: true, "
		"allow_publish_for_anonymous: true}, {name: kept, history_size: 1000, history_ttl: 10m, "
		"force_recovery: true, allow_subscribe_for_client: true, "
		"allow_subscribe_for_anonymous: true, allow_publish_for_client: true, "
		"allow_publish_for_anonymous: true}]",
		NULL};
	struct buf errors;

	buf_init(&errors, 4096);
	w.defaults = config_load(&(struct config_sources){.environment = (char *const *)variables}, &errors);
	SIM_CHECK(w.defaults != NULL, "%.*s", BYTES_FMT(buf_bytes(&errors)));
}

static void print_counts(void)
{
#define PRINT_COUNT(name) printf("%-24s %12" PRIu64 "\n", #name, sim.counts.name);
	SIM_COUNTS(PRINT_COUNT)
#undef PRINT_COUNT
}

/* Whatever the world can do, or the worker, was seen. */
static void check_counts(void)
{
#define CHECK_COUNT(name) SIM_CHECK(sim.counts.name > 0, "never seen: " #name);
	SIM_COUNTS(CHECK_COUNT)
#undef CHECK_COUNT
}

int main(int argc, char **argv)
{
	bool verbose = argc > 2 && strcmp(argv[1], "-v") == 0;
	uint64_t first = argc > 1 ? strtoull(argv[argc > 2 && !verbose ? 1 : argc - 1], NULL, 10) : 1;
	uint64_t count = argc > 2 && !verbose ? strtoull(argv[2], NULL, 10) : 1;

	unsetenv("LIBEV_FLAGS");
	tell_deaths();
	load_config();
	w.metrics = metrics_map(1);
	sim.verbose = verbose;
	log_setup(verbose ? LOG_DEBUG : LOG_ERROR + 1, LOG_TEXT);
	if (argc == 1) {
		run_seeds(1, SEEDS);
		check_counts();
	} else {
		run_seeds(first, count);
	}
	print_counts();
	config_free(&w.defaults);
	return 0;
}
