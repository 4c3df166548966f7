/* SPDX-License-Identifier: MIT */
#include "sites.h"

#include <Zydis/Zydis.h>
#include <elf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-tests/abi.h"
#include "le.h"

/* What is known of a byte of an executable segment. */
enum { UNKNOWN, START, INTERIOR, CONFLICT /* two decodings disagree */ };
enum { MODE64, MODE32, NMODES };

struct decoding {
	const struct mv_image *img;
	/* Per mode and executable segment, one mark a byte: what is code in one may not be in both. */
	uint8_t *known[NMODES][MV_IMAGE_SEGMENTS];
	uint64_t *todo;				/* addresses to decode from; bit 63: 32-bit code */
	size_t ntodo, room;
};

#define CODE32 (UINT64_C(1) << 63)

static int push(struct decoding *d, uint64_t address)
{
	if (d->ntodo == d->room) {
		size_t room = d->room ? d->room * 2 : 256;
		uint64_t *p = realloc(d->todo, room * sizeof(*p));

		if (!p)
			return -1;
		d->todo = p;
		d->room = room;
	}
	d->todo[d->ntodo++] = address;
	return 0;
}

/* The mark of the byte at gpa; NULL outside executable bytes of the file. */
static uint8_t *mark(const struct decoding *d, unsigned mode, uint64_t gpa)
{
	for (unsigned i = 0; i < d->img->nsegments; i++) {
		const struct mv_segment_map *s = &d->img->segments[i];

		if (d->known[mode][i] && gpa >= s->gpa && gpa - s->gpa < s->file_size)
			return &d->known[mode][i][gpa - s->gpa];
	}
	return NULL;
}

static size_t bytes_left(const struct decoding *d, uint64_t gpa)
{
	for (unsigned i = 0; i < d->img->nsegments; i++) {
		const struct mv_segment_map *s = &d->img->segments[i];

		if (s->exec && gpa >= s->gpa && gpa - s->gpa < s->file_size)
			return s->file_size - (gpa - s->gpa);
	}
	return 0;
}

/* Mark the bytes of an instruction. */
static void mark_instruction(uint8_t *m, const ZydisDecodedInstruction *ins)
{
	/* A CPUID with prefixes is one, too, but no two-byte replacement fits it. */
	bool prefixed = ins->mnemonic == ZYDIS_MNEMONIC_CPUID && ins->length != 2;

	m[0] = prefixed ? CONFLICT : START;
	for (unsigned i = 1; i < ins->length; i++)
		m[i] = !prefixed && (m[i] == UNKNOWN || m[i] == INTERIOR) ? INTERIOR : CONFLICT;
}

/* Does nothing behind this instruction follow from it? */
static bool ends_here(const ZydisDecodedInstruction *ins)
{
	return ins->mnemonic == ZYDIS_MNEMONIC_UD2 ||
	       (ins->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
		(ins->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
		 ins->meta.category == ZYDIS_CATEGORY_RET));
}

/* Follow straight-line code from one address, noting direct branch targets for later. */
static int follow(struct decoding *d, uint64_t from)
{
	bool code32 = from & CODE32;
	uint64_t gpa = from & ~CODE32;
	ZydisDecoder decoder;
	uint8_t *m;

	ZydisDecoderInit(&decoder, code32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
					  : ZYDIS_MACHINE_MODE_LONG_64,
			 code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
	while ((m = mark(d, code32 ? MODE32 : MODE64, gpa)) && *m == UNKNOWN) {
		ZydisDecodedInstruction ins;
		size_t left = bytes_left(d, gpa);
		const uint8_t *code = mv_image_at(d->img, gpa, 1);

		if (!code || ZYAN_FAILED(ZydisDecoderDecodeInstruction(&decoder, NULL, code, left,
								       &ins)))
			return 0;
		mark_instruction(m, &ins);
		if (ins.raw.imm[0].is_relative) {
			uint64_t target = gpa + ins.length + (uint64_t)ins.raw.imm[0].value.s;

			if (push(d, (code32 ? target & UINT32_MAX : target) |
					    (code32 ? CODE32 : 0)))
				return -1;
		}
		if (ends_here(&ins))
			return 0;
		gpa += ins.length;
	}
	if (m && *m == INTERIOR)
		*m = CONFLICT;
	return 0;
}

/* An ELF32 file may well hold 64-bit code: then its symbols are tried as both. */
static int push_symbols(struct decoding *d)
{
	const struct mv_image *img = d->img;

	for (size_t i = 0; i < img->nsyms; i++) {
		const uint8_t *p = img->data + img->symtab + i * img->symsize;
		uint8_t info = img->elf64 ? p[4] : p[12];
		uint64_t value = img->elf64 ? mv_le64(p + 8) : mv_le32(p + 4);

		if (ELF64_ST_TYPE(info) != STT_FUNC || !mark(d, MODE64, value))
			continue;
		if (push(d, value) || (!img->elf64 && push(d, value | CODE32)))
			return -1;
	}
	return 0;
}

static bool is_pair(const uint8_t *p)
{
	return p[0] == MV_OPCODE_CPUID_0 && p[1] == MV_OPCODE_CPUID_1;
}

static int add(struct mv_sites *s, const struct mv_image *img, uint64_t gpa, struct mv_err *err)
{
	uint32_t i = s->n;

	if (mv_sites_has(s, gpa))
		return 0;
	if (s->n == MV_MAX_SITES)
		return mv_err_at(err, MV_E_INPUT, img->name, 0, 0,
				 "more than %d CPUID instructions", MV_MAX_SITES);
	for (; i > 0 && s->gpa[i - 1] > gpa; i--)
		s->gpa[i] = s->gpa[i - 1];
	s->gpa[i] = gpa;
	s->n++;
	return 0;
}

static int listed_sites(struct mv_sites *s, struct decoding *d, struct mv_err *err)
{
	const struct mv_image *img = d->img;

	for (uint32_t i = 0; i < img->nsites; i++) {
		uint64_t gpa = mv_le64(img->sites + (size_t)i * 8);
		const uint8_t *code = mark(d, MODE64, gpa) ? mv_image_at(img, gpa, 2) : NULL;
		int rc;

		if (!code || !is_pair(code))
			return mv_err_at(err, MV_E_INPUT, img->name, 0, 0,
					 "its note lists a CPUID at 0x%llx, where there is none",
					 (unsigned long long)gpa);
		rc = add(s, img, gpa, err);
		if (rc)
			return rc;
		if (push(d, gpa))
			return mv_err_set(err, MV_E_FAILED, "out of memory");
	}
	return 0;
}

static void give_up(struct mv_sites *s, const char *what, uint64_t gpa)
{
	if (s->all)
		snprintf(s->why, sizeof(s->why), "%s at 0x%llx", what, (unsigned long long)gpa);
	s->all = false;
}

/* What both modes know of the pair at byte i of a segment. */
static uint8_t known_pair(const struct decoding *d, unsigned seg, uint64_t i)
{
	const uint8_t *a = d->known[MODE64][seg] + i, *b = d->known[MODE32][seg] + i;
	uint8_t known = a[0] == UNKNOWN ? b[0] : a[0];

	if (b[0] != UNKNOWN && b[0] != known)
		return CONFLICT;
	return a[1] == CONFLICT || b[1] == CONFLICT ? CONFLICT : known;
}

/* Every 0F A2 of a segment is a CPUID, or inside another instruction, or a reason to give up. */
static int judge_pairs(struct mv_sites *s, const struct decoding *d, unsigned seg,
		       struct mv_err *err)
{
	const struct mv_segment_map *m = &d->img->segments[seg];
	const uint8_t *bytes = d->img->data + m->offset;

	for (uint64_t i = 0; i + 1 < m->file_size; i++) {
		uint8_t known = known_pair(d, seg, i);
		int rc = 0;

		if (!is_pair(bytes + i) || mv_sites_has(s, m->gpa + i))
			continue;
		if (known == INTERIOR)
			s->inside++;
		else if (known == START)
			rc = add(s, d->img, m->gpa + i, err);
		else
			give_up(s, "bytes 0F A2 that may or may not be a CPUID", m->gpa + i);
		if (rc)
			return rc;
	}
	return 0;
}

/* A pair whose halves lie in two segments that touch is a CPUID nobody looked at. */
static void judge_seams(struct mv_sites *s, const struct mv_image *img)
{
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *m = &img->segments[i];
		const uint8_t *last, *next;

		if (!m->exec || !m->file_size)
			continue;
		last = mv_image_at(img, m->gpa + m->file_size - 1, 1);
		next = mv_image_at(img, m->gpa + m->file_size, 1);
		if (last && next && *last == MV_OPCODE_CPUID_0 && *next == MV_OPCODE_CPUID_1)
			give_up(s, "bytes 0F A2 across two segments", m->gpa + m->file_size - 1);
	}
}

/* Code that is not in the image's executable bytes can't be accounted for. */
static void judge_rest(struct mv_sites *s, const struct mv_image *img)
{
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *m = &img->segments[i];

		if (m->exec && m->mem_size > m->file_size)
			give_up(s, "executable memory that is empty at load", m->gpa + m->file_size);
	}
	for (size_t i = 0; i + 1 < img->initrd_size && s->all; i++) {
		if (!is_pair(img->initrd + i))
			continue;
		snprintf(s->why, sizeof(s->why), "bytes 0F A2 at offset 0x%zx of %.80s, which may hold code",
			 i, img->initrd_name);
		s->all = false;
	}
}

static int decode_all(struct decoding *d)
{
	if (push(d, d->img->entry | CODE32) || push_symbols(d))
		return -1;
	while (d->ntodo)
		if (follow(d, d->todo[--d->ntodo]))
			return -1;
	return 0;
}

int mv_sites_find(struct mv_sites *s, const struct mv_image *img, struct mv_err *err)
{
	struct decoding d = { .img = img };
	int rc = 0;

	memset(s, 0, offsetof(struct mv_sites, gpa));
	s->all = true;
	s->cpl3 = img->note_flags & MV_NOTE_CPL3_IOPL3;
	if (img->linux_kernel) {
		s->all = false;
		snprintf(s->why, sizeof(s->why), "a Linux kernel makes and loads code at run time");
		return 0;
	}
	for (unsigned i = 0; i < img->nsegments && rc == 0; i++) {
		const struct mv_segment_map *m = &img->segments[i];

		if (!m->exec)
			continue;
		if (m->write)
			give_up(s, "a segment that is writable and executable", m->gpa);
		for (unsigned mode = 0; mode < NMODES; mode++) {
			d.known[mode][i] = calloc(m->file_size + 16, 1);
			if (!d.known[mode][i])
				rc = mv_err_set(err, MV_E_FAILED, "out of memory");
		}
	}
	if (rc == 0)
		rc = listed_sites(s, &d, err);
	if (rc == 0 && decode_all(&d))
		rc = mv_err_set(err, MV_E_FAILED, "out of memory");
	for (unsigned i = 0; i < img->nsegments && rc == 0; i++)
		if (img->segments[i].exec)
			rc = judge_pairs(s, &d, i, err);
	if (rc == 0)
		judge_seams(s, img);
	if (rc == 0)
		judge_rest(s, img);
	for (unsigned i = 0; i < img->nsegments; i++)
		for (unsigned mode = 0; mode < NMODES; mode++)
			free(d.known[mode][i]);
	free(d.todo);
	return rc;
}

void mv_sites_copy(struct mv_sites *to, const struct mv_sites *from)
{
	memcpy(to, from, offsetof(struct mv_sites, gpa) + from->n * sizeof(from->gpa[0]));
}

bool mv_sites_has(const struct mv_sites *s, uint64_t gpa)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (s->gpa[mid] == gpa)
			return true;
		if (s->gpa[mid] < gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}
