#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "log.h"
#include "mem.h"

enum { GROUPS_MAX = 1024 };

struct privileges {
	bool change; /* else the rest is what we are already */
	bool dumpable;
	char *user;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* gid among them */
	int group_count;
};

/* --- finding out --- */

static bool find_ids(struct privileges *p, const struct config *config)
{
	const struct passwd *user = getpwnam(config->user);
	const struct group *group;

	if (user == NULL) {
		log_error("user: there is no user %s", config->user);
		return false;
	}
	p->uid = user->pw_uid;
	p->gid = user->pw_gid;
	if (config->group == NULL)
		return true;
	group = getgrnam(config->group);
	if (group == NULL) {
		log_error("group: there is no group %s", config->group);
		return false;
	}
	p->gid = group->gr_gid;
	return true;
}

/* As initgroups(3), but for later: a worker need not be able to ask for it. */
static bool find_groups(struct privileges *p)
{
	p->groups = mem_alloc(GROUPS_MAX * sizeof(*p->groups));
	p->group_count = GROUPS_MAX;
	if (getgrouplist(p->user, p->gid, p->groups, &p->group_count) >= 0)
		return true;
	log_error("user: %s is in more than %d groups", p->user, GROUPS_MAX);
	return false;
}

static bool find_out(struct privileges *p, const struct config *config)
{
	if (config->user == NULL) {
		if (geteuid() == 0 && !config->dev)
			log_info("everything runs as root: better name a user for the workers (option user)");
		return true;
	}
	p->user = mem_strdup(config->user);
	if (!find_ids(p, config))
		return false;
	if (geteuid() != 0 && (p->uid != geteuid() || p->gid != getegid())) {
		log_error("user: only root can become %s%s%s: start as root, or as %s", config->user,
		          config->group != NULL ? " of group " : "",
		          config->group != NULL ? config->group : "", config->user);
		return false;
	}
	p->change = geteuid() == 0 && p->uid != 0;
	return find_groups(p);
}

struct privileges *privileges_new(const struct config *config)
{
	struct privileges *p = mem_alloc(sizeof(*p));

	p->dumpable = config->dev;
	if (!find_out(p, config))
		privileges_free(&p);
	return p;
}

void privileges_free(struct privileges **p)
{
	if (*p == NULL)
		return;
	mem_free((*p)->user);
	mem_free((*p)->groups);
	mem_free(*p);
	*p = NULL;
}

bool privileges_change(const struct privileges *p)
{
	return p != NULL && p->change;
}

uid_t privileges_uid(const struct privileges *p)
{
	return p->uid;
}

gid_t privileges_gid(const struct privileges *p)
{
	return p->gid;
}

/* --- dropping --- */

/* 0 or -1, as system calls. Without the bounding set, no program that is run can bring any back; that is only
 * root's to change. */
static int drop_bounding_set(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -1;
	}
	return 0;
}

/* Those of now, and those that programs would inherit. Changing the user has cleared most of them already. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_capset, &head, none);
}

/* NULL, or what went wrong. The user comes last, as only root can do the rest. */
static const char *become(const struct privileges *p)
{
	if (setgroups((size_t)p->group_count, p->groups) < 0)
		return "setgroups";
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return "setresgid";
	if (drop_bounding_set() < 0)
		return "prctl(PR_CAPBSET_DROP)";
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return "setresuid";
	return NULL;
}

static bool has_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, caps) < 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		if ((caps[i].effective | caps[i].permitted | caps[i].inheritable) != 0)
			return true;
	}
	return false;
}

/* Whether there is a way back, found out by trying. */
static bool is_still_root(const struct privileges *p)
{
	uid_t real, effective, saved;

	if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setresuid(0, (uid_t)-1, (uid_t)-1) == 0)
		return true;
	return getresuid(&real, &effective, &saved) < 0 || real != p->uid || effective != p->uid ||
	       saved != p->uid || (p->gid != 0 && setresgid((gid_t)-1, 0, (gid_t)-1) == 0);
}

static const char *drop(const struct privileges *p)
{
	const char *failed = p->change ? become(p) : NULL;

	if (failed != NULL)
		return failed;
	if (geteuid() != 0 && drop_capabilities() < 0)
		return "capset";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "prctl(PR_SET_NO_NEW_PRIVS)";
	/* The change of the user has set it to whatever fs.suid_dumpable says. */
	if (!p->dumpable && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return "prctl(PR_SET_DUMPABLE)";
	errno = EPERM;
	return p->change && (is_still_root(p) || has_capabilities()) ? "root can be had again" : NULL;
}

bool privileges_drop(const struct privileges *p)
{
	const char *failed = p != NULL ? drop(p) : NULL;

	if (failed != NULL)
		log_error("cannot become %s: %s: %s", p->user != NULL ? p->user : "what is wanted", failed,
		          strerror(errno));
	return failed == NULL;
}

void privileges_protect_master(const struct privileges *p)
{
	if (!p->dumpable && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		log_warning("cannot keep secrets out of core files: %s", strerror(errno));
}

/* --- trying --- */

static _Noreturn void try(const struct privileges *p, const char *dir)
{
	if (!privileges_drop(p))
		_exit(1);
	if (dir != NULL && access(dir, R_OK | W_OK | X_OK) < 0) {
		log_error(
			"user: %s cannot work in %s: %s: give it the directory, and let it pass those above",
			p->user, dir, strerror(errno));
		_exit(1);
	}
	_exit(0);
}

bool privileges_try(const struct privileges *p, const char *dir)
{
	int status = 0;
	pid_t pid;

	if (!p->change)
		return true;
	pid = child_fork();
	if (pid == 0)
		try(p, dir);
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		return status == 0;
	log_error("cannot find out whether children can become %s: %s", p->user, strerror(errno));
	return false;
}

/* The group of the file system only: nothing else of the master changes. */
void privileges_begin_group(const struct privileges *p)
{
	if (p->change)
		setfsgid(p->gid);
}

void privileges_end_group(void)
{
	setfsgid(getegid());
}
