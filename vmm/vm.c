/* SPDX-License-Identifier: MIT */
#include "vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-tests/abi.h"
#include "io.h"
#include "lazy.h"
#include "manifest.h"
#include "ram.h"
#include "thread.h"

static int create_irqchip(struct mv_vm *vm, struct mv_err *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity = MV_KVM_PAGES_AT;
	int rc = mv_kvm_do_value(vm->fd, KVM_SET_TSS_ADDR, MV_KVM_PAGES_AT + MV_PAGE_SIZE, err);

	if (rc >= 0)
		rc = mv_kvm_do(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity, err);
	if (rc >= 0)
		rc = mv_kvm_do_value(vm->fd, KVM_CREATE_IRQCHIP, 0, err);
	if (rc >= 0)
		rc = mv_kvm_do(vm->fd, KVM_CREATE_PIT2, &pit, err);
	return rc < 0 ? rc : 0;
}

static int create_vcpu(struct mv_vm *vm, unsigned id, struct mv_err *err)
{
	struct mv_vcpu *vcpu = &vm->vcpu[id];
	int rc;

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->parked = true;
	vcpu->fd = mv_kvm_do_value(vm->fd, KVM_CREATE_VCPU, id, err);
	if (vcpu->fd < 0)
		return vcpu->fd;
	vcpu->run = mmap(NULL, vm->kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return mv_err_set(err, MV_E_FAILED, "mapping vCPU %u: %s", id, strerror(errno));
	}
	rc = mv_vcpu_set_cpuid(vcpu, &vm->st->policy.guest, err);
	if (rc == 0)
		rc = mv_kvm_enforce_vcpu(vcpu->fd, vm->st->policy.kvm_controls, err);
	return rc;
}

static void set_irq(void *ctx, unsigned irq, bool level)
{
	const struct mv_vm *vm = ctx;
	struct kvm_irq_level l = { .irq = irq, .level = level };

	mv_kvm_do(vm->fd, KVM_IRQ_LINE, &l, NULL);
}

static void wants_input(void *ctx)
{
	const struct mv_vm *vm = ctx;

	mv_thread_wake(vm->input_fd);
}

/* A device wrote into guest memory; under mmio_lock. */
static void wrote(void *ctx, uint64_t gpa, uint64_t len)
{
	const struct mv_vm *vm = ctx;
	uint64_t pos = mv_ram_pos(gpa);

	for (uint64_t page = pos / MV_PAGE_SIZE; vm->dma_log && page <= (pos + len - 1) / MV_PAGE_SIZE;
	     page++)
		__atomic_fetch_or(&vm->dma_log[page / 64], UINT64_C(1) << page % 64, __ATOMIC_SEQ_CST);
}

void mv_vm_log_dma(struct mv_vm *vm, uint64_t *bitmap)
{
	pthread_mutex_lock(&vm->mmio_lock);
	vm->dma_log = bitmap;
	pthread_mutex_unlock(&vm->mmio_lock);
}

static void note(void *ctx, const char *device, const char *what)
{
	const struct mv_vm *vm = ctx;

	if (vm->note)
		vm->note(vm->devices.serial.ctx, device, what);
}

/* Once there is RAM. */
static void connect_virtio(struct mv_vm *vm)
{
	for (unsigned i = 0; i < vm->devices.nvirtio; i++) {
		struct mv_virtio *v = &vm->devices.virtio[i];

		v->dma = (struct mv_dma){ .ram = vm->ram, .size = vm->ram_size, .wrote = wrote,
					  .board = vm };
		v->set_irq = set_irq;
		v->note = note;
		v->board = vm;
	}
}

/* KVM drops its mapping of memory whose protection changes, and finds it again at the next access. */
static void flush_page(void *ctx, uint64_t gpa)
{
	struct mv_vm *vm = ctx;
	void *page = mv_vm_at(vm, gpa & ~(uint64_t)(MV_PAGE_SIZE - 1), MV_PAGE_SIZE);

	if (page && mprotect(page, MV_PAGE_SIZE, PROT_NONE) == 0)
		mprotect(page, MV_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

int mv_vm_add_testdev(struct mv_vm *vm, struct mv_err *err)
{
	vm->testdev = calloc(1, sizeof(*vm->testdev));
	if (!vm->testdev)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	vm->testdev->set_irq = set_irq;
	vm->testdev->flush = flush_page;
	vm->testdev->board = vm;
	return 0;
}

static void init_devices(struct mv_vm *vm, const struct mv_console *console)
{
	const struct mv_policy *p = &vm->st->policy;

	mv_devices_init(&vm->devices, &vm->st->config);
	vm->devices.serial.set_irq = set_irq;
	vm->devices.serial.wants_input = wants_input;
	vm->devices.serial.board = vm;
	vm->devices.serial.write = console->write;
	vm->devices.serial.ctx = console->ctx;
	vm->console_ready = console->ready;
	vm->note = console->note;
	vm->lost = console->lost;
	vm->devices.info.table = &p->guest;
	vm->devices.info.raw = vm->raw;
	vm->devices.info.mode = p->intercept;
	vm->devices.info.flags = p->source.cpl0_interpreted ? MV_INFO_CPL0_INTERPRETED : 0;
}

static int create(struct mv_vm *vm, struct mv_err *err)
{
	int rc = mv_ram_check(vm->ram_size, &vm->st->policy.guest, err);

	if (rc)
		return rc;
	vm->fd = mv_kvm_create_vm(vm->kvm, err);
	if (vm->fd < 0)
		return vm->fd;
	rc = mv_kvm_enforce_vm(vm->fd, vm->st->policy.kvm_controls, err);
	if (rc == 0)
		rc = mv_ram_create(vm, err);
	/* After RAM: on Linux 6.18 a memory slot waits for what the irqchip has KVM do later. */
	if (rc == 0)
		rc = create_irqchip(vm, err);
	connect_virtio(vm);
	for (unsigned i = 0; i < vm->nvcpus && rc == 0; i++)
		rc = create_vcpu(vm, i, err);
	return rc;
}

int mv_vm_create(struct mv_vm **out, const struct mv_kvm *kvm, struct mv_static *st,
		 const struct mv_table *raw, const struct mv_console *console, struct mv_err *err)
{
	struct mv_vm *vm = calloc(1, sizeof(*vm));
	int rc;

	*out = NULL;
	if (!vm)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	vm->kvm = kvm;
	vm->st = st;
	vm->raw = raw;
	vm->ram_size = st->config.ram_size;
	vm->nvcpus = st->config.nvcpus;
	vm->fd = vm->event_fd = vm->input_fd = vm->uffd = -1;
	for (unsigned i = 0; i < MV_MAX_VCPUS; i++)
		vm->vcpu[i].fd = -1;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->mmio_lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	init_devices(vm, console);
	vm->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vm->input_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->event_fd < 0 || vm->input_fd < 0)
		rc = mv_err_set(err, MV_E_FAILED, "eventfd: %s", strerror(errno));
	else
		rc = create(vm, err);
	if (rc)
		mv_vm_destroy(vm);
	else
		*out = vm;
	return rc;
}

/* ---- patching ---- */

static const uint8_t cpuid[2] = { MV_OPCODE_CPUID_0, MV_OPCODE_CPUID_1 };
static const uint8_t out[2] = { MV_OPCODE_OUT_IMM8_EAX, MV_PORT_CPUID };

static bool site_holds(struct mv_vm *vm, uint32_t i, const uint8_t bytes[2])
{
	const uint8_t *p = mv_vm_at(vm, vm->sites.gpa[i], 2);

	return p && !memcmp(p, bytes, 2);
}

static void write_site(struct mv_vm *vm, uint32_t i, const uint8_t bytes[2])
{
	memcpy(mv_vm_at(vm, vm->sites.gpa[i], 2), bytes, 2);
}

int mv_vm_patch(struct mv_vm *vm, struct mv_err *err)
{
	for (uint32_t i = 0; i < vm->sites.n; i++)
		if (!site_holds(vm, i, cpuid))
			return mv_err_set(err, MV_E_INPUT,
					  "no CPUID at guest-physical 0x%llx, where one is recorded",
					  (unsigned long long)vm->sites.gpa[i]);
	for (uint32_t i = 0; i < vm->sites.n; i++)
		write_site(vm, i, out);
	vm->patched = true;
	return 0;
}

void mv_vm_unpatch(struct mv_vm *vm)
{
	for (uint32_t i = 0; i < vm->sites.n; i++) {
		vm->unpatched[i] = vm->patched && site_holds(vm, i, out);
		if (vm->unpatched[i])
			write_site(vm, i, cpuid);
	}
	vm->patched = false;
}

void mv_vm_repatch(struct mv_vm *vm)
{
	for (uint32_t i = 0; i < vm->sites.n; i++)
		if (vm->unpatched[i])
			write_site(vm, i, out);
	vm->patched = true;
}

uint32_t mv_vm_live_sites(struct mv_vm *vm, uint64_t sites[MV_MAX_SITES])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < vm->sites.n; i++)
		if (site_holds(vm, i, vm->patched ? out : cpuid))
			sites[n++] = vm->sites.gpa[i];
	return n;
}

/* ---- threads, pausing, events ---- */

/* Written under lock; vCPU threads look at it before each KVM_RUN without. */
static void set_pausing(struct mv_vm *vm, bool pausing)
{
	__atomic_store_n(&vm->pausing, pausing, __ATOMIC_SEQ_CST);
}

/* Only there to make KVM_RUN return. */
static void kicked(int sig)
{
	(void)sig;
}

int mv_vm_start(struct mv_vm *vm, struct mv_err *err)
{
	struct sigaction sa = { .sa_handler = kicked };

	sigaction(SIGRTMIN, &sa, NULL);
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		struct mv_vcpu *vcpu = &vm->vcpu[i];
		int rc;

		/* An earlier vCPU may post an event at any time: it must find this one running, or not at all. */
		pthread_mutex_lock(&vm->lock);
		rc = mv_thread_start(&vcpu->thread, mv_vcpu_main, vcpu, SIGRTMIN);
		vcpu->started = rc == 0;
		vcpu->parked = rc != 0;
		pthread_mutex_unlock(&vm->lock);
		if (rc)
			return mv_err_set(err, MV_E_FAILED, "a thread for vCPU %u: %s", i,
					  strerror(rc));
	}
	return 0;
}

/* Under lock. */
static void kick_all(struct mv_vm *vm)
{
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		struct mv_vcpu *vcpu = &vm->vcpu[i];

		if (vcpu->started && !vcpu->parked) {
			/* Set first: a kick that comes just before KVM_RUN must not be lost. */
			__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
			pthread_kill(vcpu->thread, SIGRTMIN);
		}
	}
}

static bool all_parked(const struct mv_vm *vm)
{
	for (unsigned i = 0; i < vm->nvcpus; i++)
		if (!vm->vcpu[i].parked)
			return false;
	return true;
}

void mv_vm_pause(struct mv_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	set_pausing(vm, true);
	kick_all(vm);
	while (!all_parked(vm))
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
}

void mv_vm_rest(struct mv_vm *vm, uint64_t ns)
{
	pthread_mutex_lock(&vm->lock);
	__atomic_store_n(&vm->rest_until, mv_io_now_ns() + ns, __ATOMIC_SEQ_CST);
	kick_all(vm);
	pthread_mutex_unlock(&vm->lock);
}

void mv_vm_resume(struct mv_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	/* An event that nobody took yet holds the guest; whoever takes it goes on from there. */
	if (vm->event.kind == MV_EVENT_NONE) {
		set_pausing(vm, false);
		pthread_cond_broadcast(&vm->changed);
		mv_thread_wake(vm->input_fd);
	}
	pthread_mutex_unlock(&vm->lock);
}

void mv_vm_post(struct mv_vm *vm, const struct mv_event *event)
{
	pthread_mutex_lock(&vm->lock);
	/* The first event counts; what others were about to say follows from it. */
	if (vm->event.kind == MV_EVENT_NONE) {
		vm->event = *event;
		if (event->kind == MV_EVENT_EXIT)
			vm->ending = event->ending;
		set_pausing(vm, true);
		kick_all(vm);
		mv_thread_wake(vm->event_fd);
	}
	pthread_mutex_unlock(&vm->lock);
}

bool mv_vm_take_event(struct mv_vm *vm, struct mv_event *event)
{
	uint64_t n;
	bool any;

	pthread_mutex_lock(&vm->lock);
	*event = vm->event;
	any = vm->event.kind != MV_EVENT_NONE;
	vm->event.kind = MV_EVENT_NONE;
	if (any && read(vm->event_fd, &n, sizeof(n)) < 0) {
		/* already drained */
	}
	while (any && !all_parked(vm))
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	return any;
}

void mv_vm_wait(struct mv_vm *vm, int timeout_ms, struct mv_event *event)
{
	struct pollfd p = { .fd = vm->event_fd, .events = POLLIN };

	int n;

	while ((n = poll(&p, 1, timeout_ms)) < 0 && errno == EINTR)
		;
	if (n < 0) {
		*event = (struct mv_event){ .kind = MV_EVENT_ERROR };
		mv_err_set(&event->err, MV_E_FAILED, "poll: %s", strerror(errno));
		return;
	}
	mv_vm_take_event(vm, event);
}

size_t mv_vm_input_room(struct mv_vm *vm)
{
	size_t room;

	pthread_mutex_lock(&vm->lock);
	room = vm->pausing ? 0 : mv_serial_room(&vm->devices.serial);
	pthread_mutex_unlock(&vm->lock);
	return room;
}

size_t mv_vm_input(struct mv_vm *vm, const uint8_t *data, size_t len)
{
	size_t n;

	pthread_mutex_lock(&vm->lock);
	n = vm->pausing ? 0 : mv_serial_receive(&vm->devices.serial, data, len);
	pthread_mutex_unlock(&vm->lock);
	return n;
}

static void stop_threads(struct mv_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->stopping = true;
	set_pausing(vm, true);
	kick_all(vm);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->nvcpus; i++)
		if (vm->vcpu[i].started)
			pthread_join(vm->vcpu[i].thread, NULL);
}

void mv_vm_destroy(struct mv_vm *vm)
{
	if (!vm)
		return;
	stop_threads(vm);
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		if (vm->vcpu[i].run)
			munmap(vm->vcpu[i].run, vm->kvm->run_size);
		if (vm->vcpu[i].fd >= 0)
			close(vm->vcpu[i].fd);
	}
	if (vm->fd >= 0)
		close(vm->fd);
	mv_lazy_stop(vm->lazy);
	if (vm->uffd >= 0)
		close(vm->uffd);
	if (vm->ram)
		munmap(vm->ram, vm->ram_size);
	if (vm->ram_file)
		mv_manifest_finish(vm->ram_file);
	free(vm->ram_file);
	if (vm->event_fd >= 0)
		close(vm->event_fd);
	if (vm->input_fd >= 0)
		close(vm->input_fd);
	free(vm->testdev);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->mmio_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}
