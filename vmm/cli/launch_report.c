/* SPDX-License-Identifier: MIT */
/* How a guest ended, told. */
#include "launch.h"

#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "json.h"

/* A word for how it ended. */
static const char *end_name(const struct mv_launch *l, const struct mv_run_result *r)
{
	static const char *const ends[] = { "exit", "crash", "timeout", "saved", "stopped",
					    "moved" };
	static const char *const endings[] = { "exit", "power-off", "reset", "stopped" };

	return r->end == MV_END_EXIT ? endings[l->vm->ending] : ends[r->end];
}

/*
 * A reset fails: this machine does not start again, and a kernel that panics resets it, too. Only
 * power-off is a word of success.
 */
static int end_code(const struct mv_launch *l, const struct mv_run_result *r)
{
	int good = r->not_saved.code ? MV_EXIT_FAILED : MV_EXIT_OK;

	switch (r->end) {
	case MV_END_EXIT:
		if (l->vm->ending == MV_ENDING_RESET)
			return MV_EXIT_GUEST;
		if (l->qemu_exit && l->vm->ending == MV_ENDING_VALUE)
			return (int)((r->value << 1 | 1) & 0xff);
		return r->value ? MV_EXIT_GUEST : good;
	case MV_END_CRASH:
	case MV_END_TIMEOUT:
		return MV_EXIT_GUEST;
	case MV_END_SAVED:
		return good;
	default:
		return r->signal ? 128 + r->signal : good;
	}
}

static void code_bytes(char *buf, size_t size, const struct mv_event *e)
{
	size_t n = 0;

	*buf = '\0';
	for (unsigned i = 0; i < e->ncode && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%02x", i ? " " : "", e->code[i]);
}

/* Why it died, if an instruction tells: one that crashed it, or that its own handler named. */
static void explain_end(char *buf, size_t size, const struct mv_launch *l,
			const struct mv_run_result *r)
{
	const uint8_t *code = r->event.code;
	size_t n = r->end == MV_END_CRASH ? r->event.ncode : 0;
	uint32_t fault = l->vm->devices.fault;

	if (r->end == MV_END_EXIT && l->vm->ending == MV_ENDING_VALUE && fault) {
		n = sizeof(r->event.code);
		while (n && !mv_vm_at(l->vm, fault, n))
			n--;
		code = mv_vm_at(l->vm, fault, n);
	}
	if (n)
		mv_explain_crash(buf, size, &l->st->policy, l->host ? l->host : &l->st->policy.source,
				 code, n);
}

int mv_launch_report(const struct mv_launch *l, const struct mv_run_result *r)
{
	bool by_value = r->end == MV_END_EXIT && l->vm->ending == MV_ENDING_VALUE;
	bool quit = r->end == MV_END_EXIT && l->vm->ending == MV_ENDING_QUIT;
	int code = end_code(l, r);
	struct json_object *o;
	char bytes[64], why[900] = "";

	/* All that the guest said comes first; whoever ended it from outside waits for no reader. */
	mv_launch_drain(r->end == MV_END_STOPPED || r->end == MV_END_TIMEOUT || quit ? 0 : -1);
	/* A result that nobody got is none (main.c): these words are what the guest was run for. */
	if (mv_launch_words_lost()) {
		fprintf(stderr, "minivmm: standard %s: %s; some of what the guest wrote is lost\n",
			mv_output.json ? "error" : "output", strerror(mv_launch_words_lost()));
		code = code ? code : MV_EXIT_FAILED;
	}
	code_bytes(bytes, sizeof(bytes), &r->event);
	explain_end(why, sizeof(why), l, r);
	if (mv_output.json) {
		o = json_object_new_object();
		json_object_object_add(o, "end", json_object_new_string(end_name(l, r)));
		if (by_value)
			json_object_object_add(o, "value", json_object_new_int64(r->value));
		if (r->end == MV_END_CRASH) {
			json_object_object_add(o, "crash", json_object_new_string(r->event.err.msg));
			json_object_object_add(o, "rip", mv_json_hex(r->event.rip, 1));
			json_object_object_add(o, "code", json_object_new_string(bytes));
		}
		if (*why)
			json_object_object_add(o, "why", json_object_new_string(why));
		if (r->end == MV_END_STOPPED && r->signal)
			json_object_object_add(o, "signal", json_object_new_int(r->signal));
		if (r->end == MV_END_MOVED)
			json_object_object_add(o, "to", json_object_new_string(r->moved_to));
		if (*r->saved)
			json_object_object_add(o, "saved", json_object_new_string(r->saved));
		if (r->not_saved.code)
			json_object_object_add(o, "not-saved", mv_json_error(&r->not_saved));
		json_object_object_add(o, "intercept",
				       json_object_new_string(mv_intercept_name(
					       (enum mv_intercept)l->st->policy.intercept)));
		if (l->vm->trace)
			json_object_object_add(o, "cpuid", mv_trace_summary_json(l->vm->trace));
		json_object_object_add(o, "exit", json_object_new_int(code));
		mv_cli_json(o);
		return code;
	}
	if (l->vm->trace && !mv_output.quiet)
		mv_trace_summary(l->vm->trace, stderr);
	if (*r->saved)
		mv_cli_note("saved to %s", r->saved);
	if (r->not_saved.code)
		mv_cli_error(&r->not_saved);
	switch (r->end) {
	case MV_END_EXIT:
		if (l->vm->ending == MV_ENDING_RESET)
			fprintf(stderr, "minivmm: the guest reset itself (a reboot, or a kernel's "
					"panic); that ends it\n");
		else if (quit)
			mv_cli_note("the guest was stopped from the terminal");
		else if (by_value)
			mv_cli_detail("the guest ended with value %u", r->value);
		else
			mv_cli_detail("the guest powered itself off");
		break;
	case MV_END_CRASH:
		fprintf(stderr, "minivmm: the guest crashed: %s%s%s\n", r->event.err.msg,
			*bytes ? "; code there: " : "", bytes);
		break;
	case MV_END_TIMEOUT:
		fprintf(stderr, "minivmm: the guest did not end within %g s\n", l->run.timeout_s);
		break;
	case MV_END_STOPPED:
		mv_cli_note("the guest was stopped%s%s", r->signal ? " by signal " : "",
			    r->signal ? sigabbrev_np(r->signal) : "");
		break;
	case MV_END_MOVED:
		mv_cli_note("the guest moved to %s", r->moved_to);
		break;
	default:
		break;
	}
	if (*why)
		fprintf(stderr, "minivmm: %s\n", why);
	return code;
}
