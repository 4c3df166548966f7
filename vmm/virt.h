/* SPDX-License-Identifier: MIT */
/*
 * libvirt, by its C API: hosts, domains and the meaning of its CPU models (docs/libvirt.md). The library
 * is loaded when a URI or a libvirt CPU is to be read, never before.
 */
#ifndef MV_VMM_VIRT_H
#define MV_VMM_VIRT_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "import.h"
#include "policy.h"
#include "virt_cpu.h"

/* Was the program built with libvirt's headers? */
bool mv_virt_built_in(void);

/* "SCHEME://…": a libvirt URI, no file. */
bool mv_virt_is_uri(const char *s);
/* "DOMAIN@URI": where the URI starts; NULL if s is no such thing. */
const char *mv_virt_domain_uri(const char *s);

struct mv_virt;	/* a connection */

/*
 * Connect. What libvirt says is the message. -MV_E_USAGE: no URI that libvirt knows; -MV_E_FAILED: nobody
 * there, no access; -MV_E_HOST: built without libvirt, or it is not installed.
 */
int mv_virt_open(struct mv_virt **v, const char *uri, struct mv_err *err);
/* libvirt's CPU map of this machine: no daemon is asked. */
int mv_virt_open_local(struct mv_virt **v, struct mv_err *err);
void mv_virt_close(struct mv_virt *v);

/*
 * Documents as libvirt has them; the caller frees. Host capabilities; domain capabilities (*out = NULL if
 * the driver has none); a domain, live if it runs. -MV_E_INPUT: no such domain.
 */
int mv_virt_capabilities(struct mv_virt *v, char **out, struct mv_err *err);
int mv_virt_domain_capabilities(struct mv_virt *v, char **out, struct mv_err *err);
int mv_virt_domain_xml(struct mv_virt *v, const char *name, char **out, struct mv_err *err);
void mv_virt_hostname(struct mv_virt *v, char *buf, size_t size);

/* How the libvirt at the other end spells features; "" for those it has no name for. */
#define MV_VIRT_NAME 32
#define MV_VIRT_CAPS 64
struct mv_virt_names {
	char feature[MV_NFEATURES][MV_VIRT_NAME];
	char caps[MV_VIRT_CAPS][MV_VIRT_NAME];	/* bits of the MSR ARCH_CAPABILITIES */
};
int mv_virt_names(struct mv_virt *v, struct mv_virt_names *names, struct mv_err *err);

/* Features as bits, and what no bit is known for. */
struct mv_virt_set {
	struct mv_featset on;
	uint64_t caps;		/* ARCH_CAPABILITIES */
	uint32_t nunknown;	/* names that this program has no bit for: vmx-…, … */
};

/* The features that a CPU model stands for, by libvirt's own CPU map. -MV_E_INPUT: no such model. */
int mv_virt_model(struct mv_virt *v, const char *model, struct mv_virt_set *set, struct mv_err *err);
/* Add or remove one by its libvirt name; false if this program knows no bit of that name. */
bool mv_virt_set_name(struct mv_virt_set *set, const char *name, bool on);

/*
 * The host that uri names: what its CPU has (host capabilities), what a guest can be given there (domain
 * capabilities). A partial description (mv_host.partial).
 */
int mv_virt_host(struct mv_host *h, const char *uri, struct mv_import *report, struct mv_err *err);

/*
 * The VM of a domain: p->final by the policies of its <cpu>, p->guest, p->effective, p->files. p->source is
 * filled in, too: all of it unknown but for what the domain itself tells; from_uri also describes the host
 * it runs on. -MV_E_INPUT: no <cpu>, or one that follows the host (host-passthrough, a host-model that
 * does not run).
 */
int mv_virt_vm(struct mv_policy *p, const char *file, const char *xml, struct mv_virt *v, struct mv_err *err);
int mv_virt_vm_from_uri(struct mv_policy *p, const char *domain_at_uri, struct mv_err *err);

#endif
