# SPDX-License-Identifier: MIT
# The pure core: no I/O, no allocation, no printing; it sees no other folder.
CPUID_SRCS := $(addprefix cpuid/,err.c text.c feature.c nearest.c table.c mask.c masklex.c maskfile.c xstate.c host.c \
              policy.c apply.c apply_derived.c answer.c leak.c predict.c verdict.c verdict_rules.c psabi.c maskwrite.c \
              lint.c quick.c \
              baseline.c baseline_use.c suggest.c)
CPUID_INC  := -Icpuid
