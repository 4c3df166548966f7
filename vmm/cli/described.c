/* SPDX-License-Identifier: MIT */
/* Hosts that commands are told about: files, our own or other tools' dumps, and this machine. */
#include <stdlib.h>

#include "cli.h"
#include "host_exec.h"
#include "host_native.h"
#include "import.h"
#include "proof.h"

void mv_cli_stale(const struct mv_host *h, const char *path)
{
	char why[160];

	if (mv_host_stale(h, why, sizeof(why)))
		mv_cli_note("warning: %s: this machine at another time: %s; minivmm host -o writes it anew",
			    path, why);
}

int mv_cli_host_file(struct mv_host *h, const char *path, struct mv_err *err)
{
	struct mv_import *report = calloc(1, sizeof(*report));
	int rc;

	if (!report)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_host_import(h, path, report, err);
	for (uint32_t i = 0; rc == 0 && i < report->nnotes; i++) {
		const struct mv_import_note *n = &report->notes[i];

		if (n->line)
			mv_cli_note("warning: %s:%u: %s", path, n->line, n->text);
		else
			mv_cli_note("warning: %s: %s", path, n->text);
	}
	if (rc == 0)
		mv_cli_stale(h, path);
	if (rc == 0 && report->more)
		mv_cli_note("warning: %s: %u more remarks", path, report->more);
	free(report);
	return rc;
}

int mv_cli_this_host(struct mv_host *h, struct mv_err *err)
{
	struct mv_kvm kvm;
	int rc;

	if (mv_kvm_open(&kvm, NULL)) {
		mv_cli_note("warning: no KVM here: assuming that it would offer all this CPU has");
		rc = mv_host_native(h, NULL, err);
		h->kvm = h->raw;
		h->assumed = true;
		h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
	} else {
		rc = mv_host_native(h, &kvm, err);
		if (rc == 0)
			rc = mv_prove(h, &kvm, MV_PROVE_FIRST, err);
		mv_kvm_close(&kvm);
	}
	mv_host_exec(h);
	return rc;
}
