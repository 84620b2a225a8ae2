/* Host names against a name server inside the test. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "redis_endpoint.h"
#include "redis_resolver.h"
#include "redis_world.h"

/* A name server that answers a question for an IPv4 address with what it is told, any other with nothing. */
struct dns {
	struct ev_io readable;
	char servers[32];
	unsigned char addresses[4]; /* last bytes of 127.0.0.x, ended by 0 */
	int code;                   /* RCODE of RFC 1035, 4.1.1 */
	bool silent;
	unsigned asked;
};

static struct world world;
static struct dns dns;
static struct redis_resolver resolver;
static unsigned done;

enum { DNS_HEADER = 12, TYPE_A = 1 };

/* Appends an answer of type A, whose name points to that of the question. */
static size_t put_answer(unsigned char *at, unsigned char last)
{
	const unsigned char answer[] = {0xc0, DNS_HEADER, 0, TYPE_A, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, last};

	memcpy(at, answer, sizeof(answer));
	return sizeof(answer);
}

static void on_question(struct ev_loop *ev, struct ev_io *io, int events)
{
	unsigned char packet[512];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(io->fd, packet, 300, 0, (struct sockaddr *)&from, &from_len);
	size_t end = DNS_HEADER;
	size_t count = 0;

	assert_true(n > DNS_HEADER);
	dns.asked++;
	if (dns.silent)
		return;
	while (packet[end] != 0)
		end += packet[end] + 1u;
	end += 5;
	packet[2] |= 0x80;
	packet[3] = (unsigned char)dns.code;
	memset(packet + 8, 0, 4);
	for (size_t at = end; packet[at - 3] == TYPE_A && dns.addresses[count] != 0 && count < 4; count++)
		end += put_answer(packet + end, dns.addresses[count]);
	packet[7] = (unsigned char)count;
	assert_int_equal(sendto(io->fd, packet, end, 0, (struct sockaddr *)&from, from_len), end);
}

static void on_done(struct redis_resolver *r)
{
	done++;
}

static int setup(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	world_init(&world);
	memset(&dns, 0, sizeof(dns));
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(dns.servers, sizeof(dns.servers), "127.0.0.1:%d", ntohs(in.sin_port));
	ev_io_init(&dns.readable, on_question, fd, EV_READ);
	ev_io_start(loop_ev(world.loop), &dns.readable);
	redis_resolver_init(&resolver, world.loop, on_done);
	resolver.servers = dns.servers;
	done = 0;
	return 0;
}

static int teardown(void **state)
{
	redis_resolver_stop(&resolver);
	ev_io_stop(loop_ev(world.loop), &dns.readable);
	close(dns.readable.fd);
	world_free(&world);
	return 0;
}

static const char *resolve(const char *host)
{
	static char text[ADDRESS_TEXT_MAX];

	done = 0;
	if (!redis_resolver_start(&resolver, host, "6379"))
		WAIT_FOR(&world, 5000, done == 1);
	if (resolver.error != NULL)
		return resolver.error;
	address_format(&resolver.address, text);
	return text;
}

static void a_name_is_asked_for_each_time(void **state)
{
	dns.addresses[0] = 7;
	assert_string_equal(resolve("redis.example"), "127.0.0.7:6379");
	dns.addresses[0] = 8;
	assert_string_equal(resolve("redis.example"), "127.0.0.8:6379");
}

static void of_several_addresses_each_has_its_turn(void **state)
{
	bool seen[3] = {false};

	memcpy(dns.addresses, "\1\2\3", 3);
	for (int i = 0; i < 3; i++)
		seen[resolve("redis.example")[8] - '1'] = true;
	assert_true(seen[0] && seen[1] && seen[2]);
}

static void a_name_that_is_not_there_is_an_error(void **state)
{
	dns.code = 3;
	assert_string_equal(resolve("redis.example"), "Domain name not found");
	assert_string_equal(resolve(""), resolver.error);
	assert_non_null(resolver.error);
}

static void an_answer_that_does_not_come_can_be_given_up(void **state)
{
	dns.silent = true;
	assert_false(redis_resolver_start(&resolver, "redis.example", "6379"));
	WAIT_FOR(&world, 2000, dns.asked > 0);
	redis_resolver_stop(&resolver);
	STAYS_SO(&world, 50, done == 0);
	dns.silent = false;
	dns.addresses[0] = 7;
	assert_string_equal(resolve("redis.example"), "127.0.0.7:6379");
}

static void lost_questions_are_asked_again(void **state)
{
	dns.silent = true;
	dns.addresses[0] = 7;
	assert_false(redis_resolver_start(&resolver, "redis.example", "6379"));
	WAIT_FOR(&world, 2000, dns.asked > 0);
	dns.silent = false;
	WAIT_FOR(&world, 5000, done == 1);
	assert_null(resolver.error);
}

static void the_hosts_file_is_asked_too(void **state)
{
	assert_non_null(strstr(resolve("localhost"), "1"));
	assert_null(resolver.error);
	assert_int_equal(dns.asked, 0);
}

static void endpoints_are_numbers_names_or_sockets(void **state)
{
	static const struct {
		const char *address;
		const char *text;
		bool named;
	} cases[] = {
		{"redis://127.0.0.1:7000", "127.0.0.1:7000", false},
		{"redis://:secret@[::1]/3", "[::1]:6379", false},
		{"redis://me:secret@redis.example", "redis.example:6379", true},
		{"unix:/run/redis.sock", "unix:/run/redis.sock", false},
	};
	struct tls_client *some_tls = (struct tls_client *)&cases; /* nobody looks into it */
	struct redis_endpoint e;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		redis_endpoint_init(&e, cases[i].address, NULL);
		assert_null(e.error);
		assert_string_equal(e.text, cases[i].text);
		assert_int_equal(e.named, cases[i].named);
		redis_endpoint_free(&e);
	}
	/* TLS is spoken where it is asked for, and nothing else is then. */
	redis_endpoint_init(&e, "redis://h", some_tls);
	assert_null(e.error);
	assert_null(e.tls);
	redis_endpoint_free(&e);
	redis_endpoint_init(&e, "rediss://h", some_tls);
	assert_null(e.error);
	assert_ptr_equal(e.tls, some_tls);
	redis_endpoint_free(&e);
	redis_endpoint_init(&e, "rediss://h", NULL);
	assert_non_null(e.error);
	redis_endpoint_free(&e);
	redis_endpoint_init(&e, "http://x", NULL);
	assert_non_null(e.error);
	redis_endpoint_free(&e);
	redis_endpoint_init(&e, NULL, NULL);
	assert_non_null(e.error);
	redis_endpoint_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define NAME(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		NAME(a_name_is_asked_for_each_time),
		NAME(of_several_addresses_each_has_its_turn),
		NAME(a_name_that_is_not_there_is_an_error),
		NAME(an_answer_that_does_not_come_can_be_given_up),
		NAME(lost_questions_are_asked_again),
		NAME(the_hosts_file_is_asked_too),
		NAME(endpoints_are_numbers_names_or_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
