/* SPDX-License-Identifier: MIT */
/* Memory that is read when it is touched, touched by the VMM's own threads. No KVM is needed for that. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lazy.h"
#include "preload.h"
#include "snapshot_fixture.h"

TestSuite(lazy, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

#define LAST_PAGE ((RAM_PAGES - 2) * (uint64_t)MV_PAGE_SIZE)	/* of those that are stored */
#define LOST 40		/* and the error's code: how a child ends that was told */

static struct mv_vm vm;

static void lost(int code, const char *why)
{
	_exit(strstr(why, fx.file) && strstr(why, "checksum of the") ? LOST + code : 99);
}

/* A VM with nothing but memory; false: no userfaultfd here. */
static bool begin(struct mv_state *state)
{
	struct mv_snapshot *snap;
	struct mv_err err = { 0 };
	int rc;

	cr_assert(!mv_snapshot_open(&snap, fx.file, fx.st2, &err), "%s", err.msg);
	cr_assert(!mv_snapshot_state(snap, state, &err), "%s", err.msg);
	vm = (struct mv_vm){ .ram_size = RAM_SIZE, .lost = lost };
	vm.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vm.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vm.input_fd = vm.event_fd;
	pthread_mutex_init(&vm.lock, NULL);
	pthread_cond_init(&vm.changed, NULL);
	mv_lazy_prepare(&vm);
	rc = mv_lazy_start(&vm, snap, &err);
	mv_snapshot_close(snap);
	cr_assert(rc == 0 || rc == -MV_E_HOST, "%s", err.msg);
	return rc == 0;
}

/* A bit of the last page that is stored. */
static void damage(void)
{
	size_t len;
	uint8_t *p = slurp(fx.file, &len);

	p[len - 1] ^= 1;
	spill(fx.file, p, len);
	free(p);
}

/* How a child ends that does this. */
static int child(void (*does)(void))
{
	pid_t pid = fork();
	int status;

	cr_assert(pid >= 0);
	if (!pid) {
		does();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

#define NONE 77		/* no userfaultfd */

static void read_all(void)
{
	if (!begin(&fx.state2))
		_exit(NONE);
	_exit(memcmp(vm.ram, fx.ram, RAM_SIZE) ? 1 : 0);
}

Test(lazy, what_is_touched_is_there)
{
	int end;

	fixture_fill(true);
	fixture_save(fx.file);
	end = child(read_all);
	if (end == NONE)
		cr_skip("no userfaultfd here");
	cr_expect_eq(end, 0);
}

Test(lazy, damage_that_we_touch_ourselves_is_told)
{
	int end;

	fixture_fill(true);
	fixture_save(fx.file);
	damage();
	end = child(read_all);
	if (end == NONE)
		cr_skip("no userfaultfd here");
	cr_expect_eq(end, LOST + MV_E_INPUT, "it ended with %d", end);
}

static void finish_damaged(void)
{
	struct mv_event e;
	struct mv_err err = { 0 };

	if (!begin(&fx.state2))
		_exit(NONE);
	if (mv_lazy_finish(vm.lazy, NULL, &err) != -MV_E_INPUT || !strstr(err.msg, "checksum"))
		_exit(1);
	/* And the guest, which may run, ends by an event. */
	mv_vm_wait(&vm, -1, &e);
	_exit(e.kind == MV_EVENT_ERROR && e.err.code == MV_E_INPUT ? 0 : 2);
}

Test(lazy, reading_all_of_it_finds_damage_and_ends_the_guest)
{
	int end;

	fixture_fill(true);
	fixture_save(fx.file);
	damage();
	end = child(finish_damaged);
	if (end == NONE)
		cr_skip("no userfaultfd here");
	cr_expect_eq(end, 0, "it ended with %d", end);
}

static struct mv_state paged;

/* Page tables behind the first page, of that many levels, which lead to the last one. */
static void build_tables(unsigned levels)
{
	unsigned entry = levels == 2 ? 4 : 8;

	for (unsigned i = 0; i < levels; i++) {
		uint64_t next = (i + 1 < levels ? (i + 2) * (uint64_t)MV_PAGE_SIZE : LAST_PAGE) | 1;

		memset(fx.ram + (i + 1) * (uint64_t)MV_PAGE_SIZE, 0, MV_PAGE_SIZE);
		memcpy(fx.ram + (i + 1) * (uint64_t)MV_PAGE_SIZE, &next, entry);
	}
	for (uint32_t i = 0; i < fx.state.nvcpus; i++) {
		struct mv_vcpu_state *v = &fx.state.vcpus[i];

		memset(&v->sregs, 0, sizeof(v->sregs));
		v->sregs.cr0 = UINT64_C(1) << 31;
		v->sregs.cr3 = MV_PAGE_SIZE;
		v->sregs.cr4 = levels == 2 ? 0 : levels == 5 ? 0x1020 : 0x20;
		v->sregs.efer = levels > 3 ? 0x500 : 0;
		v->regs.rip = 0x123;
		v->regs.rsp = v->sregs.idt.base = UINT64_C(0xfffffffffffff000);	/* nowhere */
	}
}

static void preload(void)
{
	struct mv_err err = { 0 };

	if (!begin(&paged))
		_exit(NONE);
	_exit(mv_preload(&vm, &paged, &err) == -MV_E_INPUT && strstr(err.msg, "checksum") ? 0 : 1);
}

Test(lazy, code_that_page_tables_lead_to_is_read_before_it_runs)
{
	for (unsigned levels = 2; levels <= 5; levels++) {
		int end;

		fixture_fill(true);
		build_tables(levels);
		fixture_save(fx.file);
		damage();
		end = child(preload);
		if (end == NONE)
			cr_skip("no userfaultfd here");
		cr_expect_eq(end, 0, "%u levels: it ended with %d", levels, end);
		if (levels < 5)
			mv_state_finish(&fx.state);
	}
}
