# SPDX-License-Identifier: MIT
# minivmm: know, before the guest does, whether it will survive the move.
#
#   make            build/minivmm
#   make demo       the main job, on this machine's /dev/kvm or in a lab host
#   make try        build/try: the files that the examples of README.md and docs use
#   make check      every test; REQUIRE=kvm,lab-amd,lab-intel turns those skips into failures
#   make layers     who may depend on whom
#   make predictions  what the probe guest will find in lab hosts, written down and then measured
#   make fuzz-devices  a guest that tries to crash the program, with sanitizers (FUZZ_SEEDS=N)
#   make static     gcc's analyzer, cppcheck and clang-tidy; make coverage: which lines the tests reach
#   make valgrind, make tsan: scripts of make check with valgrind, and with ThreadSanitizer, in the program
#   make bench      this program beside its peers and floors, as ratios; writes docs/benchmarks.md; BENCHES=start,live
#   make lab-torture   all of a guest's state, on hosts with protection keys and with kvm-intel (minutes)
#   make migrate-faults   every fault point of a move, every value of every byte of a snapshot's records (minutes)
#   make fuzz       libFuzzer (clang) on what reads bytes from outside; SECONDS=60 each, TARGETS="mask host"
#   make faults     every call of the C library fails once; make soak: 1,000 starts, restores, migrations (COUNT=N)
#   make libvirt-sweep  every pair of the hosts in MV_HOSTS=DIR, against libvirt's verdicts and baselines
#   make images     build/images/probe.iso, which boots anywhere, and probe.img for minivmm
#   make oracles    the probe guest on every CPU model of QEMU and Bochs: is each row right?
#   make kut        kvm-unit-tests (KUT=FOLDER) in an emulated host; make interception: the proof table
#   make lab        prepare the lab: emulated KVM hosts with CPUs of our choosing
#   make lab-matrix every move between lab hosts, predicted and made; make check-full: that, and all the rest
#   make install    PREFIX=/usr/local DESTDIR=: program, manual pages, completion, the core as a library
#   make deb        Debian packages in build/deb, checked by lintian
#   make lab-live   a loaded Linux guest between two lab hosts, 10 times there and back (minutes)
#   make deps       install what Debian 12 has to provide; make clean removes what was built
#
# OUT=DIR builds elsewhere, V=1 shows commands, CC=clang, SAN=address,undefined, WERROR=0, LIBVIRT=0.

OUT     ?= build
V       ?= 0
WERROR  ?= 1
SAN     ?=

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

all:

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2))

CSTD     := -std=c11
WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wsign-compare -Wwrite-strings \
            -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wformat=2 -Wvla
ifneq ($(WERROR),0)
WARN     += -Werror
endif
ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer
endif
CFLAGS   ?= -O2 -g
DEPFLAGS  = -MMD -MP -MF $(@:.o=.d)

include cpuid/module.mk
include migrate/module.mk
include guest-tests/module.mk
include vmm/module.mk

# ---- libraries and the program -------------------------------------------------------------------
# Each library is compiled with its own include paths alone: a wrong dependency does not compile.

objs = $(patsubst %.c,$(OUT)/%.o,$(1))

CPUID_OBJS   := $(call objs,$(CPUID_SRCS))
MIGRATE_OBJS := $(call objs,$(MIGRATE_SRCS))
VMM_OBJS     := $(call objs,$(VMM_SRCS)) $(OUT)/vmm/builtin-data.o
CLI_OBJS     := $(call objs,$(CLI_SRCS))
LIBS         := $(OUT)/libmv-vmm.a $(OUT)/libmv-migrate.a $(OUT)/libmv-cpuid.a

$(CPUID_OBJS):   INC := $(CPUID_INC)
$(MIGRATE_OBJS): INC := $(MIGRATE_INC)
$(VMM_OBJS) $(CLI_OBJS): INC := $(VMM_INC) -D_GNU_SOURCE

# Objects of another compiler or with other flags are stale.
$(OUT)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS) $(SANFLAGS) $(VMM_DEFS)' | cmp -s - $@ || \
		echo '$(CC) $(CFLAGS) $(SANFLAGS) $(VMM_DEFS)' > $@
.PHONY: FORCE
FORCE:

$(OUT)/%.o: %.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(WARN) $(CFLAGS) $(SANFLAGS) $(INC) $(DEPFLAGS) -c -o $@ $<

$(OUT)/libmv-cpuid.a:   $(CPUID_OBJS)
$(OUT)/libmv-migrate.a: $(MIGRATE_OBJS)
$(OUT)/libmv-vmm.a:     $(VMM_OBJS)
$(OUT)/libmv-%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/vmm/builtin.o: $(OUT)/vmm/builtin-files.def

# One row a file with the folder it is from, and the assembly that carries its bytes; names become
# symbols with '_' for the rest.
$(OUT)/vmm/builtin-files.def: $(BUILTIN_FILES)
	@mkdir -p $(@D)
	$(Q)for f in $(sort $(BUILTIN_FILES)); do n=$${f##*/} d=$${f%/*}; \
		printf 'MV_BUILTIN(%s, "%s", "%s")\n' "$$(echo $$n | tr -c 'a-zA-Z0-9\n' _)" \
			"$$n" "$${d##*/}"; done > $@

$(OUT)/vmm/builtin-data.S: $(BUILTIN_FILES)
	@mkdir -p $(@D)
	$(Q){ echo '.section .note.GNU-stack,"",@progbits'; echo '.section .rodata'; \
	for f in $^; do s=$$(basename $$f | tr -c 'a-zA-Z0-9\n' _); \
		printf '.balign 16\n.globl mv_builtin_%s, mv_builtin_%s_end\nmv_builtin_%s: .incbin "%s"\nmv_builtin_%s_end: .byte 0\n' \
			$$s $$s $$s $$f $$s; done; } > $@

# The names of all system calls, and a filter that lets the listed ones through.
$(OUT)/vmm/sandbox.o: $(OUT)/vmm/syscalls.def $(OUT)/vmm/sandbox-filter.def
$(OUT)/vmm/sandbox-filter.def: vmm/sandbox-filter.c vmm/sandbox.def
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) -D_GNU_SOURCE -Ivmm -o $(@:.def=) $< -lseccomp
	$(Q)$(@:.def=) > $@
$(OUT)/vmm/syscalls.def: vmm/module.mk
	@mkdir -p $(@D)
	$(Q)echo '#include <sys/syscall.h>' | $(CC) -E -dM - | \
		sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/MV_SYSCALL(\1)/p' | sort > $@

$(OUT)/vmm/builtin-data.o: $(OUT)/vmm/builtin-data.S
	$(call say,AS,$@)
	$(Q)$(CC) -c -o $@ $<

# The tables are full of pointers; packed, their relocations are a tenth of the file's and of the time they take.
LINK_FLAGS := -Wl,-z,pack-relative-relocs -Wl,-z,relro -Wl,-z,now
$(OUT)/minivmm: $(CLI_OBJS) $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LINK_FLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

include tests/module.mk
include tests/fuzz/module.mk
include bench/module.mk
include contrib/module.mk

.PHONY: all
all: $(OUT)/minivmm guest-images

# ---- packages ------------------------------------------------------------------------------------
# The one list of what Debian 12 has to provide; the lab keeps its own (tests/lab/lab deps).

PKGS_BUILD := gcc make libc6-dev binutils libgnutls28-dev libjson-c-dev libseccomp-dev libsmartcols-dev libvirt-dev \
               libxml2-dev libxxhash-dev libzstd-dev libzydis-dev
PKGS_TEST  := dropbear-bin gnutls-bin libcriterion-dev libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libvirt0 openssh-client \
              python3 python3-libvirt python3-xxhash python3-zstandard qemu-system-x86
PKGS_IMAGES := isolinux syslinux-common xorriso

# Installs only what is missing, and only as root; otherwise says what is needed.
define need
	@tests/deps.sh $(1)
endef

.PHONY: deps deps-build deps-test deps-lab deps-images
deps-images: deps-build
	$(call need,$(PKGS_IMAGES))
deps: deps-build deps-test deps-lab
deps-build:
	$(call need,$(PKGS_BUILD))
deps-test: deps-build
	$(call need,$(PKGS_TEST))
deps-lab:
	$(call need,$$(tests/lab/lab deps))

# ---- what people run -----------------------------------------------------------------------------

.PHONY: demo try check coverage layers static lab lab-live lab-torture migrate-faults predictions libvirt-sweep clean help
demo: deps-build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/demo.sh $(OUT) $(NONCE)

try: deps-build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/examples.sh $(OUT) $(OUT)/try

# REQUIRE=kvm,lab-amd,lab-intel: what must not be skipped.
REQUIRE ?=
check: deps-test
	$(Q)tests/deps.sh --try $$(tests/lab/lab deps)
	$(Q)$(MAKE) --no-print-directory all unit-tests fuzz-replays $(OUT)/tests/faults/preload.so $(OUT)/bench/intercept
	$(Q)[ ! -e /usr/lib/ISOLINUX/isolinux.bin ] || $(MAKE) --no-print-directory $(IMAGES)
	$(Q)tests/check.sh $(OUT) '$(REQUIRE)'

# Long: each host boots once and runs the probe guest under every mask.
PREDICTION_HOSTS ?= epyc milan max zambezi sandybridge haswell penryn
predictions: deps-test deps-lab
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/alone.sh tests/lab/predictions.sh $(OUT) $(PREDICTION_HOSTS)
	$(Q)tests/alone.sh tests/lab/predict-mutants.sh $(OUT)

lab-live: deps-lab
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/alone.sh tests/lab/test-live.sh $(OUT) full

lab-torture: deps-lab
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/alone.sh tests/lab/test-torture.sh $(OUT)

migrate-faults: deps-test
	$(Q)$(MAKE) --no-print-directory all $(OUT)/tests/unit/test_snapshot_hostile
	$(Q)MIGRATE_FAULTS=all tests/alone.sh tests/integration/migrate.sh $(OUT)
	$(Q)MIGRATE_FAULTS=all tests/alone.sh tests/integration/tls.sh $(OUT)
	$(Q)MV_HOSTILE=all $(OUT)/tests/unit/test_snapshot_hostile --filter hostile/damage_every_control_byte

lab: deps-lab
	$(Q)tests/lab/lab build

# Verdicts and baselines against libvirt's, over every pair of the hosts in that folder.
MV_HOSTS ?= tests/data/hosts
libvirt-sweep: deps-test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)MV_HOSTS=$(MV_HOSTS) tests/alone.sh tests/integration/libvirt-agree.sh $(OUT)

# What every lab host says of itself, into tests/data/hosts; LAB_HOSTS=NAME… for some.
.PHONY: lab-hosts lab-matrix lab-appendix lab-kernels check-full
lab-hosts: all deps-lab
	$(Q)tests/lab/record-hosts.sh $(OUT) $(LAB_HOSTS)

# Every move between lab hosts into docs/lab-matrix.*; what was measured stays measured. LAB_HOSTS=A,B: these alone;
# SAMPLE=SEED,N: N random cells of the published table, measured anew.
lab-matrix: all deps-lab
	$(Q)tests/lab/matrix.py $(if $(SAMPLE),sample $(OUT) $(SAMPLE),run $(OUT) $(if $(LAB_HOSTS),--hosts=$(LAB_HOSTS)))

lab-appendix: all deps-lab
	$(Q)tests/lab/matrix.py appendix $(OUT)

# The same host with two kernels, and Debian's standard kernel as a guest, where make check takes the cloud one; fetches both.
lab-kernels: all deps-lab
	$(Q)tests/alone.sh tests/lab/test-kernels.sh $(OUT)
	$(Q)GUEST_KERNEL=standard tests/alone.sh tests/lab/test-linux.sh $(OUT)
	$(Q)GUEST_KERNEL=standard tests/alone.sh tests/lab/test-disk.sh $(OUT)

# What is too long for make check.
check-full: check lab-kernels lab-appendix lab-matrix
	$(Q)tests/lab/matrix.py check $(OUT)

# The probe guest's rows, judged by emulators; and the record of what was seen.
.PHONY: oracles probe-record
oracles probe-record: deps-lab all images
	$(Q)tests/oracles/oracles.py $(OUT) $(if $(filter oracles,$@),check,record)

# The proof of interception on all kinds of hosts at hand, into docs/interception.md.
.PHONY: interception kut
interception: all $(OUT)/bench/intercept deps-lab
	$(Q)tests/lab/proof-table.sh $(OUT)

# kvm-unit-tests' images (KUT=FOLDER) in an emulated AMD host; make check runs them on this machine's KVM.
kut: all deps-lab
	$(Q)tests/alone.sh tests/kut/check.sh $(OUT) lab

# gcc's analyzer, cppcheck and clang-tidy over the program; TOOLS="gcc cppcheck" FILES="vmm/x.c …" for some.
static: deps-build
	$(Q)tests/deps.sh cppcheck clang-tidy
	$(Q)$(MAKE) --no-print-directory all
	$(Q)OUT=$(OUT) tests/static.sh

layers: all
	$(Q)tests/layers.sh $(OUT)

clean:
	rm -rf $(OUT)

help:
	@sed -n '/^# minivmm/,/^$$/s/^# \{0,1\}//p' Makefile

print-%:
	@echo '$*=$($*)'

-include $(patsubst %.o,%.d,$(CPUID_OBJS) $(MIGRATE_OBJS) $(VMM_OBJS) $(CLI_OBJS))
