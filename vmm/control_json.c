/* SPDX-License-Identifier: MIT */
#include "control_json.h"

#include <stdio.h>
#include <string.h>

/* ---- requests ---- */

const char *mv_request_string(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

/* A number of the request, if it is there; false if it is none, or beyond limits. */
static bool number_member(struct json_object *o, const char *name, int64_t max, uint64_t *out)
{
	struct json_object *v = NULL;
	int64_t n;

	if (!json_object_object_get_ex(o, name, &v))
		return true;
	n = json_object_get_int64(v);
	if (!json_object_is_type(v, json_type_int) || n < 0 || n > max)
		return false;
	*out = (uint64_t)n;
	return true;
}

/* A string of the request, "" if it is not there; false if it does not fit. */
static bool copy_member(char *to, size_t size, struct json_object *o, const char *name)
{
	const char *s = mv_request_string(o, name);

	return (size_t)snprintf(to, size, "%s", s) < size;
}

/* Where to: the address as it was given, and what the command says its host's name stands for. */
static int move_to(struct mv_addr *to, struct json_object *request, struct mv_err *err)
{
	struct json_object *list = NULL;
	int rc = mv_addr_parse(to, mv_request_string(request, "to"), err);

	if (rc || !json_object_object_get_ex(request, "addresses", &list))
		return rc;
	if (!json_object_is_type(list, json_type_array))
		return mv_err_set(err, MV_E_USAGE, "addresses is not an array");
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!mv_addr_add(to, json_object_get_string(json_object_array_get_idx(list, i))))
			return mv_err_set(err, MV_E_USAGE, "addresses are up to %d numbers", MV_ADDR_MOST);
	return 0;
}

int mv_move_request(struct mv_move_opts *opts, struct json_object *request, struct mv_err *err)
{
	uint64_t downtime = MV_LIVE_DOWNTIME_MS, rounds = MV_LIVE_MAX_ROUNDS, timeout = 0;
	uint64_t bandwidth = 0, peer = MV_PEER_TIMEOUT_MS, throttle = 0;
	const char *on_timeout = mv_request_string(request, "on-timeout");
	struct json_object *insecure = NULL;
	int rc = move_to(&opts->to, request, err);

	if (rc)
		return rc;
	if (!number_member(request, "downtime-ms", INT32_MAX, &downtime) ||
	    !number_member(request, "max-rounds", INT32_MAX, &rounds) ||
	    !number_member(request, "timeout-ms", INT64_C(1) << 40, &timeout) ||
	    !number_member(request, "peer-timeout-ms", INT32_MAX, &peer) ||
	    !number_member(request, "throttle", MV_LIVE_THROTTLE_MOST, &throttle) ||
	    !number_member(request, "bandwidth", INT64_MAX, &bandwidth))
		return mv_err_set(err, MV_E_USAGE, "a number of the request makes no sense");
	if (*on_timeout && strcmp(on_timeout, "cancel") && strcmp(on_timeout, "stop"))
		return mv_err_set(err, MV_E_USAGE, "on-timeout is cancel or stop");
	json_object_object_get_ex(request, "insecure", &insecure);
	opts->insecure = json_object_get_boolean(insecure);
	if (!copy_member(opts->tls_dir, sizeof(opts->tls_dir), request, "tls-dir") ||
	    !copy_member(opts->tls_hostname, sizeof(opts->tls_hostname), request, "tls-hostname"))
		return mv_err_set(err, MV_E_USAGE, "a text of the request is too long");
	if (*opts->tls_dir && opts->insecure)
		return mv_err_set(err, MV_E_USAGE, "insecure and tls-dir contradict each other");
	if (*opts->tls_dir && !opts->to.tcp && !*opts->tls_hostname) {
		mv_err_set(err, MV_E_USAGE, "over a Unix socket TLS has no host's name to check");
		mv_err_hint(err, "--tls-hostname: whose certificate the destination has to show");
		return -MV_E_USAGE;
	}
	opts->peer_timeout_ms = (uint32_t)(peer ? peer : 1);
	opts->live = (struct mv_live_opts){
		.downtime_ms = (uint32_t)downtime, .max_rounds = (uint32_t)(rounds ? rounds : 1),
		.timeout_ms = timeout, .bandwidth = bandwidth, .throttle_max = (uint32_t)throttle,
		.on_timeout = strcmp(on_timeout, "stop") ? MV_LIVE_CANCEL : MV_LIVE_STOP,
	};
	return 0;
}

/* ---- replies ---- */

void mv_reply_text(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

void mv_reply_error(struct json_object *reply, const struct mv_err *err)
{
	char text[sizeof(err->file) + sizeof(err->msg) + 2];

	snprintf(text, sizeof(text), "%s%s%s", err->file, *err->file ? ": " : "", err->msg);
	mv_reply_text(reply, "error", text);
	if (*err->hint)
		mv_reply_text(reply, "hint", err->hint);
}

void mv_reply_number(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_int64((int64_t)value));
}

static void add_ms(struct json_object *o, const char *name, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", (double)ns / 1e6);
	json_object_object_add(o, name, json_object_new_double_s((double)ns / 1e6, text));
}

struct json_object *mv_reply_progress(const struct mv_live_progress *p)
{
	struct json_object *o = json_object_new_object();

	mv_reply_text(o, "phase", p->phase);
	mv_reply_number(o, "processed", p->processed);
	mv_reply_number(o, "remaining", p->remaining);
	mv_reply_number(o, "total", p->total);
	mv_reply_number(o, "iteration", p->iteration);
	mv_reply_number(o, "dirty-rate", p->dirty_rate);
	mv_reply_number(o, "bandwidth", p->bandwidth);
	add_ms(o, "downtime", p->downtime_ns);
	add_ms(o, "elapsed", p->elapsed_ns);
	mv_reply_number(o, "throttle", p->throttle);
	return o;
}
