/* SPDX-License-Identifier: MIT */
/*
 * Guest images: ELF with a PVH note or a multiboot header, raw multiboot, Linux bzImage. What parses is
 * searched for CPUIDs and put into memory as at power-on; KVM's part is made up here.
 */
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "vm.h"

#define RAM (UINT64_C(4) << 20)

/* In place of those in vmm/kvm.c. */
int mv_kvm_call(int fd, unsigned long cmd, const char *name, void *arg, struct mv_err *err)
{
	(void)fd;
	(void)name;
	(void)err;
	if (cmd == KVM_GET_SREGS)
		memset(arg, 0, sizeof(struct kvm_sregs));
	return 0;
}

bool mv_kvm_set_msr(int fd, uint32_t index, uint64_t value)
{
	(void)fd;
	(void)index;
	(void)value;
	return true;
}

static void look(const struct mv_image *img)
{
	FUZZ_MUST(img->nsegments > 0 && img->nsegments <= MV_IMAGE_SEGMENTS, "%u segments", img->nsegments);
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *s = &img->segments[i];

		FUZZ_MUST(s->offset <= img->size && s->file_size <= img->size - s->offset,
			  "segment %u is not in the file", i);
		FUZZ_MUST(s->file_size <= s->mem_size && s->gpa + s->mem_size >= s->gpa && s->gpa + s->mem_size <= img->top,
			  "segment %u is not in memory", i);
	}
	FUZZ_MUST(mv_image_at(img, img->entry, 1), "nothing at the entry point");
}

static void find_sites(const struct mv_image *img)
{
	struct mv_sites *s = malloc(sizeof(*s));
	struct mv_err err = { 0 };

	if (s)
		fuzz_check_error(mv_sites_find(s, img, &err), &err);
	for (uint32_t i = 0; s && err.code == 0 && i < s->n; i++)
		FUZZ_MUST(mv_image_at(img, s->gpa[i], 2), "a site outside the image");
	free(s);
}

static void boot(const struct mv_image *img)
{
	static uint8_t *ram;	/* on the heap, once: a sanitizer watches its ends */
	static struct mv_vm vm;
	struct mv_err err = { 0 };

	if (!ram)
		ram = malloc(RAM);
	if (!ram)
		return;
	vm.ram = ram;
	vm.ram_size = RAM;
	vm.nvcpus = 1;
	fuzz_check_error(mv_vm_boot(&vm, img, "console=ttyS0", &err), &err);
	fuzz_accepted += err.code == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_image *img = malloc(sizeof(*img));
	uint8_t *copy = malloc(size ? size : 1);
	struct mv_err err = { 0 };
	int rc;

	if (img && copy) {
		memcpy(copy, data, size);
		rc = mv_image_parse(img, "in", copy, size, &err);
		fuzz_check_error(rc, &err);
		if (rc == 0) {
			look(img);
			find_sites(img);
			boot(img);
		}
	}
	free(copy);
	free(img);
	return 0;
}
