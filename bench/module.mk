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
.PHONY: bench-fleet bench-fleet-files
bench-fleet: $(OUT)/bench/fleet
	$(Q)$(OUT)/bench/fleet $(MV_DUMPS) --json $(OUT)/bench/fleet.json
# From files on disk, by minivmm fleet itself; BENCH_DIR has room for 250 MiB.
bench-fleet-files: $(OUT)/bench/fleet $(OUT)/minivmm
	$(Q)bench/fleet.py $(OUT) $(MV_DUMPS) --dir $(or $(BENCH_DIR),/tmp) --json $(OUT)/bench/fleet-files.json

$(OUT)/bench/start $(OUT)/bench/floor $(OUT)/bench/floor-restore: $(OUT)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CSTD) $(WARN) -D_GNU_SOURCE -O2 -o $@ $<

# It runs in lab hosts, which have no libraries.
$(OUT)/bench/cpuid-table: bench/cpuid-table.c guest-tests/abi.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CSTD) $(WARN) -D_GNU_SOURCE -I. -O2 -static -o $@ $<

BENCH_GUEST_LD := -Wl,--build-id=none,-n,-Ttext=0x100000,--section-start=.multiboot=0x101000,--section-start=.note.minivmm=0x102000
$(OUT)/bench/%.elf: bench/%.S
	@mkdir -p $(@D)
	$(call say,AS,$@)
	$(Q)$(CC) -m32 -I. -nostdlib -static $(BENCH_GUEST_LD) -o $@ $<

$(OUT)/bench/cpuid-note.elf: bench/cpuid.S
	@mkdir -p $(@D)
	$(call say,AS,$@)
	$(Q)$(CC) -m32 -I. -DWITH_NOTE -nostdlib -static $(BENCH_GUEST_LD) -o $@ $<

$(OUT)/bench/once16.bin: bench/once16.S
	@mkdir -p $(@D)
	$(call say,AS,$@)
	$(Q)$(CC) -m32 -nostdlib -static -Wl,--build-id=none,-Ttext=0,--oformat=binary -o $@ $<

# In turns with the floor and, where it is installed, QEMU, and kvmtool if its program is given (KVMTOOL=PATH: Debian has
# none); every one runs the same few instructions.
START_ROUNDS ?= 31
START_QEMU   := qemu-system-x86_64 -machine microvm,accel=kvm -cpu qemu64 -m 64 -nodefaults -no-user-config \
                -display none -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel
.PHONY: bench bench-core bench-start bench-cpuid bench-snapshot bench-live bench-intercept
# All of them, one after the other, into docs/benchmarks.md; BENCHES=start,live: these again. Four minutes.
bench: all deps-test
	$(Q)bench/all.py $(OUT) --out docs/benchmarks.md $(if $(BENCHES),--only $(BENCHES))
bench-core: $(OUT)/bench/core
	$(Q)$(OUT)/bench/core tests/data/hosts/milan.json configs/guest-os/linux64.mask \
		configs/overrides/hide-sse41.mask $(OUT)/bench/core.json
bench-start: $(OUT)/bench/start $(OUT)/bench/floor $(OUT)/bench/once.elf $(OUT)/bench/once16.bin $(OUT)/minivmm
	$(Q)set -- floor $(OUT)/bench/floor "floor, interrupts" "$(OUT)/bench/floor irqs" minivmm "$(OUT)/minivmm run -q $(OUT)/bench/once.elf"; \
	if command -v qemu-system-x86_64 >/dev/null; then \
		set -- "$$@" "QEMU microvm" "$(START_QEMU) $(OUT)/bench/once.elf"; fi; \
	if [ -n "$(KVMTOOL)" ]; then \
		set -- "$$@" kvmtool "$(KVMTOOL) run -k $(OUT)/bench/once16.bin -m 64 -c 1 --console serial -n mode=none"; fi; \
	$(OUT)/bench/start -n $(START_ROUNDS) -o $(OUT)/bench/start.json "$$@"
# In an emulated host; the figures repeat.
bench-cpuid: $(OUT)/bench/cpuid.elf $(OUT)/bench/cpuid-note.elf $(OUT)/bench/cpuid-table all deps-lab
	$(Q)bench/cpuid.py $(OUT) $(OUT)/bench/cpuid.json

# Files of up to 2 GiB, in BENCH_DIR (memory, if there is /dev/shm); BENCH_RAM: of which guests.
BENCH_RAM ?= 64,512,2048
BENCH_DIR ?= $(wildcard /dev/shm)
bench-snapshot: all $(OUT)/bench/floor-restore
	$(Q)python3 bench/snapshot.py $(OUT) --dir $(or $(BENCH_DIR),/tmp) --ram $(BENCH_RAM) --json $(OUT)/bench/snapshot.json

bench-live: all
	$(Q)bench/live.py $(OUT)/minivmm $(GUEST_OUT)/hello.elf $(OUT)/bench/live.json

# What each way to answer a CPUID costs, whether or not it is proved here.
bench-intercept: all $(OUT)/bench/intercept
	$(Q)$(OUT)/bench/intercept -o $(OUT)/bench/intercept.json $(GUEST_OUT)/cpuids.elf
$(OUT)/bench/intercept.o: INC := $(VMM_INC) -D_GNU_SOURCE
$(OUT)/bench/intercept: $(OUT)/bench/intercept.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)
