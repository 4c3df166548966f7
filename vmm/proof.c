/* SPDX-License-Identifier: MIT */
#include "proof.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "builtin.h"
#include "host_cache.h"
#include "trial.h"
#include "xstate.h"

#define PROOF_TIMEOUT_MS 60000	/* an emulated host is slow; a guest that hangs is not waited for */

/* What the guest is asked to see: a brand of our own and these features gone. */
static const char planted_brand[16] = "minivmm's proof";
static const enum mv_feature_id cleared[] = {
	MV_F_SSE3, MV_F_SSSE3, MV_F_SSE4_1, MV_F_SSE4_2, MV_F_POPCNT, MV_F_CX16, MV_F_MOVBE,
	MV_F_BMI1, MV_F_BMI2, MV_F_ERMS, MV_F_LAHF64, MV_F_LZCNT, MV_F_SSE4A,
};
#define NCLEARED (sizeof(cleared) / sizeof(cleared[0]))

static void plant(struct mv_table *t, const struct mv_host *h)
{
	mv_trial_plant(t, h, planted_brand);
	for (size_t i = 0; i < NCLEARED; i++)
		mv_table_set_feature(t, cleared[i], false);
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_features[i].cls == MV_FC_DYNAMIC)
			mv_table_set_feature(t, (enum mv_feature_id)i, false);
}

/* What the guest asks for: the planted brand, then leaves with bits that are cleared. */
static const struct {
	uint32_t leaf, subleaf;
} asked[MV_PROOF_LEAVES] = { { 0x80000002, 0 }, { 1, 0 }, { 7, 0 }, { 0x80000001, 0 } };

/* Did the guest see the table in this leaf? A missing line is a no. */
static bool saw_leaf(const struct mv_trial *t, const char *how, unsigned cpl, unsigned i,
		     const struct mv_table *cpu0)
{
	const struct mv_cpu_now now = { .xcr0 = 1 };
	uint32_t want[MV_NREGS], got[MV_NREGS];
	const char *line;
	char key[64];

	snprintf(key, sizeof(key), "proof: %scpl%u leaf=%08x sub=%x ", how, cpl, asked[i].leaf,
		 asked[i].subleaf);
	line = strstr(t->text, key);
	if (!line || sscanf(line + strlen(key), "%x %x %x %x", &got[0], &got[1], &got[2], &got[3]) != 4)
		return false;
	mv_table_answer(cpu0, &now, asked[i].leaf, asked[i].subleaf, want);
	for (unsigned r = 0; r < MV_NREGS; r++)
		if ((got[r] ^ want[r]) & ~mv_volatile_bits(asked[i].leaf, asked[i].subleaf, r))
			return false;
	return true;
}

/* The leaves in which the guest saw the table, bit i for asked[i]. */
static uint8_t saw_leaves(const struct mv_trial *t, const char *how, unsigned cpl,
			  const struct mv_table *table)
{
	struct mv_table cpu0;
	uint8_t seen = 0;

	mv_table_for_cpu(&cpu0, table, 0);
	for (unsigned i = 0; i < MV_PROOF_LEAVES; i++)
		seen |= (uint8_t)(saw_leaf(t, how, cpl, i, &cpu0) << i);
	return seen;
}

/* The proof guest under one mechanism, and the table that it is to see. */
struct run {
	struct mv_table planted;
	struct mv_trial t;
};

static int run_guest(struct run **out, const struct mv_kvm *kvm, const struct mv_host *h, enum mv_intercept how,
		     const char *words, struct mv_err *err)
{
	const struct mv_builtin *file = mv_builtin_find("proof.elf");
	struct run *r = *out = calloc(1, sizeof(*r));
	struct mv_image img;
	int rc;

	if (!r)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	plant(&r->planted, h);
	rc = mv_image_parse(&img, "proof.elf", file->data, file->size, err);
	if (rc == 0)
		rc = mv_trial_run(&r->t, kvm, h, &img, words, how, &r->planted, PROOF_TIMEOUT_MS, err);
	return rc;
}

/* *failed is filled in if KVM, not the mechanism, ended the guest: it might hold the next time. */
static int prove_one(struct mv_host *h, const struct mv_kvm *kvm, enum mv_intercept how, struct mv_err *failed,
		     struct mv_err *err)
{
	struct run *r;
	int rc = run_guest(&r, kvm, h, how, "", err);

	h->proof[how] = 0;
	if (rc == 0 && r->t.end.kind == MV_EVENT_ERROR) {
		*failed = r->t.end.err;
	} else if (rc == 0) {
		if (saw_leaves(&r->t, "", 0, &r->planted) == MV_PROOF_ALL_LEAVES)
			h->proof[how] |= MV_PROOF_CPL0;
		if (saw_leaves(&r->t, "", 3, &r->planted) == MV_PROOF_ALL_LEAVES)
			h->proof[how] |= MV_PROOF_CPL3;
		/* Some mechanisms end the guest before it gets there: then this run tells nothing. */
		if (strstr(r->t.text, "proof: cpl3 paddd ran"))
			h->cpl0_interpreted = !strstr(r->t.text, "proof: cpl0 paddd ran");
	}
	free(r);
	return rc;
}

int mv_prove_detail(struct mv_proof_detail *d, unsigned wanted, const struct mv_host *h, const struct mv_kvm *kvm,
		    struct mv_err *err)
{
	static const unsigned cpl[2] = { 0, 3 };
	int rc = 0;

	memset(d, 0, sizeof(*d));
	for (unsigned how = MV_INTERCEPTION_KERNEL; how < MV_NINTERCEPTIONS && rc == 0; how++) {
		struct run *r;

		if (!(wanted >> how & 1))
			continue;
		d->tried |= 1u << how;
		rc = run_guest(&r, kvm, h, (enum mv_intercept)how, "runtime", err);
		for (unsigned l = 0; l < 2 && rc == 0; l++) {
			d->seen[how][l] = saw_leaves(&r->t, "", cpl[l], &r->planted);
			d->runtime[how][l] = saw_leaves(&r->t, "runtime ", cpl[l], &r->planted);
		}
		free(r);
	}
	return rc;
}

/* ---- XCR0 where KVM does not name it ---- */

/* Does KVM take this XCR0 for a vCPU that was told of its components? */
static bool xcr0_accepted(const struct mv_vm *vm, uint64_t xcr0)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = xcr0 } } };
	struct kvm_sregs s;
	int fd = vm->vcpu[0].fd;

	if (mv_kvm_do(fd, KVM_GET_SREGS, &s, NULL) < 0)
		return false;
	s.cr4 |= UINT64_C(1) << 18;	/* OSXSAVE */
	return mv_kvm_do(fd, KVM_SET_SREGS, &s, NULL) >= 0 &&
	       mv_kvm_do(fd, KVM_SET_XCRS, &x, NULL) >= 0;
}

/* False: there was no VM to try it with. */
static bool try_xcr0(uint64_t *got, const struct mv_kvm *kvm, const struct mv_host *h)
{
	const struct mv_console silent = { 0 };	/* nothing runs */
	struct mv_static *st = calloc(1, sizeof(*st));
	const uint64_t all = mv_xstate_xcr0(&h->raw) & 0x2e7;
	uint64_t candidates[] = { all, all & 0xe7, all & 7, all & 3 };
	struct mv_vm *vm = NULL;
	bool ok;

	*got = 0;
	if (!st)
		return false;
	st->config.ram_size = MV_TRIAL_RAM;
	st->config.nvcpus = 1;
	st->policy.guest = h->kvm;
	mv_table_set_feature(&st->policy.guest, MV_F_XSAVE, true);
	for (uint32_t i = 0; i < h->raw.n; i++) {
		struct mv_leaf *e = h->raw.e[i].leaf == 0xd
					    ? mv_table_add(&st->policy.guest, 0xd, h->raw.e[i].subleaf)
					    : NULL;
		if (e)
			*e = h->raw.e[i];
	}
	ok = mv_vm_create(&vm, kvm, st, &h->raw, &silent, NULL) == 0;
	for (size_t i = 0; ok && i < 4 && !*got; i++)
		if (candidates[i] && xcr0_accepted(vm, candidates[i]))
			*got = candidates[i];
	mv_vm_destroy(vm);
	free(st);
	return ok;
}

/* ---- keeping the result ---- */

/* This boot, these modules with these parameters, this proof. */
static int cache_path(char *out, size_t size)
{
	const struct mv_builtin *guest = mv_builtin_find("proof.elf");

	return mv_cache_path(out, size, "proof", guest->data, guest->size);
}

#define CACHE_FORMAT "minivmm-proof 1 known %x kernel %x patch %x step %x interpreted %x xcr0 %llx\n"

static unsigned cache_read(struct mv_host *h)
{
	unsigned known, proof[MV_NINTERCEPTIONS], interpreted;
	unsigned long long xcr0;
	char path[256], text[160] = "";
	int fd;

	if (cache_path(path, sizeof(path)))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0 ||
	    sscanf(text, CACHE_FORMAT, &known, &proof[MV_INTERCEPTION_KERNEL],
		   &proof[MV_INTERCEPTION_PATCH], &proof[MV_INTERCEPTION_STEP], &interpreted,
		   &xcr0) != 6)
		known = 0;
	close(fd);
	for (unsigned i = MV_INTERCEPTION_KERNEL; known && i < MV_NINTERCEPTIONS; i++)
		h->proof[i] = (uint8_t)(proof[i] & MV_PROOF_BOTH);
	if (known) {
		h->cpl0_interpreted = interpreted;
		h->xcr0 = xcr0;
	}
	return known;
}

/* Unwritable is not an error: the next run proves again. */
static void cache_write(const struct mv_host *h, unsigned known)
{
	char path[256], tmp[280];
	FILE *f;

	if (cache_path(path, sizeof(path)))
		return;
	snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
	f = fopen(tmp, "wxe");
	if (!f)
		return;
	fprintf(f, CACHE_FORMAT, known, h->proof[MV_INTERCEPTION_KERNEL],
		h->proof[MV_INTERCEPTION_PATCH], h->proof[MV_INTERCEPTION_STEP],
		h->cpl0_interpreted, (unsigned long long)h->xcr0);
	if (fclose(f) || rename(tmp, path))
		unlink(tmp);
}

void mv_proof_forget(void)
{
	char path[256];

	mv_host_cache_forget();
	if (cache_path(path, sizeof(path)) == 0)
		unlink(path);
}

int mv_prove(struct mv_host *h, const struct mv_kvm *kvm, unsigned wanted, bool *settled, struct mv_err *err)
{
	unsigned known = cache_read(h), before = known;
	struct mv_err why = { 0 };
	bool found = false, xcr0_known = before != 0;

	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		if (!(known >> i & 1) && (!found || wanted >> i & 1)) {
			struct mv_err failed = { 0 };
			int rc = prove_one(h, kvm, (enum mv_intercept)i, &failed, err);

			if (rc)
				return rc;
			if (failed.code)
				why = failed;
			else
				known |= 1u << i;
		}
		found |= h->proof[i] == MV_PROOF_BOTH;
	}
	if (why.code && !found) {
		mv_err_hint(&why, "it was to be tried how this host answers CPUID");
		if (err)
			*err = why;
		return -why.code;
	}
	if (!xcr0_known && mv_host_intercepts(h)) {
		h->xcr0 = mv_xstate_xcr0(&h->kvm);
		xcr0_known = true;
	} else if (!xcr0_known) {
		xcr0_known = try_xcr0(&h->xcr0, kvm, h);
	}
	h->proved = true;
	if (settled)
		*settled = !why.code && xcr0_known;
	if (known != before && xcr0_known)
		cache_write(h, known);
	return 0;
}
