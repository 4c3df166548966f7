/* SPDX-License-Identifier: MIT */
/*
 * Masks: one symbol for each bit of each CPUID register, in the notation of VMware's guide (Table 2).
 * docs/mask-language.md describes the language.
 */
#ifndef MV_CPUID_MASK_H
#define MV_CPUID_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "table.h"

enum mv_sym {
	MV_SYM_INHERIT,	/* -  override only: the default mask's symbol */
	MV_SYM_X,	/* x  host value, never checked */
	MV_SYM_T,	/* T  1; refused where the host lacks it */
	MV_SYM_F,	/* F  0; refused where the host has it */
	MV_SYM_1,	/* 1  always 1, never checked */
	MV_SYM_0,	/* 0  always 0, never checked */
	MV_SYM_H,	/* H  host value; source and destination must be equal */
	MV_SYM_R,	/* R  0; source and destination hardware must be equal */
};

/* The way it is printed ("-xTF10HR"); and back, in either case: -1 for no symbol. */
char mv_sym_char(enum mv_sym s);
int mv_sym_parse(char c);

/* Where a symbol was written: index into mv_mask_files and line; 0 = nowhere. */
typedef uint32_t mv_at;
#define MV_AT(file, line) (((uint32_t)(file) + 1) << 24 | ((line) & 0xffffff))
#define MV_AT_FILE(at) (((at) >> 24) - 1)
#define MV_AT_LINE(at) ((at) & 0xffffff)

#define MV_MASK_FILES 16
struct mv_mask_files {
	uint32_t n;
	char name[MV_MASK_FILES][256];
};

/* One register; the symbol of bit b is the three bits b of plane[2], plane[1], plane[0]. */
struct mv_mask_reg {
	uint32_t leaf, subleaf;
	uint8_t reg;
	uint8_t vendor;		/* enum mv_vendor; MV_VENDOR_OTHER = any */
	uint32_t plane[3];
	mv_at at[32];
};

struct mv_mask_field {
	uint16_t id;		/* enum mv_field_id */
	uint32_t value;
	mv_at at;
};

struct mv_mask_msr {
	uint32_t index;
	uint64_t plane[3];
	mv_at at;
};

#define MV_MASK_REGS 384
#define MV_MASK_FIELDS 32
#define MV_MASK_MSRS 16

/* A mask, 60 KiB: keep it on the heap. A register that is not there is all '-'. */
struct mv_mask {
	uint32_t nregs, nfields, nmsrs;
	uint32_t nsorted;	/* so many registers, from the first, are in strict order: a hint */
	struct mv_mask_reg regs[MV_MASK_REGS];
	struct mv_mask_field fields[MV_MASK_FIELDS];
	struct mv_mask_msr msrs[MV_MASK_MSRS];
};

/* Of an MSR line: the symbol of a bit, and the bits that have symbol s. */
enum mv_sym mv_mask_msr_sym(const struct mv_mask_msr *m, unsigned bit);
void mv_mask_msr_set(struct mv_mask_msr *m, unsigned bit, enum mv_sym s);
uint64_t mv_mask_msr_with(const struct mv_mask_msr *m, enum mv_sym s);

enum mv_sym mv_mask_reg_sym(const struct mv_mask_reg *r, unsigned bit);
void mv_mask_reg_set(struct mv_mask_reg *r, unsigned bit, enum mv_sym s, mv_at at);
/* Lay the symbols of `from` that are not '-' over `to`, with where they were written. */
void mv_mask_reg_overlay(struct mv_mask_reg *to, const struct mv_mask_reg *from);
/* The bits that have symbol s. */
static inline uint32_t mv_mask_reg_with(const struct mv_mask_reg *r, enum mv_sym s)
{
	return ~((r->plane[0] ^ (s & 1 ? UINT32_MAX : 0)) |
		 (r->plane[1] ^ (s & 2 ? UINT32_MAX : 0)) |
		 (r->plane[2] ^ (s & 4 ? UINT32_MAX : 0)));
}
/* The bits that have a symbol other than '-'. */
static inline uint32_t mv_mask_reg_named(const struct mv_mask_reg *r)
{
	return r->plane[0] | r->plane[1] | r->plane[2];
}
/* An empty mask. What is behind the counts is neither read nor written: pages never touched cost nothing. */
void mv_mask_clear(struct mv_mask *m);
void mv_mask_copy(struct mv_mask *to, const struct mv_mask *from);

const struct mv_mask_reg *mv_mask_find(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf,
				       unsigned reg);
/* Find the register or append one of '-'; NULL if the mask is full. */
struct mv_mask_reg *mv_mask_add(struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg,
				enum mv_vendor vendor);
/* The symbol at a position ('-' if the register is not there). */
enum mv_sym mv_mask_sym(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg,
			unsigned bit);
mv_at mv_mask_at(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg,
		 unsigned bit);
const struct mv_mask_field *mv_mask_find_field(const struct mv_mask *m, enum mv_field_id id);

/*
 * final = override where it is not '-', else default (guide, Appendix B "Final Mask"). Lines
 * restricted to a vendor count only for that vendor and win over plain ones; the result has none.
 * Bits that neither mask names become '0': what no default mask names is hidden.
 * -MV_E_INPUT if the result has more registers than MV_MASK_REGS.
 */
int mv_mask_merge(struct mv_mask *final, const struct mv_mask *def, const struct mv_mask *over,
		  enum mv_vendor vendor, struct mv_err *err);

/* Put mask `later` on top of m in place, both with any vendor lines: a later file wins. */
int mv_mask_overlay(struct mv_mask *m, const struct mv_mask *later, struct mv_err *err);

/* Order registers by leaf, subleaf, register; merged masks are in this order. */
bool mv_mask_reg_before(const struct mv_mask_reg *a, const struct mv_mask_reg *b);
void mv_mask_sort(struct mv_mask *m);

/* The 32 symbols of a register in the guide's layout, "---- ---- … ----": 39 characters and NUL. */
#define MV_MASK_TEXT 40
void mv_mask_reg_format(const struct mv_mask_reg *r, char out[MV_MASK_TEXT]);
/* The same for the 64 symbols of an MSR. */
#define MV_MASK_MSR_TEXT 80
void mv_mask_msr_format(const struct mv_mask_msr *m, char out[MV_MASK_MSR_TEXT]);

/* The level line of the guide: "Level 0x7h Sublevel 0x1h" (no sublevel where the leaf has none). */
int mv_level_format(char *buf, size_t size, uint32_t leaf, uint32_t subleaf);

#endif
