/* SPDX-License-Identifier: MIT */
/*
 * start [-n ROUNDS] [-o FILE.json] NAME COMMAND [NAME COMMAND]...: from exec to the first byte on standard
 * output, to the end, processor time and peak resident memory of each command, in turns, so that what
 * else the machine does hits all alike. The first one is the floor that the others are measured against.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS 8
#define ROUNDS 1001

struct command {
	const char *name, *line;
	double first[ROUNDS], end[ROUNDS], cpu[ROUNDS];	/* ms */
	long rss;				/* KiB */
	int status;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double ms(const struct timeval *t)
{
	return (double)t->tv_sec * 1e3 + (double)t->tv_usec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int once(struct command *c, unsigned round)
{
	char line[4096], *argv[64], *save, buf[4096];
	posix_spawn_file_actions_t files;
	struct rusage used;
	unsigned argc = 0;
	double begin;
	ssize_t n;
	pid_t pid;
	int p[2];

	snprintf(line, sizeof(line), "%s", c->line);
	for (char *w = strtok_r(line, " ", &save); w && argc < 63; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	if (!argc || pipe2(p, O_CLOEXEC))
		return -1;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, p[1], 1);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	begin = now();
	errno = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	close(p[1]);
	if (errno) {
		perror(argv[0]);
		return -1;
	}
	c->first[round] = 0;
	while ((n = read(p[0], buf, sizeof(buf))) > 0)
		if (c->first[round] == 0)
			c->first[round] = now() - begin;
	wait4(pid, &c->status, 0, &used);
	c->end[round] = now() - begin;
	close(p[0]);
	c->cpu[round] = ms(&used.ru_utime) + ms(&used.ru_stime);
	if (used.ru_maxrss > c->rss)
		c->rss = used.ru_maxrss;
	return 0;
}

/* Median and quartiles, of sorted times. */
static const char *spread(char *to, size_t size, const double *t, unsigned rounds)
{
	snprintf(to, size, "%.2f (%.2f-%.2f)", t[rounds / 2], t[rounds / 4], t[rounds * 3 / 4]);
	return to;
}

static void times(FILE *json, const char *what, const double *t, const double *floor, unsigned rounds)
{
	fprintf(json, ",\"%s\":{\"ms\":%.3f,\"least\":%.3f,\"quartiles\":[%.3f,%.3f],\"to-floor\":%.3f}", what,
		t[rounds / 2], t[0], t[rounds / 4], t[rounds * 3 / 4], t[rounds / 2] / floor[rounds / 2]);
}

/* Medians, their quartiles, and their ratios to the floor's. */
static void report(const struct command *c, unsigned n, unsigned rounds, FILE *json)
{
	unsigned m = rounds / 2;
	char first[64], end[64];

	printf("%-18s %22s %7s %22s %7s %7s %7s %8s %6s\n", "START", "first ms (quartiles)", "x floor",
	       "exit ms (quartiles)", "x floor", "CPU ms", "x floor", "peak KiB", "status");
	for (unsigned i = 0; i < n; i++) {
		int status = WIFEXITED(c[i].status) ? WEXITSTATUS(c[i].status) : -1;

		/* It could not be started here, or the guest could not. */
		if (c[i].first[0] == 0) {
			printf("%-18s did not start its guest (status %d)\n", c[i].name, status);
			continue;
		}
		printf("%-18s %22s %7.2f %22s %7.2f %7.2f %7.2f %8ld %6d\n", c[i].name,
		       spread(first, sizeof(first), c[i].first, rounds), c[i].first[m] / c->first[m],
		       spread(end, sizeof(end), c[i].end, rounds), c[i].end[m] / c->end[m], c[i].cpu[m],
		       c[i].cpu[m] / c->cpu[m], c[i].rss, status);
		if (!json)
			continue;
		fprintf(json, "%s{\"name\":\"%s\",\"rounds\":%u,\"peak-kib\":%ld,\"status\":%d", i ? ",\n" : "[\n",
			c[i].name, rounds, c[i].rss, status);
		times(json, "first", c[i].first, c->first, rounds);
		times(json, "exit", c[i].end, c->end, rounds);
		times(json, "cpu", c[i].cpu, c->cpu, rounds);
		fputc('}', json);
	}
	if (json)
		fputs("\n]\n", json);
}

int main(int argc, char **argv)
{
	static struct command c[COMMANDS];
	unsigned n = 0, rounds = 31;
	const char *file = NULL;
	FILE *json = NULL;
	int o;

	while ((o = getopt(argc, argv, "+n:o:")) != -1) {
		if (o == 'n')
			rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'o')
			file = optarg;
		else
			return 2;
	}
	for (; optind + 1 < argc && n < COMMANDS; optind += 2)
		c[n++] = (struct command){ .name = argv[optind], .line = argv[optind + 1] };
	if (!n || !rounds || rounds > ROUNDS)
		return 2;
	for (unsigned r = 0; r <= rounds; r++)	/* the first one warms up, and is overwritten */
		for (unsigned i = 0; i < n; i++)
			if (once(&c[i], r ? r - 1 : 0))
				return 1;
	for (unsigned i = 0; i < n; i++) {
		qsort(c[i].first, rounds, sizeof(double), by_value);
		qsort(c[i].end, rounds, sizeof(double), by_value);
		qsort(c[i].cpu, rounds, sizeof(double), by_value);
	}
	if (file && !(json = fopen(file, "w"))) {
		perror(file);
		return 1;
	}
	report(c, n, rounds, json);
	return json && fclose(json) ? 1 : 0;
}
