/* SPDX-License-Identifier: MIT */
/*
 * First and only program of the Linux guest that is moved between lab hosts: one process hashes with
 * whatever CPUID offers and compares with plain C, one watches that no clock runs backwards, and one
 * writes numbered blocks to /dev/vda and reads them back, if there is such a disk. Each says now and
 * then how far it is; whatever is wrong is a line that begins with "BAD".
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <immintrin.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define BYTES 8192
#define BLOCK 4096
#define BLOCKS 256

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* About so often a second something is worth a line. */
static int due(uint64_t *last)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	if (now - *last < 500000000)
		return 0;
	*last = now;
	return 1;
}

/* ---- hashing ---- */

static uint32_t crc_plain(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static uint32_t crc_sse42(const uint8_t *p, size_t n)
{
	uint64_t crc = ~0u;

	for (; n; n -= 8, p += 8)
		__asm__("crc32q (%1), %0" : "+r"(crc) : "r"(p) : "memory");
	return ~(uint32_t)crc;
}

static uint32_t sum_plain(const uint32_t *p, size_t n)
{
	uint32_t sum = 0;

	while (n--)
		sum += *p++ ^ 0x5a5a5a5a;
	return sum;
}

/* Long enough in YMM registers to be moved with something in them. */
__attribute__((target("avx2"))) static uint32_t sum_avx2(const uint32_t *p, size_t n)
{
	__m256i sum = _mm256_setzero_si256(), key = _mm256_set1_epi32(0x5a5a5a5a);
	uint32_t lane[8], total = 0;

	for (; n; n -= 8, p += 8)
		sum = _mm256_add_epi32(sum, _mm256_xor_si256(_mm256_loadu_si256((const void *)p), key));
	_mm256_storeu_si256((void *)lane, sum);
	for (int i = 0; i < 8; i++)
		total += lane[i];
	return total;
}

/* The same in XMM registers, for where AVX is not to be had. */
__attribute__((target("ssse3"))) static uint32_t sum_ssse3(const uint32_t *p, size_t n)
{
	__m128i sum = _mm_setzero_si128(), key = _mm_set1_epi32(0x5a5a5a5a);
	uint32_t lane[4];

	for (; n; n -= 4, p += 4)
		sum = _mm_hadd_epi32(sum, _mm_xor_si128(_mm_loadu_si128((const void *)p), key));
	_mm_storeu_si128((void *)lane, sum);
	return lane[0] + lane[1] + lane[2] + lane[3];
}

static void on_sigill(int sig, siginfo_t *info, void *context)
{
	const uint8_t *rip = info->si_addr;

	(void)context;
	printf("SIGILL %02x %02x %02x %02x %02x %02x %02x %02x\n", rip[0], rip[1], rip[2], rip[3], rip[4],
	       rip[5], rip[6], rip[7]);
	fflush(stdout);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void hash(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigill, .sa_flags = SA_SIGINFO };
	static uint32_t data[BYTES / 4];
	uint64_t last = 0, round;
	unsigned a, b, c, d;
	int sse42, ssse3, avx2;

	sigaction(SIGILL, &sa, NULL);
	__cpuid(1, a, b, c, d);
	sse42 = !!(c & bit_SSE4_2);
	ssse3 = !!(c & bit_SSSE3);
	avx2 = __builtin_cpu_supports("avx2");
	for (round = 1;; round++) {
		for (size_t i = 0; i < BYTES / 4; i++)
			data[i] = data[i] * 1664525 + (uint32_t)round;
		if (sse42 && crc_sse42((void *)data, BYTES) != crc_plain((void *)data, BYTES))
			printf("BAD crc32 differs\n");
		if (avx2 && sum_avx2(data, BYTES / 4) != sum_plain(data, BYTES / 4))
			printf("BAD the sum in YMM registers differs\n");
		if (ssse3 && sum_ssse3(data, BYTES / 4) != sum_plain(data, BYTES / 4))
			printf("BAD the sum in XMM registers differs\n");
		if (!sse42 && crc_plain((void *)data, BYTES) == 0)
			printf("a hash of 0\n");
		if (due(&last))
			printf("hash %llu %s %s\n", (unsigned long long)round, sse42 ? "CRC32" : "plain",
			       avx2 ? "AVX2" : ssse3 ? "SSSE3" : "plain");
		fflush(stdout);
	}
}

/* ---- clocks ---- */

static void clocks(void)
{
	static const clockid_t which[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	uint64_t before[3] = { 0 }, last = 0, round;

	for (round = 1;; round++) {
		for (int i = 0; i < 3; i++) {
			uint64_t now = now_ns(which[i]);

			if (now < before[i])
				printf("BAD clock %d went back by %llu ns\n", i,
				       (unsigned long long)(before[i] - now));
			before[i] = now;
		}
		if (due(&last))
			printf("clock %llu up %.3f\n", (unsigned long long)round,
			       (double)before[0] / 1e9);
		fflush(stdout);
		usleep(1000);
	}
}

/* ---- disk ---- */

static void disk(int fd)
{
	uint64_t *out, *in, last = 0, round, block;

	if (posix_memalign((void **)&out, BLOCK, BLOCK) || posix_memalign((void **)&in, BLOCK, BLOCK))
		exit(1);
	for (round = 1;; round++) {
		block = round % BLOCKS;
		/* What was written a whole turn ago, before other moves. */
		if (pread(fd, in, BLOCK, (off_t)(block * BLOCK)) != BLOCK)
			printf("BAD the disk can't be read\n");
		if (round > BLOCKS && (in[0] != round - BLOCKS || in[511] != ~in[0]))
			printf("BAD block %llu has %llu in round %llu\n", (unsigned long long)block,
			       (unsigned long long)in[0], (unsigned long long)round);
		out[0] = round;
		out[511] = ~round;
		if (pwrite(fd, out, BLOCK, (off_t)(block * BLOCK)) != BLOCK)
			printf("BAD the disk can't be written\n");
		if (due(&last))
			printf("disk %llu\n", (unsigned long long)round);
		fflush(stdout);
		usleep(20000);
	}
}

static void load_modules(void)
{
	static const char *const files[] = {
		"/virtio_ring.ko", "/virtio.ko", "/virtio_mmio.ko", "/virtio_blk.ko",
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd = open(files[i], O_RDONLY);

		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			printf("BAD %s could not be loaded\n", files[i]);
		close(fd);
	}
}

int main(void)
{
	pid_t hasher, died;
	int status, fd;

	if (getpid() != 1)	/* it ends the machine it runs on */
		return 2;
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	load_modules();
	fd = open("/dev/vda", O_RDWR | O_DIRECT | O_SYNC);
	printf("up%s\n", fd >= 0 ? " with a disk" : "");
	fflush(stdout);
	hasher = fork();
	if (!hasher)
		hash();
	if (!fork())
		clocks();
	if (fd >= 0 && !fork())
		disk(fd);
	/* Only what is wrong ends one of them. */
	died = wait(&status);
	printf("%s %s of signal %d\n", died == hasher ? "hash" : "another", "died",
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	fflush(stdout);
	sleep(1);
	reboot(RB_POWER_OFF);
	return 1;
}
