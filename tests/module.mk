# SPDX-License-Identifier: MIT
# Unit tests (Criterion): one program a file. Those of the core link the core alone.
UNIT_SRCS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(OUT)/tests/unit/%)

comma := ,

# What a test may link, by what it is about; everything else is the core's.
UNIT_MIGRATE := test_stream test_packed test_snapshot test_snapshot_hostile test_snapshot_faults test_live test_peer
UNIT_VMM     := test_vcpu_state test_lazy test_image test_sites test_testdev test_device test_virtio test_disk_id test_host_file test_maskload test_names test_import test_baseline_hosts test_explain test_dialect

unit_libs = $(if $(filter $(UNIT_VMM),$(1)),$(LIBS),\
            $(if $(filter $(UNIT_MIGRATE),$(1)),$(OUT)/libmv-migrate.a) $(OUT)/libmv-cpuid.a)
unit_inc  = $(if $(filter $(UNIT_VMM),$(1)),$(VMM_INC),\
            $(if $(filter $(UNIT_MIGRATE),$(1)),$(MIGRATE_INC),$(CPUID_INC)))
unit_more = $(if $(filter test_live,$(1)),$(OUT)/tests/unit/fake_vm.o) \
            $(if $(filter $(UNIT_MIGRATE) test_lazy,$(1)),$(OUT)/tests/unit/snapshot_fixture.o,\
            $(if $(filter $(UNIT_VMM),$(1)),,$(if $(wildcard tests/unit/support.c),$(OUT)/tests/unit/support.o)))
unit_ld   = $(if $(filter test_vcpu_state,$(1)),-Wl$(comma)--wrap=mv_kvm_cap$(comma)--wrap=mv_kvm_call) \
            $(if $(filter $(UNIT_VMM),$(1)),$(VMM_LIBS),$(if $(filter $(UNIT_MIGRATE),$(1)),-lxxhash))

$(OUT)/tests/unit/%.o: INC = $(call unit_inc,$(notdir $*)) -I. -Itests/unit -D_GNU_SOURCE \
                             -DMV_SOURCE_DIR='"$(CURDIR)"'
$(OUT)/tests/unit/snapshot_fixture.o $(OUT)/tests/unit/fake_vm.o: INC = $(MIGRATE_INC) -I. -Itests/unit -D_GNU_SOURCE
$(OUT)/tests/unit/support.o: INC = $(CPUID_INC) -I. -Itests/unit -D_GNU_SOURCE -DMV_SOURCE_DIR='"$(CURDIR)"'

.SECONDEXPANSION:
$(UNIT_BINS): $(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $$(call unit_more,$$*) $$(call unit_libs,$$*)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ -lcriterion $(call unit_ld,$*)

# A guest that accesses ports, addresses and virtio queues at random, for long, with sanitizers in the
# program (but for leaks: their check traces the process, which the filter forbids).
# make fuzz-devices FUZZ_SEEDS=1000 FUZZ_COUNT=5000
FUZZ_SEEDS ?= 50
FUZZ_COUNT ?= 2000
.PHONY: fuzz-devices
fuzz-devices: deps-test
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/fuzz-devices SAN=address,undefined all
	$(Q)ASAN_OPTIONS=detect_leaks=0 FUZZ_SEEDS=$(FUZZ_SEEDS) FUZZ_COUNT=$(FUZZ_COUNT) tests/alone.sh tests/integration/devices.sh $(OUT)/fuzz-devices

# The program as it is where libvirt's header is missing: virt.c alone looks for it.
$(OUT)/tests/virt-off.o: vmm/virt.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CSTD) $(WARN) $(CFLAGS) $(SANFLAGS) $(filter-out -DMV_LIBVIRT,$(VMM_INC)) -D_GNU_SOURCE $(DEPFLAGS) -c -o $@ $<
$(OUT)/tests/minivmm-virt-off: $(CLI_OBJS) $(OUT)/tests/virt-off.o $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

# Every call of the C library fails in turn, for every command that has something to lose (half an hour or more):
# make faults FAULTS="only=save,restore". And what must not grow, does not: make soak COUNT=1000.
$(OUT)/tests/faults/preload.so: tests/faults/preload.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(WARN) $(CFLAGS) -D_GNU_SOURCE -fPIC -shared -o $@ $<
FAULTS ?= all=1
COUNT  ?= 1000
.PHONY: faults soak
faults: deps-test
	$(Q)$(MAKE) --no-print-directory all $(OUT)/tests/faults/preload.so
	$(Q)tests/alone.sh tests/integration/faults.sh $(OUT) $(FAULTS)
soak: deps-test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/alone.sh tests/integration/soak.sh $(OUT) $(COUNT)

.PHONY: unit-tests
unit-tests: $(UNIT_BINS) $(OUT)/tests/minivmm-virt-off

-include $(wildcard $(OUT)/tests/unit/*.d)

# Lines that the unit tests reach; fails under COVERAGE percent of the core and of migrate/.
COVERAGE ?= 90
.PHONY: coverage valgrind tsan
coverage: deps-test
	$(Q)tests/deps.sh gcovr
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/coverage CFLAGS='-O0 -g --coverage' LDFLAGS=--coverage unit-tests
	$(Q)find $(OUT)/coverage -name '*.gcda' -delete
	$(Q)for t in $(UNIT_SRCS:tests/unit/%.c=$(OUT)/coverage/tests/unit/%); do $$t -q || exit 1; done
	$(Q)for d in cpuid migrate; do gcovr -r . --object-directory $(OUT)/coverage --filter $$d/ \
		--fail-under-line $(COVERAGE) || exit 1; done

# The scripts that start no VM, with valgrind around each call of the program: no error, no leak.
VALGRIND_SCRIPTS ?= baseline defaults dialects drift import lint
valgrind: all deps-test
	$(Q)tests/deps.sh valgrind
	$(Q)tests/wrapped.sh $(OUT) valgrind 'valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
		--error-exitcode=99' $(VALGRIND_SCRIPTS)

# Several vCPUs, and saving and moving running guests, with ThreadSanitizer in the program (Criterion's own memory does
# not go with it).
TSAN_SCRIPTS ?= run snapshot restore-memory migrate
tsan: deps-test
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/tsan SAN=thread CFLAGS='-O1 -g -Wno-tsan' all
	$(Q)rm -f $(OUT)/tsan/report.*
	$(Q)TSAN_OPTIONS='exitcode=99 log_path=$(abspath $(OUT))/tsan/report' \
		tests/wrapped.sh $(OUT)/tsan tsan '' $(TSAN_SCRIPTS)
	$(Q)! ls $(OUT)/tsan/report.* 2>/dev/null
