/* SPDX-License-Identifier: MIT */
/* For what is loaded before the C library: every syscall(2) of the program passes what the includer defines first. */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static void before_syscall(long nr, const long a[6]);

long syscall(long nr, ...)
{
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	before_syscall(nr, a);
	return real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
