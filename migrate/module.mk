# SPDX-License-Identifier: MIT
MIGRATE_SRCS := $(addprefix migrate/,frame.c io.c library.c live.c live_receive.c manifest.c packed.c pages.c peer.c \
                rec_policy.c rec_state.c records.c snapshot.c snapshot_save.c state.c stream.c wire.c)
# The saved state carries CPUID tables and masks: it sees the core, and nothing of KVM.
MIGRATE_INC  := -Icpuid -Imigrate
