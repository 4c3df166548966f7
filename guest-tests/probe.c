/* SPDX-License-Identifier: MIT */
/*
 * Two facts about each feature, side by side: does CPUID show it, and does its instruction execute?
 * See README.md for the lines printed and for what they can prove.
 *
 * Words: screen (VGA text, and pages to turn), nodump, brief (only rows that tell something),
 * only=FEATURE, force, nonce=HEX, sync=1 (go on after a move and look again), cpus=N (no more CPUs).
 */
#include "cpus.h"

/* Whatever was seen before the move has to be in memory after it. */
static struct mv_leaves leaves[2];
static struct mv_table table, raw;
static uint32_t header[4];
static bool have_vmm;
static char nonce[64], only[40];
static bool brief, force;
static unsigned counter, ncpus;

enum verdict { OK, LEAK, ENFORCED, ABSENT, BROKEN, BLOCKED, ABORT, SKIP, UNDECIDABLE, VERDICTS };
static const char verdict_names[VERDICTS][12] = {
	"OK", "LEAK", "ENFORCED", "ABSENT", "BROKEN", "BLOCKED", "ABORT", "SKIP", "UNDECIDABLE",
};

struct totals {
	unsigned verdict[VERDICTS], differ, unproven, cpus_differ;
};

/* What became of each row on CPU 0 at CPL 3. */
#define ROWS_MAX 512
static struct mv_ran first_ran[ROWS_MAX];

/* What a fatal exception is told to have come of. */
static const struct mv_probe *current;
static unsigned current_cpl;
static bool every_msr_reads;

void mv_fatal_note(const struct mv_frame *f)
{
	(void)f;
	if (current)
		mv_printf("guest: that came of the probe %s %s at cpl%u\n",
			  mv_bits[current->feature].name, current->mnemonic, current_cpl);
}

static void machine_read(void)
{
	mv_info_read(MV_INFO_HEADER, header, MV_ARRAY_SIZE(header));
	have_vmm = header[0] == MV_INFO_MAGIC && header[1] == MV_ABI_VERSION;
	if (!have_vmm)
		return;
	mv_table_read(&table, MV_INFO_TABLE);
	mv_table_read(&raw, MV_INFO_RAW);
}

static bool interpreted(void)
{
	return have_vmm && header[2] & MV_INFO_CPL0_INTERPRETED;
}

/* QEMU without KVM, under its own name. */
static bool on_tcg(void)
{
	struct mv_cpuid v = mv_cpuid(0x40000000, 0);

	return v.ebx == 0x54474354 && v.ecx == 0x43544743 && v.edx == 0x47435447;
}

/* Would trying this tell of something else, or not come back at all? */
static bool skip(const struct mv_probe *p, unsigned cpl, bool advertised)
{
	if (p->flags & MV_P_CR4 && !advertised && on_tcg())
		return true;
	if (p->flags & MV_P_MSR && every_msr_reads)
		return true;
	return !cpl && interpreted();
}

static const char *vmm_name(void)
{
	static const char *const names[] = {
		[MV_INTERCEPT_NONE] = "none",
		[MV_INTERCEPT_KERNEL] = "kernel",
		[MV_INTERCEPT_PATCH] = "patch",
		[MV_INTERCEPT_STEP] = "step",
	};

	if (!have_vmm)
		return "absent";
	return header[3] < MV_ARRAY_SIZE(names) ? names[header[3]] : "unknown";
}

static void print_header(void)
{
	struct mv_cpuid v = mv_cpuid(0, 0), s = mv_cpuid(1, 0);
	unsigned family = s.eax >> 8 & 0xf, model = s.eax >> 4 & 0xf;
	uint32_t words[4] = { v.ebx, v.edx, v.ecx, 0 };
	char *vendor = (char *)words;

	if (family == 6 || family == 15)
		model |= s.eax >> 12 & 0xf0;
	if (family == 15)
		family += s.eax >> 20 & 0xff;
	for (int i = 0; i < 12; i++) {
		if (vendor[i] <= ' ' || vendor[i] > '~')
			vendor[i] = '?';
	}
	mv_printf("probe: minivmm-probe 1 vendor=%s family=%u model=%u stepping=%u vmm=%s\n",
		  vendor, family, model, s.eax & 0xf, vmm_name());
	if (!mv_name_equal(vendor, "GenuineIntel") && !mv_name_equal(vendor, "AuthenticAMD") &&
	    !mv_name_equal(vendor, "HygonGenuine"))
		mv_printf("probe: vendor %s is not known here: bits may mean something else on it\n",
			  vendor);
	if (v.eax < 7)
		mv_printf("probe: CPUID ends at leaf %u: features of leaf 7 and above count as hidden\n",
			  v.eax);
	if (every_msr_reads)
		mv_puts("probe: any MSR can be read here: rows that need a #GP are skipped\n");
}

static void print_controls(const struct mv_controls *c)
{
	mv_printf("probe: cr4=0x%lx xcr0=0x%lx\n", c->cr4, c->xcr0);
}

/* The screen of the boot disks by which people compare two hosts' CPUs. */
static void print_utility_screen(void)
{
	struct mv_cpuid s = mv_cpuid(1, 0), e = mv_cpuid(0x80000000, 0);
	unsigned family = s.eax >> 8 & 0xf, model = s.eax >> 4 & 0xf;

	if (e.eax >= 0x80000001 && e.eax <= 0x8000ffff)
		e = mv_cpuid(0x80000001, 0);
	else
		e = (struct mv_cpuid){ 0 };
	if (family == 6 || family == 15)
		model |= s.eax >> 12 & 0xf0;
	if (family == 15)
		family += s.eax >> 20 & 0xff;
	mv_printf("Family: %02x Model: %02x Stepping: %x\n\n", family, model, s.eax & 0xf);
	mv_puts("ID1ECX     ID1EDX     ID81ECX    ID81EDX\n");
	mv_printf("0x%08x 0x%08x 0x%08x 0x%08x\n\n", s.ecx, s.edx, e.ecx, e.edx);
}

/* -1: nobody knows. */
static int host_has(const struct mv_bit *b)
{
	const struct mv_table_entry *e;

	if (!have_vmm)
		return -1;
	e = mv_table_find(&raw, b->leaf, b->subleaf);
	return e ? e->reg[b->reg] >> b->bit & 1 : 0;
}

static enum verdict judge(const struct mv_probe *p, const struct mv_ran *ran, bool advertised,
			  int host, const struct mv_controls *controls)
{
	if (ran->outcome == MV_SKIPPED || ran->outcome == MV_HUNG)
		return SKIP;
	if (p->flags & MV_P_HINT)
		return UNDECIDABLE;
	if (ran->outcome == MV_ABORTED)
		return ABORT;
	if (ran->outcome == MV_RAN)
		return advertised ? OK : LEAK;
	if (advertised && p->flags & (MV_P_CR4 | MV_P_EFER))
		return BLOCKED;
	if (advertised)
		return mv_controls_allow(controls, p) ? BROKEN : BLOCKED;
	return host > 0 ? ENFORCED : ABSENT;
}

static bool shown(const struct mv_bit *b, const struct mv_leaves *l, unsigned level)
{
	return mv_leaves_bit(l, level, b->leaf, b->subleaf, b->reg, b->bit);
}

/* Bits that AMD and Intel have for one and the same MSR: either is enough. NULL for most. */
static const struct mv_bit *same_msr(const struct mv_probe *p)
{
	static const struct {
		enum mv_feature_id own, other;
	} same[] = {
#define SAME(x, y) { MV_F_##x, MV_F_##y },
		MV_SAME_MSR(SAME)
#undef SAME
	};

	for (size_t i = 0; i < MV_ARRAY_SIZE(same); i++) {
		if (same[i].own == p->feature)
			return &mv_bits[same[i].other];
	}
	return NULL;
}

static void print_row(const struct mv_probe *p, unsigned cpl, bool advertised)
{
	const struct mv_bit *b = &mv_bits[p->feature];
	int host = host_has(b);

	mv_printf("probe: %-19s 0x%08x.%u e%cx:%-2u cpl%u %-13s cpuid=%u host=%c ", b->name,
		  b->leaf, b->subleaf, "abcd"[b->reg], b->bit, cpl, p->mnemonic, advertised,
		  host < 0 ? '-' : (char)('0' + host));
	mv_flush();
}

/*
 * A hypervisor that does not see XSETBV puts its own XCR0 back if it comes in between (SVM under QEMU's TCG): one
 * wrong result of an instruction that is there is none.
 */
static struct mv_ran run_row(const struct mv_probe *p, unsigned cpl, bool advertised)
{
	struct mv_ran ran = mv_probe_run(p, cpl, true);

	for (unsigned again = 0; again < 3 && advertised && ran.outcome == MV_ALIAS; again++)
		ran = mv_probe_run(p, cpl, true);
	return ran;
}

static void run_probe(const struct mv_probe *p, unsigned level, const struct mv_leaves *l,
		      const struct mv_controls *controls, struct totals *t)
{
	const struct mv_bit *b = &mv_bits[p->feature];
	unsigned cpl = mv_level_cpl[level];
	const struct mv_bit *other = same_msr(p);
	bool advertised = shown(b, l, level) || (other && shown(other, l, level));
	int host = host_has(b);
	struct mv_ran ran = { .outcome = MV_SKIPPED };
	char name[12];
	enum verdict v;

	if (!host && other)
		host = host_has(other);
	/* Written out before the probe runs: whoever waits for it in vain knows for which. */
	if (!brief)
		print_row(p, cpl, advertised);
	current = p;
	current_cpl = cpl;
	if (!skip(p, cpl, advertised))
		ran = run_row(p, cpl, advertised);
	current = NULL;
	if (cpl && p - mv_probe_rows < ROWS_MAX)
		first_ran[p - mv_probe_rows] = ran;
	v = judge(p, &ran, advertised, host, controls);
	t->verdict[v]++;
	t->unproven += v != UNDECIDABLE && !mv_proven[p->feature];
	if (brief && (v == OK || v == ABSENT || v == SKIP || v == UNDECIDABLE))
		return;
	if (brief)
		print_row(p, cpl, advertised);

	mv_printf("%-8s %s%s\n", mv_ran_name(&ran, name), verdict_names[v],
		  v != UNDECIDABLE && !mv_proven[p->feature] ? " unproven" : "");
	if (ran.outcome == MV_HUNG)
		mv_printf("probe: %s %s at cpl%u did not come back and was ended\n", b->name,
			  p->mnemonic, cpl);
}

static void run_probes(const struct mv_leaves *l, const struct mv_controls *controls,
		       struct totals *t)
{
	for (size_t i = 0; i < mv_probe_count; i++) {
		const struct mv_probe *p = &mv_probe_rows[i];
		bool cpl0_only = p->flags & MV_P_CPL0;

		if (only[0] && !mv_name_equal(only, mv_bits[p->feature].name))
			continue;
		if (!cpl0_only)
			run_probe(p, 1, l, controls, t);
		/* Where CPL 0 is interpreted a second row of each kind would say nothing new. */
		if (cpl0_only || !interpreted())
			run_probe(p, 0, l, controls, t);
	}
}

/* The rows that CPU 0 tried without privilege, once more on this CPU; CPU 0 counts them. */
static unsigned rows_again(unsigned cpu, unsigned *differ)
{
	unsigned n = 0;

	for (size_t i = 0; i < mv_probe_count && i < ROWS_MAX; i++) {
		const struct mv_probe *p = &mv_probe_rows[i];
		const struct mv_ran *first = &first_ran[i];
		char name[12], first_name[12];
		struct mv_ran ran;

		/* Whether a transaction commits is its own affair. */
		if (p->flags & (MV_P_CPL0 | MV_P_TSX) || first->outcome == MV_SKIPPED ||
		    first->outcome == MV_HUNG || (only[0] && !mv_name_equal(only, mv_bits[p->feature].name)))
			continue;
		n++;
		if (!cpu)
			continue;
		current = p;
		current_cpl = 3;
		ran = mv_probe_run(p, 3, true);
		current = NULL;
		if (ran.outcome == first->outcome && ran.vector == first->vector)
			continue;
		mv_printf("cpu-diff: cpu %u: %s %s at cpl3 %s, on cpu 0 %s\n", cpu,
			  mv_bits[p->feature].name, p->mnemonic, mv_ran_name(&ran, name),
			  mv_ran_name(first, first_name));
		*differ += 1;
	}
	return n;
}

static void check_cpus(const struct mv_leaves *l, const struct mv_controls *controls,
		       struct totals *t)
{
	const struct mv_cpus cpus = {
		.n = ncpus, .cores = (unsigned)mv_word_number("cores", ncpus),
		.threads = (unsigned)mv_word_number("threads", 1), .leaves = l, .table = have_vmm ? &table : NULL, .controls = controls,
		.force = force, .minivmm = have_vmm, .rows = rows_again,
	};

	t->cpus_differ = mv_cpus_check(&cpus);
}

static void check_leaves(const struct mv_leaves *l, struct totals *t)
{
	unsigned n0, n3;

	if (!have_vmm) {
		mv_printf("cpuid-check: cpl0 %u leaves, cpl3 %u leaves, no table to compare with\n",
			  l->count, l->count);
		return;
	}
	n0 = mv_leaves_check(l, 0, &table);
	n3 = mv_leaves_check(l, 1, &table);
	mv_printf("cpuid-check: cpl0 %u leaves, %u differ; cpl3 %u leaves, %u differ\n", l->count,
		  n0, l->count, n3);
	t->differ = n0 + n3;
}

/* Did this pass find something that must not be? */
static bool pass(struct mv_leaves *l, const struct mv_controls *controls)
{
	struct totals t = { 0 };

	if (!mv_word("nodump"))
		mv_leaves_print(l);
	check_leaves(l, &t);
	run_probes(l, controls, &t);
	check_cpus(l, controls, &t);
	mv_printf("probe: summary ok=%u leak=%u enforced=%u absent=%u broken=%u blocked=%u "
		  "skipped=%u cpuid-diff=%u abort=%u undecidable=%u unproven=%u\n",
		  t.verdict[OK], t.verdict[LEAK], t.verdict[ENFORCED], t.verdict[ABSENT],
		  t.verdict[BROKEN], t.verdict[BLOCKED], t.verdict[SKIP], t.differ,
		  t.verdict[ABORT], t.verdict[UNDECIDABLE], t.unproven);
	return t.differ || t.cpus_differ || t.verdict[BROKEN];
}

static void print_nonce(void)
{
	counter++;
	mv_printf("probe: nonce %s counter %u\n", nonce, counter);
}

/*
 * All that there are under a hypervisor. A real machine's others are in its firmware's hands, and nobody
 * has tried this there: they are left alone unless the word says how many to take.
 */
static unsigned cpus_wanted(void)
{
	bool hypervisor = have_vmm || mv_cpuid(1, 0).ecx >> 31;
	unsigned wanted = (unsigned)mv_word_number("cpus", hypervisor ? UINT32_MAX : 1);
	unsigned listed = wanted > 1 ? mv_cpus_listed() : 1;

	return wanted < listed ? wanted : listed;
}

int main(void)
{
	static struct mv_controls controls;
	bool bad;

	mv_word_copy("nonce", nonce, sizeof(nonce), "none");
	mv_word_copy("only", only, sizeof(only), "");
	brief = mv_word("brief");
	force = mv_word("force");
	machine_read();
	ncpus = cpus_wanted();
	if (mv_word("screen")) {
		mv_screen_start();
		print_utility_screen();
	}
	/* A VMM of ours has a time limit of its own, and no timer for guests like this one. */
	if (!have_vmm)
		mv_watchdog_start();
	every_msr_reads = !interpreted() && mv_every_msr_reads();
	print_header();
	mv_controls_setup(&controls, force, true);
	print_controls(&controls);
	print_nonce();
	mv_leaves_collect(&leaves[0], have_vmm ? &table : NULL);
	bad = pass(&leaves[0], &controls);

	if (mv_word_number("sync", 0)) {
		mv_sync(1);
		machine_read();
		mv_puts("probe: pass 2\n");
		mv_controls_read(&controls);
		print_header();
		print_controls(&controls);
		print_nonce();
		mv_leaves_collect(&leaves[1], have_vmm ? &table : NULL);
		if (!mv_leaves_same(&leaves[1], &leaves[0], MV_NO_CPU))
			mv_puts("probe: pass 2 cpuid identical\n");
		bad |= pass(&leaves[1], &controls);
	}
	if (mv_word("screen")) {
		mv_out32(MV_PORT_EXIT, bad);
		mv_pager();
	}
	return bad;
}
