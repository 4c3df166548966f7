/* SPDX-License-Identifier: MIT */
/*
 * CPUID as KVM's tracepoints tell it: kvm:kvm_exit says which vCPU left the guest where, and
 * kvm:kvm_cpuid, next from the same thread, what it asked for and got. Per-CPU perf buffers that
 * every thread started later inherits, read by a thread of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kvm.h"
#include "thread.h"
#include "trace.h"

#define BUFFER_PAGES 256	/* a CPU; 1 MiB holds some 10000 CPUIDs, read 100 times a second */
#define READ_EVERY_NS 10000000
#define THREADS 128

/* Exit reasons: SVM APM Vol. 2, appendix C; VMX SDM Vol. 3D, appendix C. isa 1 is VMX, 2 is SVM. */
static char cpuid_exits[] = "(isa == 2 && exit_reason == 0x72) || (isa == 1 && exit_reason == 10)";

struct field {
	const char *name;
	unsigned offset, size;
};

struct tracepoint {
	const char *name;
	uint64_t id;
	unsigned nfields;
	struct field field[6];
};

enum { X_RIP, X_VCPU };
enum { C_LEAF, C_SUBLEAF, C_RAX, C_RBX, C_RCX, C_RDX };

struct buffer {
	int exit_fd, cpuid_fd;
	struct perf_event_mmap_page *page;
};

/* The last exit of a thread that no kvm_cpuid followed yet. */
struct pending {
	uint32_t tid;
	bool valid;
	uint64_t rip;
	uint32_t vcpu;
};

struct mv_trace_kernel {
	struct mv_trace *trace;
	struct tracepoint exit, cpuid;
	unsigned nbuffers;
	struct buffer *buffer;
	size_t page_size;
	struct pending thread[THREADS];
	uint64_t lost;
	pthread_t reader;
	bool running, stop;
};

/* ---- what the tracepoints are on this kernel ---- */

static int read_event_file(const char *event, const char *what, char *buf, size_t size,
			   struct mv_err *err)
{
	static const char *const tracefs[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128];
	int reason = ENOENT;

	for (unsigned i = 0; i < 2; i++) {
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "%s/events/kvm/%s/%s", tracefs[i], event, what);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			reason = errno == ENOENT ? reason : errno;
			continue;
		}
		n = read(fd, buf, size - 1);
		close(fd);
		if (n > 0) {
			buf[n] = '\0';
			return 0;
		}
	}
	mv_err_set(err, MV_E_HOST, "--trace-cpuid: KVM answers CPUID here, and its tracepoint "
				   "kvm:%s can't be read: %s", event, strerror(reason));
	mv_err_hint(err, "as root, with tracefs: mount -t tracefs tracefs /sys/kernel/tracing");
	return -MV_E_HOST;
}

/* "	field:unsigned long rax;	offset:16;	size:8;	signed:0;" */
static int find_field(struct field *f, const char *format, const char *event, struct mv_err *err)
{
	char key[48];
	const char *p;

	snprintf(key, sizeof(key), " %s;\toffset:", f->name);
	p = strstr(format, key);
	if (p && sscanf(p + strlen(key), "%u;\tsize:%u;", &f->offset, &f->size) == 2 && f->size <= 8)
		return 0;
	return mv_err_set(err, MV_E_HOST, "--trace-cpuid: this kernel's tracepoint kvm:%s has no field "
					  "%s", event, f->name);
}

static int find_tracepoint(struct tracepoint *t, struct mv_err *err)
{
	char text[4096];
	int rc = read_event_file(t->name, "id", text, sizeof(text), err);

	if (rc)
		return rc;
	t->id = strtoull(text, NULL, 10);
	rc = read_event_file(t->name, "format", text, sizeof(text), err);
	for (unsigned i = 0; i < t->nfields && rc == 0; i++)
		rc = find_field(&t->field[i], text, t->name, err);
	return rc;
}

/* ---- buffers ---- */

static int perf_open(const struct tracepoint *t, int cpu, int output, struct mv_err *err)
{
	struct perf_event_attr a = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(a), .config = t->id,
		.sample_period = 1, .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_RAW, .inherit = 1,
	};
	long fd = syscall(SYS_perf_event_open, &a, 0, cpu, output,
			  PERF_FLAG_FD_CLOEXEC | (output >= 0 ? PERF_FLAG_FD_OUTPUT : 0));

	if (fd >= 0)
		return (int)fd;
	mv_err_set(err, MV_E_HOST, "--trace-cpuid: perf_event_open for kvm:%s: %s", t->name,
		   strerror(errno));
	mv_err_hint(err, "it needs root, or CAP_PERFMON");
	return -MV_E_HOST;
}

static int open_buffer(struct mv_trace_kernel *k, struct buffer *b, int cpu, struct mv_err *err)
{
	b->exit_fd = perf_open(&k->exit, cpu, -1, err);
	if (b->exit_fd < 0)
		return b->exit_fd;
	b->page = mmap(NULL, (BUFFER_PAGES + 1) * k->page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       b->exit_fd, 0);
	if (b->page == MAP_FAILED) {
		b->page = NULL;
		return mv_err_set(err, MV_E_HOST, "--trace-cpuid: a perf buffer: %s", strerror(errno));
	}
	if (mv_kvm_call(b->exit_fd, PERF_EVENT_IOC_SET_FILTER, "PERF_EVENT_IOC_SET_FILTER",
			cpuid_exits, err) < 0)
		return -MV_E_FAILED;
	b->cpuid_fd = perf_open(&k->cpuid, cpu, b->exit_fd, err);
	return b->cpuid_fd < 0 ? b->cpuid_fd : 0;
}

/* ---- records ---- */

static uint64_t get(const uint8_t *raw, const struct field *f)
{
	uint64_t v = 0;

	memcpy(&v, raw + f->offset, f->size);
	return v;
}

static struct pending *pending_of(struct mv_trace_kernel *k, uint32_t tid)
{
	for (unsigned i = 0; i < THREADS; i++) {
		struct pending *p = &k->thread[i];

		if (p->tid == tid || !p->tid) {
			p->tid = tid;
			return p;
		}
	}
	return NULL;
}

static void on_cpuid(struct mv_trace_kernel *k, struct pending *p, const uint8_t *raw)
{
	const struct field *f = k->cpuid.field;
	struct mv_trace_event e = {
		.cpl = -1,
		.leaf = (uint32_t)get(raw, &f[C_LEAF]), .subleaf = (uint32_t)get(raw, &f[C_SUBLEAF]),
	};

	for (unsigned r = 0; r < MV_NREGS; r++)
		e.served[r] = (uint32_t)get(raw, &f[C_RAX + r]);
	if (p) {
		e.cpu = p->vcpu;
		e.has_rip = p->valid;
		e.rip = p->rip;
		p->valid = false;
	}
	mv_trace_record(k->trace, &e);
}

static void on_sample(struct mv_trace_kernel *k, const uint8_t *record, size_t size)
{
	struct {
		uint32_t pid, tid, raw_size;
	} head;
	const uint8_t *raw = record + sizeof(head);
	uint16_t type;
	struct pending *p;

	if (size < sizeof(head) + sizeof(type))
		return;
	memcpy(&head, record, sizeof(head));
	memcpy(&type, raw, sizeof(type));
	p = pending_of(k, head.tid);
	if (type == (uint16_t)k->cpuid.id) {
		on_cpuid(k, p, raw);
	} else if (type == (uint16_t)k->exit.id && p) {
		p->valid = true;
		p->rip = get(raw, &k->exit.field[X_RIP]);
		p->vcpu = (uint32_t)get(raw, &k->exit.field[X_VCPU]);
	}
}

/* Copy out of a ring, whose records may wrap. */
static void copy_out(const struct mv_trace_kernel *k, const struct buffer *b, uint64_t at, void *to,
		     size_t n)
{
	const uint8_t *data = (const uint8_t *)b->page + k->page_size;
	size_t mask = BUFFER_PAGES * k->page_size - 1;

	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = data[(at + i) & mask];
}

static void drain(struct mv_trace_kernel *k, struct buffer *b)
{
	uint64_t head = __atomic_load_n(&b->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = b->page->data_tail;

	while (tail < head) {
		struct perf_event_header h;
		uint8_t record[512];
		size_t n;

		copy_out(k, b, tail, &h, sizeof(h));
		n = h.size - sizeof(h) < sizeof(record) ? h.size - sizeof(h) : sizeof(record);
		copy_out(k, b, tail + sizeof(h), record, n);
		if (h.type == PERF_RECORD_SAMPLE) {
			on_sample(k, record, n);
		} else if (h.type == PERF_RECORD_LOST) {
			uint64_t lost;

			memcpy(&lost, record + 8, sizeof(lost));
			k->lost += lost;
		}
		tail += h.size;
	}
	__atomic_store_n(&b->page->data_tail, tail, __ATOMIC_RELEASE);
}

static void *reader(void *arg)
{
	struct mv_trace_kernel *k = arg;
	const struct timespec pause = { .tv_nsec = READ_EVERY_NS };

	while (!__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < k->nbuffers; i++)
			drain(k, &k->buffer[i]);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* ---- open and close ---- */

static int start(struct mv_trace_kernel *k, struct mv_err *err)
{
	int rc = find_tracepoint(&k->exit, err);

	if (rc == 0)
		rc = find_tracepoint(&k->cpuid, err);
	for (unsigned i = 0; i < k->nbuffers && rc == 0; i++)
		rc = open_buffer(k, &k->buffer[i], (int)i, err);
	if (rc == 0 && mv_thread_start(&k->reader, reader, k, 0))
		rc = mv_err_set(err, MV_E_FAILED, "a thread to read the tracepoints can't be started");
	k->running = rc == 0;
	return rc;
}

int mv_trace_kernel_open(struct mv_trace_kernel **out, struct mv_trace *t, struct mv_err *err)
{
	struct mv_trace_kernel *k = calloc(1, sizeof(*k));
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int rc;

	*out = NULL;
	if (k)
		k->buffer = calloc((size_t)cpus, sizeof(*k->buffer));
	if (!k || !k->buffer) {
		free(k);
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	}
	k->trace = t;
	k->page_size = (size_t)sysconf(_SC_PAGESIZE);
	k->nbuffers = (unsigned)cpus;
	for (unsigned i = 0; i < k->nbuffers; i++)
		k->buffer[i] = (struct buffer){ .exit_fd = -1, .cpuid_fd = -1 };
	k->exit = (struct tracepoint){
		.name = "kvm_exit", .nfields = 2,
		.field = { { .name = "guest_rip" }, { .name = "vcpu_id" } },
	};
	k->cpuid = (struct tracepoint){
		.name = "kvm_cpuid", .nfields = 6,
		.field = { { .name = "function" }, { .name = "index" }, { .name = "rax" },
			   { .name = "rbx" }, { .name = "rcx" }, { .name = "rdx" } },
	};
	rc = start(k, err);
	if (rc)
		mv_trace_kernel_close(k);
	else
		*out = k;
	return rc;
}

uint64_t mv_trace_kernel_close(struct mv_trace_kernel *k)
{
	uint64_t lost;

	if (!k)
		return 0;
	if (k->running) {
		__atomic_store_n(&k->stop, true, __ATOMIC_RELEASE);
		pthread_join(k->reader, NULL);
		for (unsigned i = 0; i < k->nbuffers; i++)
			drain(k, &k->buffer[i]);
	}
	for (unsigned i = 0; i < k->nbuffers; i++) {
		struct buffer *b = &k->buffer[i];

		if (b->page)
			munmap(b->page, (BUFFER_PAGES + 1) * k->page_size);
		if (b->cpuid_fd >= 0)
			close(b->cpuid_fd);
		if (b->exit_fd >= 0)
			close(b->exit_fd);
	}
	lost = k->lost;
	free(k->buffer);
	free(k);
	return lost;
}
