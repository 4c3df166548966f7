# SPDX-License-Identifier: MIT
# make fuzz SECONDS=60 TARGETS="snapshot stream": libFuzzer with ASan and UBSan (clang). A target is
# tests/fuzz/fuzz_NAME.c (see fuzz.h); its seeds are in tests/fuzz/corpus/NAME and, if it has a line
# here, in FUZZ_SEEDS_NAME. What is found goes to $(OUT)/fuzz.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SEEDS_snapshot := $(sort $(wildcard tests/data/golden/*.snap))
SECONDS    ?= 60
TARGETS    ?= $(FUZZ_NAMES)
FUZZ_CC    ?= clang

# The same objects serve both: only who calls the target differs.
FUZZ_REPLAYS := $(FUZZ_NAMES:%=$(OUT)/tests/fuzz/replay_%)
FUZZ_BINS    := $(FUZZ_NAMES:%=$(OUT)/tests/fuzz/fuzz_%)
$(OUT)/tests/fuzz/%.o: INC = $(VMM_INC) -Itests/fuzz -D_GNU_SOURCE
$(FUZZ_REPLAYS): $(OUT)/tests/fuzz/replay_%: $(OUT)/tests/fuzz/replay.o $(OUT)/tests/fuzz/fuzz_%.o \
		$(OUT)/tests/fuzz/fix.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)
$(FUZZ_BINS): $(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/tests/fuzz/fix.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fsanitize=address,undefined,fuzzer $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

.PHONY: fuzz fuzz-replays fuzz-corpus fuzz-capture
# The seeds that are messages between two of these programs: recorded anew when the protocol changes.
fuzz-capture: all
	$(Q)python3 tests/fuzz/capture.py $(OUT)/minivmm $(OUT)/guest-tests/hello.elf
fuzz-replays: $(FUZZ_REPLAYS)
fuzz-corpus: fuzz-replays
	$(Q)$(foreach n,$(FUZZ_NAMES),printf '%s: ' $(n) && $(OUT)/tests/fuzz/replay_$(n) \
		$(wildcard tests/fuzz/corpus/$(n)/*) $(FUZZ_SEEDS_$(n)) &&) true

fuzz:
	$(Q)tests/deps.sh clang
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/fuzz CC=$(FUZZ_CC) SAN=address,undefined,fuzzer-no-link \
		$(TARGETS:%=$(OUT)/fuzz/tests/fuzz/fuzz_%)
	$(Q)set -e; for t in $(TARGETS); do mkdir -p $(OUT)/fuzz/found/$$t; \
		echo "== $$t, $(SECONDS) s"; \
		$(OUT)/fuzz/tests/fuzz/fuzz_$$t -max_total_time=$(SECONDS) -max_len=262144 -rss_limit_mb=2048 \
			-timeout=20 -print_final_stats=1 -artifact_prefix=$(OUT)/fuzz/found/$$t- \
			$(OUT)/fuzz/found/$$t tests/fuzz/corpus/$$t; done

-include $(wildcard $(OUT)/tests/fuzz/*.d)
