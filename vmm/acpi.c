/* SPDX-License-Identifier: MIT */
/* Section numbers are those of the ACPI specification 6.4. */
#include "acpi.h"

#include <string.h>

#include "le.h"
#include "virtio.h"

struct header {			/* 5.2.6 */
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct rsdp {			/* 5.2.5.3 */
	char signature[8];
	uint8_t checksum;	/* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct xsdt {
	struct header h;
	uint64_t fadt, madt;
} __attribute__((packed));

struct facs {			/* 5.2.10: only there because the fixed hardware asks for it */
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} __attribute__((packed));

struct gas {			/* 5.2.3.2: generic address */
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

#define IN_IO_SPACE 1
#define BYTE_ACCESS 1
#define WORD_ACCESS 2

struct fadt {			/* 5.2.9, as of ACPI 5.0: nothing newer is of use here */
	struct header h;
	uint32_t facs, dsdt;
	uint8_t reserved, pm_profile;
	uint16_t sci_irq;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base;
	uint8_t cst_cnt;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved2;
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr;
	struct gas x_gpe0, x_gpe1, sleep_control, sleep_status;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 268, "the FADT of ACPI 5.0");

/* 5.2.9.3: ISA devices that must be probed for; no VGA, and no 8042 keyboard behind port 0x64. */
#define BOOT_LEGACY_DEVICES 1
#define BOOT_NO_VGA 4

/* 5.2.9, table 5.10. */
#define FLAG_WBINVD (1 << 0)
#define FLAG_C1 (1 << 2)
#define FLAG_NO_FIXED_POWER_BUTTON (1 << 4)
#define FLAG_NO_FIXED_SLEEP_BUTTON (1 << 5)
#define FLAG_NO_FIXED_RTC_WAKE (1 << 6)
#define FLAG_RESET_REGISTER (1 << 10)

struct madt {			/* 5.2.12 */
	struct header h;
	uint32_t lapic, flags;
} __attribute__((packed));

#define MADT_HAS_PICS 1

struct madt_lapic {		/* 5.2.12.2 */
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {		/* 5.2.12.3 */
	uint8_t type, length, id, reserved;
	uint32_t address, first_gsi;
} __attribute__((packed));

struct madt_override {		/* 5.2.12.5 */
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_nmi {		/* 5.2.12.7 */
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

#define ACTIVE_HIGH 1
#define LEVEL_TRIGGERED (3 << 2)

/*
 * The DSDT's code (chapter 20), assembled by hand:
 *
 *   Scope (\_SB) {
 *     Device (COM1) {
 *       Name (_HID, EisaId ("PNP0501"))
 *       Name (_UID, One)
 *       Name (_CRS, ResourceTemplate () {
 *         IO (Decode16, 0x3f8, 0x3f8, 0, 8)
 *         IRQNoFlags () {4}
 *       })
 *     }
 *     Device (RTC0) {
 *       Name (_HID, EisaId ("PNP0B00"))
 *       Name (_CRS, ResourceTemplate () { IO (Decode16, 0x70, 0x70, 0, 2) })
 *     }
 *   }
 *   Name (\_S5, Package (4) { Zero, Zero, Zero, Zero })
 *
 * A length counts itself and what follows; above 63 its first byte is 0x40 | low four bits.
 */
static const uint8_t aml[] = {
	0x10, 0x48, 0x05, 0x5c, '_', 'S', 'B', '_',	/* Scope, 88 bytes */
	0x5b, 0x82, 0x2b, 'C', 'O', 'M', '1',		/* Device, 43 bytes */
	0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x05, 0x01,
	0x08, '_', 'U', 'I', 'D', 0x01,
	0x08, '_', 'C', 'R', 'S', 0x11, 0x10, 0x0a, 0x0d,	/* Buffer, 16 bytes, 13 of them data */
	0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x00, 0x08,	/* 6.4.2.5: I/O port */
	0x22, 0x10, 0x00,				/* 6.4.2.1: a bit for each IRQ */
	0x79, 0x00,					/* 6.4.2.9: end; no checksum */
	0x5b, 0x82, 0x22, 'R', 'T', 'C', '0',		/* Device, 34 bytes */
	0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0b, 0x00,
	0x08, '_', 'C', 'R', 'S', 0x11, 0x0d, 0x0a, 0x0a,
	0x47, 0x01, 0x70, 0x00, 0x70, 0x00, 0x00, 0x02,
	0x79, 0x00,
	0x08, 0x5c, '_', 'S', '5', '_', 0x12, 0x06, 0x04, /* Package, 6 bytes, 4 elements */
	MV_SLP_TYP_S5, 0x00, 0x00, 0x00,		/* _S5: what goes to PM1a, PM1b; reserved */
};

/*
 * A virtio device, with its place in its name, its _UID and its resources:
 *
 *   Device (VRT0) {
 *     Name (_HID, "LNRO0005")
 *     Name (_UID, 0)
 *     Name (_CRS, ResourceTemplate () {
 *       Memory32Fixed (ReadWrite, 0xd0000000, 0x1000)
 *       Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) {16}
 *     })
 *   }
 */
static const uint8_t virtio_aml[] = {
	0x5b, 0x82, 0x3b, 'V', 'R', 'T', '0',		/* Device, 59 bytes */
	0x08, '_', 'H', 'I', 'D', 0x0d, 'L', 'N', 'R', 'O', '0', '0', '0', '5', 0x00,
	0x08, '_', 'U', 'I', 'D', 0x0a, 0x00,
	0x08, '_', 'C', 'R', 'S', 0x11, 0x1a, 0x0a, 0x17,	/* Buffer, 26 bytes, 23 of them data */
	0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,	/* 6.4.3.4 */
	0x89, 0x06, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00,	/* 6.4.3.6: consumer, level, high */
	0x79, 0x00,
};

enum { AML_NAME = 6, AML_UID = 28, AML_ADDRESS = 42, AML_IRQ = 55 };

_Static_assert(MV_VIRTIO_SIZE == 0x1000, "what the code above says");

#define OEM "MINIVM"

static uint8_t checksum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *b++);
	return (uint8_t)-sum;
}

/* Put the header in front of a table of length bytes at p. */
static void seal(uint8_t *p, const char *signature, uint8_t revision, size_t length)
{
	struct header h = { .length = (uint32_t)length, .revision = revision,
			    .oem_revision = 1, .creator_revision = 1 };

	memcpy(h.signature, signature, sizeof(h.signature));
	memcpy(h.oem_id, OEM, sizeof(h.oem_id));
	memcpy(h.oem_table_id, OEM "  ", sizeof(h.oem_table_id));
	memcpy(h.creator_id, OEM, sizeof(h.creator_id));
	memcpy(p, &h, sizeof(h));
	p[offsetof(struct header, checksum)] = checksum(p, length);
}

static struct gas io_register(uint16_t port, uint8_t bits, uint8_t access)
{
	return (struct gas){ .space = IN_IO_SPACE, .bits = bits, .access = access, .address = port };
}

static size_t build_fadt(uint8_t *p, uint32_t facs, uint32_t dsdt)
{
	struct fadt f = {
		.facs = facs,
		.dsdt = dsdt,
		.x_dsdt = dsdt,
		.sci_irq = MV_IRQ_SCI,
		/* No SMI command port: the machine is in ACPI mode from the start. */
		.pm1a_evt = MV_PORT_PM1_EVENT,
		.pm1_evt_len = 4,
		.x_pm1a_evt = io_register(MV_PORT_PM1_EVENT, 32, WORD_ACCESS),
		.pm1a_cnt = MV_PORT_PM1_CONTROL,
		.pm1_cnt_len = 2,
		.x_pm1a_cnt = io_register(MV_PORT_PM1_CONTROL, 16, WORD_ACCESS),
		.c2_latency = 0xfff,	/* above the limits: no such states */
		.c3_latency = 0xfff,
		.century = 0x32,
		.boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA,
		.flags = FLAG_WBINVD | FLAG_C1 | FLAG_NO_FIXED_POWER_BUTTON |
			 FLAG_NO_FIXED_SLEEP_BUTTON | FLAG_NO_FIXED_RTC_WAKE | FLAG_RESET_REGISTER,
		.reset = io_register(MV_PORT_RESET, 8, BYTE_ACCESS),
		.reset_value = MV_RESET_VALUE,
	};

	memcpy(p, &f, sizeof(f));
	seal(p, "FACP", 5, sizeof(f));
	return sizeof(f);
}

/* The APIC id of a CPU is its number; GSIs are ISA's IRQs, as KVM routes them by default. */
static size_t build_madt(uint8_t *p, unsigned ncpus)
{
	struct madt m = { .lapic = MV_LAPIC_AT, .flags = MADT_HAS_PICS };
	struct madt_ioapic ioapic = { .type = 1, .length = sizeof(ioapic),
				      .address = MV_IOAPIC_AT };
	struct madt_override sci = { .type = 2, .length = sizeof(sci), .source = MV_IRQ_SCI,
				     .gsi = MV_IRQ_SCI, .flags = ACTIVE_HIGH | LEVEL_TRIGGERED };
	struct madt_nmi nmi = { .type = 4, .length = sizeof(nmi), .processor = 0xff, .lint = 1 };
	size_t n = sizeof(m);

	for (unsigned i = 0; i < ncpus; i++) {
		struct madt_lapic cpu = { .type = 0, .length = sizeof(cpu), .processor = (uint8_t)i,
					  .apic_id = (uint8_t)i, .flags = 1 };

		memcpy(p + n, &cpu, sizeof(cpu));
		n += sizeof(cpu);
	}
	memcpy(p + n, &ioapic, sizeof(ioapic));
	n += sizeof(ioapic);
	memcpy(p + n, &sci, sizeof(sci));
	n += sizeof(sci);
	memcpy(p + n, &nmi, sizeof(nmi));
	n += sizeof(nmi);
	memcpy(p, &m, sizeof(m));
	seal(p, "APIC", 3, n);
	return n;
}

/* Scope (\_SB), again, around a Device for each virtio device. */
static size_t add_virtio(uint8_t *p, unsigned n)
{
	size_t length = 2 + 5 + n * sizeof(virtio_aml);	/* of itself, of the name, of what follows */
	const uint8_t scope[] = {
		0x10, (uint8_t)(0x40 | (length & 15)), (uint8_t)(length >> 4), 0x5c, '_', 'S', 'B', '_',
	};

	if (!n)
		return 0;
	memcpy(p, scope, sizeof(scope));
	p += sizeof(scope);
	for (unsigned i = 0; i < n; i++, p += sizeof(virtio_aml)) {
		memcpy(p, virtio_aml, sizeof(virtio_aml));
		p[AML_NAME] = (uint8_t)('0' + i);
		p[AML_UID] = (uint8_t)i;
		mv_store_le(p + AML_ADDRESS, MV_VIRTIO_AT + i * MV_VIRTIO_SIZE, 4);
		mv_store_le(p + AML_IRQ, MV_VIRTIO_IRQ + i, 4);
	}
	return 1 + length;
}

static size_t build_dsdt(uint8_t *p, unsigned nvirtio)
{
	size_t n = sizeof(struct header);

	memcpy(p + n, aml, sizeof(aml));
	n += sizeof(aml);
	n += add_virtio(p + n, nvirtio);
	seal(p, "DSDT", 2, n);
	return n;
}

#define ALIGN 64	/* the FACS's; good enough for the others */

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void mv_acpi_build(uint8_t *p, unsigned ncpus, unsigned nvirtio)
{
	struct rsdp rsdp = { .signature = "RSD PTR ", .oem_id = OEM, .revision = 2,
			     .length = sizeof(rsdp) };
	struct facs facs = { .signature = "FACS", .length = sizeof(facs), .version = 2 };
	struct xsdt xsdt = { .fadt = 0 };
	size_t facs_at = aligned(sizeof(rsdp)), dsdt_at = aligned(facs_at + sizeof(facs));
	size_t at;

	memset(p, 0, MV_ACPI_SIZE);
	memcpy(p + facs_at, &facs, sizeof(facs));
	at = aligned(dsdt_at + build_dsdt(p + dsdt_at, nvirtio));
	xsdt.fadt = MV_ACPI_AT + at;
	at = aligned(at + build_fadt(p + at, (uint32_t)(MV_ACPI_AT + facs_at),
				     (uint32_t)(MV_ACPI_AT + dsdt_at)));
	xsdt.madt = MV_ACPI_AT + at;
	at = aligned(at + build_madt(p + at, ncpus));
	memcpy(p + at, &xsdt, sizeof(xsdt));
	seal(p + at, "XSDT", 1, sizeof(xsdt));
	rsdp.xsdt = MV_ACPI_AT + at;
	rsdp.checksum = checksum(&rsdp, offsetof(struct rsdp, length));
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(p, &rsdp, sizeof(rsdp));
}
