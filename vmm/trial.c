/* SPDX-License-Identifier: MIT */
#include "trial.h"

#include <stdlib.h>
#include <string.h>

static void collect(void *ctx, const uint8_t *data, size_t len)
{
	struct mv_trial *t = ctx;

	if (len > sizeof(t->text) - 1 - t->len)
		len = sizeof(t->text) - 1 - t->len;
	memcpy(t->text + t->len, data, len);
	t->len += len;
	t->text[t->len] = '\0';
}

void mv_trial_plant(struct mv_table *guest, const struct mv_host *h, const char brand[16])
{
	struct mv_leaf *e;

	*guest = h->kvm;
	e = mv_table_add(guest, 0x80000002, 0);
	if (e)
		memcpy(e->reg, brand, sizeof(e->reg));
}

int mv_trial_run(struct mv_trial *t, const struct mv_kvm *kvm, const struct mv_host *h, const struct mv_image *img,
		 const char *words, enum mv_intercept how, const struct mv_table *guest, int timeout_ms,
		 struct mv_err *err)
{
	const struct mv_console console = { .write = collect, .ctx = t };
	struct mv_static *st = calloc(1, sizeof(*st));
	struct mv_vm *vm = NULL;
	int rc;

	t->len = 0;
	t->text[0] = '\0';
	t->end = (struct mv_event){ 0 };
	if (!st)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	st->config.ram_size = MV_TRIAL_RAM;
	st->config.nvcpus = 1;
	st->policy.source = *h;
	st->policy.guest = *guest;
	/* What KVM keeps of its table is judged by what the guest sees, not by reading it back. */
	st->policy.intercept = (uint8_t)(how == MV_INTERCEPTION_KERNEL ? MV_INTERCEPTION_NONE : how);
	rc = mv_vm_create(&vm, kvm, st, &h->raw, &console, err);
	if (rc == 0)
		rc = mv_vm_boot(vm, img, words, err);
	if (rc == 0 && how != MV_INTERCEPTION_KERNEL)
		rc = mv_vcpu_set_cpuid(&vm->vcpu[0], &h->kvm, err);
	if (rc == 0)
		rc = mv_sites_find(&vm->sites, img, err);
	if (rc == 0 && how == MV_INTERCEPTION_PATCH)
		rc = mv_vm_patch(vm, err);
	if (rc == 0)
		rc = mv_vm_start(vm, err);
	if (rc == 0)
		mv_vm_wait(vm, timeout_ms, &t->end);
	mv_vm_destroy(vm);
	free(st);
	return rc;
}
