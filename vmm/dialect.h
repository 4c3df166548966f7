/* SPDX-License-Identifier: MIT */
/*
 * Masks in other systems' notations (docs/dialects.md). A dialect reads its text into an override
 * mask, or writes an override mask as its text; what does not survive the way is told, bit by bit.
 */
#ifndef MV_VMM_DIALECT_H
#define MV_VMM_DIALECT_H

#include <stdbool.h>
#include <stdio.h>

#include "err.h"
#include "host.h"
#include "mask.h"

#define MV_LOSS_ITEM 160		/* bytes of its text */

/* One kind of loss, and what it concerns: "CPUID level 0x1 ECX:19 (SSE4.1)", "msr 0x10a" … */
struct mv_loss {
	char what[160];		/* a clause: "H: source and destination are not compared" */
	uint32_t n, room;	/* items; 0: the clause says it all */
	char (*items)[MV_LOSS_ITEM];
};

struct mv_losses {
	uint32_t n, room;
	struct mv_loss *v;
};

/* Add an item under the loss of these words (made if new); without memory it is a loss without items. */
void mv_loss_bit(struct mv_losses *l, const char *what, uint32_t leaf, uint32_t subleaf, unsigned reg,
		 unsigned bit);
void mv_loss_item(struct mv_losses *l, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A loss that needs no items. */
void mv_loss_note(struct mv_losses *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mv_losses_free(struct mv_losses *l);

/* What only the caller can know. */
struct mv_dialect_opts {
	const char *model;	/* the CPU model to write; NULL: the dialect's own choice */
	enum mv_vendor vendor;	/* whose lines count; MV_VENDOR_OTHER: vendor lines are lost */
	const char *known;	/* the words that the reader at the other end knows; NULL: all that there are */
};

struct mv_dialect {
	const char *name;	/* as --from and --to have it */
	const char *what;	/* a few words for --help */
	/*
	 * Text to mask (overwritten; text[len] is 0, file is for messages). NULL: the mask language
	 * itself, which mv_overrides_load reads. -MV_E_INPUT with file and line.
	 */
	int (*from)(struct mv_mask *m, const char *file, const char *text, size_t len,
		    struct mv_losses *l, struct mv_err *err);
	/* Mask to text. -MV_E_USAGE if the options make no sense for the dialect. */
	int (*to)(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o, struct mv_losses *l,
		  struct mv_err *err);
};

extern const struct mv_dialect *const mv_dialects[];	/* ends with NULL */
const struct mv_dialect *mv_dialect_find(const char *name);
/* "guide, vmx, … or qemu", for messages. */
void mv_dialect_names(char *buf, size_t size);

/* ---- for dialects ---- */

/*
 * A copy without vendor lines: those of o->vendor laid over the plain ones, others (or all) lost.
 * bits: `field` lines become bits of their registers. The caller frees; NULL: no memory.
 */
struct mv_mask *mv_dialect_plain(const struct mv_mask *m, const struct mv_dialect_opts *o, bool bits,
				 struct mv_losses *l);

/* A number by its name in another system; hi: the field of its upper part, or MV_NFIELDS. */
struct mv_dialect_number {
	const char *key;
	enum mv_field_id lo, hi;
};

/*
 * The mask's `field` lines as ",key=N". Both halves of family and model are written as one number, for one
 * alone would overwrite the other; what has no key is a loss of the kind `lost`.
 */
void mv_dialect_write_numbers(FILE *out, const struct mv_mask *m, const struct mv_dialect_number *numbers,
			      size_t nnumbers, struct mv_losses *l, const char *lost);

/* The whole of text as a number of 32 bits, written as in C: no sign, nothing cut off. */
bool mv_dialect_u32(const char *text, uint32_t *out);

/* What s comes down to where hosts are not refused: '1', '0' or the host's value, 'x'; what that loses, or NULL. */
char mv_dialect_reduce(enum mv_sym s, const char **lost);

/* Put s at a feature, or a position; -MV_E_INPUT if the mask is full. */
int mv_dialect_set(struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit,
		   enum mv_sym s, mv_at at);
int mv_dialect_set_field(struct mv_mask *m, enum mv_field_id id, uint32_t value, mv_at at);
int mv_dialect_set_msr(struct mv_mask *m, uint32_t index, unsigned bit, enum mv_sym s, mv_at at);

/* Bits of IA32_ARCH_CAPABILITIES by their names in QEMU and Xen ("" where there is none). */
struct mv_caps_bit {
	uint8_t bit;
	const char *qemu, *xen;
};
extern const struct mv_caps_bit mv_caps_bits[];	/* ends with bit 64 */

extern const struct mv_dialect mv_dialect_vmx, mv_dialect_featmask, mv_dialect_xl, mv_dialect_xl_list,
	mv_dialect_firecracker, mv_dialect_qemu, mv_dialect_libvirt;

#endif
