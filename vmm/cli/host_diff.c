/* SPDX-License-Identifier: MIT */
/* Two descriptions of a host: before and after an update of its microcode, kernel or BIOS. */
#include <stdlib.h>
#include <string.h>

#include "fleet_load.h"
#include "fleet_out.h"
#include "host_diff.h"
#include "json.h"
#include "paths.h"

struct diff {
	const char *file[2];
	struct mv_host *host[2];
	struct mv_table view[2];	/* the one that is being compared */
	struct json_object *registers, *facts;
	unsigned changed;		/* registers and facts that a verdict looks at */
};

static struct json_object *string(const char *s)
{
	return json_object_new_string(s);
}

/* ---- registers ---- */

/* Bits that say nothing of the host: they follow the CPU that was asked, the guest or the VM. */
static uint32_t idle(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t bits = mv_volatile_bits(leaf, subleaf, reg);

	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_field *d = mv_field_at(leaf, subleaf, reg, bit);
		const struct mv_feature *f = mv_feature_at(leaf, subleaf, reg, bit);

		if ((d && (d->rule == MV_FR_TOPOLOGY || d->rule == MV_FR_PERCPU || d->rule == MV_FR_DYNAMIC)) ||
		    (f && (f->cls == MV_FC_TOPOLOGY || f->cls == MV_FC_DYNAMIC || f->cls == MV_FC_MIRROR)))
			bits |= UINT32_C(1) << bit;
	}
	return bits;
}

static bool is_information(uint32_t leaf, uint32_t subleaf, unsigned reg, uint32_t xor)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_field *d = mv_field_at(leaf, subleaf, reg, bit);

		if (xor >> bit & 1 && (!d || d->rule != MV_FR_INFO))
			return false;
	}
	return true;
}

static void vector(char out[MV_MASK_TEXT], uint32_t v, uint32_t show)
{
	char *p = out;

	for (int bit = 31; bit >= 0; bit--) {
		*p++ = !(show >> bit & 1) ? '-' : v >> bit & 1 ? '1' : '0';
		if (bit % 4 == 0 && bit)
			*p++ = ' ';
	}
	*p = '\0';
}

/* What each differing bit or number is: to the screen, or into lists. */
static void subjects(const struct mv_leaf *at, unsigned reg, const uint32_t v[2], struct json_object *gone,
		     struct json_object *came, struct json_object *numbers)
{
	uint32_t xor = v[0] ^ v[1];

	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_feature *f = mv_feature_at(at->leaf, at->subleaf, reg, bit);
		const struct mv_field *d = mv_field_at(at->leaf, at->subleaf, reg, bit);
		char text[160], place[112];

		if (!(xor >> bit & 1))
			continue;
		if (d && !f) {
			uint32_t mask = d->hi - d->lo == 31 ? UINT32_MAX : (UINT32_C(1) << (d->hi - d->lo + 1)) - 1;

			snprintf(text, sizeof(text), d->hi - d->lo > 15 ? "%s 0x%x -> 0x%x" : "%s %u -> %u",
				 d->name, v[0] >> d->lo & mask, v[1] >> d->lo & mask);
			json_object_array_add(numbers, string(text));
			bit = d->hi;
			continue;
		}
		mv_bit_format(place, sizeof(place), at->leaf, at->subleaf, reg, bit);
		json_object_array_add(v[0] >> bit & 1 ? gone : came, string(f ? f->name : place));
	}
}

static void print_names(const char *what, struct json_object *names)
{
	int column = 0;

	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *s = json_object_get_string(json_object_array_get_idx(names, i));

		if (!column || column + (int)strlen(s) + 2 > 79)
			column = printf("%s  %-6s %s", column ? ",\n" : "", column ? "" : what, s);
		else
			column += printf(", %s", s);
	}
	if (column)
		printf("\n");
}

static void one_register(struct diff *d, const char *view, const struct mv_leaf *at, unsigned reg)
{
	uint32_t hidden = idle(at->leaf, at->subleaf, reg);
	uint32_t v[2] = { mv_table_reg(&d->view[0], at->leaf, at->subleaf, reg) & ~hidden,
			  mv_table_reg(&d->view[1], at->leaf, at->subleaf, reg) & ~hidden };
	struct json_object *o, *gone, *came, *numbers;
	char level[64], text[MV_MASK_TEXT];
	bool information;

	if (v[0] == v[1])
		return;
	information = is_information(at->leaf, at->subleaf, reg, v[0] ^ v[1]);
	d->changed += !information;
	o = json_object_new_object();
	gone = json_object_new_array();
	came = json_object_new_array();
	numbers = json_object_new_array();
	subjects(at, reg, v, gone, came, numbers);
	mv_level_format(level, sizeof(level), at->leaf, at->subleaf);
	if (!mv_output.json && (!information || mv_output.verbose)) {
		printf("%s %s, %s%s\n", level, mv_reg_name(reg), view, information ? " (information)" : "");
		for (unsigned i = 0; i < 2; i++) {
			vector(text, v[i], ~hidden);
			printf("  %-6s %s\n", i ? "after" : "before", text);
		}
		vector(text, v[0] ^ v[1], UINT32_MAX);
		printf("  %-6s %s\n", "xor", text);
		print_names("gone", gone);
		print_names("came", came);
		print_names("number", numbers);
	}
	json_object_object_add(o, "view", string(view));
	json_object_object_add(o, "level", mv_json_hex(at->leaf, 1));
	json_object_object_add(o, "sublevel", mv_json_hex(at->subleaf, 1));
	json_object_object_add(o, "register", string(mv_reg_name_lower(reg)));
	json_object_object_add(o, "before", mv_json_hex(v[0], 8));
	json_object_object_add(o, "after", mv_json_hex(v[1], 8));
	json_object_object_add(o, "xor", mv_json_hex(v[0] ^ v[1], 8));
	json_object_object_add(o, "gone", gone);
	json_object_object_add(o, "came", came);
	json_object_object_add(o, "numbers", numbers);
	json_object_object_add(o, "information", json_object_new_boolean(information));
	json_object_array_add(d->registers, o);
}

static void one_view(struct diff *d, const char *view)
{
	struct mv_table all = d->view[0];

	for (uint32_t i = 0; i < d->view[1].n; i++)
		mv_table_add(&all, d->view[1].e[i].leaf, d->view[1].e[i].subleaf);
	mv_table_sort(&all);
	for (uint32_t i = 0; i < all.n; i++)
		for (unsigned reg = 0; reg < MV_NREGS; reg++)
			one_register(d, view, &all.e[i], reg);
}

/* ---- other facts ---- */

static void fact(struct diff *d, const char *name, const char *before, const char *after, bool counts)
{
	struct json_object *o;

	if (!strcmp(before, after))
		return;
	d->changed += counts;
	if (!mv_output.json)
		printf("%-10s %s -> %s\n", name, *before ? before : "-", *after ? after : "-");
	o = json_object_new_object();
	json_object_object_add(o, "before", string(before));
	json_object_object_add(o, "after", string(after));
	json_object_object_add(d->facts, name, o);
}

static void number_fact(struct diff *d, const char *name, uint64_t before, uint64_t after, bool hex,
			bool counts)
{
	char a[32], b[32];

	snprintf(a, sizeof(a), hex ? "0x%llx" : "%llu", (unsigned long long)before);
	snprintf(b, sizeof(b), hex ? "0x%llx" : "%llu", (unsigned long long)after);
	fact(d, name, a, b, counts);
}

const char *mv_proof_levels(uint8_t proof)
{
	switch (proof) {
	case MV_PROOF_BOTH: return "proved at CPL 0 and CPL 3";
	case MV_PROOF_CPL0: return "holds at CPL 0 only";
	case MV_PROOF_CPL3: return "holds at CPL 3 only";
	default: return "does not hold";
	}
}

static void facts(struct diff *d)
{
	const struct mv_host *a = d->host[0], *b = d->host[1];
	char name[32];

	fact(d, "name", a->name, b->name, false);
	fact(d, "kernel", a->kernel, b->kernel, false);
	number_fact(d, "microcode", a->microcode, b->microcode, true, false);
	fact(d, "boot", a->boot, b->boot, false);
	number_fact(d, "xcr0", a->xcr0, b->xcr0, true, true);
	/* Refined anew at each boot: 250 ppm are nothing. */
	if (a->tsc_khz > b->tsc_khz ? (a->tsc_khz - b->tsc_khz) * UINT64_C(4000) > a->tsc_khz
				    : (b->tsc_khz - a->tsc_khz) * UINT64_C(4000) > a->tsc_khz)
		number_fact(d, "tsc-khz", a->tsc_khz, b->tsc_khz, false, true);
	fact(d, "tsc-scaling", a->tsc_scaling ? "yes" : "no", b->tsc_scaling ? "yes" : "no", true);
	fact(d, "assumed", a->assumed ? "yes" : "no", b->assumed ? "yes" : "no", true);
	for (unsigned i = 0; i < MV_NKVM_CONTROLS; i++)
		fact(d, mv_kvm_control_name((enum mv_kvm_control)i), a->kvm_controls >> i & 1 ? "yes" : "no",
		     b->kvm_controls >> i & 1 ? "yes" : "no", true);
	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		snprintf(name, sizeof(name), "intercept %s", mv_intercept_name((enum mv_intercept)i));
		fact(d, name, mv_proof_levels(a->proof[i]), mv_proof_levels(b->proof[i]), true);
	}
	for (uint32_t i = 0; i < a->nmsrs + b->nmsrs; i++) {
		uint32_t index = i < a->nmsrs ? a->msrs[i].index : b->msrs[i - a->nmsrs].index;
		uint64_t x = 0, y = 0;
		bool first = mv_host_msr(a, index, &x);

		mv_host_msr(b, index, &y);
		snprintf(name, sizeof(name), "msr 0x%x", index);
		/* The microcode's revision is told above. */
		if (index != 0x8b && (i < a->nmsrs || !first))
			number_fact(d, name, x, y, true, true);
	}
}

/* Instructions that were tried in user space on both. */
static void executed(struct diff *d)
{
	struct json_object *gone = json_object_new_array(), *came = json_object_new_array();

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;

		if (!mv_featset_has(&d->host[0]->exec_known, id) || !mv_featset_has(&d->host[1]->exec_known, id) ||
		    mv_featset_has(&d->host[0]->exec_ran, id) == mv_featset_has(&d->host[1]->exec_ran, id))
			continue;
		d->changed++;
		json_object_array_add(mv_featset_has(&d->host[0]->exec_ran, id) ? gone : came,
				      string(mv_features[i].name));
	}
	if (!mv_output.json && json_object_array_length(gone) + json_object_array_length(came)) {
		printf("what executes\n");
		print_names("gone", gone);
		print_names("came", came);
	}
	json_object_object_add(d->facts, "executes-no-more", gone);
	json_object_object_add(d->facts, "executes-now", came);
}

/* ---- VMs ---- */

/* Which of those that A accepts B refuses; -1: none could be looked at. */
static int stranded(const struct diff *d, const char *const *vms, size_t n, struct json_object *out, bool *bad,
		    struct mv_err *err)
{
	const struct mv_fleet_opts opts = { .load_host = mv_fleet_read_host, .known_hosts_only = true };
	struct mv_fleet *f = mv_fleet_new(&opts);
	struct mv_fleet_size s;
	char name[128];
	int rc = f ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	mv_path_stem(name, sizeof(name), d->file[0]);
	if (rc == 0)
		rc = mv_fleet_add_host(f, name, d->file[0], d->host[0], err);
	if (rc == 0)
		rc = mv_fleet_add_host(f, " after", d->file[1], d->host[1], err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = mv_fleet_load_vms(f, vms[i], err);
	if (rc == 0)
		rc = mv_fleet_judge(f, err);
	if (rc == 0) {
		mv_fleet_sizes(f, &s);
		mv_fleet_say_problems(f);
		if (s.elsewhere)
			mv_cli_note("%u VM%s of other hosts %s not looked at", s.elsewhere,
				    s.elsewhere == 1 ? "" : "s", s.elsewhere == 1 ? "is" : "are");
		*bad = s.problems;
		for (uint32_t i = 0; i < s.vms; i++) {
			uint32_t cls = mv_fleet_vm(f, i)->cls;

			if (mv_fleet_accepts(f, cls, mv_fleet_host(f, 0)->cls) &&
			    !mv_fleet_accepts(f, cls, mv_fleet_host(f, 1)->cls))
				json_object_array_add(out, string(mv_fleet_text(f, mv_fleet_vm(f, i)->name)));
		}
	}
	mv_fleet_free(f);
	return rc;
}

static void print_stranded(struct json_object *names)
{
	size_t n = json_object_array_length(names);

	if (n)
		printf("%zu VM%s stranded: accepted before, refused after\n", n, n == 1 ? " is" : "s are");
	else
		printf("no VM is stranded\n");
	print_names("", names);
}

/* ---- all ---- */

static int compare(struct diff *d, const char *const *vms, size_t n, struct mv_err *err)
{
	struct json_object *o = json_object_new_object(), *names = json_object_new_array();
	bool bad = false;
	int code, rc = 0;

	d->registers = json_object_new_array();
	d->facts = json_object_new_object();
	facts(d);
	d->view[0] = d->host[0]->raw;
	d->view[1] = d->host[1]->raw;
	one_view(d, "CPUID instruction");
	mv_host_offer(d->host[0], &d->view[0]);
	mv_host_offer(d->host[1], &d->view[1]);
	one_view(d, "offered to guests");
	executed(d);
	if (n)
		rc = stranded(d, vms, n, names, &bad, err);
	if (rc == 0 && !mv_output.json) {
		if (!d->changed)
			printf("nothing that a verdict looks at has changed\n");
		if (n)
			print_stranded(names);
	}
	code = bad				    ? MV_EXIT_INPUT
	       : n ? (json_object_array_length(names) ? MV_EXIT_REFUSED : MV_EXIT_OK)
	       : d->changed			    ? MV_EXIT_REFUSED
						    : MV_EXIT_OK;
	json_object_object_add(o, "changed", json_object_new_boolean(d->changed));
	json_object_object_add(o, "facts", d->facts);
	json_object_object_add(o, "registers", d->registers);
	json_object_object_add(o, "stranded", names);
	if (rc == 0 && mv_output.json)
		mv_cli_json(json_object_get(o));
	json_object_put(o);
	return rc ? rc : code;
}

int mv_host_diff(const char *a, const char *b, const char *const *vms, size_t n)
{
	struct diff d = { .file = { a, b }, .host = { malloc(sizeof(struct mv_host)), malloc(sizeof(struct mv_host)) } };
	struct mv_err err = { 0 };
	int rc = d.host[0] && d.host[1] ? 0 : mv_err_set(&err, MV_E_FAILED, "out of memory");

	/* Neither has to be of today: no remark on that. */
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = mv_fleet_read_host(d.host[i], d.file[i], &err);
	if (rc == 0)
		rc = compare(&d, vms, n, &err);
	free(d.host[0]);
	free(d.host[1]);
	return rc < 0 ? mv_cli_error(&err) : rc;
}
