/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_kind.h"
#include "guest-tests/abi.h"
#include "le.h"

#define MAX_IMAGE (UINT64_C(1) << 30)
#define XEN_ELFNOTE_GUEST_OS 6
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_SEARCH 8192u
#define MULTIBOOT_KLUDGE (1u << 16)	/* the header itself says where to load */

/* Linux' setup header: offsets in the file, from Documentation/arch/x86/boot.rst. */
#define SETUP_SECTS 0x1f1
#define SETUP_SYSSIZE 0x1f4
#define SETUP_BOOT_FLAG 0x1fe
#define SETUP_MAGIC 0x202
#define SETUP_VERSION 0x206
#define SETUP_LOADFLAGS 0x211
#define SETUP_INITRD_MAX 0x22c
#define SETUP_XLOADFLAGS 0x236
#define SETUP_CMDLINE_SIZE 0x238
#define SETUP_PREF_ADDRESS 0x258
#define SETUP_INIT_SIZE 0x260
#define SETUP_HEADER_END 0x264
#define LOADED_HIGH 1
#define XLF_KERNEL_64 1
#define LINUX_ENTRY64 0x200

#define BAD(img, ...) mv_err_at(err, MV_E_INPUT, (img)->name, 0, 0, __VA_ARGS__)

static bool inside(const struct mv_image *img, uint64_t offset, uint64_t size)
{
	return offset <= img->size && size <= img->size - offset;
}

static int add_segment(struct mv_image *img, struct mv_segment_map s, struct mv_err *err)
{
	if (s.mem_size == 0)
		return 0;
	if (!inside(img, s.offset, s.file_size))
		return BAD(img, "truncated: a segment needs bytes 0x%llx to 0x%llx, the file has 0x%zx",
			   (unsigned long long)s.offset,
			   (unsigned long long)(s.offset + s.file_size), img->size);
	if (s.file_size > s.mem_size)
		return BAD(img, "a segment has more bytes in the file than in memory");
	if (s.gpa + s.mem_size < s.gpa)
		return BAD(img, "a segment wraps around the address space at 0x%llx",
			   (unsigned long long)s.gpa);
	if (img->nsegments == MV_IMAGE_SEGMENTS)
		return BAD(img, "more than %d segments", MV_IMAGE_SEGMENTS);
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *o = &img->segments[i];

		if (s.gpa < o->gpa + o->mem_size && o->gpa < s.gpa + s.mem_size)
			return BAD(img, "two segments overlap at 0x%llx",
				   (unsigned long long)(s.gpa > o->gpa ? s.gpa : o->gpa));
	}
	img->segments[img->nsegments++] = s;
	if (s.gpa + s.mem_size > img->top)
		img->top = s.gpa + s.mem_size;
	return 0;
}

/* One note: owner, type, description. Returns whether it gave a PVH entry point. */
static bool take_note(struct mv_image *img, const uint8_t *owner, uint32_t owner_size,
		      uint32_t type, const uint8_t *desc, uint32_t desc_size)
{
	if (owner_size == 4 && !memcmp(owner, "Xen", 4) && type == XEN_ELFNOTE_PHYS32_ENTRY &&
	    desc_size >= 4) {
		img->entry = mv_le32(desc);
		img->boot = MV_BOOT_PVH;
		return true;
	}
	if (owner_size == 4 && !memcmp(owner, "Xen", 4) && type == XEN_ELFNOTE_GUEST_OS)
		img->linux_kernel = desc_size >= 5 && !memcmp(desc, "linux", 5);
	if (owner_size != sizeof(MV_NOTE_OWNER) || memcmp(owner, MV_NOTE_OWNER, owner_size))
		return false;
	if (type == MV_NOTE_FLAGS && desc_size >= 4)
		img->note_flags = mv_le32(desc);
	if (type == MV_NOTE_CPUID) {
		img->sites = desc;
		img->nsites = desc_size / 8;
	}
	return false;
}

static bool parse_notes(struct mv_image *img, uint64_t offset, uint64_t size)
{
	bool pvh = false;

	while (size >= 12 && inside(img, offset, 12)) {
		const uint8_t *p = img->data + offset;
		uint64_t name = mv_le32(p), desc = mv_le32(p + 4);
		uint64_t need = 12 + ((name + 3) & ~UINT64_C(3)) + ((desc + 3) & ~UINT64_C(3));

		if (need > size || !inside(img, offset, need))
			break;
		pvh |= take_note(img, p + 12, (uint32_t)name, mv_le32(p + 8),
				 p + 12 + ((name + 3) & ~UINT64_C(3)), (uint32_t)desc);
		offset += need;
		size -= need;
	}
	return pvh;
}

/* Program headers of either class in one form. */
static int parse_segments(struct mv_image *img, bool *pvh, struct mv_err *err)
{
	const uint8_t *d = img->data;
	uint64_t phoff = img->elf64 ? mv_le64(d + 32) : mv_le32(d + 28);
	unsigned phnum = img->elf64 ? mv_le32(d + 56) & 0xffff : mv_le32(d + 44) & 0xffff;
	unsigned phsize = img->elf64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	unsigned entsize = (img->elf64 ? mv_le32(d + 54) : mv_le32(d + 42)) & 0xffff;

	if (phnum && entsize != phsize)
		return BAD(img, "its program headers have %u bytes each, not %u", entsize, phsize);
	if (!inside(img, phoff, (uint64_t)phnum * phsize))
		return BAD(img, "truncated: the program headers lie outside the file");
	for (unsigned i = 0; i < phnum; i++) {
		const uint8_t *p = d + phoff + (size_t)i * phsize;
		uint32_t type = mv_le32(p), flags = mv_le32(p + (img->elf64 ? 4 : 24));
		struct mv_segment_map s = {
			.offset = img->elf64 ? mv_le64(p + 8) : mv_le32(p + 4),
			.gpa = img->elf64 ? mv_le64(p + 24) : mv_le32(p + 12),
			.file_size = img->elf64 ? mv_le64(p + 32) : mv_le32(p + 16),
			.mem_size = img->elf64 ? mv_le64(p + 40) : mv_le32(p + 20),
			.exec = flags & PF_X,
			.write = flags & PF_W,
		};
		int rc = type == PT_LOAD ? add_segment(img, s, err) : 0;

		if (rc)
			return rc;
		if (type == PT_NOTE)
			*pvh |= parse_notes(img, s.offset, s.file_size);
	}
	return 0;
}

/* Function symbols help to find instruction boundaries; an image without them is fine. */
static int find_symbols(struct mv_image *img, struct mv_err *err)
{
	const uint8_t *d = img->data;
	uint64_t shoff = img->elf64 ? mv_le64(d + 40) : mv_le32(d + 32);
	unsigned shnum = img->elf64 ? mv_le32(d + 60) & 0xffff : mv_le32(d + 48) & 0xffff;
	unsigned shsize = img->elf64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);

	/* They come last in the file: where they are missing, more may be. */
	if (!inside(img, shoff, (uint64_t)shnum * shsize))
		return BAD(img, "truncated: the section headers lie outside the file");
	for (unsigned i = 0; i < shnum; i++) {
		const uint8_t *s = d + shoff + (size_t)i * shsize;
		uint64_t offset = img->elf64 ? mv_le64(s + 24) : mv_le32(s + 16);
		uint64_t size = img->elf64 ? mv_le64(s + 32) : mv_le32(s + 20);

		if (mv_le32(s + 4) != SHT_SYMTAB || !inside(img, offset, size))
			continue;
		img->symtab = offset;
		img->symsize = img->elf64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
		img->nsyms = size / img->symsize;
		return 0;
	}
	return 0;
}

/* Offset of a multiboot header (Multiboot 0.6.96, 3.1), or -1. */
static long multiboot_header(const struct mv_image *img)
{
	for (size_t o = 0; o + 12 <= img->size && o + 12 <= MULTIBOOT_SEARCH; o += 4)
		if (mv_le32(img->data + o) == MULTIBOOT_MAGIC &&
		    mv_le32(img->data + o) + mv_le32(img->data + o + 4) + mv_le32(img->data + o + 8) == 0)
			return (long)o;
	return -1;
}

static int parse_kludge(struct mv_image *img, size_t header, struct mv_err *err)
{
	const uint8_t *h = img->data + header;
	uint32_t header_addr, load, load_end, bss_end;
	struct mv_segment_map s = { .exec = true, .write = true };

	if (!inside(img, header, 32))
		return BAD(img, "truncated: the multiboot header is cut off");
	header_addr = mv_le32(h + 12);
	load = mv_le32(h + 16);
	load_end = mv_le32(h + 20);
	bss_end = mv_le32(h + 24);
	if (load > header_addr || header_addr - load > header)
		return BAD(img, "the multiboot header's load address 0x%x does not fit it", load);
	if (load_end && load_end < load)
		return BAD(img, "the multiboot header's load addresses end at 0x%x, before they begin",
			   load_end);
	s.offset = header - (header_addr - load);
	s.file_size = load_end ? (uint64_t)load_end - load : img->size - s.offset;
	s.mem_size = bss_end > load && bss_end - load > s.file_size ? bss_end - load : s.file_size;
	s.gpa = load;
	img->entry = mv_le32(h + 28);
	return add_segment(img, s, err);
}

static bool is_linux(const struct mv_image *img)
{
	return img->size >= SETUP_HEADER_END && mv_le16(img->data + SETUP_BOOT_FLAG) == 0xaa55 &&
	       !memcmp(img->data + SETUP_MAGIC, "HdrS", 4);
}

/*
 * The 64-bit boot protocol. The kernel goes where it prefers to be: loaded elsewhere, it would move
 * itself there and need the same memory.
 */
static int parse_linux(struct mv_image *img, struct mv_err *err)
{
	const uint8_t *h = img->data;
	uint32_t version = mv_le16(h + SETUP_VERSION), init_size = mv_le32(h + SETUP_INIT_SIZE);
	struct mv_segment_map s = { .exec = true, .write = true };

	img->boot = MV_BOOT_LINUX;
	img->linux_kernel = true;
	if (version < 0x20c)
		return BAD(img, "a Linux kernel with boot protocol %u.%02u; the 64-bit entry came "
				"with 2.12 (Linux 3.8)", version >> 8, version & 0xff);
	if (!(h[SETUP_LOADFLAGS] & LOADED_HIGH))
		return BAD(img, "a Linux zImage; a bzImage is needed");
	if (!(mv_le16(h + SETUP_XLOADFLAGS) & XLF_KERNEL_64))
		return BAD(img, "a Linux kernel without a 64-bit entry point");
	s.gpa = mv_le64(h + SETUP_PREF_ADDRESS);
	s.offset = ((h[SETUP_SECTS] ? h[SETUP_SECTS] : 4) + 1) * UINT64_C(512);
	/* In units of 16 bytes; what follows in the file, a signature, is not for memory. */
	s.file_size = mv_le32(h + SETUP_SYSSIZE) * UINT64_C(16);
	s.mem_size = init_size > s.file_size ? init_size : s.file_size;
	if (s.gpa > UINT32_MAX - LINUX_ENTRY64)
		return BAD(img, "its load address 0x%llx is above 4 GiB", (unsigned long long)s.gpa);
	if (s.file_size <= LINUX_ENTRY64)
		return BAD(img, "a Linux kernel of %llu bytes has no room for its entry point",
			   (unsigned long long)s.file_size);
	img->entry = (uint32_t)s.gpa + LINUX_ENTRY64;
	img->cmdline_max = mv_le32(h + SETUP_CMDLINE_SIZE);
	img->initrd_top = mv_le32(h + SETUP_INITRD_MAX);
	return add_segment(img, s, err);
}

static bool is_elf(const struct mv_image *img)
{
	return img->size >= SELFMAG && !memcmp(img->data, ELFMAG, SELFMAG);
}

static int parse_elf(struct mv_image *img, bool *pvh, struct mv_err *err)
{
	const uint8_t *d = img->data;
	int rc;

	img->elf64 = img->size > EI_CLASS && d[EI_CLASS] == ELFCLASS64;
	if (img->size < (img->elf64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return BAD(img, "truncated: %zu bytes are less than an ELF header", img->size);
	if (d[EI_DATA] != ELFDATA2LSB ||
	    ((d[18] | d[19] << 8) != EM_X86_64 && (d[18] | d[19] << 8) != EM_386))
		return BAD(img, "an ELF file, but not for x86");
	img->entry = mv_le32(d + 24);
	rc = parse_segments(img, pvh, err);
	return rc ? rc : find_symbols(img, err);
}

/* What is left to see once all segments are known. */
static int check_entry(const struct mv_image *img, struct mv_err *err)
{
	if (!img->nsegments)
		return BAD(img, "no loadable segment");
	for (unsigned i = 0; i < img->nsegments; i++)
		if (img->entry >= img->segments[i].gpa &&
		    img->entry - img->segments[i].gpa < img->segments[i].file_size)
			return 0;
	return BAD(img, "its entry point 0x%x lies in no segment", img->entry);
}

static int parse(struct mv_image *img, struct mv_err *err)
{
	bool elf = is_elf(img), pvh = false;
	long header = multiboot_header(img);
	int rc = elf ? parse_elf(img, &pvh, err) : 0;

	if (rc)
		return rc;
	if (img->size == 0)
		return BAD(img, "the file is empty");
	if (pvh)
		return check_entry(img, err);
	if (!elf && is_linux(img))
		return parse_linux(img, err);
	if (header < 0) {
		BAD(img, elf ? "an ELF file without a PVH note or a multiboot header"
			     : "not a guest image: neither ELF, multiboot nor a Linux bzImage");
		mv_file_hint(err, img->name, MV_FILE_ELF);
		mv_err_hint(err, "images that can be started: Linux bzImage, ELF with a PVH note, 32-bit "
				 "multiboot");
		return -MV_E_INPUT;
	}
	img->boot = MV_BOOT_MULTIBOOT;
	if (mv_le32(img->data + header + 4) & MULTIBOOT_KLUDGE) {
		img->nsegments = 0;
		img->top = 0;
		rc = parse_kludge(img, (size_t)header, err);
		return rc ? rc : check_entry(img, err);
	}
	if (!elf)
		return BAD(img, "a multiboot header without load addresses in a file that is not ELF");
	if (img->elf64 && mv_le32(img->data + 28))
		return BAD(img, "its entry point 0x%llx is above 4 GiB",
			   (unsigned long long)mv_le64(img->data + 24));
	return check_entry(img, err);
}

int mv_image_parse(struct mv_image *img, const char *name, const uint8_t *data, size_t size,
		   struct mv_err *err)
{
	memset(img, 0, sizeof(*img));
	snprintf(img->name, sizeof(img->name), "%s", name);
	img->data = data;
	img->size = size;
	return parse(img, err);
}

static int read_all(int fd, uint8_t *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* The whole of a regular file, malloc'ed. */
static int read_file(const char *path, uint8_t **bytes, size_t *size, struct mv_err *err)
{
	/* Not to wait for the other end, should it be a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;
	struct stat st;

	*bytes = NULL;
	if (fd < 0)
		return mv_err_at(err, MV_E_INPUT, path, 0, 0, "%s", strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_IMAGE) {
		close(fd);
		return mv_err_at(err, MV_E_INPUT, path, 0, 0,
				 S_ISREG(st.st_mode) ? "larger than 1 GiB" : "not a regular file");
	}
	*size = (size_t)st.st_size;
	*bytes = malloc(*size + 1);
	rc = *bytes ? read_all(fd, *bytes, *size) : -ENOMEM;
	close(fd);
	if (!rc)
		return 0;
	free(*bytes);
	*bytes = NULL;
	return mv_err_at(err, MV_E_INPUT, path, 0, 0, "%s", strerror(-rc));
}

int mv_image_open(struct mv_image *img, const char *path, struct mv_err *err)
{
	uint8_t *bytes;
	size_t size;
	int rc;

	memset(img, 0, sizeof(*img));
	snprintf(img->name, sizeof(img->name), "%s", path);
	rc = read_file(path, &bytes, &size, err);
	if (rc)
		return rc;
	rc = mv_image_parse(img, path, bytes, size, err);
	img->bytes = bytes;
	if (rc)
		mv_image_finish(img);
	return rc;
}

int mv_image_open_flat(struct mv_image *img, const char *path, uint32_t at, struct mv_err *err)
{
	int rc;

	memset(img, 0, sizeof(*img));
	snprintf(img->name, sizeof(img->name), "%s", path);
	rc = read_file(path, &img->bytes, &img->size, err);
	if (rc)
		return rc;
	img->data = img->bytes;
	img->boot = MV_BOOT_MULTIBOOT;
	img->entry = at;
	img->segments[img->nsegments++] = (struct mv_segment_map){
		.gpa = at, .file_size = img->size, .mem_size = img->size, .exec = true, .write = true,
	};
	img->top = at + img->size;
	if (!img->size) {
		mv_image_finish(img);
		return mv_err_at(err, MV_E_INPUT, path, 0, 0, "the file is empty");
	}
	return 0;
}

int mv_image_initrd(struct mv_image *img, const char *path, struct mv_err *err)
{
	int rc = read_file(path, &img->initrd, &img->initrd_size, err);

	if (rc)
		return rc;
	snprintf(img->initrd_name, sizeof(img->initrd_name), "%s", path);
	if (img->initrd_size)
		return 0;
	free(img->initrd);
	img->initrd = NULL;
	return mv_err_at(err, MV_E_INPUT, path, 0, 0, "the file is empty");
}

void mv_image_finish(struct mv_image *img)
{
	free(img->bytes);
	free(img->initrd);
	memset(img, 0, sizeof(*img));
}

const uint8_t *mv_image_at(const struct mv_image *img, uint64_t gpa, size_t len)
{
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *s = &img->segments[i];

		if (gpa >= s->gpa && gpa - s->gpa <= s->file_size &&
		    len <= s->file_size - (gpa - s->gpa))
			return img->data + s->offset + (gpa - s->gpa);
	}
	return NULL;
}
