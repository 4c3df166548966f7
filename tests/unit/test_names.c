/* SPDX-License-Identifier: MIT */
/* Names of VMs and their control sockets; names of interceptions. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "paths.h"
#include "power_on.h"

#define LONGEST "123456789012345678901234567890123456789012345678901234567890123"

Test(names, of_vms)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{ "a", true }, { "web-1.example_2", true }, { "Z", true }, { "0", true },
		{ "a.", true }, { "a-", true }, { "_", true }, { LONGEST, true },
		{ LONGEST "4", false }, { "", false }, { ".", false }, { "..", false },
		{ ".hidden", false }, { "-option", false }, { "a/b", false }, { "/", false },
		{ "a b", false }, { " a", false }, { "a\n", false }, { "a:b", false },
		{ "\xc3\xa4", false }, { "a\x7f", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(mv_name_valid(rows[i].name), rows[i].valid, "'%s'", rows[i].name);
}

Test(names, of_interceptions)
{
	static const struct {
		const char *name;
		int value;	/* -2: none */
	} rows[] = {
		{ "auto", MV_INTERCEPT_AUTO }, { "none", MV_INTERCEPTION_NONE },
		{ "kernel", MV_INTERCEPTION_KERNEL }, { "patch", MV_INTERCEPTION_PATCH },
		{ "step", MV_INTERCEPTION_STEP }, { "", -2 }, { "Kernel", -2 }, { "auto ", -2 },
		{ "1", -2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err = { 0 };
		int got, rc = mv_intercept_parse(rows[i].name, &got, &err);

		cr_expect_eq(rc, rows[i].value == -2 ? -MV_E_USAGE : 0, "'%s'", rows[i].name);
		if (rc == 0)
			cr_expect_eq(got, rows[i].value, "'%s'", rows[i].name);
		else
			cr_expect(strstr(err.msg, "(auto, kernel, patch, step, none)"));
	}
}

/* ---- which interception ---- */

Test(names, what_auto_takes)
{
	static const struct {
		const char *name;
		uint8_t kernel, patch, step;	/* proofs */
		bool all, cpl3;			/* the image's code */
		int asked, chosen;		/* chosen -1: none */
		const char *why;		/* in the note, or in the error */
	} rows[] = {
		{ "the kernel where it answers", 3, 3, 3, true, true, -1, MV_INTERCEPTION_KERNEL, "" },
		{ "else patch", 0, 3, 3, true, true, -1, MV_INTERCEPTION_PATCH,
		  "this host's KVM does not keep a guest's CPUID to the mask (CPL 0 and CPL 3): using "
		  "--intercept patch" },
		{ "else step", 1, 3, 3, false, true, -1, MV_INTERCEPTION_STEP,
		  "this host's KVM does not keep a guest's CPUID to the mask (CPL 3): using "
		  "--intercept step" },
		{ "the kernel at CPL 3 alone", 2, 3, 0, true, true, -1, MV_INTERCEPTION_PATCH,
		  "this host's KVM does not keep a guest's CPUID to the mask (CPL 0): using "
		  "--intercept patch" },
		{ "nothing", 1, 3, 2, true, false, -1, -1,
		  "nothing keeps this guest's CPUID to the mask: "
		  "kernel: tried on this host, a guest's CPUID does not follow the mask at CPL 3; "
		  "patch: the image has no note that its CPL 3 code runs with IOPL 3; "
		  "step: tried on this host, a guest's CPUID does not follow the mask at CPL 0" },
		{ "what was asked for", 3, 3, 3, true, true, MV_INTERCEPTION_STEP,
		  MV_INTERCEPTION_STEP, "" },
		{ "not what does not hold", 3, 3, 1, true, true, MV_INTERCEPTION_STEP, -1,
		  "--intercept step: tried on this host, a guest's CPUID does not follow the mask at "
		  "CPL 3" },
		{ "not patch for unknown code", 3, 3, 3, false, true, MV_INTERCEPTION_PATCH, -1,
		  "--intercept patch: the reason" },
		{ "none wherever it is asked for", 0, 0, 0, false, false, MV_INTERCEPTION_NONE,
		  MV_INTERCEPTION_NONE,
		  "--intercept none: CPUID itself may tell the guest more than the mask does" },
	};
	static struct mv_policy p;
	static struct mv_host h;
	static struct mv_sites sites;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err = { 0 };
		char why[256];
		int rc;

		h.proof[MV_INTERCEPTION_KERNEL] = rows[i].kernel;
		h.proof[MV_INTERCEPTION_PATCH] = rows[i].patch;
		h.proof[MV_INTERCEPTION_STEP] = rows[i].step;
		sites.all = rows[i].all;
		sites.cpl3 = rows[i].cpl3;
		snprintf(sites.why, sizeof(sites.why), "%s", rows[i].all ? "" : "the reason");
		rc = mv_choose_intercept(&p, &h, &sites, rows[i].asked, why, &err);
		if (rows[i].chosen < 0) {
			cr_expect_eq(rc, -MV_E_HOST, "%s", rows[i].name);
			cr_expect_str_eq(err.msg, rows[i].why, "%s", rows[i].name);
		} else {
			cr_expect_eq(rc, 0, "%s: %s", rows[i].name, err.msg);
			cr_expect_eq(p.intercept, rows[i].chosen, "%s", rows[i].name);
			cr_expect_str_eq(why, rows[i].why, "%s", rows[i].name);
		}
	}
}

/* ---- sockets ---- */

static char folder[64];

static void new_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/mv-names-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	cr_expect_eq(system(command), 0);
}

static void count(void *ctx, const char *name, struct json_object *status)
{
	(void)name;
	json_object_put(status);
	++*(int *)ctx;
}

Test(names, one_vm_a_name, .init = new_folder, .fini = remove_folder)
{
	struct mv_control a, b;
	struct mv_err err = { 0 };
	struct stat st;
	int n = 0;

	cr_assert_eq(mv_control_open(&a, "one", &err), 0, "%s", err.msg);
	cr_assert_eq(stat(a.path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	cr_expect_eq(mv_control_open(&b, "one", &err), -MV_E_FAILED);
	cr_expect_str_eq(err.msg, "a VM named 'one' is running");
	mv_control_close(&b);	/* takes nothing away */
	cr_expect_eq(stat(a.path, &st), 0);
	memset(&err, 0, sizeof(err));
	cr_expect_eq(mv_control_open(&b, "two", &err), 0, "%s", err.msg);
	cr_expect_eq(mv_control_list(count, &n, &err), 0);
	cr_expect_eq(n, 2);
	mv_control_close(&b);
	mv_control_close(&a);
	cr_expect_neq(stat(a.path, &st), 0, "the socket is gone");
}

Test(names, a_stale_socket, .init = new_folder, .fini = remove_folder)
{
	struct mv_control a, b;
	struct mv_err err = { 0 };
	struct stat st;
	int n = 0;

	cr_assert_eq(mv_control_open(&a, "one", &err), 0, "%s", err.msg);
	close(a.listen_fd);	/* as if killed */
	cr_expect_eq(stat(a.path, &st), 0);
	cr_expect_eq(mv_control_list(count, &n, &err), 0);
	cr_expect_eq(n, 0);
	cr_expect_neq(stat(a.path, &st), 0, "list cleared it");
	cr_assert_eq(mv_control_open(&a, "one", &err), 0, "%s", err.msg);
	close(a.listen_fd);
	cr_expect_eq(mv_control_open(&b, "one", &err), 0, "%s", err.msg);
	mv_control_close(&b);
}

/* Connect, send text; the reply, or what came of it, into reply. */
static int client(const struct mv_control *c, const char *text)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(a.sun_path, c->path, sizeof(a.sun_path));
	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (*text)
		cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	return fd;
}

Test(names, requests, .init = new_folder, .fini = remove_folder)
{
	static const struct {
		const char *text, *reply;	/* reply NULL: it is a request */
	} rows[] = {
		{ "{\"command\":\"status\"}\n", NULL },
		{ " { } \n", NULL },
		{ "{}\n{}\n", NULL },
		{ "\n", "{\"error\":\"the request is not a JSON object\"}\n" },
		{ "[]\n", "{\"error\":\"the request is not a JSON object\"}\n" },
		{ "null\n", "{\"error\":\"the request is not a JSON object\"}\n" },
		{ "{\"command\":\n", "{\"error\":\"the request is not a JSON object\"}\n" },
		{ "{} x\n", "{\"error\":\"the request is not a JSON object\"}\n" },
	};
	struct mv_control c;
	struct mv_err err = { 0 };

	cr_assert_eq(mv_control_open(&c, "one", &err), 0, "%s", err.msg);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = client(&c, rows[i].text);
		struct json_object *r = NULL;
		char reply[128] = "";

		mv_control_accept(&c);
		for (unsigned k = 0; k < MV_CONTROL_CLIENTS && !r; k++)
			r = mv_control_next(&c, k);
		cr_expect_eq(!r, !!rows[i].reply, "%s", rows[i].text);
		if (rows[i].reply) {
			cr_expect_gt(recv(fd, reply, sizeof(reply) - 1, MSG_DONTWAIT), 0);
			cr_expect_str_eq(reply, rows[i].reply, "%s", rows[i].text);
		}
		json_object_put(r);
		close(fd);
		for (unsigned k = 0; k < MV_CONTROL_CLIENTS; k++)
			json_object_put(mv_control_next(&c, k));	/* sees that it is gone */
	}
	mv_control_close(&c);
}

Test(names, silence_locks_nobody_out, .init = new_folder, .fini = remove_folder)
{
	struct json_object *r = NULL;
	int silent[3 * MV_CONTROL_CLIENTS], fd;
	struct mv_control c;
	struct mv_err err = { 0 };

	cr_assert_eq(mv_control_open(&c, "one", &err), 0, "%s", err.msg);
	for (unsigned i = 0; i < 3 * MV_CONTROL_CLIENTS; i++) {
		silent[i] = client(&c, "");
		mv_control_accept(&c);
	}
	fd = client(&c, "{\"command\":\"status\"}\n");
	mv_control_accept(&c);
	for (unsigned k = 0; k < MV_CONTROL_CLIENTS && !r; k++)
		r = mv_control_next(&c, k);
	cr_expect_not_null(r);
	json_object_put(r);
	close(fd);
	for (unsigned i = 0; i < 3 * MV_CONTROL_CLIENTS; i++)
		close(silent[i]);
	mv_control_close(&c);
}

/* ---- the folder ---- */

Test(names, the_folder_is_ones_own, .init = new_folder, .fini = remove_folder)
{
	char dir[200], path[128];
	struct stat st;

	cr_assert_eq(mv_runtime_dir(dir, sizeof(dir)), 0);
	cr_assert_eq(stat(dir, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0700);
	/* A link in its place is not followed. */
	cr_assert_eq(rmdir(dir), 0);
	snprintf(path, sizeof(path), "%s/elsewhere", folder);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(symlink(path, dir), 0);
	cr_expect_lt(mv_runtime_dir(dir, sizeof(dir)), 0);
	cr_expect_lt(mv_runtime_dir(dir, 5), 0, "a buffer too small");
}

Test(names, a_path_too_long_for_a_socket, .init = new_folder, .fini = remove_folder)
{
	char longer[128];
	struct mv_control c;
	struct mv_err err = { 0 };

	snprintf(longer, sizeof(longer), "%s/a-folder-whose-name-is-rather-long", folder);
	cr_assert_eq(mkdir(longer, 0700), 0);
	setenv("XDG_RUNTIME_DIR", longer, 1);
	cr_expect_eq(mv_control_open(&c, LONGEST, &err), -MV_E_USAGE);
	cr_expect(strstr(err.msg, "is too long"), "%s", err.msg);
	mv_control_close(&c);
}
