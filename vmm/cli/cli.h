/* SPDX-License-Identifier: MIT */
/* What the commands share: exit codes, options as data, output. One command, one file. */
#ifndef MV_CLI_H
#define MV_CLI_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "apply.h"
#include "err.h"
#include "verdict.h"

#define MV_VERSION "0.1"

enum mv_exit {
	MV_EXIT_OK = 0,		/* done, accepted, the guest passed */
	MV_EXIT_FAILED = 1,	/* run-time failure */
	MV_EXIT_USAGE = 2,
	MV_EXIT_REFUSED = 3,	/* power-on requirement not met, or the destination is incompatible */
	MV_EXIT_INPUT = 4,	/* malformed or corrupt input */
	MV_EXIT_HOST = 5,	/* this host can't */
	MV_EXIT_GUEST = 6,	/* the guest failed, crashed or timed out */
	MV_EXIT_FOUND = 7,	/* the probe found what --fail-on names */
	MV_NEXITS
};
extern const char *const mv_exit_texts[MV_NEXITS];	/* for people */

/* Set once, by main. */
struct mv_output {
	bool json, quiet, verbose;
};
extern struct mv_output mv_output;

/* An option of a command: help and getopt_long's array derive from these rows. */
struct mv_opt {
	const char *name;	/* long name; NULL ends the list */
	const char *arg;	/* "FILE"; NULL: takes none */
	const char *help;
	int key;		/* what the handler is called with; MV_OPT_COMMON is handled by main */
};
#define MV_OPT_END { NULL, NULL, NULL, 0 }

struct mv_cmd {
	const char *name, *args, *summary;
	const struct mv_opt *opts;
	const char *more;	/* paragraphs of --help; may be NULL */
	const char *has_its_own;	/* why options of run make no sense here; may be NULL */
	const struct mv_cmd *const *parts;	/* "NAME WORD" with options of their own, to NULL; may be NULL */
	int (*run)(int argc, char **argv);	/* argv[0] is the command */
};

/* The commands; mv_cmds has them in the order of --help and ends with NULL. */
extern const struct mv_cmd mv_cmd_run, mv_cmd_snapshot, mv_cmd_restore, mv_cmd_list, mv_cmd_status,
	mv_cmd_pause, mv_cmd_resume, mv_cmd_stop, mv_cmd_probe, mv_cmd_host, mv_cmd_mask,
	mv_cmd_check, mv_cmd_baseline, mv_cmd_inspect, mv_cmd_explain, mv_cmd_migrate, mv_cmd_receive,
	mv_cmd_fleet;
extern const struct mv_cmd *const mv_cmds[];
extern const struct mv_cmd mv_cmd_mask_suggest, mv_cmd_mask_convert;	/* parts of mask */

/* The whole table, with the options that every command takes. */
struct json_object *mv_cli_describe(const struct mv_opt *common);

/*
 * Parse a command's options. handle is called for each with its key and argument; a non-zero return
 * ends it. Returns the index of the first operand, or -1: *exit_code is what to exit with.
 */
int mv_cli_options(const struct mv_cmd *cmd, int argc, char **argv,
		   int (*handle)(void *ctx, int key, const char *arg), void *ctx, int *exit_code);

/* --rule guide|subset, for the commands that judge. */
#define MV_CLI_RULE_OPT(key) { "rule", "HOW", "guide (the default) or subset", key }
int mv_cli_rule(const struct mv_cmd *cmd, const char *arg, enum mv_verdict_mode *mode);

/* An error as JSON. */
struct json_object *mv_json_error(const struct mv_err *err);
/* Print the error (as JSON with --json) and return the exit code that belongs to it. */
int mv_cli_error(const struct mv_err *err);
/* The same for a misuse: points to --help. */
int mv_cli_usage(const struct mv_cmd *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
enum mv_exit mv_cli_exit_code(int err_code);

/* A name, of a file or host, as it is printed: control characters, and what is no UTF-8, are '?'. It stays valid. */
const char *mv_cli_shown(const char *name);

/* Progress and warnings: stderr, not with -q; details only with -v. */
void mv_cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mv_cli_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A host from a file of any known format (docs/importers.md), or from libvirt by its URI; what a reader
 * should know of it is said as notes. -MV_E_INPUT names file, line and reason.
 */
int mv_cli_host_file(struct mv_host *h, const char *path, struct mv_err *err);

/*
 * This machine, proved and with its exec view. Without KVM the raw view stands for the offer, and
 * that is said.
 */
int mv_cli_this_host(struct mv_host *h, struct mv_err *err);

/* --strict: -MV_E_REFUSED if no KVM was asked there, or libvirt, which does not tell all. file may be NULL. */
int mv_cli_known(const struct mv_host *h, const char *file, struct mv_err *err);

/* Warn if the file describes this machine as it is no longer (another kernel, microcode, boot). */
void mv_cli_stale(const struct mv_host *h, const char *path);

/*
 * The VM of a libvirt domain: "DOMAIN@URI", a file with the domain's XML, or "-" for standard input.
 * Which of the names that a VM can have is such a one, and its policy.
 */
bool mv_cli_is_domain(const char *name);
int mv_cli_domain(struct mv_policy *p, const char *name, struct mv_err *err);

/* A JSON document to stdout; takes the reference. And one laid out as json-c's flags say, which remains. */
void mv_cli_json(struct json_object *o);
void mv_cli_json_line(struct json_object *o, int flags);

/* ---- reports (report.c, report_lint.c) ---- */

/* A mask in the guide's layout. */
void mv_print_mask(FILE *f, const struct mv_mask *m);
struct json_object *mv_json_mask(const struct mv_mask *m, const struct mv_mask_files *files);

/*
 * Print what apply noted of a VM on that host ("this host", or a file's name); MV_EXIT_REFUSED (as JSON, too, with
 * --json) if it can't start.
 */
int mv_cli_power_on(const struct mv_policy *p, const struct mv_notes *notes, const char *host);

/* The refusals among them for lint: one a line, to standard output; and as JSON. */
void mv_print_refusals(const struct mv_policy *p, const struct mv_notes *notes, const char *host);
struct json_object *mv_json_refusals(const struct mv_policy *p, const struct mv_notes *notes, const char *host);

/* What lint finds on a policy that was applied on that host, to standard output (JSON with --json). */
void mv_print_lint(const struct mv_policy *p, const struct mv_notes *notes, const char *host);

/*
 * The verdict on one destination, in VirtualCenter's manner: level, register, both vectors, then a
 * line for each feature. dst_name is how the destination is called ("this host").
 */
void mv_print_verdict(FILE *f, const struct mv_policy *p, const struct mv_host *dst,
		      const char *dst_name, const struct mv_verdict *v,
		      enum mv_verdict_mode mode);
struct json_object *mv_json_verdict(const struct mv_policy *p, const struct mv_host *dst,
				    const char *dst_name, const struct mv_verdict *v,
				    enum mv_verdict_mode mode);

#endif
