# SPDX-License-Identifier: MIT
# What touches the machine, and the command line on top of it.
VMM_SRCS := $(addprefix vmm/,kvm.c image.c sites.c device.c serial.c rtc.c power.c acpi.c \
            virtqueue.c virtio.c virtio_blk.c virtio_rng.c disk.c sandbox.c \
            vm.c vcpu.c vcpu_cpuid.c vcpu_state.c \
            msrs.c vm_state.c boot.c boot_linux.c builtin.c host_native.c host_json.c json.c proof.c paths.c \
            maskload.c power_on.c save.c lazy.c state_json.c dirty.c net.c tls.c mig_ops.c control.c runner.c \
            import.c import_dump.c import_host.c import_lines.c import_xml.c import_json.c \
            import_offer.c host_exec.c explain.c \
            host_cache.c testdev.c trace.c trace_kernel.c) guest-tests/linux/rows.c
CLI_SRCS := $(sort $(wildcard vmm/cli/*.c))
VMM_INC  := -I. -Icpuid -Imigrate -Ivmm -I$(OUT)/vmm -isystem /usr/include/libxml2
VMM_LIBS := -ljson-c -lxxhash -lZydis -lpthread

# Files built into the program: the two guests it runs by itself, the default masks and baselines.
BUILTIN_FILES := $(GUEST_OUT)/probe.elf $(GUEST_OUT)/proof.elf \
                 vmm/cli/probe.html $(sort $(wildcard configs/guest-os/*.mask configs/baselines/*.mask))
