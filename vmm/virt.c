/* SPDX-License-Identifier: MIT */
/* Connections to libvirt: the only file that includes its header, and every call of its API. */
#include "virt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "library.h"
#include "text.h"

bool mv_virt_is_uri(const char *s)
{
	const char *p = s;

	while (isalnum((unsigned char)*p) || *p == '+' || *p == '-' || *p == '.')
		p++;
	return p > s && !strncmp(p, "://", 3);
}

/* Neither a domain's name nor a URI is without '@': the first one that a URI follows. */
const char *mv_virt_domain_uri(const char *s)
{
	for (const char *at = strchr(s, '@'); at; at = strchr(at + 1, '@'))
		if (at > s && mv_virt_is_uri(at + 1))
			return at + 1;
	return NULL;
}

#ifdef MV_LIBVIRT
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#define FUNCTIONS(F) \
	F(virConnectOpen) F(virConnectClose) F(virConnectGetCapabilities) F(virConnectGetHostname) \
	F(virConnectGetDomainCapabilities) F(virConnectBaselineCPU) F(virDomainLookupByName) \
	F(virDomainGetXMLDesc) F(virDomainFree) F(virGetLastError) F(virResetLastError) \
	F(virSetErrorFunc)

struct mv_virt {
	FUNCTIONS(MV_LIBRARY_MEMBER)
	virConnectPtr conn;
	char uri[256];
};

bool mv_virt_built_in(void)
{
	return true;
}

static int load(struct mv_virt *v, struct mv_err *err)
{
	static const char *const names[] = { FUNCTIONS(MV_LIBRARY_NAME) NULL };
	static const struct mv_library library = {
		"libvirt.so.0", "asking libvirt", "libvirt0", MV_E_HOST, names,
	};

	return mv_library_load(v, &library, err);
}

/* By default libvirt prints its errors: here they are data. */
static void silent(void *ctx, virErrorPtr error)
{
	(void)ctx, (void)error;
}

static int last_error(const struct mv_virt *v)
{
	virErrorPtr e = v->virGetLastError();

	return e ? e->code : VIR_ERR_OK;
}

/* What libvirt said, in its words, with whom it was said to. */
static int failed(struct mv_virt *v, enum mv_err_code code, struct mv_err *err)
{
	virErrorPtr e = v->virGetLastError();
	int rc = mv_err_at(err, code, v->uri, 0, 0, "libvirt: %s",
			   e && e->message ? e->message : "unknown error");

	v->virResetLastError();
	return rc;
}

/* A URI that can't be one, or that no driver of this libvirt takes. */
static enum mv_err_code open_code(int code)
{
	switch (code) {
	case VIR_ERR_NO_CONNECT:
	case VIR_ERR_INVALID_ARG:
	case VIR_ERR_CONFIG_UNSUPPORTED:
	case VIR_ERR_NO_SUPPORT:
#if LIBVIR_VERSION_NUMBER >= 6000000
	case VIR_ERR_XML_ERROR:
#endif
		return MV_E_USAGE;
	default:
		return MV_E_FAILED;
	}
}

int mv_virt_open(struct mv_virt **out, const char *uri, struct mv_err *err)
{
	struct mv_virt *v = calloc(1, sizeof(*v));
	int rc = v ? load(v, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc) {
		free(v);
		return rc;
	}
	snprintf(v->uri, sizeof(v->uri), "%s", uri);
	v->virSetErrorFunc(NULL, silent);
	v->conn = v->virConnectOpen(uri);
	if (!v->conn) {
		rc = failed(v, open_code(last_error(v)), err);
		free(v);
		return rc;
	}
	*out = v;
	return 0;
}

void mv_virt_close(struct mv_virt *v)
{
	if (!v)
		return;
	v->virConnectClose(v->conn);
	free(v);
}

int mv_virt_capabilities(struct mv_virt *v, char **out, struct mv_err *err)
{
	*out = v->virConnectGetCapabilities(v->conn);
	return *out ? 0 : failed(v, MV_E_FAILED, err);
}

int mv_virt_domain_capabilities(struct mv_virt *v, char **out, struct mv_err *err)
{
	*out = v->virConnectGetDomainCapabilities(v->conn, NULL, NULL, NULL, NULL, 0);
	if (*out || last_error(v) != VIR_ERR_NO_SUPPORT)
		return *out ? 0 : failed(v, MV_E_FAILED, err);
	v->virResetLastError();
	return 0;
}

int mv_virt_domain_xml(struct mv_virt *v, const char *name, char **out, struct mv_err *err)
{
	virDomainPtr d = v->virDomainLookupByName(v->conn, name);

	*out = NULL;
	if (!d)
		return failed(v, last_error(v) == VIR_ERR_NO_DOMAIN ? MV_E_INPUT : MV_E_FAILED, err);
	*out = v->virDomainGetXMLDesc(d, 0);
	v->virDomainFree(d);
	return *out ? 0 : failed(v, MV_E_FAILED, err);
}

void mv_virt_hostname(struct mv_virt *v, char *buf, size_t size)
{
	char *name = v->virConnectGetHostname(v->conn);

	snprintf(buf, size, "%.*s", (int)size - 1, name ? name : v->uri);
	mv_text_printable(buf);
	free(name);
	v->virResetLastError();
}

/* ---- CPU models ---- */

/*
 * libvirt says what a model stands for when asked for the baseline of one CPU, with all features
 * spelled out. unknown (may be NULL) receives the name that it does not know.
 */
static int baseline(struct mv_virt *v, const char *cpu, struct mv_virt_cpu *out, char unknown[40],
		    struct mv_err *err)
{
	char *xml = v->virConnectBaselineCPU(v->conn, &cpu, 1, VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES);
	virErrorPtr e = xml ? NULL : v->virGetLastError();
	const char *word = e && e->message ? strrchr(e->message, ' ') : NULL;
	int rc;

	if (unknown)
		*unknown = '\0';
	if (!xml && unknown && word && strstr(e->message, "nknown CPU feature")) {
		snprintf(unknown, 40, "%.39s", word + 1);
		v->virResetLastError();
		return -MV_E_INPUT;
	}
	if (!xml)
		return failed(v, e && (e->code == VIR_ERR_CONFIG_UNSUPPORTED || e->code == VIR_ERR_INTERNAL_ERROR ||
				       e->code == VIR_ERR_XML_ERROR)
				      ? MV_E_INPUT : MV_E_FAILED, err);
	rc = mv_virt_cpu_parse(out, v->uri, xml, strlen(xml), err);
	free(xml);
	return rc;
}

int mv_virt_model(struct mv_virt *v, const char *model, struct mv_virt_set *set, struct mv_err *err)
{
	struct mv_virt_cpu *cpu = malloc(sizeof(*cpu));
	char xml[256];
	int rc;

	memset(set, 0, sizeof(*set));
	if (!cpu)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	snprintf(xml, sizeof(xml), "<cpu><arch>x86_64</arch><model>%.64s</model></cpu>", model);
	rc = strpbrk(model, "<>&'\"") ? mv_err_set(err, MV_E_INPUT, "'%s' is no CPU model", model)
				      : baseline(v, xml, cpu, NULL, err);
	for (uint32_t i = 0; rc == 0 && i < cpu->n; i++)
		if (!mv_virt_set_name(set, cpu->feature[i].name, cpu->feature[i].policy != MV_VIRT_DISABLE))
			set->nunknown++;
	free(cpu);
	return rc;
}

static void write_names(FILE *f, const struct mv_virt_names *names)
{
	fputs("<cpu><arch>x86_64</arch><model>pentium</model>", f);
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (*names->feature[i])
			fprintf(f, "<feature name='%s'/>", names->feature[i]);
	for (unsigned i = 0; i < MV_VIRT_CAPS; i++)
		if (*names->caps[i])
			fprintf(f, "<feature name='%s'/>", names->caps[i]);
	fputs("</cpu>", f);
}

/*
 * Spelling number n of a feature: the aliases in their order, each as it is, then with '_' for '-', which
 * is how libvirt writes some of QEMU's names. "" when there are no more.
 */
static void spelling(char name[MV_VIRT_NAME], const char *aliases, unsigned n)
{
	const char *p = aliases;

	for (unsigned i = 0; i < n / 2 && *p; i++) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	snprintf(name, MV_VIRT_NAME, "%.*s", (int)strcspn(p, " "), p);
	for (char *c = n % 2 ? name : NULL; c && *c; c++)
		if (*c == '-')
			*c = '_';
}

/* In place of the name that libvirt does not know, the next spelling, or none. */
static void next_spelling(char name[MV_VIRT_NAME], const char *aliases)
{
	char was[MV_VIRT_NAME], now[MV_VIRT_NAME];
	unsigned n = 0;

	snprintf(was, sizeof(was), "%s", name);
	do
		spelling(now, aliases, n++);
	while (*now && strcmp(now, was));
	do
		spelling(name, aliases, n++);
	while (*name && !strcmp(name, was));
}

static bool drop(struct mv_virt_names *names, const char *unknown)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (!strcmp(names->feature[i], unknown)) {
			next_spelling(names->feature[i], mv_features[i].qemu_name);
			return true;
		}
	for (unsigned i = 0; i < MV_VIRT_CAPS; i++)
		if (!strcmp(names->caps[i], unknown)) {
			*names->caps[i] = '\0';
			return true;
		}
	return false;
}

/*
 * No call lists the names that libvirt knows. So all of QEMU's are put into one CPU, and those that it
 * complains of are taken out, one at a time, until it does not.
 */
int mv_virt_names(struct mv_virt *v, struct mv_virt_names *names, struct mv_err *err)
{
	struct mv_virt_cpu *cpu = malloc(sizeof(*cpu));
	char unknown[40] = "";
	int rc = cpu ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	memset(names, 0, sizeof(*names));
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		snprintf(names->feature[i], MV_VIRT_NAME, "%.*s", (int)strcspn(mv_features[i].qemu_name, " "),
			 mv_features[i].qemu_name);
	for (const struct mv_caps_bit *b = mv_caps_bits; b->bit < 64; b++)
		snprintf(names->caps[b->bit], MV_VIRT_NAME, "%s", b->qemu);
	while (rc == 0) {
		char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		if (!f) {
			rc = mv_err_set(err, MV_E_FAILED, "out of memory");
			break;
		}
		write_names(f, names);
		fclose(f);
		rc = baseline(v, text, cpu, unknown, err);
		free(text);
		if (rc == 0)
			break;
		if (*unknown)
			rc = drop(names, unknown) ? 0
						  : mv_err_at(err, MV_E_FAILED, v->uri, 0, 0,
							      "libvirt does not know '%s', which it was not asked",
							      unknown);
	}
	free(cpu);
	return rc;
}

#else

static int without(struct mv_err *err)
{
	mv_err_set(err, MV_E_HOST, "this minivmm was built without libvirt");
	mv_err_hint(err, "apt-get install libvirt-dev, and build again");
	return -MV_E_HOST;
}

bool mv_virt_built_in(void)
{
	return false;
}

int mv_virt_open(struct mv_virt **v, const char *uri, struct mv_err *err)
{
	(void)v, (void)uri;
	return without(err);
}

void mv_virt_close(struct mv_virt *v)
{
	(void)v;
}

int mv_virt_capabilities(struct mv_virt *v, char **out, struct mv_err *err)
{
	(void)v, (void)out;
	return without(err);
}

int mv_virt_domain_capabilities(struct mv_virt *v, char **out, struct mv_err *err)
{
	(void)v, (void)out;
	return without(err);
}

int mv_virt_domain_xml(struct mv_virt *v, const char *name, char **out, struct mv_err *err)
{
	(void)v, (void)name, (void)out;
	return without(err);
}

void mv_virt_hostname(struct mv_virt *v, char *buf, size_t size)
{
	(void)v;
	snprintf(buf, size, "?");
}

int mv_virt_model(struct mv_virt *v, const char *model, struct mv_virt_set *set, struct mv_err *err)
{
	(void)v, (void)model, (void)set;
	return without(err);
}

int mv_virt_names(struct mv_virt *v, struct mv_virt_names *names, struct mv_err *err)
{
	(void)v, (void)names;
	return without(err);
}

#endif

/* The driver for tests runs in this process, and answers questions about CPU models as the others do. */
int mv_virt_open_local(struct mv_virt **v, struct mv_err *err)
{
	return mv_virt_open(v, "test:///default", err);
}
