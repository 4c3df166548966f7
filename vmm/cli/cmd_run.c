/* SPDX-License-Identifier: MIT */
/* minivmm run: start a guest under a mask. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "launch.h"

enum { OPT_APPEND = 256, OPT_INITRD, OPT_FLAT };

/* For a Linux kernel, unless --append says otherwise: speak, and do not hang after a panic. */
#define LINUX_CMDLINE "console=ttyS0 panic=-1"

struct run_args {
	struct mv_launch launch;
	const char *cmdline, *initrd;
	bool flat;
	uint32_t flat_at;
};

static int set_flat(struct run_args *a, const char *arg)
{
	char *end;
	unsigned long at = *arg >= '0' && *arg <= '9' ? strtoul(arg, &end, 0) : ULONG_MAX;

	if (at > UINT32_MAX || *end)
		return mv_cli_usage(&mv_cmd_run, "--flat wants an address below 4 GiB (0x100000), not '%s'", arg);
	a->flat = true;
	a->flat_at = (uint32_t)at;
	return 0;
}

static int option(void *ctx, int key, const char *arg)
{
	struct run_args *a = ctx;

	switch (key) {
	case OPT_APPEND:
		a->cmdline = arg;
		return 0;
	case OPT_INITRD:
		a->initrd = arg;
		return 0;
	case OPT_FLAT:
		return set_flat(a, arg);
	default:
		return mv_launch_option(&mv_cmd_run, &a->launch, key, arg);
	}
}

/* Without --name: the image's own name, as far as a name can have it, and the process id. */
static void default_name(char *buf, size_t size, const char *image)
{
	const char *slash = strrchr(image, '/');
	size_t n;

	image = slash ? slash + 1 : image;
	image += strspn(image, ".-");
	n = strcspn(image, ".");
	if (!n) {
		image = "vm";
		n = 2;
	}
	snprintf(buf, size, "%.*s-%d", (int)(n > 40 ? 40 : n), image, (int)getpid());
	for (char *p = buf; *p; p++)
		if (!mv_name_char(*p))
			*p = '_';
}

static int open_image(struct mv_image *img, const char *path, struct run_args *a,
		      struct mv_err *err)
{
	int rc = a->flat ? mv_image_open_flat(img, path, a->flat_at, err) : mv_image_open(img, path, err);

	if (rc == 0 && a->initrd)
		rc = mv_image_initrd(img, a->initrd, err);
	a->launch.cmdline = a->cmdline ? a->cmdline : img->linux_kernel ? LINUX_CMDLINE : "";
	return rc;
}

static int run(int argc, char **argv)
{
	struct mv_console console = mv_launch_console();
	struct mv_image img = { 0 };
	struct mv_err err = { 0 };
	struct run_args a = { .cmdline = NULL };
	int code, first, rc;
	char name[64];

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_run, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (argc - first != 1)
		return mv_cli_usage(&mv_cmd_run, first == argc ? "no image given"
							       : "more than one image given");
	code = mv_launch_check_options(&mv_cmd_run, &a.launch);
	if (code)
		return code;
	default_name(name, sizeof(name), argv[first]);
	mv_launch_set_name(&a.launch, name);
	rc = open_image(&img, argv[first], &a, &err);
	if (rc == 0)
		rc = mv_launch_prepare(&a.launch, &img, &console, &err);
	mv_image_finish(&img);
	if (rc == 0)
		rc = mv_launch_confine(&a.launch, &err);
	return mv_launch_go(&a.launch, rc, &err);
}

static const struct mv_opt opts[] = {
	MV_LAUNCH_GUEST_OPTS,
	MV_LAUNCH_CPUS_OPTS,
	{ "initrd", "FILE", "initial RAM disk; for multiboot, a module", OPT_INITRD },
	{ "append", "STR", "command line (Linux: " LINUX_CMDLINE ")",
	  OPT_APPEND },
	{ "flat", "ADDRESS", "IMAGE is bare 32-bit code: load and enter it there", OPT_FLAT },
	{ "disk", "FILE[,ro]", "a virtio disk on a raw image; may be repeated", 'd' },
	{ "rng", NULL, "a virtio source of random bytes", 'r' },
	MV_LAUNCH_RUN_OPTS,
	MV_LAUNCH_CONTROL_OPTS,
	MV_LAUNCH_TRACE_OPT,
	{ "testdev", NULL, "add the devices of kvm-unit-tests", 'T' },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_run = {
	.name = "run",
	.args = "IMAGE [OPTIONS]",
	.summary = "start a guest under a CPUID mask",
	.opts = opts,
	.more = "IMAGE is a Linux kernel (bzImage, or vmlinux with a PVH entry), an ELF file with\n"
		"a PVH note, or a multiboot image. Its serial port is standard output (standard\n"
		"error with --json) and standard input; at a terminal Ctrl-A x ends it. It sees\n"
		"the CPUID that the final mask gives it: the guest OS's default mask with the\n"
		"overrides on top. Power-off is exit 0; a reset ends it, too, with exit 6.\n",
	.run = run,
};
