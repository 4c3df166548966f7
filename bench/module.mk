# SPDX-License-Identifier: MIT
# make bench: figures, never tests. Ratios are against a floor or a peer in the same run.
$(OUT)/bench/core.o: INC := $(VMM_INC) -D_GNU_SOURCE
$(OUT)/bench/core: $(OUT)/bench/core.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

.PHONY: bench
bench: $(OUT)/bench/core
	$(Q)$(OUT)/bench/core tests/data/hosts/milan.json configs/guest-os/linux64.mask \
		configs/overrides/hide-sse41.mask
