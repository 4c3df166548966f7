/* SPDX-License-Identifier: MIT */
#include "guest-tests/linux/rows.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define HANG_MS 1000		/* of CPU time: a whole run takes a few milliseconds, on a busy machine, too */
#define VECTOR_UD 6
#define ALT_STACK (64 * 1024)	/* a signal frame with AMX state is 11 KiB */

/* UAPI, newer than some headers. */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILE_DATA 18
#define HWCAP2_FSGSBASE_BIT 0x2

/* ---- the rows ---- */

/*
 * Each row becomes code of its own, between two labels that tell the signal handler what belongs to
 * probes. The NOPs are for a CPU that decodes the bytes as something longer.
 */
__asm__(".pushsection .text.mv_rows, \"ax\", @progbits\n"
	"mv_rows_first:\n"
	".popsection");

#define MV_PROBE(id, feature, mnemonic, flags, want, ...)                \
	__asm__(".pushsection .text.mv_rows, \"ax\", @progbits\n"       \
		MV_PROBE_TEXT("mv_row_", id, __VA_ARGS__)                \
		"	nop; nop; nop; nop; nop\n"                       \
		"	jmp	mv_rows_done\n"                          \
		".popsection");
#include "guest-tests/probes.def"
#undef MV_PROBE

/*
 * mv_rows_call(code, regs): loads RAX, RBX, RCX, RDX and RDI, runs code, which ends in a jump to
 * mv_rows_done, and stores RAX back. A row may change every register; RSP may come back too high,
 * so nothing is taken from the stack before it is known again. The handler of a fault goes on at
 * mv_rows_fault.
 */
__asm__(".pushsection .text.mv_rows, \"ax\", @progbits\n"
	"mv_rows_last:\n"
	"mv_rows_call:\n"
	"	pushq	%rbx\n"
	"	pushq	%rbp\n"
	"	pushq	%r12\n"
	"	pushq	%r13\n"
	"	pushq	%r14\n"
	"	pushq	%r15\n"
	"	pushfq\n"
	"	pushq	%rsi\n"
	"	movq	%rsp, mv_rows_rsp(%rip)\n"
	"	pushq	$0x5a5a5a5a\n"
	"	movq	%rdi, mv_rows_code(%rip)\n"
	"	movq	0(%rsi), %rax\n"
	"	movq	8(%rsi), %rbx\n"
	"	movq	16(%rsi), %rcx\n"
	"	movq	24(%rsi), %rdx\n"
	"	movq	32(%rsi), %rdi\n"
	"	movl	$1, %esi\n"
	"	testl	%esi, %esi\n"
	"	jmp	*mv_rows_code(%rip)\n"
	"mv_rows_done:\n"
	"	movq	mv_rows_rsp(%rip), %rsp\n"
	"	popq	%rsi\n"
	"	movq	%rax, 0(%rsi)\n"
	"	jmp	1f\n"
	"mv_rows_fault:\n"
	"	movq	mv_rows_rsp(%rip), %rsp\n"
	"	popq	%rsi\n"
	"1:	fninit\n"
	"	ldmxcsr	mv_rows_mxcsr(%rip)\n"
	"	popfq\n"
	"	popq	%r15\n"
	"	popq	%r14\n"
	"	popq	%r13\n"
	"	popq	%r12\n"
	"	popq	%rbp\n"
	"	popq	%rbx\n"
	"	ret\n"
	".popsection\n"
	".pushsection .data.mv_rows, \"aw\", @progbits\n"
	"	.balign	8\n"
	"mv_rows_rsp:	.quad	0\n"
	"mv_rows_code:	.quad	0\n"
	"mv_rows_mxcsr:	.long	0x1f80\n"
	".popsection");

struct regs {
	uint64_t rax, rbx, rcx, rdx, rdi;
};

/* All of these names belong to this file; the assembler has no scope for them. */
extern const uint8_t mv_rows_first[], mv_rows_last[], mv_rows_fault[];
void mv_rows_call(const void *code, struct regs *regs);

#define MV_PROBE(id, ...)                                             \
	extern const uint8_t mv_row_##id[], mv_row_insn_##id[];       \
	extern const uint8_t mv_row_after_##id[], mv_row_end_##id[];
#include "guest-tests/probes.def"
#undef MV_PROBE

const struct mv_row mv_rows[] = {
#define MV_PROBE(id, feat, mnem, fl, wanted, ...) \
	{                                         \
		.mnemonic = (mnem),               \
		.code = mv_row_##id,              \
		.insn = mv_row_insn_##id,         \
		.insn_end = mv_row_after_##id,    \
		.end = mv_row_end_##id,           \
		.want = (wanted),                 \
		.feature = MV_F_##feat,           \
		.flags = (fl),                    \
	},
#include "guest-tests/probes.def"
#undef MV_PROBE
};
#define NROWS (sizeof(mv_rows) / sizeof(mv_rows[0]))
const size_t mv_nrows = NROWS;

/* ---- in the child ---- */

/* What parent and child share. */
struct shared {
	volatile size_t current;	/* the row that is being run */
	struct mv_row_result result[NROWS];
};

static uint8_t scratch[MV_PROBE_SCRATCH] __attribute__((aligned(MV_PROBE_SCRATCH)));
static uint8_t alt_stack[ALT_STACK];
static volatile sig_atomic_t armed, vector;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t rip = (uintptr_t)g[REG_RIP];

	(void)info;
	if (!armed || rip < (uintptr_t)mv_rows_first || rip >= (uintptr_t)mv_rows_last) {
		/* Not a probe's own: it is raised again, and ends this process. */
		signal(sig, SIG_DFL);
		return;
	}
	armed = 0;
	vector = (sig_atomic_t)g[REG_TRAPNO];
	g[REG_RIP] = (greg_t)(uintptr_t)mv_rows_fault;
}

static void prepare(void)
{
	static const int faults[] = { SIGILL, SIGSEGV, SIGBUS, SIGTRAP, SIGFPE };
	const stack_t stack = { .ss_sp = alt_stack, .ss_size = sizeof(alt_stack) };
	const struct rlimit none = { 0, 0 };
	const struct itimerval hang = { .it_value = { .tv_sec = HANG_MS / 1000,
						      .tv_usec = HANG_MS % 1000 * 1000 } };
	struct sigaction sa = { .sa_sigaction = on_fault,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	sigset_t empty;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	sigaltstack(&stack, NULL);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigaction(faults[i], &sa, NULL);
	signal(SIGPROF, SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	setitimer(ITIMER_PROF, &hang, NULL);
	/* Tiles are given to those who ask; without AMX this is one call that fails. */
	syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA);
}

static void run_row(const struct mv_row *row, struct mv_row_result *result)
{
	struct regs regs = {
		.rax = MV_PROBE_RAX,
		.rbx = MV_PROBE_RBX,
		.rcx = MV_PROBE_RCX,
		.rdx = MV_PROBE_RDX,
		.rdi = (uintptr_t)scratch,
	};

	memset(scratch, 0, sizeof(scratch));
	armed = 1;
	mv_rows_call(row->code, &regs);
	if (!armed && row->flags & MV_P_REFUSES && vector != VECTOR_UD)
		*result = (struct mv_row_result){ MV_ROW_RAN, 0 };
	else if (!armed)
		*result = (struct mv_row_result){ MV_ROW_FAULTED, (uint8_t)vector };
	else if (row->flags & MV_P_TSX && regs.rax == MV_TSX_ABORTED)
		*result = (struct mv_row_result){ MV_ROW_ABORTED, 0 };
	else if (row->flags & MV_P_RESULT && regs.rax != row->want)
		*result = (struct mv_row_result){ MV_ROW_RESULT, 0 };
	else
		*result = (struct mv_row_result){ MV_ROW_RAN, 0 };
	armed = 0;
}

static void __attribute__((noreturn)) child(struct shared *s, size_t first)
{
	prepare();
	for (size_t i = first; i < NROWS; i++) {
		if (mv_rows[i].flags & MV_P_CPL0)
			continue;
		s->current = i;
		run_row(&mv_rows[i], &s->result[i]);
	}
	s->current = NROWS;
	_exit(0);
}

/* ---- in the parent ---- */

/* Run the rows from `first` on in one child. Returns the row to go on with, or -errno. */
static long run_some(struct shared *s, size_t first)
{
	int status = 0;
	pid_t pid;

	s->current = first;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(s, first);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (s->current >= NROWS)
		return (long)NROWS;
	s->result[s->current] = (struct mv_row_result){ MV_ROW_DIED, 0 };
	if (WIFSIGNALED(status))
		s->result[s->current].number = (uint8_t)WTERMSIG(status);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
		s->result[s->current].outcome = MV_ROW_HUNG;
	return (long)s->current + 1;
}

int mv_rows_run(struct mv_row_result *results)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long next = 0;

	memset(results, 0, NROWS * sizeof(*results));
	if (s == MAP_FAILED)
		return -errno;
	while (next >= 0 && next < (long)NROWS)
		next = run_some(s, (size_t)next);
	memcpy(results, s->result, NROWS * sizeof(*results));
	munmap(s, sizeof(*s));
	return next < 0 ? (int)next : 0;
}

/* ---- what CPUID says here, and what the kernel has switched on ---- */

bool mv_row_shown(enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];
	uint32_t base = f->leaf & 0xffff0000, r[MV_NREGS];

	__cpuid(base, r[MV_EAX], r[MV_EBX], r[MV_ECX], r[MV_EDX]);
	/* A CPU without that range answers with its highest basic leaf. */
	if (r[MV_EAX] < f->leaf || r[MV_EAX] > base + 0xffff)
		return false;
	if (f->subleaf && f->leaf == 7) {
		__cpuid_count(7, 0, r[MV_EAX], r[MV_EBX], r[MV_ECX], r[MV_EDX]);
		if (r[MV_EAX] < f->subleaf)
			return false;
	}
	__cpuid_count(f->leaf, f->subleaf, r[MV_EAX], r[MV_EBX], r[MV_ECX], r[MV_EDX]);
	return r[f->reg] >> f->bit & 1;
}

static uint64_t xgetbv0(void)
{
	uint32_t lo, hi;

	__asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

void mv_row_controls_read(struct mv_row_controls *c)
{
	unsigned long hwcap2 = getauxval(AT_HWCAP2);

	c->osxsave = mv_row_shown(MV_F_OSXSAVE);
	c->pke = mv_row_shown(MV_F_OSPKE);
	c->kl = mv_row_shown(MV_F_AESKLE);
	c->fsgsbase = hwcap2 & HWCAP2_FSGSBASE_BIT;
	c->xcr0 = c->osxsave ? xgetbv0() : 0;
}

bool mv_row_controls_allow(const struct mv_row_controls *c, unsigned flags)
{
	if ((flags & MV_P_OSXSAVE && !c->osxsave) || (flags & MV_P_FSGSBASE && !c->fsgsbase) ||
	    (flags & MV_P_PKE && !c->pke) || (flags & MV_P_KL && !c->kl))
		return false;
	/* Linux has no user interrupts. */
	if (flags & MV_P_UINTR)
		return false;
	return mv_xcr0_allows(c->xcr0, flags);
}
