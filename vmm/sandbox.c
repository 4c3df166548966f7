/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void (*tell)(const char *name);

/* All calls that this machine's headers name: what was forbidden is told by its name. */
static const struct name {
	long number;
	const char *name;
} names[] = {
#define MV_SYSCALL(name) { __NR_##name, #name },
#include "syscalls.def"
#undef MV_SYSCALL
};

static void forbidden(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == info->si_syscall)
			tell(names[i].name);
	tell("(of a number without a name)");
}

/* Made by vmm/sandbox-filter.c. */
static const struct sock_filter filter[] = {
#include "sandbox-filter.def"
};

int mv_sandbox_enter(void (*told)(const char *name), struct mv_err *err)
{
	struct sigaction sa = { .sa_sigaction = forbidden, .sa_flags = SA_SIGINFO };
	const struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = (struct sock_filter *)(uintptr_t)filter,	/* the kernel only reads it */
	};

	tell = told;
	sigaction(SIGSYS, &sa, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		mv_err_set(err, MV_E_HOST, "no filter of system calls: %s", strerror(errno));
		mv_err_hint(err, "--no-seccomp runs without");
		return -MV_E_HOST;
	}
	return 0;
}

/* ---- privileges ---- */

static int become(const char *user, struct mv_err *err)
{
	const struct passwd *p = getpwnam(user);

	if (!p)
		return mv_err_set(err, MV_E_USAGE, "--user %.60s: there is no such user", user);
	if (setgroups(0, NULL) || setresgid(p->pw_gid, p->pw_gid, p->pw_gid) ||
	    setresuid(p->pw_uid, p->pw_uid, p->pw_uid))
		return mv_err_set(err, MV_E_FAILED, "becoming user %.60s: %s", user, strerror(errno));
	return 0;
}

/* Snapshots may be asked for in any folder: root's right to them is what is left of root. */
static int drop_capabilities(struct mv_err *err)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &h, d))
		return mv_err_set(err, MV_E_FAILED, "reading capabilities: %s", strerror(errno));
	/* The bounding set ends at the first number that the kernel does not know. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0;)
		cap++;
	memset(&d[1], 0, sizeof(d[1]));
	d[0].effective &= 1u << CAP_DAC_OVERRIDE;
	d[0].permitted &= 1u << CAP_DAC_OVERRIDE;
	d[0].inheritable = 0;
	if (syscall(SYS_capset, &h, d))
		return mv_err_set(err, MV_E_FAILED, "giving up capabilities: %s", strerror(errno));
	return 0;
}

int mv_drop_privileges(const char *user, struct mv_err *err)
{
	int rc;

	if (user && geteuid() != 0)
		return mv_err_set(err, MV_E_USAGE, "--user %.60s: only root can become somebody else",
				  user);
	rc = user ? become(user, err) : 0;
	/* A user that is root, too. */
	return rc == 0 && geteuid() == 0 ? drop_capabilities(err) : rc;
}
