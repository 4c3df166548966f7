/* SPDX-License-Identifier: MIT */
/* minivmm migrate: ask a running VM to move, and watch it go. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "control.h"
#include "live.h"
#include "net.h"

enum { OPT_DOWNTIME = 256, OPT_ROUNDS, OPT_TIMEOUT, OPT_ON_TIMEOUT, OPT_BANDWIDTH, OPT_THROTTLE,
       OPT_PEER_TIMEOUT, OPT_TLS_DIR, OPT_TLS_HOSTNAME, OPT_INSECURE, OPT_CANCEL };

struct migrate_args {
	struct json_object *request;
	bool cancel;
	bool line;	/* a progress line stands on the terminal */
};

static void put_number(struct migrate_args *a, const char *name, double value)
{
	json_object_object_add(a->request, name, json_object_new_int64((int64_t)value));
}

/* A number from least to most, taken times scale. */
static int number(struct migrate_args *a, const char *arg, const char *name, double least,
		  double most, double scale)
{
	char *end;
	double v = strtod(arg, &end);

	if (*end || end == arg || !isfinite(v) || v < least || v > most)
		return mv_cli_usage(&mv_cmd_migrate, "'%s' is not a number from %g to %g", arg,
				    least, most);
	put_number(a, name, v * scale);
	return 0;
}

/* "100M": bytes a second. */
static int bandwidth(struct migrate_args *a, const char *arg)
{
	char *end;
	double v = strtod(arg, &end);

	if (end != arg && *end && !end[1]) {
		const char *unit = strchr("KMG", *end & ~0x20);

		if (unit) {
			v *= *unit == 'K' ? 0x1p10 : *unit == 'M' ? 0x1p20 : 0x1p30;
			end++;
		}
	}
	if (*end || end == arg || !isfinite(v) || v < 0x1p16 || v > 0x1p40)
		return mv_cli_usage(&mv_cmd_migrate, "'%s' is not a bandwidth (64K to 1024G)", arg);
	put_number(a, "bandwidth", v);
	return 0;
}

/* The VM, which reads the files, may live in another folder. */
static int tls_dir(struct migrate_args *a, const char *arg)
{
	char full[PATH_MAX];

	if (!realpath(arg, full))
		return mv_cli_usage(&mv_cmd_migrate, "%s: %s", arg, strerror(errno));
	json_object_object_add(a->request, "tls-dir", json_object_new_string(full));
	return 0;
}

static int option(void *ctx, int key, const char *arg)
{
	struct migrate_args *a = ctx;

	switch (key) {
	case OPT_DOWNTIME:
		return number(a, arg, "downtime-ms", 0, 3600000, 1);
	case OPT_ROUNDS:
		return number(a, arg, "max-rounds", 1, 100000, 1);
	case OPT_TIMEOUT:
		return number(a, arg, "timeout-ms", 0.001, 1e6, 1e3);
	case OPT_THROTTLE:
		return number(a, arg, "throttle", 0, MV_LIVE_THROTTLE_MOST, 1);
	case OPT_PEER_TIMEOUT:
		return number(a, arg, "peer-timeout-ms", 0.001, 1e6, 1e3);
	case OPT_BANDWIDTH:
		return bandwidth(a, arg);
	case OPT_ON_TIMEOUT:
		if (strcmp(arg, "cancel") && strcmp(arg, "stop"))
			return mv_cli_usage(&mv_cmd_migrate, "--on-timeout is cancel or stop, not "
							     "'%s'", arg);
		json_object_object_add(a->request, "on-timeout", json_object_new_string(arg));
		return 0;
	case OPT_TLS_DIR:
		return tls_dir(a, arg);
	case OPT_TLS_HOSTNAME:
		json_object_object_add(a->request, "tls-hostname", json_object_new_string(arg));
		return 0;
	case OPT_INSECURE:
		json_object_object_add(a->request, "insecure", json_object_new_boolean(1));
		return 0;
	default:
		a->cancel = true;
		return 0;
	}
}

static int cancel(const char *name)
{
	struct json_object *request = json_object_new_object(), *reply;
	struct mv_err err = { 0 };

	json_object_object_add(request, "command", json_object_new_string("cancel"));
	if (mv_control_call(name, request, &reply, &err))
		return mv_cli_error(&err);
	if (mv_output.json)
		mv_cli_json(reply);
	else
		json_object_put(reply);
	return MV_EXIT_OK;
}

/* ---- what the VM says ---- */

static const char *text(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : "";
}

static double value(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_double(v) : 0;
}

/* One line of JSON: progress and result are a sequence of them. */
static void print_line(struct json_object *o)
{
	mv_cli_json_line(o, JSON_C_TO_STRING_PLAIN);
	fflush(stdout);
}

#define COLUMNS 80
#define BAR 20
#define HASHES "####################"
#define DOTS "...................."

static void print_progress(struct migrate_args *a, struct json_object *p)
{
	double total = value(p, "total"), done = total - value(p, "remaining");
	double share = total > 0 ? done / total : 0;
	char line[256], slowed[32] = "";
	int bar = (int)(share * BAR);

	if (mv_output.quiet || !isatty(STDERR_FILENO))
		return;
	if (value(p, "throttle") > 0)
		snprintf(slowed, sizeof(slowed), ", slowed %.0f %%", value(p, "throttle"));
	snprintf(line, sizeof(line), "%s %.0f [%.*s%.*s] %3.0f %%, %.0f MiB, %.0f MiB/s, downtime "
		 "%.0f ms%s", text(p, "phase"), value(p, "iteration"), bar, HASHES, BAR - bar, DOTS,
		 100 * share, value(p, "processed") / 0x1p20, value(p, "bandwidth") / 0x1p20,
		 value(p, "downtime"), slowed);
	/* One line whatever it has to say: what wraps could not be taken back. */
	fprintf(stderr, "\r\033[K%.*s", COLUMNS - 1, line);
	a->line = true;
}

static int end_code(const char *end)
{
	if (!strcmp(end, "moved"))
		return MV_EXIT_OK;
	return strcmp(end, "refused") ? MV_EXIT_FAILED : MV_EXIT_REFUSED;
}

static void explain(const char *name, const char *end, struct json_object *o)
{
	struct json_object *p = NULL;

	json_object_object_get_ex(o, "progress", &p);
	if (!strcmp(end, "moved")) {
		mv_cli_note("%s moved to %s: %.1f MiB in %.0f ms, %.0f round%s, halted for %.1f ms",
			    name, text(o, "to"), value(p, "processed") / 0x1p20,
			    value(p, "elapsed"), value(p, "iteration"),
			    value(p, "iteration") == 1 ? "" : "s", value(p, "downtime"));
		return;
	}
	fputs(text(o, "report"), stderr);
	fprintf(stderr, "minivmm: %s\n", text(o, "error"));
	if (*text(o, "hint"))
		fprintf(stderr, "minivmm: hint: %s\n", text(o, "hint"));
	if (value(o, "ended") > 0)
		return;
	if (strcmp(end, "unconfirmed"))
		fprintf(stderr, "minivmm: %s goes on here\n", name);
	else
		fprintf(stderr,
			"minivmm: %s was handed over and may be running at %s: it is halted here\n"
			"minivmm: look there: if it runs, minivmm stop %s; if it does not, minivmm "
			"resume %s\n",
			name, text(o, "to"), name, name);
}

static int finish(struct migrate_args *a, const char *name, struct json_object *o)
{
	const char *end = text(o, "end");
	struct json_object *verdict;
	int code = end_code(end);

	if (a->line)
		fputs("\r\033[K", stderr);
	if (!mv_output.json) {
		explain(name, end, o);
		return code;
	}
	/* It came as text, from another host; here it is part of a document. */
	verdict = json_tokener_parse(text(o, "verdict"));
	if (verdict)
		json_object_object_add(o, "verdict", verdict);
	json_object_object_add(o, "exit", json_object_new_int(code));
	print_line(o);
	return code;
}

static int watch(struct migrate_args *a, const char *name, struct mv_err *err)
{
	struct json_object *o, *p;
	struct mv_call call;
	int code = -1, rc = mv_call_begin(&call, name, a->request, err);

	a->request = NULL;
	while (rc == 0 && code < 0) {
		rc = mv_call_next(&call, &o, err);
		if (rc)
			break;
		p = NULL;
		if (*text(o, "end")) {
			code = finish(a, name, o);
		} else if (*text(o, "error")) {
			rc = mv_err_set(err, MV_E_FAILED, "%s", text(o, "error"));
			mv_err_hint(err, "%s", text(o, "hint"));
		} else if (json_object_object_get_ex(o, "progress", &p)) {
			if (mv_output.json)
				print_line(o);
			else
				print_progress(a, p);
		}
		json_object_put(o);
	}
	/* Not its process: that stays until what the guest wrote has been read. By then it has let go of its name. */
	while (code == MV_EXIT_OK && !mv_call_next(&call, &o, NULL))
		json_object_put(o);
	mv_call_end(&call);
	return rc ? mv_cli_error(err) : code;
}

static int look_up(struct migrate_args *a, struct mv_addr *addr, struct mv_err *err)
{
	struct json_object *list = json_object_new_array();
	int rc = mv_addr_look_up(addr, err);

	for (unsigned i = 0; i < addr->nat; i++)
		json_object_array_add(list, json_object_new_string(addr->at[i]));
	json_object_object_add(a->request, "addresses", list);
	return rc;
}

static int set_address(struct migrate_args *a, const char *arg, struct mv_err *err)
{
	char full[MV_ADDR_TEXT + PATH_MAX], cwd[PATH_MAX];
	struct mv_addr addr;
	int rc = mv_addr_parse(&addr, arg, err);

	if (rc)
		return rc;
	/* The VM may live in another folder. */
	if (!addr.tcp && *addr.path != '/' && getcwd(cwd, sizeof(cwd))) {
		snprintf(full, sizeof(full), "unix:%s/%s", cwd, addr.path);
		rc = mv_addr_parse(&addr, full, err);
		arg = full;
	}
	/* And can't look names up. */
	if (rc == 0 && addr.tcp)
		rc = look_up(a, &addr, err);
	json_object_object_add(a->request, "to", json_object_new_string(arg));
	return rc;
}

static int run(int argc, char **argv)
{
	struct migrate_args a = { .request = json_object_new_object() };
	struct mv_err err = { 0 };
	int code, first = mv_cli_options(&mv_cmd_migrate, argc, argv, option, &a, &code);
	int want = a.cancel ? 1 : 2;

	if (first >= 0 && argc - first < want) {
		code = mv_cli_usage(&mv_cmd_migrate, a.cancel ? "no VM's name given"
						 : "a VM's name and an address are needed");
	} else if (first >= 0 && argc - first > want) {
		code = mv_cli_usage(&mv_cmd_migrate, "'%s' is too much", argv[first + want]);
	} else if (first >= 0 && a.cancel) {
		code = cancel(argv[first]);
	} else if (first >= 0) {
		json_object_object_add(a.request, "command", json_object_new_string("migrate"));
		code = set_address(&a, argv[first + 1], &err) ? mv_cli_error(&err)
							      : watch(&a, argv[first], &err);
	}
	json_object_put(a.request);
	return code;
}

static const struct mv_opt opts[] = {
	{ "downtime-ms", "N", "how long the guest may be halted (300)", OPT_DOWNTIME },
	{ "bandwidth", "RATE", "bytes a second at most while it runs, as 100M", OPT_BANDWIDTH },
	{ "throttle", "MAX", "slow it down by up to so many percent (0)", OPT_THROTTLE },
	{ "timeout", "SEC", "how long all of it may take", OPT_TIMEOUT },
	{ "max-rounds", "N", "how often to copy what it wrote meanwhile (30)", OPT_ROUNDS },
	{ "on-timeout", "WHAT", "not enough? cancel (default) or stop the guest", OPT_ON_TIMEOUT },
	{ "peer-timeout", "SEC", "how long the destination may be silent (10)", OPT_PEER_TIMEOUT },
	{ "tls-dir", "DIR", "encrypt, with the certificates in DIR", OPT_TLS_DIR },
	{ "tls-hostname", "NAME", "whose certificate has to come, if not HOST's", OPT_TLS_HOSTNAME },
	{ "insecure", NULL, "leave this machine without encryption", OPT_INSECURE },
	{ "cancel", NULL, "end a migration that goes on", OPT_CANCEL },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_migrate = {
	.name = "migrate",
	.args = "NAME ADDR [OPTIONS] | NAME --cancel",
	.summary = "move a running VM to a host where minivmm receive waits",
	.opts = opts,
	.more = "ADDR is tcp:HOST:PORT or unix:PATH. The destination judges first: if it refuses\n"
		"(exit 3) the guest never notices, and the whole report is printed here. If\n"
		"anything fails (exit 1) the guest goes on here. Ctrl-C cancels. With --json: a\n"
		"line for each step, sizes in bytes, times in milliseconds, dirty-rate in pages\n"
		"a second. DIR holds what QEMU and libvirt call ca-cert.pem, client-cert.pem and\n"
		"client-key.pem.\n",
	.run = run,
};
