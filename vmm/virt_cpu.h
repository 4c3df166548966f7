/* SPDX-License-Identifier: MIT */
/*
 * libvirt's <cpu>, wherever it stands: by itself, in a domain, in host capabilities, or as the host-model
 * of domain capabilities.
 */
#ifndef MV_VMM_VIRT_CPU_H
#define MV_VMM_VIRT_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum mv_virt_policy {
	MV_VIRT_NO_POLICY,	/* host capabilities list features without one: the CPU has it */
	MV_VIRT_REQUIRE, MV_VIRT_FORCE, MV_VIRT_OPTIONAL, MV_VIRT_DISABLE, MV_VIRT_FORBID,
};

struct mv_virt_feature {
	char name[40];
	uint8_t policy;
	uint32_t line;
};

#define MV_VIRT_FEATURES 512

struct mv_virt_cpu {
	bool present;		/* there is a <cpu> (of a supported mode) */
	uint32_t line;
	char mode[24];		/* custom, host-model, host-passthrough, maximum; "": not a guest's */
	char match[16], check[16], model[64], vendor[24], arch[16];
	uint32_t model_line;
	bool has_signature;
	uint32_t family, model_number, stepping;
	uint64_t microcode;
	uint32_t phys_bits;	/* 0 = not told */
	bool phys_of_host;	/* mode='passthrough': the host's, but at most phys_bits unless that is 0 */
	uint64_t tsc_hz;	/* 0 = not told */
	bool tsc_scaling;
	char domain[64];	/* a domain's name */
	char type[16];		/* a domain's, or that of domain capabilities: kvm, qemu, test */
	uint32_t n;
	struct mv_virt_feature feature[MV_VIRT_FEATURES];
};

/* Read one; file is for messages. -MV_E_INPUT if it is no document of libvirt's that could have one. */
int mv_virt_cpu_parse(struct mv_virt_cpu *cpu, const char *file, const char *text, size_t len,
		      struct mv_err *err);

const char *mv_virt_policy_name(enum mv_virt_policy p);

#endif
