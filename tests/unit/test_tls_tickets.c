/* The keys of session tickets, by the tickets that a real handshake brings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "tls_tickets.h"

enum { NAME_LEN = 16, PAGE = 4096, FIRST_PERIOD = 7 };

static const uint64_t period_ms = (uint64_t)TLS_TICKET_PERIOD_S * 1000;

static struct {
	struct tls_tickets *tickets;
	SSL_CTX *server, *client;
	SSL_SESSION *session; /* of the last ticket */
} t;

static void set_clock(uint64_t period, uint64_t ms_within)
{
	clock_freeze(period * period_ms + ms_within, period * period_ms + ms_within);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(t.session);
	t.session = session;
	return 1;
}

/* A handshake; with the session, if there is one. True: it was resumed. A new ticket is in t.session. */
static bool shake_hands(SSL_SESSION *session)
{
	SSL *ends[2] = {SSL_new(t.client), SSL_new(t.server)};
	BIO *bios[2];
	char none[10];
	bool resumed;

	assert_int_equal(BIO_new_bio_pair(&bios[0], 65536, &bios[1], 65536), 1);
	SSL_set_bio(ends[0], bios[0], bios[0]);
	SSL_set_bio(ends[1], bios[1], bios[1]);
	SSL_set_connect_state(ends[0]);
	SSL_set_accept_state(ends[1]);
	if (session != NULL) {
		/* OpenSSL's client does not use one of TLS 1.3 twice. */
		session = SSL_SESSION_dup(session);
		assert_int_equal(SSL_set_session(ends[0], session), 1);
	}
	for (int i = 0; i < 10; i++)
		SSL_do_handshake(ends[i % 2]);
	assert_true(SSL_is_init_finished(ends[0]) && SSL_is_init_finished(ends[1]));
	assert_true(SSL_read(ends[0], none, sizeof(none)) <= 0); /* takes the tickets */
	/* Of a ticket that comes with a resumption in TLS 1.2 OpenSSL does not tell. */
	if (SSL_version(ends[0]) == TLS1_2_VERSION)
		on_session(ends[0], SSL_get1_session(ends[0]));
	resumed = SSL_session_reused(ends[1]);
	for (int i = 0; i < 2; i++) {
		SSL_set_shutdown(ends[i], SSL_SENT_SHUTDOWN);
		SSL_free(ends[i]);
	}
	SSL_SESSION_free(session);
	return resumed;
}

/* The name of the key that seals tickets now: the first bytes of one. */
static void key_name(unsigned char name[NAME_LEN])
{
	const unsigned char *ticket;
	size_t len;

	shake_hands(NULL);
	SSL_SESSION_get0_ticket(t.session, &ticket, &len);
	assert_true(len > NAME_LEN);
	memcpy(name, ticket, NAME_LEN);
}

static bool same_key(const unsigned char name[NAME_LEN])
{
	unsigned char now[NAME_LEN];

	key_name(now);
	return memcmp(now, name, NAME_LEN) == 0;
}

/* A session of its own, which the next handshake does not replace. */
static SSL_SESSION *new_session(void)
{
	SSL_SESSION *session;

	assert_false(shake_hands(NULL));
	session = t.session;
	t.session = NULL;
	return session;
}

static void a_key_stays_for_its_period_and_changes_on_the_stroke(void **state)
{
	unsigned char name[NAME_LEN];

	key_name(name);
	assert_int_equal(tls_tickets_turn(t.tickets), period_ms);
	set_clock(FIRST_PERIOD, period_ms - 1);
	assert_int_equal(tls_tickets_turn(t.tickets), 1);
	assert_true(same_key(name));
	set_clock(FIRST_PERIOD + 1, 0);
	assert_int_equal(tls_tickets_turn(t.tickets), period_ms);
	assert_false(same_key(name));
}

static void tickets_are_taken_until_the_end_of_the_next_period(void **state)
{
	SSL_SESSION *session = new_session();

	assert_true(shake_hands(session));
	set_clock(FIRST_PERIOD + 1, period_ms - 1);
	assert_true(shake_hands(session));
	set_clock(FIRST_PERIOD + 2, 0);
	assert_false(shake_hands(session));
	SSL_SESSION_free(session);
}

/* One of them goes on with every period, one sleeps. */
static void processes_with_one_ancestor_have_the_same_keys(void **state)
{
	unsigned char name[NAME_LEN], other[NAME_LEN];
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		for (unsigned i = 1; i <= 1000; i++) {
			set_clock(FIRST_PERIOD + i, i);
			tls_tickets_turn(t.tickets);
		}
		key_name(name);
		_exit(write(fds[1], name, sizeof(name)) == sizeof(name) ? 0 : 1);
	}
	set_clock(FIRST_PERIOD + 1000, 0);
	key_name(name);
	assert_int_equal(read(fds[0], other, sizeof(other)), sizeof(other));
	assert_memory_equal(name, other, sizeof(name));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
	close(fds[1]);
}

static void a_clock_that_is_set_back_is_waited_for(void **state)
{
	unsigned char name[NAME_LEN];
	SSL_SESSION *session;

	set_clock(FIRST_PERIOD + 5, 0);
	key_name(name);
	session = new_session();
	set_clock(FIRST_PERIOD + 2, 10);
	assert_int_equal(tls_tickets_turn(t.tickets), 4 * period_ms - 10);
	assert_true(same_key(name));
	assert_true(shake_hands(session));
	set_clock(0, 0);
	assert_true(same_key(name));
	set_clock(FIRST_PERIOD + 6, 0);
	assert_false(same_key(name));
	assert_true(shake_hands(session));
	SSL_SESSION_free(session);
}

static void after_a_jump_of_many_years_all_goes_on(void **state)
{
	unsigned char name[NAME_LEN];
	SSL_SESSION *session = new_session();

	key_name(name);
	set_clock(FIRST_PERIOD + 40000, 0);
	assert_false(same_key(name));
	assert_false(shake_hands(session));
	SSL_SESSION_free(session);
	session = new_session();
	assert_true(shake_hands(session));
	SSL_SESSION_free(session);
}

/* Whether any eight bytes of what was there are there still, at whatever place. Zeros are no secret. */
static bool survives(const unsigned char *was, const unsigned char *is, size_t from, size_t to)
{
	static const unsigned char zeros[8];

	for (size_t i = from; i + 8 <= to; i++) {
		if (memcmp(was + i, zeros, 8) != 0 && memmem(is, PAGE, was + i, 8) != NULL)
			return true;
	}
	return false;
}

/* The object has a page for itself. It begins with the number of the period, and then the secret. */
static void what_is_past_is_nowhere_in_memory(void **state)
{
	enum { SECRET = 8, SECRET_END = SECRET + 64 };
	static unsigned char before[PAGE];
	const unsigned char *now = (const unsigned char *)t.tickets;

	memcpy(before, now, PAGE);
	assert_true(survives(before, now, SECRET, SECRET_END));
	set_clock(FIRST_PERIOD + 1, 0);
	tls_tickets_turn(t.tickets);
	assert_false(survives(before, now, SECRET, SECRET_END));
	assert_true(survives(before, now, SECRET_END, PAGE)); /* the key, for one period more */
	set_clock(FIRST_PERIOD + 2, 0);
	tls_tickets_turn(t.tickets);
	assert_false(survives(before, now, SECRET, PAGE));
}

static void a_session_that_is_resumed_again_and_again_ends_after_a_day(void **state)
{
	enum { STEP_S = 3600 };
	uint64_t start = clock_ms();

	assert_false(shake_hands(NULL));
	for (uint64_t s = STEP_S; s < TLS_SESSION_LIFE_S; s += STEP_S) {
		clock_freeze(start + s * 1000, start + s * 1000);
		assert_true(shake_hands(t.session));
	}
	clock_freeze(start + TLS_SESSION_LIFE_S * 1000ull, start + TLS_SESSION_LIFE_S * 1000ull);
	assert_false(shake_hands(t.session));
	assert_true(shake_hands(t.session));
}

/* In TLS 1.3 a client should use a ticket only once (RFC 8446, C.4), and browsers do. */
static void who_resumes_gets_a_ticket_for_the_next_time(void **state)
{
	SSL_SESSION *first = new_session(), *second;

	assert_true(shake_hands(first));
	second = t.session;
	assert_non_null(second);
	t.session = NULL;
	assert_true(shake_hands(second));
	assert_non_null(t.session);
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
}

static void there_is_no_early_data(void **state)
{
	shake_hands(NULL);
	assert_int_equal(SSL_SESSION_get_max_early_data(t.session), 0);
}

static void use_certificate(SSL_CTX *context)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int set_up(void **state)
{
	set_clock(FIRST_PERIOD, 0);
	t.tickets = tls_tickets_new();
	t.server = SSL_CTX_new(TLS_server_method());
	t.client = SSL_CTX_new(TLS_client_method());
	use_certificate(t.server);
	tls_tickets_use(t.tickets, t.server);
	SSL_CTX_set_session_cache_mode(t.client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(t.client, on_session);
	return 0;
}

static int set_up_for_tls_1_2(void **state)
{
	set_up(state);
	return SSL_CTX_set_max_proto_version(t.client, TLS1_2_VERSION) == 1 ? 0 : -1;
}

static int tear_down(void **state)
{
	SSL_SESSION_free(t.session);
	t.session = NULL;
	SSL_CTX_free(t.server);
	SSL_CTX_free(t.client);
	tls_tickets_free(&t.tickets);
	assert_null(t.tickets);
	tls_tickets_free(&t.tickets);
	return 0;
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_1_2(name) cmocka_unit_test_setup_teardown(name, set_up_for_tls_1_2, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_key_stays_for_its_period_and_changes_on_the_stroke),
		TEST(tickets_are_taken_until_the_end_of_the_next_period),
		TEST_1_2(tickets_are_taken_until_the_end_of_the_next_period),
		TEST(processes_with_one_ancestor_have_the_same_keys),
		TEST(a_clock_that_is_set_back_is_waited_for),
		TEST(after_a_jump_of_many_years_all_goes_on),
		TEST(what_is_past_is_nowhere_in_memory),
		TEST(a_session_that_is_resumed_again_and_again_ends_after_a_day),
		TEST_1_2(a_session_that_is_resumed_again_and_again_ends_after_a_day),
		TEST(who_resumes_gets_a_ticket_for_the_next_time),
		TEST_1_2(who_resumes_gets_a_ticket_for_the_next_time),
		TEST(there_is_no_early_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
