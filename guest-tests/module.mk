# SPDX-License-Identifier: MIT
# Guest images: 64-bit code in a 32-bit ELF container, for the multiboot and PVH loaders alike.
# They are built with flags of their own: what the host programs are built with does not belong in a
# guest (sanitizers, coverage, SSE in the run-time library).

GUEST_OUT    := $(OUT)/guest-tests
GUEST_NAMES  := hello polite probe prober proof torture
# Images for tests alone: not carried in the program.
GUEST_TEST_NAMES := probe-bad cpuids
GUEST_IMAGES := $(GUEST_NAMES:%=$(GUEST_OUT)/%.elf)

GUEST_RT_SRC   := guest-tests/start.S guest-tests/rt.c guest-tests/trap.c
GUEST_PROBE_SRC := guest-tests/probes.c guest-tests/controls.c
GUEST_SMP_SRC  := guest-tests/smp.c guest-tests/ap.S
GUEST_hello    := guest-tests/hello.c
GUEST_polite   := $(GUEST_PROBE_SRC) guest-tests/polite.c
GUEST_probe    := $(GUEST_PROBE_SRC) $(GUEST_SMP_SRC) $(addprefix guest-tests/,leaves.c cpus.c screen.c probe.c)
GUEST_probe-bad := guest-tests/probes-bad.c guest-tests/controls.c $(filter-out $(GUEST_PROBE_SRC),$(GUEST_probe))
GUEST_prober   := $(GUEST_PROBE_SRC) guest-tests/prober.c
GUEST_proof    := guest-tests/proof.c
GUEST_cpuids   := guest-tests/cpuids.c
GUEST_torture  := $(GUEST_PROBE_SRC) $(GUEST_SMP_SRC) $(addprefix guest-tests/torture/,main.c cpu.c irq.c smp.c entry.S)

GUEST_FLAGS := -std=c11 -O2 -m64 -march=x86-64 -ffreestanding -fno-pic -fno-pie -mno-red-zone \
               -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables \
               -fcf-protection=none -ffunction-sections -fdata-sections -I. -Iguest-tests $(WARN)
GUEST_LDFLAGS := -nostdlib -static -Wl,-T,guest-tests/link.ld -Wl,--build-id=none \
                 -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 -Wl,--gc-sections
GUEST_OBJCOPY ?= objcopy

guest_objs = $(addprefix $(GUEST_OUT)/,$(addsuffix .o,$(basename $(1:guest-tests/%=%))))

define guest_cc
@mkdir -p $(@D)
$(call say,GUESTCC,$@)
$(Q)$(CC) $(GUEST_FLAGS) $(GUEST_DEFS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
endef

# By name: the sources of other programs, below this folder, are not built this way.
GUEST_PLAIN_SRC := $(filter-out %/polite.c %/prober.c %/probes-bad.c,$(filter %.c,$(sort $(GUEST_RT_SRC) \
                   $(foreach name,$(GUEST_NAMES) cpuids,$(GUEST_$(name))))))
GUEST_FLAT_SRC := $(filter-out guest-tests/torture/%,$(GUEST_PLAIN_SRC))
$(call guest_objs,$(GUEST_FLAT_SRC)): $(GUEST_OUT)/%.o: guest-tests/%.c
	$(guest_cc)
$(GUEST_OUT)/torture/%.o: guest-tests/torture/%.c
	$(guest_cc)

# One source, two kinds of application.
$(GUEST_OUT)/prober.o: GUEST_DEFS := -DAGENT_PROBES
$(GUEST_OUT)/polite.o $(GUEST_OUT)/prober.o: guest-tests/agent.c
	$(guest_cc)

# The table of a test.
$(GUEST_OUT)/probes-bad.o: GUEST_DEFS := -DMV_PROBES_DEF='"probes-bad.def"'
$(GUEST_OUT)/probes-bad.o: guest-tests/probes.c
	$(guest_cc)

$(GUEST_OUT)/%.o: guest-tests/%.S
	@mkdir -p $(@D)
	$(call say,GUESTAS,$@)
	$(Q)$(CC) $(GUEST_FLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

# An image that fails its check must not be left where somebody would run it.
define guest_image
$(GUEST_OUT)/$(1).elf: $(call guest_objs,$(GUEST_RT_SRC) $(GUEST_$(1))) \
		guest-tests/link.ld guest-tests/check-image.sh
	$$(call say,GUESTLD,$$@)
	$$(Q)$$(CC) $$(GUEST_LDFLAGS) -o $$(@:.elf=.elf64) $$(filter %.o,$$^)
	$$(Q)$$(GUEST_OBJCOPY) --strip-debug -O elf32-i386 $$(@:.elf=.elf64) $$@
	$$(Q)sh guest-tests/check-image.sh $$@
endef
$(foreach name,$(GUEST_NAMES) $(GUEST_TEST_NAMES),$(eval $(call guest_image,$(name))))

.PHONY: guest-images
guest-images: $(GUEST_IMAGES) $(GUEST_TEST_NAMES:%=$(GUEST_OUT)/%.elf)

-include $(wildcard $(GUEST_OUT)/*.d)

include guest-tests/linux/module.mk

# Disks to take along: probe.iso for anything that boots CDs under a PC BIOS, probe.img for minivmm.
IMAGES := $(OUT)/images/probe.iso $(OUT)/images/probe.img

$(OUT)/images/probe.iso: $(GUEST_OUT)/probe.elf guest-tests/mkiso.sh
	@mkdir -p $(@D)
	$(call say,ISO,$@)
	$(Q)guest-tests/mkiso.sh $< $@ screen

$(OUT)/images/probe.img: $(GUEST_OUT)/probe.elf
	@mkdir -p $(@D)
	$(Q)cp $< $@

.PHONY: images
images: deps-images
	$(Q)$(MAKE) --no-print-directory $(IMAGES)
