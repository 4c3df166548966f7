/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of the machine: CPUs, interrupt controller, power-off, reset, serial port and
 * clock. They lie where software looks for them without being told (ACPI 6.4, 5.2.5.1).
 */
#ifndef MV_VMM_ACPI_H
#define MV_VMM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define MV_ACPI_AT 0xe0000u	/* guest-physical; the RSDP comes first */
#define MV_ACPI_SIZE 0x1000u

/* Fixed hardware (vmm/power.h): the ports that the tables name. */
#define MV_PORT_PM1_EVENT 0x600
#define MV_PORT_PM1_CONTROL 0x604
#define MV_PORT_RESET 0xcf9
#define MV_RESET_VALUE 6
#define MV_SLP_TYP_S5 0
#define MV_IRQ_SCI 9

#define MV_IOAPIC_AT 0xfec00000u
#define MV_LAPIC_AT 0xfee00000u

/*
 * Build the tables for ncpus CPUs and nvirtio virtio devices (vmm/virtio.h) into the MV_ACPI_SIZE
 * bytes at p, which end up at MV_ACPI_AT.
 */
void mv_acpi_build(uint8_t *p, unsigned ncpus, unsigned nvirtio);

#endif
