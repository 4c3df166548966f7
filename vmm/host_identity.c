/* SPDX-License-Identifier: MIT */
/* Is a host file about this machine, and is it still true? */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "host_native.h"

/* The first word of a file; "" if there is none. */
static void first_word(char *buf, size_t size, const char *path)
{
	FILE *f = fopen(path, "re");

	*buf = '\0';
	if (f && fgets(buf, (int)size, f))
		buf[strcspn(buf, " \t\r\n")] = '\0';
	if (f)
		fclose(f);
}

void mv_host_identity(struct mv_host *h)
{
	static const char salt[] = "minivmm host file";
	char id[sizeof(salt) + 64];
	XXH128_hash_t digest;

	memcpy(id, salt, sizeof(salt));
	first_word(id + sizeof(salt), sizeof(id) - sizeof(salt), "/etc/machine-id");
	first_word(h->boot, sizeof(h->boot), "/proc/sys/kernel/random/boot_id");
	*h->machine = '\0';
	if (!id[sizeof(salt)])
		return;
	digest = XXH3_128bits(id, sizeof(salt) + strlen(id + sizeof(salt)));
	snprintf(h->machine, sizeof(h->machine), "%016llx%016llx", (unsigned long long)digest.high64,
		 (unsigned long long)digest.low64);
}

bool mv_host_stale(const struct mv_host *h, char *buf, size_t size)
{
	struct mv_host now;
	struct mv_err err = { 0 };

	*buf = '\0';
	mv_host_identity(&now);
	if (!*h->machine || strcmp(h->machine, now.machine) || mv_host_native(&now, NULL, &err))
		return false;
	if (strcmp(h->kernel, now.kernel))
		snprintf(buf, size, "kernel %.60s then, %.60s now", h->kernel, now.kernel);
	else if (h->microcode != now.microcode)
		snprintf(buf, size, "microcode 0x%llx then, 0x%llx now", (unsigned long long)h->microcode,
			 (unsigned long long)now.microcode);
	else if (*h->boot && strcmp(h->boot, now.boot))
		snprintf(buf, size, "written before this machine's last boot");
	return *buf;
}
