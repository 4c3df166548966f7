/* SPDX-License-Identifier: MIT */
/*
 * Run by the build: sandbox.def as a program for the kernel's filter, by libseccomp. Made when a VM
 * starts it would cost a third of a millisecond each time. Writes struct sock_filter's to standard
 * output, as text for an initialiser.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const struct rule {
	int call;
	bool any;		/* whatever its arguments */
	unsigned arg;
	uint64_t mask, value;
} rules[] = {
#define MV_ALLOW(name, why) { __NR_##name, true, 0, 0, 0 },
#define MV_ALLOW_IF(name, arg, mask, value, why) { __NR_##name, false, arg, mask, value },
#include "sandbox.def"
#undef MV_ALLOW
#undef MV_ALLOW_IF
};

static scmp_filter_ctx make(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int rc = ctx ? 0 : -ENOMEM;

	/* By halves instead of from the front: KVM_RUN goes through it, too. */
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* What its flags are is behind a pointer, which a filter can't follow: glibc then uses clone. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), __NR_clone3, 0);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && rc == 0; i++) {
		const struct rule *r = &rules[i];
		const struct scmp_arg_cmp arg = SCMP_CMP64(r->arg, SCMP_CMP_MASKED_EQ, r->mask, r->value);

		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, r->call, r->any ? 0 : 1, &arg);
	}
	return rc ? NULL : ctx;
}

int main(void)
{
	scmp_filter_ctx ctx = make();
	FILE *f = tmpfile();
	struct sock_filter i;

	if (!ctx || !f || seccomp_export_bpf(ctx, fileno(f))) {
		fprintf(stderr, "sandbox-filter: libseccomp did not make it\n");
		return EXIT_FAILURE;
	}
	rewind(f);
	while (fread(&i, sizeof(i), 1, f) == 1)
		printf("{ 0x%x, %u, %u, 0x%x },\n", i.code, i.jt, i.jf, i.k);
	seccomp_release(ctx);
	fclose(f);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
