# SPDX-License-Identifier: MIT
MIGRATE_SRCS := migrate/manifest.c migrate/rec_policy.c migrate/rec_state.c migrate/records.c \
                migrate/snapshot.c migrate/state.c migrate/stream.c migrate/wire.c
# The saved state carries CPUID tables and masks: it sees the core, and nothing of KVM.
MIGRATE_INC  := -Icpuid -Imigrate
