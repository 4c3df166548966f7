/* SPDX-License-Identifier: MIT */
/* minivmm host: describe a host, prove what its KVM does, write a host file. */
#include <stdlib.h>
#include <string.h>

#include "host_exec.h"
#include "host_json.h"
#include "host_native.h"
#include "kvm.h"
#include "power_on.h"
#include "proof.h"
#include "virt.h"
#include "cli.h"
#include "host_diff.h"

#define MAX_VMS 64

struct host_args {
	const char *from, *uri, *out, *without, *diff;
	const char *vms[MAX_VMS];
	size_t nvms;
	bool binary, again, first, proof;
	unsigned mechanisms;	/* for the proof; 0: all */
};

enum {
	OPT_OUT = 'o', OPT_FROM = 256, OPT_CONNECT, OPT_WITHOUT, OPT_BINARY, OPT_AGAIN, OPT_FIRST,
	OPT_DIFF, OPT_VMS, OPT_PROOF, OPT_MECHANISMS
};

/* Names of mechanisms, by comma. */
static int parse_mechanisms(unsigned *set, const char *list)
{
	struct mv_err err = { 0 };
	char name[16];

	for (const char *p = list;; p++) {
		size_t n = strcspn(p, ",");
		int i = -1;

		snprintf(name, sizeof(name), "%.*s", (int)n, p);
		if (mv_intercept_parse(name, &i, &err) || i < MV_INTERCEPTION_KERNEL)
			return mv_cli_usage(&mv_cmd_host, "'%s' is none of kernel, patch, step", name);
		*set |= 1u << i;
		p += n;
		if (!*p)
			return 0;
	}
}

static int option(void *ctx, int key, const char *arg)
{
	struct host_args *a = ctx;

	switch (key) {
	case OPT_FROM: a->from = arg; break;
	case OPT_CONNECT: a->uri = arg; break;
	case OPT_OUT: a->out = arg; break;
	case OPT_WITHOUT: a->without = arg; break;
	case OPT_BINARY: a->binary = true; break;
	case OPT_AGAIN: a->again = true; break;
	case OPT_FIRST: a->first = true; break;
	case OPT_DIFF: a->diff = arg; break;
	case OPT_VMS:
		if (a->nvms == MAX_VMS)
			return mv_cli_usage(&mv_cmd_host, "more than %d times --vms", MAX_VMS);
		a->vms[a->nvms++] = arg;
		break;
	case OPT_PROOF: a->proof = true; break;
	case OPT_MECHANISMS: return parse_mechanisms(&a->mechanisms, arg);
	default: return mv_cli_usage(&mv_cmd_host, "unknown option");
	}
	return 0;
}

/* This machine, with KVM where there is one; without, the proof is missing and that is said. */
static int this_host(const struct host_args *a, struct mv_host *h, struct mv_err *err)
{
	struct mv_err no_kvm = { 0 };
	struct mv_kvm kvm;
	int rc;

	if (mv_kvm_open(&kvm, &no_kvm)) {
		mv_cli_note("warning: %s: this describes the CPU only", no_kvm.msg);
		rc = mv_host_native(h, NULL, err);
		mv_host_exec(h);
		h->assumed = true;
		return rc;
	}
	rc = mv_host_native(h, &kvm, err);
	if (rc == 0 && a->again)
		mv_proof_forget();
	if (rc == 0)
		rc = mv_prove(h, &kvm, a->first ? MV_PROVE_FIRST : MV_PROVE_ALL, NULL, err);
	mv_kvm_close(&kvm);
	mv_host_exec(h);
	return rc;
}

/* The same host as it would be without some features: what a microcode update may leave of it. */
static int take_away(struct mv_host *h, const char *names, struct mv_err *err)
{
	for (const char *p = names; *p;) {
		size_t n = strcspn(p, ",");
		const struct mv_feature *f = mv_feature_by_name(p, n);

		if (!f) {
			mv_err_set(err, MV_E_USAGE, "no CPUID feature is called '%.*s'", (int)(n > 64 ? 64 : n), p);
			mv_feature_hint(err, p, n);
			return -MV_E_USAGE;
		}
		mv_table_set_feature(&h->raw, mv_feature_id(f), false);
		mv_table_set_feature(&h->kvm, mv_feature_id(f), false);
		mv_featset_remove(&h->exec_ran, mv_feature_id(f));
		p += n;
		p += *p == ',';
	}
	snprintf(h->source, sizeof(h->source), "what if");
	return 0;
}

static unsigned count(const struct mv_table *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		n += mv_table_has(t, (enum mv_feature_id)i);
	return n;
}

/* What user-space probes found; a host file may know nothing of that. */
static void print_executes(const struct mv_host *h)
{
	unsigned tried = 0, ran = 0, hidden = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		tried += mv_featset_has(&h->exec_known, (enum mv_feature_id)i);
		ran += mv_featset_has(&h->exec_ran, (enum mv_feature_id)i);
	}
	if (!tried)
		return;
	printf("executes   %u of %u tried", ran, tried);
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&h->exec_ran, (enum mv_feature_id)i) &&
		    !mv_table_has(&h->raw, (enum mv_feature_id)i))
			printf("%s%s", hidden++ ? " " : "; not in CPUID: ", mv_features[i].name);
	printf("\n");
}

/* libvirt's names are few: what it has none for is not a "no". */
static void print_partial(const struct mv_host *h)
{
	struct mv_signature s = mv_table_signature(&h->raw);
	const unsigned all = MV_NFEATURES;
	unsigned told = 0;
	char vendor[13];

	for (unsigned i = 0; i < all; i++)
		told += mv_featset_has(&h->told, (enum mv_feature_id)i);
	mv_table_vendor_string(&h->raw, vendor);
	printf("host       %s, as %s tells\n", h->name, h->source);
	if (mv_host_told_field(h, MV_FIELD_FAMILY))
		printf("cpu        %s family 0x%02x model 0x%02x stepping %u, microcode 0x%llx\n",
		       *vendor ? vendor : "(vendor unknown)", s.family, s.model, s.stepping,
		       (unsigned long long)h->microcode);
	printf("features   %u in CPUID, %u offered to a guest; unknown: %u of %u\n", count(&h->raw),
	       count(&h->kvm), all - told, all);
	if (h->tsc_khz)
		printf("tsc        %u kHz, %s\n", h->tsc_khz,
		       h->tsc_scaling ? "can be scaled for a guest" : "no scaling");
	printf("unknown    reserved bits, XSAVE layout, highest leaves, interception\n");
}

static void print_host(const struct mv_host *h, bool first)
{
	struct mv_signature s = mv_table_signature(&h->raw);
	char vendor[13], brand[49];
	struct mv_table offer;
	const char *b;

	mv_table_vendor_string(&h->raw, vendor);
	mv_table_brand_string(&h->raw, brand);
	for (b = brand; *b == ' '; b++)
		;
	mv_host_offer(h, &offer);
	printf("host       %s, Linux %s\n", h->name, h->kernel);
	printf("cpu        %s\n", *b ? b : "(no brand string)");
	printf("           %s family 0x%02x model 0x%02x stepping %u, microcode 0x%llx\n", vendor,
	       s.family, s.model, s.stepping, (unsigned long long)h->microcode);
	if (mv_table_bit(&h->raw, 1, 0, MV_ECX, 31))
		printf("           itself a virtual machine: its hypervisor may hide features\n");
	printf("features   %u in CPUID", count(&h->raw));
	if (h->kvm.n)
		printf(", %u named by KVM, %u offered to a guest", count(&h->kvm), count(&offer));
	printf("\n");
	if (h->assumed && h->kvm.n)
		printf("           assumed from a %s dump: no KVM was asked there\n", h->source);
	print_executes(h);
	if (h->assumed)
		return;
	printf("tsc        %u kHz, %s\n", h->tsc_khz,
	       h->tsc_scaling ? "can be scaled for a guest" : "no scaling");
	printf("xcr0       0x%llx\n", (unsigned long long)h->xcr0);
	for (unsigned i = 0; i < MV_NKVM_CONTROLS; i++)
		printf("%-10s %s %s\n", i ? "" : "controls", h->kvm_controls >> i & 1 ? "yes" : "no ",
		       mv_kvm_control_what((enum mv_kvm_control)i));
	if (!h->proved)
		return;
	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		printf("%-10s %-7s %s\n", i == MV_INTERCEPTION_KERNEL ? "intercept" : "",
		       mv_intercept_name((enum mv_intercept)i), mv_proof_levels(h->proof[i]));
		if (first && h->proof[i] == MV_PROOF_BOTH)
			break;	/* the others were not tried */
	}
	if (h->cpl0_interpreted)
		printf("           KVM interprets guest code at CPL 0\n");
}

/* The guide's binary tables: a ruler and a row for each register. */
static void print_binary(const struct mv_table *table)
{
	struct mv_table t = *table;

	mv_table_sort(&t);
	for (uint32_t i = 0; i < t.n; i++) {
		const struct mv_leaf *e = &t.e[i];
		char level[64];

		mv_level_format(level, sizeof(level), e->leaf, e->subleaf);
		printf("%s\n                31   27   23   19   15   11   7    3  0\n", level);
		for (unsigned r = 0; r < MV_NREGS; r++) {
			printf("%s 0x%08x  ", mv_reg_name(r), e->reg[r]);
			for (int bit = 31; bit >= 0; bit--)
				printf("%u%s", e->reg[r] >> bit & 1, bit % 4 || !bit ? "" : " ");
			printf("\n");
		}
	}
}

/* ---- the proof, leaf by leaf ---- */

static const char *const proof_column[MV_PROOF_LEAVES] = { "PLANTED", "1", "7", "0x80000001" };

static struct json_object *proof_json(const struct mv_proof_detail *d)
{
	struct json_object *rows = json_object_new_array();

	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		for (unsigned l = 0; l < 4 && d->tried >> i & 1; l++) {
			uint8_t seen = l < 2 ? d->seen[i][l] : d->runtime[i][l - 2];
			struct json_object *row = json_object_new_object();

			json_object_object_add(row, "mechanism", json_object_new_string(
				mv_intercept_name((enum mv_intercept)i)));
			json_object_object_add(row, "cpl", json_object_new_int(l % 2 ? 3 : 0));
			json_object_object_add(row, "run-time-code", json_object_new_boolean(l >= 2));
			for (unsigned c = 0; c < MV_PROOF_LEAVES; c++)
				json_object_object_add(row, proof_column[c],
						       json_object_new_boolean(seen >> c & 1));
			json_object_array_add(rows, row);
		}
	}
	return rows;
}

static void print_proof(const struct mv_proof_detail *d)
{
	printf("%-10s %-4s %-9s", "MECHANISM", "CPL", "CODE");
	for (unsigned c = 0; c < MV_PROOF_LEAVES; c++)
		printf(" %-10s", proof_column[c]);
	printf("\n");
	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		for (unsigned l = 0; l < 4 && d->tried >> i & 1; l++) {
			uint8_t seen = l < 2 ? d->seen[i][l] : d->runtime[i][l - 2];

			printf("%-10s %-4d %-9s", mv_intercept_name((enum mv_intercept)i), l % 2 ? 3 : 0,
			       l < 2 ? "loaded" : "run time");
			for (unsigned c = 0; c < MV_PROOF_LEAVES; c++)
				printf(" %-10s", seen >> c & 1 ? "yes" : "no");
			printf("\n");
		}
	}
}

/* Nothing else is asked for with it. */
static int tell_proof(struct mv_host *h, unsigned wanted, struct mv_err *err)
{
	struct mv_proof_detail d;
	struct mv_kvm kvm;
	int rc = mv_kvm_open(&kvm, err);

	if (rc)
		return rc;
	rc = mv_host_native(h, &kvm, err);
	if (rc == 0)
		rc = mv_prove_detail(&d, wanted ? wanted : MV_PROVE_ALL, h, &kvm, err);
	mv_kvm_close(&kvm);
	if (rc == 0 && mv_output.json)
		mv_cli_json(proof_json(&d));
	else if (rc == 0)
		print_proof(&d);
	return rc;
}

/* Options that say which host, and what of it: not the ones about the proof. */
static bool describes(const struct host_args *a)
{
	return a->from || a->uri || a->out || a->without || a->binary || a->first;
}

static int run(int argc, char **argv)
{
	struct mv_host *h = calloc(1, sizeof(*h));
	struct host_args a = { .from = NULL };
	struct mv_err err = { 0 };
	int code = MV_EXIT_OK, first, rc;

	first = mv_cli_options(&mv_cmd_host, argc, argv, option, &a, &code);
	if (first < 0 || !h) {
		free(h);
		return code;
	}
	if (a.diff || a.nvms) {
		free(h);
		if (!a.diff || argc - first != 1)
			return mv_cli_usage(&mv_cmd_host, a.diff ? "--diff compares two host files"
								 : "--vms goes with --diff");
		if (describes(&a) || a.proof || a.again || a.mechanisms)
			return mv_cli_usage(&mv_cmd_host, "--diff goes with no other option but --vms");
		return mv_host_diff(a.diff, argv[first], a.vms, a.nvms);
	}
	if (first < argc) {
		free(h);
		return mv_cli_usage(&mv_cmd_host, "no operand is needed (--from reads a host file)");
	}
	if (a.mechanisms && !a.proof) {
		free(h);
		return mv_cli_usage(&mv_cmd_host, "--mechanisms goes with --proof");
	}
	if (a.proof) {
		code = describes(&a) ? mv_cli_usage(&mv_cmd_host, "--proof goes with no other option")
		       : tell_proof(h, a.mechanisms, &err) ? mv_cli_error(&err) : MV_EXIT_OK;
		free(h);
		return code;
	}
	if (a.uri && (a.from || !mv_virt_is_uri(a.uri))) {
		free(h);
		return a.from ? mv_cli_usage(&mv_cmd_host, "--from and --connect are two hosts")
			      : mv_cli_usage(&mv_cmd_host, "--connect wants a libvirt URI, as "
					     "qemu:///system, not '%s'", a.uri);
	}
	if (a.uri)
		a.from = a.uri;
	rc = a.from ? mv_cli_host_file(h, a.from, &err) : this_host(&a, h, &err);
	if (rc == 0 && a.without)
		rc = take_away(h, a.without, &err);
	if (rc == 0 && a.out)
		rc = mv_host_save(h, a.out, &err);
	if (rc)
		code = mv_cli_error(&err);
	else if (mv_output.json)
		mv_cli_json(mv_host_to_json(h));
	else if (a.binary)
		print_binary(&h->raw);
	else if (!a.out || mv_output.verbose)
		h->partial ? print_partial(h) : print_host(h, a.first);
	free(h);
	return code;
}

static const struct mv_opt opts[] = {
	{ "output", "FILE", "write a host file (-o)", OPT_OUT },
	{ "from", "FILE", "a host file, or another tool's CPU dump", OPT_FROM },
	{ "connect", "URI", "what libvirt tells there: qemu:///system …", OPT_CONNECT },
	{ "without", "FEATURES", "what if it lacked these (by comma)?", OPT_WITHOUT },
	{ "binary", NULL, "all CPUID leaves with a bit ruler", OPT_BINARY },
	{ "first", NULL, "prove no more once a way to answer CPUID holds", OPT_FIRST },
	{ "diff", "FILE FILE", "what came and went between two host files", OPT_DIFF },
	{ "vms", "DIR|FILE", "with --diff: which of these VMs that strands", OPT_VMS },
	{ "prove-again", NULL, "do not believe the proof kept since boot", OPT_AGAIN },
	{ "proof", NULL, "run it now and tell leaf by leaf", OPT_PROOF },
	{ "mechanisms", "LIST", "with --proof: these alone (kernel,patch,step)", OPT_MECHANISMS },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_host = {
	.name = "host",
	.args = "[-o FILE] [--from FILE | --connect URI] | --diff FILE FILE",
	.summary = "describe a host and what its KVM was proved to do",
	.opts = opts,
	.more = "--diff: exit 3 if anything that a verdict looks at has changed; with --vms only\n"
		"if a VM is stranded: accepted by the first, refused by the second.\n",
	.run = run,
};
