/* SPDX-License-Identifier: MIT */
/* What a row of probes.def says, for whoever runs the rows: the guests here, or a Linux program. */
#ifndef MV_GUEST_PROBE_H
#define MV_GUEST_PROBE_H

/* Inputs of every probe; RDI points to a zeroed scratch area, aligned to its size. */
#define MV_PROBE_RAX 3
#define MV_PROBE_RBX 0x0123456789abcdefull
#define MV_PROBE_RCX 0
#define MV_PROBE_RDX 0
#define MV_PROBE_SCRATCH 4096

enum mv_probe_flags {
	MV_P_ANY = 0,		/* runs at every privilege level and needs no control */
	MV_P_CPL0 = 0x01,	/* CPL 0 only: at CPL 3 it faults whatever the CPU can do */
	MV_P_HINT = 0x02,	/* a no-op where it is unknown: the outcome says nothing */
	MV_P_RESULT = 0x04,	/* an older CPU runs it as something else: RAX must be `want` */

	/* What has to be switched on before it can run. */
	MV_P_OSXSAVE = 0x10,	/* CR4.OSXSAVE */
	MV_P_AVX = 0x20,	/* XCR0: SSE and AVX */
	MV_P_AVX512 = 0x40,	/* XCR0: that and the three AVX-512 components */
	MV_P_FSGSBASE = 0x80,	/* CR4.FSGSBASE */
	MV_P_PKE = 0x100,	/* CR4.PKE */
};

#endif
