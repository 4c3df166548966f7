/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "guest-tests/linux/rows.h"
#include "leak.h"

/* ---- bytes ---- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t mv_code_parse(const char *text, uint8_t out[MV_CODE_MAX])
{
	size_t n = 0;
	int high, low;

	for (const char *p = text + strspn(text, " ,\t"); *p; p += strspn(p, " ,\t")) {
		if ((*p == '0' && (p[1] == 'x' || p[1] == 'X')) || (*p == '\\' && p[1] == 'x'))
			p += 2;
		high = digit(p[0]);
		low = high < 0 ? -1 : digit(p[1]);
		if (n == MV_CODE_MAX || low < 0)
			return 0;
		out[n++] = (uint8_t)(high * 16 + low);
		p += 2;
	}
	return n;
}

/* ---- from the decoder's names to ours ---- */

/*
 * Names of the decoder's that are no features' names: sets, and mnemonics of sets that cover more
 * than one feature. "": part of every x86-64 CPU, or of something CPUID has no bit for. All other
 * sets are called as the feature is.
 */
struct alias {
	const char *name, *features;
};

static const struct alias sets[] = {
	{ "I86", "" },
	{ "I186", "" },
	{ "I286PROTECTED", "" },
	{ "I286REAL", "" },
	{ "I386", "" },
	{ "I486", "" },
	{ "I486REAL", "" },
	{ "PENTIUMREAL", "" },
	{ "PPRO", "" },
	{ "FAT_NOP", "" },
	{ "PAUSE", "" },
	{ "AMD", "" },
	{ "RDPMC", "" },
	{ "ADOX_ADCX", "ADX" },
	{ "AMD3DNOW", "3DNOW" },
	{ "AMD_INVLPGB", "INVLPGB" },
	{ "AVX2GATHER", "AVX2" },
	{ "AVXAES", "AES AVX" },
	{ "AVX_GFNI", "GFNI AVX" },
	{ "AVX512_GFNI", "GFNI AVX512F" },
	{ "AVX512_VAES", "VAES AVX512F" },
	{ "AVX512_VPCLMULQDQ", "VPCLMULQDQ AVX512F" },
	{ "AVX512_IFMA", "AVX512IFMA" },
	{ "CET", "CET-SS" },
	{ "CLFSH", "CLFLUSH" },
	{ "CMPXCHG16B", "CX16" },
	{ "FCMOV", "FPU CMOV" },
	{ "FXSAVE", "FXSR" },
	{ "FXSAVE64", "FXSR" },
	{ "KEYLOCKER", "AESKLE" },
	{ "KEYLOCKER_WIDE", "WIDE-KL" },
	{ "LAHF", "LAHF64" },
	{ "LONGMODE", "LM" },
	{ "MOVDIR", "MOVDIRI" },
	{ "PENTIUMMMX", "MMX" },
	{ "PREFETCH_NOP", "PREFETCHW" },
	{ "PT", "PTWRITE" },
	{ "RDWRFSGS", "FSGSBASE" },
	{ "SGX_ENCLV", "SGX" },
	{ "SNP", "SEV-SNP" },
	{ "SSE2MMX", "SSE2 MMX" },
	{ "SSE3X87", "SSE3 FPU" },
	{ "SSE4", "SSE4.1" },
	{ "SSE42", "SSE4.2" },
	{ "SSEMXCSR", "SSE" },
	{ "SSE_PREFETCH", "SSE" },
	{ "SSSE3MMX", "SSSE3 MMX" },
	{ "TSX_LDTRK", "TSXLDTRK" },
	{ "VMFUNC", "VMX" },
	{ "VTX", "VMX" },
	{ "X87", "FPU" },
};

static const struct alias mnemonics[] = {
	{ "cmpxchg8b", "CX8" },
	{ "encodekey128", "KL" },
	{ "encodekey256", "KL" },
	{ "endbr32", "CET-IBT" },
	{ "endbr64", "CET-IBT" },
	{ "loadiwkey", "KL" },
	{ "movdir64b", "MOVDIR64B" },
	{ "pf2iw", "3DNOWEXT" },
	{ "pfnacc", "3DNOWEXT" },
	{ "pfpnacc", "3DNOWEXT" },
	{ "pi2fw", "3DNOWEXT" },
	{ "popcnt", "POPCNT" },
	{ "prefetch", "PREFETCHW" },
	{ "prefetchw", "PREFETCHW" },
	{ "pswapd", "3DNOWEXT" },
	{ "rdmsr", "MSR" },
	{ "rdtsc", "TSC" },
	{ "skinit", "SKINIT" },
	{ "stgi", "SKINIT" },
	{ "syscall", "SYSCALL" },
	{ "sysenter", "SEP" },
	{ "sysexit", "SEP" },
	{ "sysret", "SYSCALL" },
	{ "wbnoinvd", "WBNOINVD" },
	{ "wrmsr", "MSR" },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *alias(const struct alias *list, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i].name) == len && !memcmp(list[i].name, name, len))
			return list[i].features;
	return NULL;
}

/* The blank-separated names as features; -1 if one of them is none. */
static int name_features(const char *names, enum mv_feature_id out[MV_CODE_FEATURES])
{
	int n = 0;

	for (const char *p = names + strspn(names, " "); *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");
		const struct mv_feature *f = mv_feature_by_name(p, len);

		if (!f || n == MV_CODE_FEATURES)
			return -1;
		out[n++] = mv_feature_id(f);
		p += len;
	}
	return n;
}

/* The forms of a vector set that sets are divided into, and what the form needs besides. */
static const struct alias forms[] = {
	{ "_128", "AVX512VL" },
	{ "_128N", "" },	/* one element of the register */
	{ "_256", "AVX512VL" },
	{ "_512", "" },
	{ "_KOP", "" },
	{ "_SCALAR", "" },
};

int mv_code_features(const char *isa, const char *mnemonic,
		     enum mv_feature_id out[MV_CODE_FEATURES])
{
	const char *names = alias(mnemonics, COUNT(mnemonics), mnemonic, strlen(mnemonic));
	const char *last = strrchr(isa, '_'), *more = "";
	size_t len = strlen(isa);
	char text[64];

	if (names)
		return name_features(names, out);
	if (last && alias(forms, COUNT(forms), last, strlen(last))) {
		more = alias(forms, COUNT(forms), last, strlen(last));
		len = (size_t)(last - isa);
	}
	names = alias(sets, COUNT(sets), isa, len);
	if (names)
		snprintf(text, sizeof(text), "%s %s", names, more);
	else
		snprintf(text, sizeof(text), "%.*s %s", (int)len, isa, more);
	return name_features(text, out);
}

/* ---- decoding ---- */

/*
 * Instructions newer than the decoder may be a probe's: the first of n bytes. Or all n, which were an
 * older instruction to it, called `older`: then of those that other CPUs take for that, not of those
 * that try a control bit or a page size with any CPU's instruction.
 */
static bool from_rows(struct mv_code *c, const uint8_t *code, size_t n, const char *older)
{
	for (size_t i = 0; i < mv_nrows; i++) {
		const struct mv_row *r = &mv_rows[i];
		size_t len = (size_t)(r->insn_end - r->insn);

		if (len > n || memcmp(r->insn, code, len))
			continue;
		if (older && (len < n || (r->flags & MV_P_CPL0 && !(r->flags & MV_P_HINT)) ||
			      !strcasecmp(r->mnemonic, older)))
			continue;
		c->length = (unsigned)len;
		snprintf(c->text, sizeof(c->text), "%s", r->mnemonic);
		c->needs[0] = (enum mv_feature_id)r->feature;
		c->n = 1;
		return true;
	}
	return false;
}

/*
 * Instructions that older CPUs take for another: their prefix (F3) means nothing there, or their opcode is a NOP (SDM
 * Vol. 2D, A.3, two-byte opcode map: 0F 0D, 0F 18 to 1F). mnemonic NULL: all that the feature has.
 */
static const struct {
	enum mv_feature_id feature;
	const char *mnemonic, *otherwise;
} others[] = {
	{ MV_F_LZCNT, NULL, "BSR" },
	{ MV_F_BMI1, "tzcnt", "BSF" },
	{ MV_F_WBNOINVD, NULL, "WBINVD" },
	{ MV_F_HLE, NULL, "" },
	{ MV_F_MPX, NULL, "" },
	{ MV_F_CET_IBT, NULL, "" },
	{ MV_F_CET_SS, "rdsspd", "" },
	{ MV_F_CET_SS, "rdsspq", "" },
	{ MV_F_CLDEMOTE, NULL, "" },
	{ MV_F_PREFETCHW, NULL, "" },
	{ MV_F_PREFETCHWT1, NULL, "" },
	{ MV_F_PREFETCHITI, NULL, "" },
	{ MV_F_PREFETCHI, NULL, "" },
};

static const char *otherwise(enum mv_feature_id id, const char *mnemonic)
{
	for (size_t i = 0; i < COUNT(others); i++)
		if (others[i].feature == id &&
		    (!others[i].mnemonic || (mnemonic && !strcmp(others[i].mnemonic, mnemonic))))
			return others[i].otherwise;
	return NULL;
}

const char *mv_feature_otherwise(enum mv_feature_id id)
{
	return otherwise(id, NULL);
}

int mv_code_explain(struct mv_code *c, const uint8_t *code, size_t n, struct mv_err *err)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	ZydisDecoder decoder;
	const char *mnemonic;
	int features;

	memset(c, 0, sizeof(*c));
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, code, n, &insn, operands))) {
		if (from_rows(c, code, n, NULL)) {
			c->otherwise = mv_feature_otherwise(c->needs[0]);
			return 0;
		}
		return mv_err_set(err, MV_E_INPUT,
				  "no instruction of 64-bit code that is known here");
	}
	c->length = insn.length;
	ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible,
					c->text, sizeof(c->text), 0, NULL);
	snprintf(c->isa, sizeof(c->isa), "%s", ZydisISASetGetString(insn.meta.isa_set));
	mnemonic = ZydisMnemonicGetString(insn.mnemonic);
	features = mv_code_features(c->isa, mnemonic, c->needs);
	if (features < 0)
		return mv_err_set(err, MV_E_INPUT,
				  "'%s' is of instruction set %s, which no feature here stands for",
				  c->text, c->isa);
	c->n = (unsigned)features;
	if (c->n == 0)
		from_rows(c, code, c->length, mnemonic);
	c->otherwise = c->n == 1 ? otherwise(c->needs[0], mnemonic) : NULL;
	return 0;
}

/* ---- a feature in a guest ---- */

void mv_feature_fate(struct mv_fate *fate, const struct mv_policy *p, const struct mv_host *here,
		     const struct mv_notes *notes, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	memset(fate, 0, sizeof(*fate));
	fate->visible = mv_table_has(&p->guest, id);
	fate->sym = mv_mask_sym(&p->final, f->leaf, f->subleaf, f->reg, f->bit);
	fate->effective = mv_mask_sym(&p->effective, f->leaf, f->subleaf, f->reg, f->bit);
	fate->at = mv_mask_at(&p->final, f->leaf, f->subleaf, f->reg, f->bit);
	fate->vmx = mv_table_vmx(&here->raw);
	fate->enforced = !fate->visible && mv_feature_enforced(&p->guest, here->kvm_controls, id, fate->vmx);
	fate->present = mv_host_executes(here, f->leaf, f->subleaf, f->reg, f->bit);
	fate->intercepted = mv_host_intercepts(here);
	for (uint32_t i = 0; notes && i < notes->n; i++) {
		const struct mv_note *n = &notes->note[i];

		if (n->leaf == f->leaf && n->subleaf == f->subleaf && n->reg == f->reg &&
		    n->bit == f->bit && n->kind == MV_NOTE_CLOSURE) {
			fate->cause = n->cause;
			fate->cause_at = n->cause_at;
		}
	}
}

bool mv_explain_crash(char *buf, size_t size, const struct mv_policy *p, const struct mv_host *here,
		      const uint8_t *code, size_t n)
{
	char place[300], why[400];
	const struct mv_feature *f;
	struct mv_fate fate;
	struct mv_code c;

	if (n == 0 || mv_code_explain(&c, code, n, NULL) || c.n == 0 || c.otherwise)
		return false;
	/* Of several features the first that the guest was not shown is the one to look at. */
	f = &mv_features[c.needs[0]];
	for (unsigned i = c.n; i-- > 0;)
		if (!mv_table_has(&p->guest, c.needs[i]))
			f = &mv_features[c.needs[i]];
	mv_feature_fate(&fate, p, here, NULL, mv_feature_id(f));
	mv_policy_place(place, sizeof(place), p, fate.at);
	if (fate.visible)
		snprintf(why, sizeof(why), "shown to this guest");
	else
		snprintf(why, sizeof(why), "hidden from this guest (%c%s%s; %s)",
			 mv_sym_char(fate.effective), *place ? ", " : "", place,
			 fate.enforced ? "enforced" : "hidden-only");
	snprintf(buf, size, "%s needs %s: %s, and this host %s it", c.text, f->name, why,
		 fate.present ? "executes" : "lacks");
	return true;
}

/* ---- words ---- */

const char *mv_enforce_text(enum mv_feature_enforce e)
{
	switch (e) {
	case MV_FE_NONE: return "nothing: hidden-only, it still executes";
	case MV_FE_INFO: return "nothing to disable: the bit describes";
	case MV_FE_XCR0: return "enforced (#UD), unless another feature keeps XCR0's bit on";
	case MV_FE_CR4: return "enforced: its bit in CR4 can't be set";
	case MV_FE_EFER: return "enforced: its bit in EFER can't be set";
	case MV_FE_MSR: return "enforced: its MSR, or bits of it, are refused";
	case MV_FE_CTRL: return "enforced (#UD) by a VMX control or an SVM intercept";
	case MV_FE_KVM: return "enforced: KVM itself refuses";
	case MV_FE_NA: return "no CPU of that vendor has it";
	}
	return "";
}

const char *mv_class_text(enum mv_feature_class c)
{
	switch (c) {
	case MV_FC_PLAIN: return "plain: what is there on the source must be there later";
	case MV_FC_HAZARD: return "hazard: a warning, shown if true of any host it may run on";
	case MV_FC_INVERTED: return "inverted: something is gone, accumulates like a hazard";
	case MV_FC_MIRROR: return "mirror: AMD's copy of a bit of leaf 1, follows that";
	case MV_FC_TOPOLOGY: return "topology: follows the VM's CPUs, never compared";
	case MV_FC_DYNAMIC: return "dynamic: follows the guest's control bits, never compared";
	case MV_FC_SYNTH: return "synthetic: the VMM's own, no statement about the host";
	}
	return "";
}

const char *mv_needs_text(enum mv_feature_needs n)
{
	switch (n) {
	case MV_FN_NOTHING: return "nothing: works wherever the CPU has it";
	case MV_FN_XCR0: return "a state component in XCR0";
	case MV_FN_CR4: return "a bit in CR4";
	case MV_FN_EFER: return "a bit in EFER";
	case MV_FN_MSR: return "an MSR";
	case MV_FN_PRIV: return "CPL 0, and no control bit";
	case MV_FN_VMM: return "something that the hypervisor provides";
	}
	return "";
}
