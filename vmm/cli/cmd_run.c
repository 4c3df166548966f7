/* SPDX-License-Identifier: MIT */
/* minivmm run: start a guest under a mask. */
#include <string.h>
#include <unistd.h>

#include "launch.h"

extern const struct mv_cmd mv_cmd_run;

enum { OPT_APPEND = 256 };

static int option(void *ctx, int key, const char *arg)
{
	struct mv_launch *l = ctx;

	if (key != OPT_APPEND)
		return mv_launch_option(&mv_cmd_run, l, key, arg);
	l->cmdline = arg;
	return 0;
}

/* Without --name: the image's own name and the process id. */
static void default_name(char *buf, size_t size, const char *image)
{
	const char *slash = strrchr(image, '/');
	size_t n;

	image = slash ? slash + 1 : image;
	n = strcspn(image, ".");
	snprintf(buf, size, "%.*s-%d", (int)(n > 40 ? 40 : n), image, (int)getpid());
}

static int run(int argc, char **argv)
{
	struct mv_console console = mv_launch_console();
	struct mv_run_result result;
	struct mv_image img = { 0 };
	struct mv_err err = { 0 };
	struct mv_launch l;
	int code, first, rc;
	char name[64];

	mv_launch_init(&l);
	first = mv_cli_options(&mv_cmd_run, argc, argv, option, &l, &code);
	if (first < 0)
		return code;
	if (argc - first != 1)
		return mv_cli_usage(&mv_cmd_run, first == argc ? "no image given"
							       : "more than one image given");
	code = mv_launch_check_options(&mv_cmd_run, &l);
	if (code)
		return code;
	default_name(name, sizeof(name), argv[first]);
	mv_launch_set_name(&l, name);
	rc = mv_image_open(&img, argv[first], &err);
	if (rc == 0)
		rc = mv_launch_prepare(&l, &img, &console, &err);
	mv_image_finish(&img);
	if (rc == 0)
		rc = mv_run(l.vm, &l.run, &result, &err);
	if (rc == 0)
		code = mv_launch_report(&l, &result);
	else
		code = rc > 0 ? rc : mv_cli_error(&err);
	mv_launch_finish(&l);
	return code;
}

static const struct mv_opt opts[] = {
	MV_LAUNCH_GUEST_OPTS,
	{ "append", "STR", "the guest's command line", OPT_APPEND },
	MV_LAUNCH_RUN_OPTS,
	MV_LAUNCH_CONTROL_OPTS,
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_run = {
	.name = "run",
	.args = "IMAGE [OPTIONS]",
	.summary = "start a guest under a CPUID mask",
	.opts = opts,
	.more = "IMAGE is an ELF file with a PVH note or a multiboot image. The guest's serial\n"
		"port is standard output (standard error with --json). It sees the CPUID that\n"
		"the final mask gives it: the guest OS's default mask with the overrides on top.\n",
	.run = run,
};
