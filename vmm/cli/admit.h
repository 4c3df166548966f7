/* SPDX-License-Identifier: MIT */
/* What restore and receive share: may the VM that l->st describes come to this host, and how? */
#ifndef MV_CLI_ADMIT_H
#define MV_CLI_ADMIT_H

#include "launch.h"

#define MV_ADMIT_OPTS(rule_key, ignore_key) \
	MV_CLI_RULE_OPT(rule_key), \
	{ "unsafe-ignore-cpu", "NAMES", "features or rules not to refuse for, by comma", ignore_key }

/*
 * Judge this host (l->host), choose how CPUID is answered here, and make l->st's policy say so. 0:
 * it may come; MV_EXIT_REFUSED after printing the whole report; errors through err. A refusal's report
 * is also left in *text and *json, for the caller to release, if these are not NULL.
 */
int mv_cli_admit(struct mv_launch *l, const struct mv_verdict_opts *opts, char **text, char **json,
		 struct mv_err *err);

#endif
