/* SPDX-License-Identifier: MIT */
/*
 * Standard input as the guest's first serial port. Nothing is read before the guest wants it. A
 * terminal is raw from then on until the end: every key is the guest's, but for Ctrl-A x, which
 * ends it, and Ctrl-A Ctrl-A, which is one Ctrl-A. From anything else all bytes go through as they
 * are.
 */
#ifndef MV_CLI_TERMINAL_H
#define MV_CLI_TERMINAL_H

#include "vm.h"

/* Start passing input on, and end it; the terminal is then as it was. */
int mv_terminal_start(struct mv_vm *vm, struct mv_err *err);
void mv_terminal_stop(void);
/* The terminal as it was, from a signal handler. */
void mv_terminal_restore(void);

#endif
