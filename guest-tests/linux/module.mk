# SPDX-License-Identifier: MIT
# cpuid-probe: a static program for Linux guests, so that it runs in any of them. Sanitizers are left
# out: they do not go with static linking, and an exception that is caught is what it is made of.
PROBE_LINUX_OUT  := $(GUEST_OUT)/linux-static
PROBE_LINUX_SRCS := guest-tests/linux/cpuid-probe.c guest-tests/linux/rows.c cpuid/feature.c
PROBE_LINUX_OBJS := $(addprefix $(PROBE_LINUX_OUT)/,$(notdir $(PROBE_LINUX_SRCS:.c=.o)))

$(PROBE_LINUX_OUT)/feature.o: cpuid/feature.c
$(PROBE_LINUX_OUT)/rows.o: guest-tests/linux/rows.c
$(PROBE_LINUX_OUT)/cpuid-probe.o: guest-tests/linux/cpuid-probe.c
$(PROBE_LINUX_OBJS):
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -g -I. -Icpuid -D_GNU_SOURCE $(DEPFLAGS) -c -o $@ $<

$(OUT)/cpuid-probe: $(PROBE_LINUX_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) -static -o $@ $^

all: $(OUT)/cpuid-probe

-include $(wildcard $(PROBE_LINUX_OUT)/*.d)
