#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Other programs, the memory of others, the kernel itself: nothing here is ever called by accident. */
static const int lethal[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(bpf),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(reboot),
};

static const int refused[] = {
	/* processes and signals to others; see also add_conditions() */
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(clone3),
	SCMP_SYS(kill),
	SCMP_SYS(tkill),
	SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(kcmp),
	SCMP_SYS(process_madvise),
	SCMP_SYS(migrate_pages),
	SCMP_SYS(move_pages),
	SCMP_SYS(setpriority),
	SCMP_SYS(ioprio_set),
	SCMP_SYS(sched_setattr),
	SCMP_SYS(sched_setparam),
	SCMP_SYS(sched_setscheduler),
	SCMP_SYS(sched_setaffinity),
	/* identity */
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(capset),
	SCMP_SYS(personality),
	/* files */
	SCMP_SYS(creat),
	SCMP_SYS(openat2),
	SCMP_SYS(truncate),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(chown),
	SCMP_SYS(lchown),
	SCMP_SYS(fchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(setxattr),
	SCMP_SYS(lsetxattr),
	SCMP_SYS(fsetxattr),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(fanotify_init),
	/* parts of the kernel with a history, and io_uring, which would go round all this */
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	/* the system */
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(syslog),
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = seccomp_rule_add(filter, action, calls[i], 0);
	return rc;
}

static int refuse_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &condition);
}

static struct scmp_arg_cmp has_bits(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

static int refuse_second(scmp_filter_ctx filter, int call, const unsigned *values, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = refuse_if(filter, call, has_bits(1, 0xffffffff, values[i]));
	return rc;
}

static struct scmp_arg_cmp first_is(enum scmp_compare op, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){.arg = 0, .op = op, .datum_a = value};
}

static int refuse_writing(scmp_filter_ctx filter, int call, unsigned flags)
{
	int rc = refuse_if(filter, call, has_bits(flags, O_ACCMODE, O_WRONLY));

	if (rc == 0)
		rc = refuse_if(filter, call, has_bits(flags, O_ACCMODE, O_RDWR));
	if (rc == 0)
		rc = refuse_if(filter, call, has_bits(flags, O_CREAT, O_CREAT));
	if (rc == 0)
		rc = refuse_if(filter, call, has_bits(flags, O_TRUNC, O_TRUNC));
	return rc;
}

/* Raw packets, netlink, and families that nobody knows. */
static int refuse_other_sockets(scmp_filter_ctx filter)
{
	int rc = 0;

	for (int family = AF_INET + 1; family < AF_INET6 && rc == 0; family++)
		rc = refuse_if(filter, SCMP_SYS(socket), first_is(SCMP_CMP_EQ, (scmp_datum_t)family));
	if (rc == 0)
		rc = refuse_if(filter, SCMP_SYS(socket), first_is(SCMP_CMP_GT, AF_INET6));
	return rc;
}

/* A descriptor can be told to signal anybody when something happens to it. A terminal that is shared could be
 * typed into. */
static int refuse_controls(scmp_filter_ctx filter)
{
	static const unsigned fcntls[] = {F_SETOWN, F_SETOWN_EX, F_SETSIG};
	static const unsigned ioctls[] = {FIOSETOWN, SIOCSPGRP, TIOCSTI};
	int rc = refuse_second(filter, SCMP_SYS(fcntl), fcntls, ARRAY_LEN(fcntls));

	return rc != 0 ? rc : refuse_second(filter, SCMP_SYS(ioctl), ioctls, ARRAY_LEN(ioctls));
}

/* abort() signals itself, and must be able to. Its own limits may be asked for, those of the master not. */
static int add_conditions(scmp_filter_ctx filter)
{
	int rc = refuse_writing(filter, SCMP_SYS(open), 1);

	if (rc == 0)
		rc = refuse_writing(filter, SCMP_SYS(openat), 2);
	if (rc == 0)
		rc = refuse_other_sockets(filter);
	if (rc == 0)
		rc = refuse_if(filter, SCMP_SYS(tgkill), first_is(SCMP_CMP_NE, (scmp_datum_t)getpid()));
	if (rc == 0)
		rc = refuse_if(filter, SCMP_SYS(prlimit64), first_is(SCMP_CMP_NE, 0));
	return rc != 0 ? rc : refuse_controls(filter);
}

static int add_tracing(scmp_filter_ctx filter)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 0);

	return rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(ptrace), 0);
}

static int build(scmp_filter_ctx filter, bool leak_check)
{
	int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (rc == 0) /* a tree in place of a list that each call would walk */
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = add_all(filter, SCMP_ACT_KILL_PROCESS, lethal, ARRAY_LEN(lethal));
	if (rc == 0)
		rc = add_all(filter, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_LEN(refused));
	if (rc == 0 && !leak_check)
		rc = add_tracing(filter);
	return rc != 0 ? rc : add_conditions(filter);
}

bool sandbox_enter(bool leak_check)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter == NULL ? -ENOMEM : build(filter, leak_check);

	if (rc == 0)
		rc = seccomp_load(filter);
	if (filter != NULL)
		seccomp_release(filter);
	errno = -rc;
	return rc == 0;
}
