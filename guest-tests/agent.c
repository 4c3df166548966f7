/* SPDX-License-Identifier: MIT */
/*
 * The guide's two kinds of application. The polite one asks CPUID whether it may use an
 * instruction; the prober (AGENT_PROBES) executes it to see. Both decide once, are moved at the
 * sync point, and rely on what they decided: no fault is caught after that.
 *
 * Words: feature=NAME (default SSE4.1), nonce=HEX, rounds=N (default 100), delay=N between rounds.
 */
#include "probes.h"

#ifdef AGENT_PROBES
#define AGENT "prober"
#else
#define AGENT "polite"
#endif

static const struct mv_probe *instruction;
static char nonce[64], feature[40];
/* In memory, and not only in a register: this is what must have been moved. */
static volatile uint64_t counter;

void mv_fatal_note(const struct mv_frame *f)
{
	char name[12];

	if (!instruction || f->rip < (uintptr_t)instruction->code ||
	    f->rip >= (uintptr_t)instruction->end)
		return;
	mv_printf(AGENT ": vector %u (%s) at 0x%lx: that is %s itself, counter %lu\n",
		  (unsigned)f->vector, mv_vector_name((int)f->vector, name), f->rip,
		  instruction->mnemonic, counter);
}

#ifdef AGENT_PROBES
static bool decide(const struct mv_probe *p)
{
	struct mv_ran ran = mv_probe_run(p, 3, true);
	char name[12];

	switch (ran.outcome) {
	case MV_RAN:
		mv_printf(AGENT ": %s executed: relying on %s\n", p->mnemonic,
			  mv_bits[p->feature].name);
		return true;
	case MV_FAULTED:
		mv_printf(AGENT ": %s raised vector %u (%s): not using %s\n", p->mnemonic,
			  (unsigned)ran.vector, mv_vector_name(ran.vector, name),
			  mv_bits[p->feature].name);
		return false;
	default:
		mv_printf(AGENT ": %s gave another result: not using %s\n", p->mnemonic,
			  mv_bits[p->feature].name);
		return false;
	}
}
#else
static bool decide(const struct mv_probe *p)
{
	const struct mv_bit *b = &mv_bits[p->feature];
	struct mv_cpuid r = mv_cpuid(b->leaf & 0xc0000000, 0);
	bool there = r.eax >= b->leaf;

	if (there) {
		r = mv_cpuid(b->leaf, b->subleaf);
		there = (&r.eax)[b->reg] >> b->bit & 1;
	}
	mv_printf(AGENT ": CPUID says %s is %s: %susing it\n", b->name,
		  there ? "present" : "absent", there ? "" : "not ");
	return there;
}
#endif

int main(void)
{
	uint64_t rounds = mv_word_number("rounds", 100), delay = mv_word_number("delay", 1000);
	const struct mv_probe *p;
	struct mv_controls controls;

	mv_word_copy("nonce", nonce, sizeof(nonce), "none");
	mv_word_copy("feature", feature, sizeof(feature), "SSE4.1");
	p = mv_probe_by_feature(feature);
	if (!p) {
		mv_printf(AGENT ": no instruction at CPL 3 tells whether %s is there\n", feature);
		return 2;
	}
	mv_controls_setup(&controls, false, false);
	if (decide(p))
		instruction = p;

	mv_printf(AGENT ": nonce %s\n", nonce);
	mv_sync(1);
	while (counter < rounds) {
		if (instruction)
			mv_probe_run(instruction, 3, false);
		for (volatile uint64_t d = delay; d; d--)
			;
		counter++;
	}
	mv_printf(AGENT ": still alive after the move, counter %lu, nonce %s\n", counter, nonce);
	return 0;
}
