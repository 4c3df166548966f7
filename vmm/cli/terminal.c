/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"
#include "thread.h"

#define ESCAPE 0x01	/* Ctrl-A */
#define RETRY_MS 500	/* until a terminal that others have may be ours again */

static struct {
	struct mv_vm *vm;
	pthread_t thread;
	bool started;
	int stop_fd;
	bool tty, escaped;
	volatile sig_atomic_t raw;
	struct termios was;	/* the terminal before it was made raw */
} term = { .stop_fd = -1 };

/* ---- the terminal's modes ---- */

static void cooked(void)
{
	if (term.raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &term.was);
	term.raw = 0;
}

/* Signals that end the program where it stands; those that end it in order are the runner's. */
static const int fatal[] = { SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE };

static void restore_and_die(int sig)
{
	cooked();
	raise(sig);	/* its default action is back: SA_RESETHAND */
}

/* As cfmakeraw does, but for output: this program's own messages go to the same terminal. */
static void make_raw(void)
{
	struct sigaction sa = { .sa_handler = restore_and_die, .sa_flags = (int)SA_RESETHAND };
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &term.was))
		return;
	t = term.was;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	t.c_cflag = (t.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &sa, NULL);
	mv_cli_note("Ctrl-A x ends the guest");
	term.raw = 1;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
}

/* In the background a terminal is not to be touched. */
static bool ours(void)
{
	return !term.tty || tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* ---- input ---- */

static void quit(void)
{
	struct mv_event e = { .kind = MV_EVENT_EXIT, .ending = MV_ENDING_QUIT };

	mv_vm_post(term.vm, &e);
}

/* Take the escapes out of what was typed. Returns how much is left; ends the guest on Ctrl-A x. */
static size_t unescape(uint8_t *buf, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (!term.escaped && buf[i] == ESCAPE) {
			term.escaped = true;
			continue;
		}
		if (term.escaped && buf[i] == 'x')
			quit();
		else if (!term.escaped || buf[i] == ESCAPE)
			buf[out++] = buf[i];
		term.escaped = false;
	}
	return out;
}

/* Wait for a reason to go on. False: it is over. */
static bool wait_for(bool input, int timeout_ms)
{
	struct pollfd p[3] = {
		{ .fd = term.stop_fd, .events = POLLIN },
		{ .fd = term.vm->input_fd, .events = POLLIN },
		{ .fd = input ? STDIN_FILENO : -1, .events = POLLIN },
	};
	uint64_t n;

	if (poll(p, 3, timeout_ms) < 0)
		return errno == EINTR;
	if (p[1].revents && read(term.vm->input_fd, &n, sizeof(n)) < 0) {
		/* nobody else reads it; room is asked for anew in any case */
	}
	return !p[0].revents && !(p[2].revents & POLLNVAL);
}

static bool readable(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && p.revents;
}

static void *pass_on(void *unused)
{
	uint8_t buf[MV_SERIAL_FIFO];
	size_t have = 0;

	(void)unused;
	for (;;) {
		size_t room = mv_vm_input_room(term.vm), taken;
		ssize_t n;

		if (have && room) {
			taken = mv_vm_input(term.vm, buf, have);
			have -= taken;
			memmove(buf, buf + taken, have);
			continue;
		}
		if (have || !room) {
			if (!wait_for(false, -1))
				return NULL;
			continue;
		}
		if (!ours()) {
			if (!wait_for(false, RETRY_MS))
				return NULL;
			continue;
		}
		if (term.tty && !term.raw)
			make_raw();
		if (!readable()) {
			if (!wait_for(true, term.tty ? RETRY_MS : -1))
				return NULL;
			continue;
		}
		n = read(STDIN_FILENO, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN && errno != EIO))
			return NULL;	/* the guest goes on without */
		if (n < 0 && errno == EIO && !wait_for(false, RETRY_MS))
			return NULL;
		have = n > 0 ? (size_t)n : 0;
		if (term.tty)
			have = unescape(buf, have);
	}
}

int mv_terminal_start(struct mv_vm *vm, struct mv_err *err)
{
	int rc;

	/* A received VM has it since before it ran. */
	if (term.started)
		return 0;
	term.vm = vm;
	term.tty = isatty(STDIN_FILENO);
	term.stop_fd = eventfd(0, EFD_CLOEXEC);
	if (term.stop_fd < 0)
		return mv_err_set(err, MV_E_FAILED, "eventfd: %s", strerror(errno));
	rc = mv_thread_start(&term.thread, pass_on, NULL, 0);
	if (rc) {
		close(term.stop_fd);
		return mv_err_set(err, MV_E_FAILED, "a thread for input: %s", strerror(rc));
	}
	term.started = true;
	return 0;
}

void mv_terminal_restore(void)
{
	cooked();
}

void mv_terminal_stop(void)
{
	uint64_t one = 1;

	if (!term.started)
		return;
	if (write(term.stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(term.thread, NULL);
	term.started = false;
	close(term.stop_fd);
	cooked();
}
