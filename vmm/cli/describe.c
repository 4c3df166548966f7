/* SPDX-License-Identifier: MIT */
/* The command table as JSON: what man pages and completion are made from. */
#include "cli.h"

static struct json_object *options(const struct mv_opt *opts)
{
	struct json_object *a = json_object_new_array();

	for (const struct mv_opt *o = opts; o && o->name; o++) {
		struct json_object *j = json_object_new_object();

		json_object_object_add(j, "name", json_object_new_string(o->name));
		if (o->arg)
			json_object_object_add(j, "argument", json_object_new_string(o->arg));
		json_object_object_add(j, "help", json_object_new_string(o->help));
		json_object_array_add(a, j);
	}
	return a;
}

/* A command, then its parts as commands of their own. */
static void commands(struct json_object *list, const struct mv_cmd *const *cmds)
{
	for (const struct mv_cmd *const *c = cmds; c && *c; c++) {
		struct json_object *j = json_object_new_object();

		json_object_object_add(j, "name", json_object_new_string((*c)->name));
		json_object_object_add(j, "arguments", json_object_new_string((*c)->args));
		json_object_object_add(j, "summary", json_object_new_string((*c)->summary));
		json_object_object_add(j, "options", options((*c)->opts));
		json_object_object_add(j, "more",
				       json_object_new_string((*c)->more ? (*c)->more : ""));
		json_object_array_add(list, j);
		commands(list, (*c)->parts);
	}
}

struct json_object *mv_cli_describe(const struct mv_opt *common)
{
	struct json_object *o = json_object_new_object(), *cmds = json_object_new_array();
	struct json_object *exits = json_object_new_array();

	commands(cmds, mv_cmds);
	for (unsigned i = 0; i < MV_NEXITS; i++)
		json_object_array_add(exits, json_object_new_string(mv_exit_texts[i]));
	json_object_object_add(o, "version", json_object_new_string(MV_VERSION));
	json_object_object_add(o, "commands", cmds);
	json_object_object_add(o, "common-options", options(common));
	json_object_object_add(o, "exit-codes", exits);
	return o;
}
