# SPDX-License-Identifier: MIT
# What touches the machine, and the command line on top of it.
# sandbox-filter.c runs while this is built.
VMM_SRCS := $(filter-out vmm/sandbox-filter.c,$(sort $(wildcard vmm/*.c))) guest-tests/linux/rows.c
CLI_SRCS := $(sort $(wildcard vmm/cli/*.c))
# Only a missing header turns libvirt off, or LIBVIRT=0; the library itself is loaded when it is asked.
LIBVIRT  ?= 1
VMM_DEFS := $(if $(filter-out 0,$(LIBVIRT)),$(if $(wildcard /usr/include/libvirt/libvirt.h),-DMV_LIBVIRT))
VMM_INC  := -I. -Icpuid -Imigrate -Ivmm -I$(OUT)/vmm -isystem /usr/include/libxml2 $(VMM_DEFS)
VMM_LIBS := -ljson-c -lxxhash -lZydis -lpthread

# Files built into the program: the two guests it runs by itself, the default masks and baselines.
BUILTIN_FILES := $(GUEST_OUT)/probe.elf $(GUEST_OUT)/proof.elf vmm/cli/fleet.html \
                 vmm/cli/probe.html $(sort $(wildcard configs/guest-os/*.mask configs/baselines/*.mask))
