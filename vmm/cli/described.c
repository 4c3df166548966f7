/* SPDX-License-Identifier: MIT */
/* Hosts and domains that commands are told about: files, this machine, libvirt URIs. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "file.h"
#include "host_exec.h"
#include "host_native.h"
#include "import.h"
#include "proof.h"
#include "virt.h"

#define MAX_DOMAIN (1u << 20)

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
	rc = mv_virt_is_uri(path) ? mv_virt_host(h, path, report, err)
				  : mv_host_import(h, path, report, err);
	for (uint32_t i = 0; rc == 0 && i < report->nnotes; i++) {
		const struct mv_import_note *n = &report->notes[i];

		if (n->line)
			mv_cli_note("warning: %s:%u: %s", path, n->line, n->text);
		else
			mv_cli_note("warning: %s: %s", path, n->text);
	}
	if (rc == 0)
		mv_cli_stale(h, path);
	if (rc == 0 && h->assumed && !h->partial && !h->kvm.n)
		mv_cli_note("warning: %s: written where there was no /dev/kvm: it offers guests nothing", path);
	if (rc == 0 && report->more)
		mv_cli_note("warning: %s: %u more remarks", path, report->more);
	free(report);
	return rc;
}

int mv_cli_known(const struct mv_host *h, const char *file, struct mv_err *err)
{
	if (h->partial)
		return mv_err_at(err, MV_E_REFUSED, file, 0, 0,
				 "known through %s only, which does not tell all (--strict)", h->source);
	if (h->assumed)
		return mv_err_at(err, MV_E_REFUSED, file, 0, 0,
				 "known by a dump only, no KVM was asked there (--strict)");
	return 0;
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
			rc = mv_prove(h, &kvm, MV_PROVE_FIRST, NULL, err);
		mv_kvm_close(&kvm);
	}
	mv_host_exec(h);
	return rc;
}

/* No other file that a VM can be read from starts with '<', or is a pipe. */
static bool is_xml(const char *file)
{
	struct stat st;

	return !stat(file, &st) && (S_ISFIFO(st.st_mode) || (S_ISREG(st.st_mode) && mv_file_begins(file) == '<'));
}

static int domain_file(struct mv_policy *p, const char *file, struct mv_err *err)
{
	const char *name = strcmp(file, "-") ? file : "/dev/stdin";
	struct mv_virt *v = NULL;
	char *xml = NULL;
	size_t len;
	int rc = mv_read_file(name, MAX_DOMAIN, &xml, &len, err);

	if (rc == 0)
		rc = mv_virt_open_local(&v, err);
	if (rc == 0)
		rc = mv_virt_vm(p, name, xml, v, err);
	mv_virt_close(v);
	free(xml);
	return rc;
}

bool mv_cli_is_domain(const char *name)
{
	return mv_virt_domain_uri(name) || !strcmp(name, "-") || is_xml(name);
}

int mv_cli_domain(struct mv_policy *p, const char *name, struct mv_err *err)
{
	return mv_virt_domain_uri(name) ? mv_virt_vm_from_uri(p, name, err) : domain_file(p, name, err);
}
