/* SPDX-License-Identifier: MIT */
#include "save.h"

#include <stdlib.h>
#include <time.h>

int mv_vm_save(struct mv_vm *vm, const char *path, struct mv_err *err)
{
	struct mv_state *state = calloc(1, sizeof(*state));
	bool patched = vm->patched;
	int rc;

	if (!state)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_vm_get_state(vm, state, err);
	if (rc == 0) {
		vm->st->config.saved_at = (uint64_t)time(NULL);
		/* A file holds the guest's own bytes; the sites are a record of their own. */
		mv_vm_unpatch(vm);
		rc = mv_snapshot_save(path, vm->st, state, vm->ram, err);
		if (patched && mv_vm_patch(vm, err))
			rc = -MV_E_FAILED;
		mv_state_finish(state);
	}
	free(state);
	return rc;
}

int mv_vm_adopt(struct mv_vm *vm, const struct mv_state *state, struct mv_err *err)
{
	int rc = mv_vm_set_state(vm, state, err);

	if (rc == 0 && vm->st->policy.intercept == MV_INTERCEPTION_PATCH)
		rc = mv_vm_patch(vm, err);
	return rc < 0 ? rc : 0;
}

int mv_vm_load(struct mv_vm *vm, struct mv_snapshot *snap, struct mv_err *err)
{
	struct mv_state *state = calloc(1, sizeof(*state));
	int rc;

	if (!state)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_snapshot_load(snap, state, vm->ram, err);
	if (rc == 0) {
		rc = mv_vm_adopt(vm, state, err);
		mv_state_finish(state);
	}
	free(state);
	return rc;
}
