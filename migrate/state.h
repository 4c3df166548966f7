/* SPDX-License-Identifier: MIT */
/*
 * The state of a VM without KVM: fixed-width mirrors of what the kernel hands out, so that a kernel
 * structure never decides a file format. vmm/vcpu_state.c and vmm/vm_state.c convert.
 */
#ifndef MV_MIGRATE_STATE_H
#define MV_MIGRATE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy.h"

#define MV_PAGE_SIZE 4096u
#define MV_MAX_VCPUS 64
#define MV_MAX_MSRS 512
#define MV_MAX_XCRS 16
#define MV_MAX_XSAVE 16384	/* bytes; AMX needs 11008 */
#define MV_LAPIC_SIZE 1024
#define MV_MAX_SITES 4096	/* patched CPUID instructions */
#define MV_MAX_DEVICES 32
#define MV_MAX_DISKS 7
#define MV_MAX_PATH 1024
#define MV_SECTOR 512u
#define MV_MAX_DEVICE_STATE 4096
#define MV_MAX_RAM (UINT64_C(1) << 40)

struct mv_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags;
};

struct mv_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint8_t type, present, dpl, db, s, l, g, avl, unusable;
};

struct mv_dtable {
	uint64_t base;
	uint16_t limit;
};

struct mv_sregs {
	struct mv_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct mv_dtable gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
	bool pdptrs_valid;
	uint64_t pdptrs[4];
};

struct mv_xcr {
	uint32_t index;
	uint64_t value;
};

struct mv_debugregs {
	uint64_t db[4], dr6, dr7;
};

/* Pending and injected events; fields as in struct kvm_vcpu_events. */
struct mv_events {
	uint8_t exception_injected, exception_nr, exception_has_error_code, exception_pending;
	uint32_t exception_error_code;
	bool exception_has_payload;
	uint64_t exception_payload;
	uint8_t interrupt_injected, interrupt_nr, interrupt_soft, interrupt_shadow;
	uint8_t nmi_injected, nmi_pending, nmi_masked;
	uint32_t sipi_vector;
	uint8_t smi_smm, smi_pending, smi_inside_nmi, smi_latched_init;
	uint8_t triple_fault_pending;
	uint32_t flags;
};

/*
 * No MSR, but kept among them: SSP, the shadow stack pointer of the privilege level at which a vCPU halted. The
 * number is the one that KVM has for it inside.
 */
#define MV_MSR_SSP 0x4b564dff

struct mv_vcpu_state {
	uint32_t id;
	struct mv_regs regs;
	struct mv_sregs sregs;
	uint32_t nxcrs;
	struct mv_xcr xcrs[MV_MAX_XCRS];
	uint32_t xsave_size;
	uint8_t xsave[MV_MAX_XSAVE];	/* standard format */
	struct mv_debugregs debugregs;
	uint8_t lapic[MV_LAPIC_SIZE];
	uint32_t nmsrs;
	struct mv_msr msrs[MV_MAX_MSRS];	/* in the order they are to be written */
	struct mv_events events;
	uint32_t mp_state;		/* KVM's numbers, fixed by its ABI */
	uint32_t tsc_khz;
	bool has_tsc_offset;
	uint64_t tsc_offset;
};

struct mv_pit_channel {
	uint32_t count;
	uint16_t latched_count;
	uint8_t count_latched, status_latched, status, read_state, write_state, write_latch;
	uint8_t rw_mode, mode, bcd, gate;
	int64_t count_load_time;
};

struct mv_pic {
	uint8_t last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll;
	uint8_t special_mask, init_state, auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode;
	uint8_t init4, elcr, elcr_mask;
};

struct mv_ioapic {
	uint64_t base_address;
	uint32_t ioregsel, id, irr;
	uint64_t redirtbl[24];
};

struct mv_device_state {
	char name[16];			/* "serial0", "info" */
	uint32_t size;
	uint8_t data[MV_MAX_DEVICE_STATE];
};

/* All that changes while the VM runs, memory apart. Heap: some 50 KiB and 30 KiB per vCPU. */
struct mv_state {
	uint64_t clock_ns;		/* kvmclock */
	bool has_irqchip;		/* the three below are valid */
	struct mv_pit_channel pit[3];
	uint32_t pit_flags;
	struct mv_pic pic[2];		/* master, slave */
	struct mv_ioapic ioapic;
	uint32_t ndevices;
	struct mv_device_state devices[MV_MAX_DEVICES];
	uint32_t nsites;		/* CPUID instructions the VMM had replaced; memory as saved
					   holds the original bytes */
	uint64_t sites[MV_MAX_SITES];	/* guest-physical addresses */
	uint32_t nvcpus;
	struct mv_vcpu_state *vcpus;	/* nvcpus of them, owned by this structure */
};

/* What a disk's id is, as the DISK record numbers it. */
enum mv_disk_id {
	MV_DISK_NO_ID,
	MV_DISK_WHOLE,		/* saved by an older program: of all it holds; moved: of the disk itself */
	MV_DISK_BLOCKS,		/* saved: of the checksums of its blocks */
};
#define MV_DISK_BLOCK 65536u

/* A disk: what a destination has to have, too. */
struct mv_disk {
	char path[MV_MAX_PATH];		/* absolute */
	bool read_only;
	uint64_t size;			/* bytes */
	uint8_t id_kind;		/* enum mv_disk_id; an id is there only while it is saved or moved */
	uint8_t id[16];			/* vmm/disk.h */
};

/* What must be known before anything is created. */
struct mv_config {
	char name[64];
	uint64_t ram_size;		/* bytes from guest-physical 0, whole pages */
	uint32_t nvcpus;
	char image[256];		/* the guest image's name, for people */
	uint8_t image_hash[16];		/* XXH3-128 of the image file */
	char producer[64];		/* "minivmm 0.1", for people */
	uint64_t saved_at;		/* seconds since 1970, for people */
	uint32_t ndisks;
	struct mv_disk disks[MV_MAX_DISKS];
	bool rng;			/* it has a source of random bytes */
};

struct mv_static {
	struct mv_config config;
	struct mv_policy policy;
};

/* Allocate or release the vCPU array; finish accepts a zeroed state. */
int mv_state_init(struct mv_state *s, uint32_t nvcpus, struct mv_err *err);
void mv_state_finish(struct mv_state *s);

#endif
