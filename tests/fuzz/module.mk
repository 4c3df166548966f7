# SPDX-License-Identifier: MIT
# make fuzz SECONDS=60 TARGETS="mask host": libFuzzer with ASan and UBSan (clang), a table at the end. A
# target is tests/fuzz/fuzz_NAME.c (see fuzz.h); it begins with tests/fuzz/corpus/NAME, and files of the
# project if it has a line here. What is found goes to $(OUT)/fuzz/found.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SEEDS_snapshot := $(sort $(wildcard tests/data/golden/*.snap))
FUZZ_SEEDS_mask     := $(sort $(wildcard configs/overrides/*)) \
                       configs/baselines/intel-penryn.mask tests/data/masks/guide-2008.mask
FUZZ_SEEDS_vmx      := configs/overrides/hide-sse41.vmx
FUZZ_SEEDS_firecracker := tests/data/dialects/level.json
FUZZ_SEEDS_libvirt  := tests/data/masks/web.xml
FUZZ_SEEDS_dump     := $(sort $(wildcard tests/data/dumps/*.txt))
FUZZ_SEEDS_host     := tests/data/hosts/penryn.json tests/data/hosts/epyc.json
FUZZ_SEEDS_verdict  := tests/data/hosts/ivybridge.json tests/data/hosts/milan.json
FUZZ_SEEDS_fleet    := configs/vms/shop.vm
FUZZ_SEEDS_image    := $(GUEST_OUT)/hello.elf
# Targets that know the names of features, too.
FUZZ_NAMED := mask vmx xl qemu libvirt host verdict
SECONDS    ?= 60
TARGETS    ?= $(FUZZ_NAMES)
FUZZ_CC    ?= clang

# The same objects serve both: only who calls the target differs.
FUZZ_REPLAYS := $(FUZZ_NAMES:%=$(OUT)/tests/fuzz/replay_%)
FUZZ_BINS    := $(FUZZ_NAMES:%=$(OUT)/tests/fuzz/fuzz_%)
FUZZ_HELP    := $(OUT)/tests/fuzz/fix.o $(OUT)/tests/fuzz/text.o
$(OUT)/tests/fuzz/%.o: INC = $(VMM_INC) -Itests/fuzz -D_GNU_SOURCE
$(FUZZ_REPLAYS): $(OUT)/tests/fuzz/replay_%: $(OUT)/tests/fuzz/replay.o $(OUT)/tests/fuzz/fuzz_%.o \
		$(FUZZ_HELP) $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)
$(FUZZ_BINS): $(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(FUZZ_HELP) $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fsanitize=address,undefined,fuzzer $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

# What a target begins with, all in one folder; and words that mean something to it.
FUZZ_SEED_DIRS := $(FUZZ_NAMES:%=$(OUT)/tests/fuzz/seeds/%)
FUZZ_DICTS := $(FUZZ_NAMES:%=$(OUT)/tests/fuzz/%.dict)
.SECONDEXPANSION:
$(FUZZ_SEED_DIRS): $(OUT)/tests/fuzz/seeds/%: $$(wildcard tests/fuzz/corpus/$$*/*) $$(FUZZ_SEEDS_$$*)
	$(Q)rm -rf $@ && mkdir -p $@ && cp $^ $@
$(FUZZ_DICTS): $(OUT)/tests/fuzz/%.dict: $$(wildcard tests/fuzz/dict/$$*.dict) cpuid/features.def tests/fuzz/module.mk
	$(Q)mkdir -p $(@D)
	$(Q){ echo '# libFuzzer takes no empty file'; cat /dev/null $(filter %/$*.dict,$^); } > $@
	$(Q)$(if $(filter $(FUZZ_NAMED),$*),grep -oh '"[A-Za-z0-9._-][A-Za-z0-9._-]*"' cpuid/features.def | sort -u >> $@)

.PHONY: fuzz fuzz-replays fuzz-capture
# The seeds that are messages between two of these programs: recorded anew when the protocol changes.
fuzz-capture: all
	$(Q)python3 tests/fuzz/capture.py $(OUT)/minivmm $(OUT)/guest-tests/hello.elf
fuzz-replays: $(FUZZ_REPLAYS) $(FUZZ_SEED_DIRS)

fuzz:
	$(Q)tests/deps.sh clang
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/fuzz CC=$(FUZZ_CC) SAN=address,undefined,fuzzer-no-link \
		$(TARGETS:%=$(OUT)/fuzz/tests/fuzz/fuzz_%) $(TARGETS:%=$(OUT)/fuzz/tests/fuzz/seeds/%) \
		$(TARGETS:%=$(OUT)/fuzz/tests/fuzz/%.dict)
	$(Q)tests/fuzz/run.sh $(OUT)/fuzz $(SECONDS) $(TARGETS)

-include $(wildcard $(OUT)/tests/fuzz/*.d)
