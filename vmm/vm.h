/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine: RAM, an explicit list of devices, vCPU threads. Created stopped; a program
 * starts it, waits for events, pauses it to read its state, destroys it.
 */
#ifndef MV_VMM_VM_H
#define MV_VMM_VM_H

#include <pthread.h>

#include "device.h"
#include "image.h"
#include "kvm.h"
#include "sites.h"
#include "state.h"
#include "testdev.h"
#include "trace.h"

/* Pages that KVM on Intel keeps in guest-physical memory: identity map, and three for a TSS. */
#define MV_KVM_PAGES_AT 0xfffbc000u
#define MV_KVM_PAGES_SIZE 0x4000u

enum mv_event_kind {
	MV_EVENT_NONE,		/* the wait timed out */
	MV_EVENT_SYNC,		/* the guest wrote to MV_PORT_SYNC and is paused there */
	MV_EVENT_EXIT,		/* the guest ended its run: event.ending */
	MV_EVENT_CRASH,		/* triple fault, or KVM could not go on with it */
	MV_EVENT_ERROR,		/* the VMM failed: event.err */
};

/* How a guest ended itself: by what. */
enum mv_ending {
	MV_ENDING_VALUE,	/* MV_PORT_EXIT */
	MV_ENDING_OFF,		/* ACPI power-off */
	MV_ENDING_RESET,	/* reset register or keyboard controller */
	MV_ENDING_QUIT,		/* not itself: the user, at the terminal */
};

struct mv_event {
	enum mv_event_kind kind;
	enum mv_ending ending;	/* EXIT */
	uint32_t value;		/* SYNC, EXIT: what the guest wrote; 0 for other endings */
	uint64_t rip;		/* CRASH */
	uint8_t ncode, code[15];	/* CRASH: bytes at rip, if they could be read */
	struct mv_err err;	/* ERROR; CRASH: msg says how it ended */
};

struct mv_vm;

struct mv_vcpu {
	struct mv_vm *vm;
	uint32_t id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	bool parked;		/* outside KVM_RUN with no I/O half done; under vm->lock */
	bool stepping;		/* single-step is armed */
};

struct mv_vm {
	const struct mv_kvm *kvm;
	int fd;
	struct mv_static *st;	/* the caller's; outlives the VM */
	const struct mv_table *raw;	/* this host's CPUID, for the info device */
	uint8_t *ram;		/* by position (ram.h) */
	uint64_t ram_size;
	struct mv_lazy *lazy;	/* where RAM comes from when it is first touched; NULL: it is there */
	bool ram_plain;		/* nobody fills it on demand: what was never touched is zeros, or a file's: */
	struct mv_manifest *ram_file;	/* the runs that may be mapped; NULL: none are. mv_vm_destroy frees it */
	unsigned nvcpus;
	struct mv_vcpu vcpu[MV_MAX_VCPUS];
	struct mv_devices devices;
	pthread_mutex_t mmio_lock;	/* devices behind addresses; after lock, if both */
	uint64_t *dma_log;		/* pages devices wrote to; NULL: nobody asks. Under mmio_lock */
	int uffd;		/* for mv_lazy_start; -1: none */
	struct mv_disk_sums *disk_sums[MV_MAX_DISKS];	/* while it is being saved */
	bool disks_let_go;		/* their locks were given up for another host */
	struct mv_testdev *testdev;	/* NULL: not asked for; mv_vm_destroy frees it */
	bool (*console_ready)(void *ctx);
	void (*note)(void *ctx, const char *device, const char *what);
	void (*lost)(int code, const char *why);
	struct mv_trace *trace;	/* the caller's; NULL: CPUIDs are not recorded */
	struct mv_sites sites;
	bool patched;		/* RAM holds port writes at the sites, but where the guest wrote something else */
	bool unpatched[MV_MAX_SITES];	/* the site got its original for mv_vm_repatch to replace again */

	pthread_mutex_t lock;
	pthread_cond_t changed;	/* pausing, a vCPU's parked */
	bool pausing, stopping;
	uint64_t rest_until;	/* mv_io_now_ns, atomic: no vCPU enters the guest before */
	int event_fd;		/* readable while an event waits */
	struct mv_event event;	/* under lock; the guest is paused until it was taken */
	enum mv_ending ending;	/* of the EXIT event, once there was one */
	int input_fd;		/* readable when mv_vm_input_room may have grown */
};

struct mv_console {
	void (*write)(void *ctx, const uint8_t *data, size_t len);	/* the first serial port */
	/*
	 * May be NULL. Called by vCPU threads before they enter the guest, until it says that the
	 * reader keeps up; it waits for a moment itself.
	 */
	bool (*ready)(void *ctx);
	/* May be NULL. Called by vCPU threads: the guest's driver broke a rule of that device. */
	void (*note)(void *ctx, const char *device, const char *what);
	/*
	 * May be NULL. Called in whatever thread, also by a signal handler, and does not return: one of
	 * the VMM's own threads touched memory that turned out to be damaged (code, why).
	 */
	void (*lost)(int code, const char *why);
	void *ctx;
};

/*
 * Create a VM for st->config and st->policy: descriptor, capabilities, irqchip, RAM, vCPUs with the
 * guest table set and read back. Nothing runs yet. *out is NULL on error.
 */
int mv_vm_create(struct mv_vm **out, const struct mv_kvm *kvm, struct mv_static *st,
		 const struct mv_table *raw, const struct mv_console *console, struct mv_err *err);
void mv_vm_destroy(struct mv_vm *vm);	/* accepts NULL; stops it first */

/* Can an image with this command line be put into so much RAM? -MV_E_INPUT, -MV_E_USAGE. */
int mv_boot_check(const struct mv_image *img, const char *cmdline, uint64_t ram_size,
		  struct mv_err *err);
/*
 * Does the guest's CPUID have what the image's code can't begin without? -MV_E_REFUSED if 64-bit code
 * would find no long mode, with the mask's line.
 */
int mv_boot_check_cpu(const struct mv_image *img, const struct mv_policy *p, struct mv_err *err);

/* Add the devices of testdev.h, before it starts. Such a VM can't be saved. */
int mv_vm_add_testdev(struct mv_vm *vm, struct mv_err *err);

/* Put an image and its command line into RAM and vCPU 0 at its entry (vmm/boot.c). */
int mv_vm_boot(struct mv_vm *vm, const struct mv_image *img, const char *cmdline,
	       struct mv_err *err);

/*
 * Replace the CPUID instructions at vm->sites by port writes; -MV_E_INPUT if a site does not hold a CPUID. And
 * put the originals back for a while: what a guest wrote to a site meanwhile is its own, and stays.
 */
int mv_vm_patch(struct mv_vm *vm, struct mv_err *err);
void mv_vm_unpatch(struct mv_vm *vm);
void mv_vm_repatch(struct mv_vm *vm);
/* The sites that are still CPUIDs; how many. */
uint32_t mv_vm_live_sites(struct mv_vm *vm, uint64_t sites[MV_MAX_SITES]);

/* Start the vCPU threads. */
int mv_vm_start(struct mv_vm *vm, struct mv_err *err);

/*
 * All vCPUs out of the guest with their I/O completed; nests with nothing. An event that waits to be
 * taken keeps the guest paused.
 */
void mv_vm_pause(struct mv_vm *vm);
void mv_vm_resume(struct mv_vm *vm);

/* Keep all vCPUs out of the guest for so long; pausing and events go on as ever. */
void mv_vm_rest(struct mv_vm *vm, uint64_t ns);

/*
 * Take the event that waits; false if there is none. After SYNC the guest stays paused until
 * mv_vm_resume; after EXIT, CRASH and ERROR it does not run any more.
 */
bool mv_vm_take_event(struct mv_vm *vm, struct mv_event *event);
/* Wait up to timeout_ms (-1: for ever) and take the event. */
void mv_vm_wait(struct mv_vm *vm, int timeout_ms, struct mv_event *event);

/*
 * Input for the first serial port: how many bytes the guest takes now (none before it has shown
 * that it wants any, none while it is paused), and handing them over; returns how many were taken.
 */
size_t mv_vm_input_room(struct mv_vm *vm);
size_t mv_vm_input(struct mv_vm *vm, const uint8_t *data, size_t len);

/*
 * Can this guest be saved at all? -MV_E_FAILED says why not: what nested virtualization keeps, and test
 * devices, are not part of the saved state.
 */
int mv_vm_check_savable(const struct mv_vm *vm, struct mv_err *err);

/* Read or write the whole state of a paused VM, RAM apart (vmm/vm_state.c). */
int mv_vm_get_state(struct mv_vm *vm, struct mv_state *state, struct mv_err *err);
int mv_vm_set_state(struct mv_vm *vm, const struct mv_state *state, struct mv_err *err);

/*
 * Have pages that devices write to be set in bitmap, by atomic operations, until the next call; NULL
 * ends it. KVM's log knows the guest's own writes alone.
 */
void mv_vm_log_dma(struct mv_vm *vm, uint64_t *bitmap);

/* Host address of len bytes at gpa; NULL if they are not all RAM. */
void *mv_vm_at(struct mv_vm *vm, uint64_t gpa, size_t len);

/* For vCPU threads: post an event and have everything pause. */
void mv_vm_post(struct mv_vm *vm, const struct mv_event *event);

/* The vCPU thread (vmm/vcpu.c). */
void *mv_vcpu_main(void *vcpu);

/* A vCPU's state (vmm/vcpu_state.c), in the order that docs/architecture.md explains. */
int mv_vcpu_get_state(struct mv_vcpu *vcpu, struct mv_vcpu_state *s, struct mv_err *err);
int mv_vcpu_set_state(struct mv_vcpu *vcpu, const struct mv_vcpu_state *s, struct mv_err *err);

/*
 * Its MSRs (vmm/msrs.c): all that KVM lists and some that it does not; set in the saved order. An MSR
 * that the destination's KVM refuses is -MV_E_HOST, with its number.
 */
int mv_msrs_get(struct mv_vcpu *vcpu, struct mv_vcpu_state *s, struct mv_err *err);
int mv_msrs_set(struct mv_vcpu *vcpu, const struct mv_vcpu_state *s, struct mv_err *err);

/*
 * At power-on: what the masks' `msr` lines make of feature MSRs. -MV_E_HOST with the line, if this
 * host's KVM can't.
 */
int mv_msrs_power_on(struct mv_vcpu *vcpu, struct mv_err *err);

/*
 * Give the vCPU the table that policy->guest means for it and read it back (vcpu_cpuid.c). Where KVM
 * is to answer from it, a difference outside the bits that KVM keeps up to date is -MV_E_HOST.
 */
int mv_vcpu_set_cpuid(struct mv_vcpu *vcpu, const struct mv_table *guest, struct mv_err *err);

#endif
