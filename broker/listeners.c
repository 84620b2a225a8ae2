#include "listeners.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "mem.h"

enum { LISTENER_NAME_MAX = ADDRESS_TEXT_MAX + sizeof("tls:deflate:") };

enum {
	STUCK_MS = 30000, /* for a peer to take, or only acknowledge, what was sent */
	QUIET_S = 60,     /* until a silent peer is asked whether it is still there */
};

struct listen_address {
	struct address address; /* with the real port once the first socket is bound */
	char name[LISTENER_NAME_MAX];
	struct address_manner manner;
	bool owns_file; /* of a unix socket: ours to remove */
};

struct listeners {
	struct listen_address *items;
	size_t count;
	unsigned workers;
	int *fds; /* workers × count: the sockets of one worker lie side by side */
};

/* For "cannot listen on X: STEP: REASON". */
struct attempt {
	const char *step;
	const char *reason; /* NULL: errno tells */
};

static int *grid_cell(const struct listeners *l, unsigned worker, size_t address)
{
	return &l->fds[(size_t)worker * l->count + address];
}

static bool is_unix(const struct listen_address *item)
{
	return item->address.sa.any.sa_family == AF_UNIX;
}

static in_port_t *port_of(struct address *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa.storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa.storage;

	return a->sa.any.sa_family == AF_INET6 ? &in6->sin6_port : &in->sin_port;
}

static int open_socket(const struct address *a)
{
	return socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* Accepted sockets get these from the listening one (tcp(7)), which costs no system call for each. What is
 * flushed once per turn should leave at once. A peer that is gone without a word, or takes nothing any more,
 * is the kernel's to find (RFC 9293, 3.8.3 and 3.8.4): not every kind of client answers pings. Where one of
 * these cannot be had, we serve without. */
static void set_up_connections(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, STUCK_MS);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, QUIET_S);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* ":8080" is the IPv6 socket that takes IPv4, too. A machine without IPv6 gets what is left of that. */
static void fall_back_to_ip4(struct address *a)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa.storage;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6->sin6_port};
	int fd;

	if (a->sa.any.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		return;
	fd = open_socket(a);
	if (fd >= 0) {
		close(fd);
		return;
	}
	memcpy(&a->sa.storage, &in, sizeof(in));
	a->len = sizeof(in);
}

/* A second broker of the same user would join our SO_REUSEPORT group unasked and take a share of the
 * connections. A plain bind tells, as it only succeeds where nobody listens. */
static bool probe_tcp(const struct address *a, struct attempt *at)
{
	int fd, rc, saved;

	at->step = "socket";
	fd = open_socket(a);
	if (fd < 0)
		return false;
	at->step = "bind";
	rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ? bind(fd, &a->sa.any, a->len) : -1;
	saved = errno;
	close(fd);
	errno = saved;
	if (rc < 0 && errno == EADDRINUSE)
		at->reason = "another process listens there (is the broker running already?)";
	return rc == 0;
}

static bool bind_tcp(int fd, struct address *a, struct attempt *at)
{
	at->step = "setsockopt";
	if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) || !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1))
		return false;
	if (a->sa.any.sa_family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0))
		return false;
	set_up_connections(fd);
	at->step = "bind";
	if (bind(fd, &a->sa.any, a->len) < 0)
		return false;
	/* Port 0 becomes the port that the kernel chose. */
	at->step = "getsockname";
	return getsockname(fd, &a->sa.any, &a->len) == 0;
}

/* A socket file outlives a broker that was killed. Whether it is such a one shows when somebody knocks. */
static bool remove_stale_file(const struct address *a, struct attempt *at)
{
	const char *path = a->sa.un.sun_path;
	struct stat st;
	int fd, rc, saved;

	at->step = "stat";
	if (lstat(path, &st) < 0)
		return errno == ENOENT;
	at->step = "bind";
	at->reason = "the path exists and is no socket";
	if (!S_ISSOCK(st.st_mode))
		return false;
	at->reason = NULL;
	fd = open_socket(a);
	if (fd < 0)
		return false;
	rc = connect(fd, &a->sa.any, a->len);
	saved = errno;
	close(fd);
	if (rc < 0 && saved == ECONNREFUSED) {
		at->step = "unlink";
		return unlink(path) == 0 || errno == ENOENT;
	}
	at->reason = "another process listens there (is the broker running already?)";
	return false;
}

static bool bind_unix(int fd, const struct address *a, struct attempt *at)
{
	/* Whoever may connect is who may write. Set by the mask: between bind and a later chmod others
	 * could slip in. */
	mode_t before = umask(0117);
	int rc = bind(fd, &a->sa.any, a->len);

	umask(before);
	at->step = "bind";
	return rc == 0;
}

/* One more listening socket for the address, -1 when it cannot be had. */
static int listen_on(struct listen_address *item, struct attempt *at)
{
	int fd, saved;

	*at = (struct attempt){.step = "socket"};
	fd = open_socket(&item->address);
	if (fd < 0)
		return -1;
	if (is_unix(item) ? !bind_unix(fd, &item->address, at) : !bind_tcp(fd, &item->address, at))
		goto failed;
	item->owns_file = is_unix(item);
	at->step = "listen";
	if (listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
failed:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static void set_name(struct listen_address *item)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(&item->address, text);
	snprintf(item->name, sizeof(item->name), "%s%s%s", item->manner.tls ? "tls:" : "",
	         item->manner.deflate ? "deflate:" : "", text);
}

static bool fill_row(struct listeners *l, size_t address, struct attempt *at)
{
	struct listen_address *item = &l->items[address];

	for (unsigned w = 0; w < l->workers; w++) {
		int *cell = grid_cell(l, w, address);

		*cell = is_unix(item) && w > 0 ? *grid_cell(l, 0, address) : listen_on(item, at);
		if (*cell < 0)
			return false;
	}
	return true;
}

/* A socket that was bound to port 0 would lose the port when it is parked: only one that was asked for by its
 * number is kept. So another socket finds the port, and holds it until the row has it. */
static bool fill_row_on_any_port(struct listeners *l, size_t address, struct attempt *at)
{
	struct address *a = &l->items[address].address;
	bool filled;
	int fd, reason;

	at->step = "socket";
	fd = open_socket(a);
	if (fd < 0)
		return false;
	filled = bind_tcp(fd, a, at) && fill_row(l, address, at);
	reason = errno;
	close(fd);
	errno = reason;
	return filled;
}

static bool open_row(struct listeners *l, size_t address, struct attempt *at)
{
	struct listen_address *item = &l->items[address];
	bool any_port, filled;

	*at = (struct attempt){.step = ""};
	if (!is_unix(item))
		fall_back_to_ip4(&item->address);
	any_port = !is_unix(item) && *port_of(&item->address) == 0;
	if (is_unix(item) ? !remove_stale_file(&item->address, at)
	                  : !any_port && !probe_tcp(&item->address, at))
		return false;
	filled = any_port ? fill_row_on_any_port(l, address, at) : fill_row(l, address, at);
	if (filled)
		set_name(item);
	return filled;
}

static bool open_address(struct listeners *l, size_t address, const char *text)
{
	const char *reason;
	struct attempt at;

	if (!address_parse(address_manner(text, &l->items[address].manner), &l->items[address].address,
	                   &reason)) {
		log_error("cannot listen on %s: %s", text, reason);
		return false;
	}
	if (open_row(l, address, &at))
		return true;
	log_error("cannot listen on %s: %s: %s", text, at.step,
	          at.reason != NULL ? at.reason : strerror(errno));
	return false;
}

struct listeners *listeners_open(const struct strings *addresses, unsigned workers)
{
	struct listeners *l = mem_alloc(sizeof(*l));

	l->count = addresses->count;
	l->workers = workers;
	l->items = mem_alloc((l->count + 1) * sizeof(*l->items));
	l->fds = mem_alloc((l->count * workers + 1) * sizeof(*l->fds));
	for (size_t i = 0; i < l->count * workers; i++)
		l->fds[i] = -1;
	for (size_t i = 0; i < l->count; i++) {
		if (!open_address(l, i, addresses->items[i])) {
			listeners_close(&l);
			return NULL;
		}
	}
	return l;
}

const int *listeners_of(const struct listeners *l, unsigned worker, size_t *count)
{
	*count = l->count;
	return grid_cell(l, worker, 0);
}

/* On Linux this is how a socket leaves its SO_REUSEPORT group and stays bound; listen() brings it back. Not
 * shutdown(): done twice, it would also close whatever is accepted from then on. */
void listeners_park(const struct listeners *l, unsigned worker)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	for (size_t i = 0; i < l->count; i++) {
		if (is_unix(&l->items[i]) || connect(*grid_cell(l, worker, i), &nobody, sizeof(nobody)) == 0)
			continue;
		log_warning("worker %u still gets connections on %s: %s", worker, l->items[i].name,
		            strerror(errno));
	}
}

bool listeners_unpark(const struct listeners *l, unsigned worker)
{
	bool all = true;

	for (size_t i = 0; i < l->count; i++) {
		if (is_unix(&l->items[i]) || listen(*grid_cell(l, worker, i), LISTEN_BACKLOG) == 0)
			continue;
		log_error("worker %u cannot listen on %s again: %s", worker, l->items[i].name,
		          strerror(errno));
		all = false;
	}
	return all;
}

const char *listeners_name(const struct listeners *l, size_t address)
{
	return l->items[address].name;
}

static void close_row(struct listeners *l, size_t address)
{
	struct listen_address *item = &l->items[address];

	for (unsigned w = 0; w < l->workers; w++) {
		int fd = *grid_cell(l, w, address);

		if (fd >= 0 && !(is_unix(item) && w > 0))
			close(fd);
	}
	if (item->owns_file)
		unlink(item->address.sa.un.sun_path);
}

void listeners_close(struct listeners **l)
{
	if (*l == NULL)
		return;
	for (size_t i = 0; i < (*l)->count; i++)
		close_row(*l, i);
	mem_free((*l)->items);
	mem_free((*l)->fds);
	mem_free(*l);
	*l = NULL;
}
