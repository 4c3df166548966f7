/* SPDX-License-Identifier: MIT */
/* minivmm: the command table. Help, options and exit codes derive from the rows. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"
#include "text.h"
#include "virt.h"

struct mv_output mv_output;

const struct mv_cmd *const mv_cmds[] = {
	&mv_cmd_run,   &mv_cmd_snapshot, &mv_cmd_restore, &mv_cmd_list, &mv_cmd_status,
	&mv_cmd_pause, &mv_cmd_resume,	 &mv_cmd_stop,	  &mv_cmd_probe, &mv_cmd_host,
	&mv_cmd_mask,  &mv_cmd_check,	 &mv_cmd_baseline, &mv_cmd_inspect, &mv_cmd_explain,
	&mv_cmd_migrate, &mv_cmd_receive, &mv_cmd_fleet, NULL,
};

const char *const mv_exit_texts[MV_NEXITS] = {
	[MV_EXIT_OK] = "done, accepted, the guest passed",
	[MV_EXIT_FAILED] = "run-time failure",
	[MV_EXIT_USAGE] = "wrong usage",
	[MV_EXIT_REFUSED] = "refused: power-on or destination",
	[MV_EXIT_INPUT] = "malformed or corrupt input",
	[MV_EXIT_HOST] = "this host can't",
	[MV_EXIT_GUEST] = "the guest failed, crashed or hung",
	[MV_EXIT_FOUND] = "the probe found what --fail-on names",
};

/* Options that every command takes. */
static const struct mv_opt common[] = {
	{ "json", NULL, "results and errors as JSON on standard output", 'J' },
	{ "quiet", NULL, "no notes, only results and errors (-q)", 'q' },
	{ "verbose", NULL, "say more on standard error (-v)", 'v' },
	{ "help", NULL, "this text (-h)", 'h' },
	MV_OPT_END,
};

static void print_options(FILE *f, const struct mv_opt *opts)
{
	for (const struct mv_opt *o = opts; o && o->name; o++) {
		char left[64];
		int columns = 0, pad;

		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->arg ? " " : "",
			 o->arg ? o->arg : "");
		/* Help texts are written to fit 80 columns behind a left side of 30. */
		for (const char *p = left; *p; p++)
			columns += (*p & 0xc0) != 0x80;		/* "…" is one column and three bytes */
		pad = 27 - columns;
		if (pad < 0)
			fprintf(f, "  %s\n  %27s %s\n", left, "", o->help);
		else
			fprintf(f, "  %s%*s %s\n", left, pad, "", o->help);
	}
}

static void print_command_help(const struct mv_cmd *cmd)
{
	printf("usage: minivmm %s%s%s\n\n%s\n\noptions:\n", cmd->name, *cmd->args ? " " : "", cmd->args,
	       cmd->summary);
	print_options(stdout, cmd->opts);
	print_options(stdout, common);
	if (cmd->more)
		printf("\n%s", cmd->more);
}

static void print_help(FILE *f)
{
	fprintf(f, "usage: minivmm COMMAND [OPTIONS] …\n\n"
		   "Know, before the guest does, whether it will survive the move: CPUID masks,\n"
		   "snapshots that carry them, and a verdict on every destination.\n\ncommands:\n");
	for (const struct mv_cmd *const *c = mv_cmds; *c; c++)
		fprintf(f, "  %-9s %s\n", (*c)->name, (*c)->summary);
	fprintf(f, "\nminivmm COMMAND --help tells more. Exit codes:\n");
	for (unsigned i = 0; i < MV_NEXITS / 2; i++)
		fprintf(f, "  %u %-36s %u %s\n", i, mv_exit_texts[i], i + MV_NEXITS / 2,
			mv_exit_texts[i + MV_NEXITS / 2]);
}

static void print_version(void)
{
	printf("minivmm %s (%d CPUID features, %d fields; snapshot format 1)\n", MV_VERSION,
	       MV_NFEATURES, MV_NFIELDS);
	printf("libvirt: %s\n", mv_virt_built_in() ? "built in" : "not built in (libvirt-dev was missing, or LIBVIRT=0)");
}

enum mv_exit mv_cli_exit_code(int err_code)
{
	switch (err_code) {
	case MV_E_USAGE: return MV_EXIT_USAGE;
	case MV_E_REFUSED: return MV_EXIT_REFUSED;
	case MV_E_INPUT: return MV_EXIT_INPUT;
	case MV_E_HOST: return MV_EXIT_HOST;
	case MV_E_GUEST: return MV_EXIT_GUEST;
	default: return MV_EXIT_FAILED;
	}
}

void mv_cli_json_line(struct json_object *o, int flags)
{
	char *text = mv_json_text(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE, NULL);

	if (text)
		printf("%s\n", text);
	free(text);
}

void mv_cli_json(struct json_object *o)
{
	mv_cli_json_line(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
	json_object_put(o);
}

struct json_object *mv_json_error(const struct mv_err *err)
{
	struct json_object *e = json_object_new_object();

	json_object_object_add(e, "message", json_object_new_string(err->msg));
	if (*err->file)
		json_object_object_add(e, "file", json_object_new_string(err->file));
	if (err->line)
		json_object_object_add(e, "line", json_object_new_int64(err->line));
	if (err->col)
		json_object_object_add(e, "column", json_object_new_int64(err->col));
	if (*err->hint)
		json_object_object_add(e, "hint", json_object_new_string(err->hint));
	json_object_object_add(e, "exit", json_object_new_int(mv_cli_exit_code(err->code)));
	return e;
}

int mv_cli_error(const struct mv_err *err)
{
	char place[300];

	if (mv_output.json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "error", mv_json_error(err));
		mv_cli_json(o);
		return mv_cli_exit_code(err->code);
	}
	fflush(stdout);
	mv_err_place(place, sizeof(place), err);
	fprintf(stderr, "minivmm: %s%s%s\n", place, *place ? " " : "", err->msg);
	if (*err->hint)
		fprintf(stderr, "minivmm: hint: %s\n", err->hint);
	return mv_cli_exit_code(err->code);
}

int mv_cli_usage(const struct mv_cmd *cmd, const char *fmt, ...)
{
	struct mv_err err = { 0 };
	va_list ap;

	va_start(ap, fmt);
	mv_err_vat(&err, MV_E_USAGE, NULL, 0, 0, fmt, ap);
	va_end(ap);
	mv_err_hint(&err, "minivmm %s%s--help", cmd ? cmd->name : "", cmd ? " " : "");
	return mv_cli_error(&err);
}

int mv_cli_rule(const struct mv_cmd *cmd, const char *arg, enum mv_verdict_mode *mode)
{
	if (strcmp(arg, "guide") && strcmp(arg, "subset"))
		return mv_cli_usage(cmd, "--rule is guide or subset, not '%s'", arg);
	*mode = strcmp(arg, "guide") ? MV_VERDICT_SUBSET : MV_VERDICT_GUIDE;
	return 0;
}

const char *mv_cli_shown(const char *name)
{
	static struct odd {
		struct odd *next;
		char name[];
	} *all;
	size_t size = strlen(name) + 1;
	struct odd *o;

	if (mv_text_is_printable(name))
		return name;
	o = malloc(sizeof(*o) + size);
	if (!o)
		return "?";
	memcpy(o->name, name, size);
	o->next = all;
	all = o;
	return mv_text_printable(o->name);
}

static void __attribute__((format(printf, 1, 0))) say(const char *fmt, va_list ap)
{
	char *text;

	fflush(stdout);
	if (vasprintf(&text, fmt, ap) < 0)
		return;
	/* It quotes names of files and what is in them. */
	fprintf(stderr, "minivmm: %s\n", mv_text_printable(text));
	free(text);
}

void mv_cli_note(const char *fmt, ...)
{
	va_list ap;

	if (mv_output.quiet)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void mv_cli_detail(const char *fmt, ...)
{
	va_list ap;

	if (!mv_output.verbose)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

#define MAX_OPTIONS 32

static int build_longopts(const struct mv_opt *opts, struct option *out, int n)
{
	for (; opts && opts->name; opts++)
		out[n++] = (struct option){
			.name = opts->name,
			.has_arg = opts->arg ? required_argument : no_argument,
			.val = opts->key,
		};
	return n;
}

/* -q, -v, -h everywhere; -o where a command has --output. */
static const char *short_options(const struct mv_opt *opts)
{
	for (; opts && opts->name; opts++)
		if (opts->key == 'o')
			return ":qvho:";
	return ":qvh";
}

/* ---- options that are none ---- */

static const struct mv_opt *find_option(const struct mv_opt *opts, const char *name, size_t len)
{
	for (; opts && opts->name; opts++)
		if (strlen(opts->name) == len && !memcmp(opts->name, name, len))
			return opts;
	return NULL;
}

/* "check, mask suggest": the commands that take the option, and their parts, put behind those in buf. */
static void takers(char *buf, size_t size, const struct mv_cmd *const *cmds, const char *name, size_t len)
{
	for (const struct mv_cmd *const *c = cmds; c && *c; c++) {
		size_t n = strlen(buf);

		if (find_option((*c)->opts, name, len))
			snprintf(buf + n, size - n, "%s%s", n ? ", " : "", (*c)->name);
		takers(buf, size, (*c)->parts, name, len);
	}
}

/* Whose option it is, if it is one of another command's. */
static void hint_at_others(struct mv_err *err, const struct mv_cmd *cmd, const char *name, size_t len)
{
	char whose[256] = "";
	bool of_run = find_option(mv_cmd_run.opts, name, len);

	takers(whose, sizeof(whose), mv_cmds, name, len);
	if (*whose)
		mv_err_hint(err, "--%.*s is an option of minivmm %s%s%s", (int)len, name, whose,
			    of_run && cmd->has_its_own ? "; " : "", of_run && cmd->has_its_own ? cmd->has_its_own : "");
}

/* The options that a shortened name may stand for, "--stop, --snapshot-on-sync"; how many. */
static unsigned candidates(char *buf, size_t size, const struct mv_opt *opts, const char *name, size_t len)
{
	unsigned found = 0;
	size_t n = strlen(buf);

	for (; opts && opts->name; opts++) {
		if (strncmp(opts->name, name, len))
			continue;
		found++;
		if (n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s--%s", n ? ", " : "", opts->name);
	}
	return found;
}

/* getopt_long said no to the last of what it has looked at: optopt is a letter, or 0 for a long name that is none. */
static int bad_option(const struct mv_cmd *cmd, int key, const char *arg)
{
	size_t len = strcspn(arg, "=");
	const char *name = len > 2 ? arg + 2 : "";
	const struct mv_opt *o = NULL;
	struct mv_err err = { 0 };
	char could_be[256] = "";

	len = len > 2 ? len - 2 : 0;
	o = find_option(cmd->opts, name, len);
	o = o ? o : find_option(common, name, len);
	if (key == ':')
		mv_err_set(&err, MV_E_USAGE, "'%s' needs an argument", arg);
	else if (optopt && o && o->key == optopt && !o->arg)
		mv_err_set(&err, MV_E_USAGE, "'--%s' takes no argument", o->name);
	else if (optopt)
		mv_err_set(&err, MV_E_USAGE, "unknown option '-%c'", optopt);
	else if (len && candidates(could_be, sizeof(could_be), cmd->opts, name, len) +
			candidates(could_be, sizeof(could_be), common, name, len))
		mv_err_set(&err, MV_E_USAGE, "'--%.*s' could be %s", (int)len, name, could_be);
	else
		mv_err_set(&err, MV_E_USAGE, "unknown option '%.*s'", (int)strcspn(arg, "="), arg);
	if (key == '?' && !optopt && !*could_be && len)
		hint_at_others(&err, cmd, name, len);
	mv_err_hint(&err, "minivmm %s --help", cmd->name);
	return mv_cli_error(&err);
}

static bool take_common(int key)
{
	switch (key) {
	case 'J': mv_output.json = true; return true;
	case 'q': mv_output.quiet = true; return true;
	case 'v': mv_output.verbose = true; return true;
	default: return false;
	}
}

/* --json counts for the errors of options before it, too. */
static void look_for_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		mv_output.json |= !strcmp(argv[i], "--json");
}

int mv_cli_options(const struct mv_cmd *cmd, int argc, char **argv,
		   int (*handle)(void *ctx, int key, const char *arg), void *ctx, int *exit_code)
{
	struct option longopts[MAX_OPTIONS + 1] = { 0 };
	int key;

	build_longopts(common, longopts, build_longopts(cmd->opts, longopts, 0));
	opterr = 0;
	optind = 1;
	look_for_json(argc, argv);
	while ((key = getopt_long(argc, argv, short_options(cmd->opts), longopts, NULL)) != -1) {
		if (key == 'h') {
			print_command_help(cmd);
			*exit_code = MV_EXIT_OK;
			return -1;
		}
		if (take_common(key))
			continue;
		if (key == ':' || key == '?') {
			*exit_code = bad_option(cmd, key, argv[optind - 1]);
			return -1;
		}
		*exit_code = handle(ctx, key, optarg);
		if (*exit_code)
			return -1;
	}
	return optind;
}

/* A result that nobody got is none: whatever the exit code was, a full disk makes it a failure. */
static int written(int code)
{
	bool before = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !before)
		return code;
	fprintf(stderr, "minivmm: standard output: %s\n", errno ? strerror(errno) : "it could not be written");
	return MV_EXIT_FAILED;
}

/*
 * What is opened next must not get the number of a standard descriptor that is closed: the guest's console, or a
 * message, would go into a disk. Something that can't be used takes it, so that this is still noticed.
 */
static bool keep_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

/* "suggest" of "mask suggest". */
static const char *last_word(const struct mv_cmd *part)
{
	return strrchr(part->name, ' ') + 1;
}

/* The command that words (n of them) begin with; *used: how many of them are its name. */
static const struct mv_cmd *find_command(char *const *words, int n, int *used)
{
	for (const struct mv_cmd *const *c = mv_cmds; *c && n; c++) {
		if (strcmp((*c)->name, words[0]))
			continue;
		*used = 2;
		for (const struct mv_cmd *const *p = (*c)->parts; p && *p && n > 1; p++)
			if (!strcmp(last_word(*p), words[1]))
				return *p;
		*used = 1;
		return *c;
	}
	return NULL;
}

static int no_command(const char *name)
{
	struct mv_err err = { 0 };

	mv_err_set(&err, MV_E_USAGE, "there is no command '%s'", name);
	for (const struct mv_cmd *const *c = mv_cmds; *c; c++)
		for (const struct mv_cmd *const *p = (*c)->parts; p && *p; p++)
			if (!strcmp(last_word(*p), name))
				mv_err_hint(&err, "minivmm %s", (*p)->name);
	mv_err_hint(&err, "minivmm --help");
	return mv_cli_error(&err);
}

int main(int argc, char **argv)
{
	const struct mv_cmd *cmd;
	int used;

	if (!keep_standard_descriptors())
		return MV_EXIT_FAILED;
	if (argc < 2) {
		print_help(stderr);
		return MV_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		cmd = find_command(argv + 2, argc - 2, &used);
		if (cmd)
			print_command_help(cmd);
		else if (argc > 2 && !strcmp(argv[2], "--json"))
			mv_cli_json(mv_cli_describe(common));
		else
			print_help(stdout);
		return written(MV_EXIT_OK);
	}
	if (!strcmp(argv[1], "--version")) {
		print_version();
		return written(MV_EXIT_OK);
	}
	cmd = find_command(argv + 1, argc - 1, &used);
	if (cmd)
		return written(cmd->run(argc - used, argv + used));
	look_for_json(argc, argv);
	return written(no_command(argv[1]));
}
