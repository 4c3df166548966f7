/* SPDX-License-Identifier: MIT */
/* minivmm snapshot, list, status, pause, resume, stop: requests to running VMs. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "control.h"

static int no_option(void *ctx, int key, const char *arg)
{
	(void)key;
	(void)arg;
	return mv_cli_usage(ctx, "unknown option");
}

static struct json_object *request(const char *command)
{
	struct json_object *r = json_object_new_object();

	json_object_object_add(r, "command", json_object_new_string(command));
	return r;
}

static void print_status(struct json_object *s)
{
	if (mv_output.json) {
		mv_cli_json(json_object_get(s));
		return;
	}
	json_object_object_foreach(s, key, value)
		printf("%-10s %s\n", key, json_object_get_string(value));
}

typedef int call(const char *name, struct json_object *request, struct json_object **reply, struct mv_err *err);

/* A command whose only operand is a VM's name. */
static int simple(const struct mv_cmd *cmd, int argc, char **argv, call *ask, bool print)
{
	struct json_object *reply;
	struct mv_err err = { 0 };
	int code, first = mv_cli_options(cmd, argc, argv, no_option, (void *)(uintptr_t)cmd, &code);

	if (first < 0)
		return code;
	if (argc - first != 1)
		return mv_cli_usage(cmd, first == argc ? "no VM's name given" : "more than one VM's name given");
	if (ask(argv[first], request(cmd->name), &reply, &err))
		return mv_cli_error(&err);
	if (print || mv_output.json)
		print_status(reply);
	json_object_put(reply);
	return MV_EXIT_OK;
}

static int run_status(int argc, char **argv)
{
	return simple(&mv_cmd_status, argc, argv, mv_control_call, true);
}

static int run_pause(int argc, char **argv)
{
	return simple(&mv_cmd_pause, argc, argv, mv_control_call, false);
}

static int run_resume(int argc, char **argv)
{
	return simple(&mv_cmd_resume, argc, argv, mv_control_call, false);
}

static int run_stop(int argc, char **argv)
{
	return simple(&mv_cmd_stop, argc, argv, mv_control_call_last, false);
}

/* ---- list ---- */

static void list_one(void *ctx, const char *name, struct json_object *status)
{
	if (!status) {
		status = json_object_new_object();
		json_object_object_add(status, "name", json_object_new_string(name));
		json_object_object_add(status, "state", json_object_new_string("silent"));
	}
	json_object_array_add(ctx, status);
}

static const char *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : "";
}

static int run_list(int argc, char **argv)
{
	struct json_object *list = json_object_new_array();
	struct mv_err err = { 0 };
	int code, first = mv_cli_options(&mv_cmd_list, argc, argv, no_option,
					 (void *)(uintptr_t)&mv_cmd_list, &code);

	if (first < 0 || first < argc) {
		json_object_put(list);
		return first < 0 ? code : mv_cli_usage(&mv_cmd_list, "'%s' is too much: list takes no operand", argv[first]);
	}
	if (mv_control_list(list_one, list, &err)) {
		json_object_put(list);
		return mv_cli_error(&err);
	}
	if (mv_output.json) {
		mv_cli_json(list);
		return MV_EXIT_OK;
	}
	if (json_object_array_length(list))
		printf("%-24s %-8s %-8s %-10s %s\n", "NAME", "STATE", "PID", "INTERCEPT", "IMAGE");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *s = json_object_array_get_idx(list, i);

		printf("%-24s %-8s %-8s %-10s %s\n", member(s, "name"), member(s, "state"),
		       member(s, "pid"), member(s, "intercept"), member(s, "image"));
	}
	json_object_put(list);
	return MV_EXIT_OK;
}

/* ---- snapshot ---- */

struct snapshot_args {
	bool stop, compress;
};

static int snapshot_option(void *ctx, int key, const char *arg)
{
	struct snapshot_args *a = ctx;

	(void)arg;
	*(key == 'S' ? &a->stop : &a->compress) = true;
	return 0;
}

static int run_snapshot(int argc, char **argv)
{
	struct json_object *reply, *req;
	char path[PATH_MAX * 2], cwd[PATH_MAX] = "";
	struct mv_err err = { 0 };
	struct snapshot_args a = { 0 };
	int code, first = mv_cli_options(&mv_cmd_snapshot, argc, argv, snapshot_option, &a,
					 &code);

	if (first < 0)
		return code;
	if (argc - first != 2)
		return mv_cli_usage(&mv_cmd_snapshot, "a VM's name and a file to save it to are needed");
	/* The VM may live in another folder. */
	if (argv[first + 1][0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return mv_cli_usage(&mv_cmd_snapshot, "the current folder has no name");
	snprintf(path, sizeof(path), "%s%s%s", cwd, *cwd ? "/" : "", argv[first + 1]);
	req = request("snapshot");
	json_object_object_add(req, "file", json_object_new_string(path));
	json_object_object_add(req, "stop", json_object_new_boolean(a.stop));
	json_object_object_add(req, "compress", json_object_new_boolean(a.compress));
	if ((a.stop ? mv_control_call_last : mv_control_call)(argv[first], req, &reply, &err))
		return mv_cli_error(&err);
	if (mv_output.json)
		print_status(reply);
	else
		mv_cli_note("%s saved to %s%s", argv[first], argv[first + 1],
			    a.stop ? " and stopped" : "");
	json_object_put(reply);
	return MV_EXIT_OK;
}

static const struct mv_opt snapshot_opts[] = {
	{ "stop", NULL, "end the VM once it is saved", 'S' },
	{ "compress", NULL, "a smaller file; restore reads all of it first", 'C' },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_snapshot = {
	.name = "snapshot", .args = "NAME FILE [OPTIONS]",
	.summary = "save a running VM to a file", .opts = snapshot_opts, .run = run_snapshot,
	.more = "What its disks hold is read first, while the guest runs; it is halted for the\n"
		"file. Ctrl-C gives up, as long as the file is not being written: what was there\n"
		"before is untouched.\n",
};
const struct mv_cmd mv_cmd_list = {
	.name = "list", .args = "", .summary = "the VMs that are running", .run = run_list,
};
const struct mv_cmd mv_cmd_status = {
	.name = "status", .args = "NAME", .summary = "what a running VM is and does",
	.run = run_status,
};
const struct mv_cmd mv_cmd_pause = {
	.name = "pause", .args = "NAME", .summary = "halt a running VM's CPUs", .run = run_pause,
};
const struct mv_cmd mv_cmd_resume = {
	.name = "resume", .args = "NAME", .summary = "let a paused VM go on", .run = run_resume,
};
const struct mv_cmd mv_cmd_stop = {
	.name = "stop", .args = "NAME", .summary = "end a running VM", .run = run_stop,
};
