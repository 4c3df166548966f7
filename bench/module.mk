# SPDX-License-Identifier: MIT
# make bench: figures, never tests. Ratios are against a floor or a peer in the same run.
$(OUT)/bench/core.o: INC := $(VMM_INC) -D_GNU_SOURCE
$(OUT)/bench/core: $(OUT)/bench/core.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

$(OUT)/bench/fleet.o: INC := $(VMM_INC) -D_GNU_SOURCE
$(OUT)/bench/fleet: $(OUT)/bench/fleet.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

# MV_DUMPS=DIR: real CPU dumps to make the fleet from.
MV_DUMPS ?= tests/data/hosts
.PHONY: bench bench-fleet
bench-fleet: $(OUT)/bench/fleet
	$(Q)$(OUT)/bench/fleet $(MV_DUMPS) $(BENCH_ARGS)
bench: bench-fleet $(OUT)/bench/core
	$(Q)$(OUT)/bench/core tests/data/hosts/milan.json configs/guest-os/linux64.mask \
		configs/overrides/hide-sse41.mask

$(OUT)/bench/floor: bench/floor.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CSTD) $(WARN) $(CFLAGS) -D_GNU_SOURCE -o $@ $<

# Files of up to 2 GiB, in BENCH_DIR (memory, if there is /dev/shm).
BENCH_DIR ?= $(wildcard /dev/shm)
.PHONY: bench-snapshot
bench-snapshot: all $(OUT)/bench/floor
	$(Q)python3 bench/snapshot.py $(OUT) --dir $(or $(BENCH_DIR),/tmp) --json $(OUT)/bench/snapshot.json
