/* SPDX-License-Identifier: MIT */
#include "tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "library.h"

#define FUNCTIONS(F) \
	F(gnutls_strerror) F(gnutls_error_is_fatal) \
	F(gnutls_certificate_allocate_credentials) F(gnutls_certificate_free_credentials) \
	F(gnutls_certificate_set_x509_trust_file) F(gnutls_certificate_set_x509_crl_file) \
	F(gnutls_certificate_set_x509_key_file) \
	F(gnutls_certificate_server_set_request) F(gnutls_certificate_verification_status_print) \
	F(gnutls_init) F(gnutls_deinit) F(gnutls_priority_set_direct) F(gnutls_credentials_set) \
	F(gnutls_transport_set_int2) F(gnutls_server_name_set) F(gnutls_session_set_verify_cert2) \
	F(gnutls_session_get_verify_cert_status) \
	F(gnutls_handshake) F(gnutls_record_get_direction) F(gnutls_record_recv) \
	F(gnutls_record_send) F(gnutls_alert_get) F(gnutls_alert_get_name) \
	F(gnutls_alert_send_appropriate) F(gnutls_bye)

struct gnutls {
	FUNCTIONS(MV_LIBRARY_MEMBER)
};

/* Nothing older, whatever the system's own policy would still take. */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define DRAIN_MS 1000	/* for the other side to read why it was turned away */

struct mv_tls {
	struct gnutls g;
	enum mv_tls_side side;
	gnutls_certificate_credentials_t cred;
};

struct mv_tls_session {
	struct mv_tls *tls;
	struct mv_io *io;
	gnutls_session_t s;
	const struct mv_io_ops *plain;	/* io's own */
	void *plain_ctx;
	gnutls_typed_vdata_st facts[2];	/* the library keeps pointers */
	char hostname[256];
	uint8_t ahead;			/* a byte that was read to learn whether there is one */
	bool have_ahead, broken;
};

static int load(struct gnutls *g, struct mv_err *err)
{
	static const char *const names[] = { FUNCTIONS(MV_LIBRARY_NAME) NULL };
	static const struct mv_library library = {
		"libgnutls.so.30", "TLS", "libgnutls30", MV_E_FAILED, names,
	};

	return mv_library_load(g, &library, err);
}

/* ---- files ---- */

static int path_of(char path[PATH_MAX], const char *dir, const char *file, struct mv_err *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, file) < PATH_MAX)
		return 0;
	return mv_err_set(err, MV_E_USAGE, "the name of the TLS folder is too long");
}

static int unusable(const struct mv_tls *tls, const char *path, int e, struct mv_err *err)
{
	const char *why = access(path, R_OK) ? "it can't be read" : tls->g.gnutls_strerror(e);

	mv_err_set(err, MV_E_INPUT, "%s: %s", path, why);
	mv_err_hint(err, "docs/migration.md says which files --tls-dir needs");
	return -MV_E_INPUT;
}

static int read_authority(struct mv_tls *tls, const char *dir, struct mv_err *err)
{
	char path[PATH_MAX];
	int rc = path_of(path, dir, "ca-cert.pem", err), n;

	if (rc)
		return rc;
	n = tls->g.gnutls_certificate_set_x509_trust_file(tls->cred, path, GNUTLS_X509_FMT_PEM);
	if (n <= 0)
		return unusable(tls, path, n ? n : GNUTLS_E_NO_CERTIFICATE_FOUND, err);
	path_of(path, dir, "ca-crl.pem", err);
	if (access(path, F_OK))
		return 0;
	n = tls->g.gnutls_certificate_set_x509_crl_file(tls->cred, path, GNUTLS_X509_FMT_PEM);
	return n < 0 ? unusable(tls, path, n, err) : 0;
}

static int read_own(struct mv_tls *tls, const char *dir, struct mv_err *err)
{
	const char *who = tls->side == MV_TLS_SERVER ? "server" : "client";
	char cert[PATH_MAX], key[PATH_MAX], name[32];
	struct stat st;
	int rc, n;

	snprintf(name, sizeof(name), "%s-cert.pem", who);
	rc = path_of(cert, dir, name, err);
	snprintf(name, sizeof(name), "%s-key.pem", who);
	if (rc == 0)
		rc = path_of(key, dir, name, err);
	if (rc)
		return rc;
	if (stat(key, &st) == 0 && st.st_mode & (S_IRWXO | S_IWGRP)) {
		mv_err_set(err, MV_E_INPUT, "%s: others may read or change this key", key);
		mv_err_hint(err, "chmod 600 %s", key);
		return -MV_E_INPUT;
	}
	n = tls->g.gnutls_certificate_set_x509_key_file(tls->cred, cert, key,
							GNUTLS_X509_FMT_PEM);
	/* The library does not say which of the two it is. */
	return n < 0 ? unusable(tls, access(cert, R_OK) ? cert : access(key, R_OK) ? key : cert, n,
				err) : 0;
}

int mv_tls_open(struct mv_tls **out, const char *dir, enum mv_tls_side side, struct mv_err *err)
{
	struct mv_tls *tls = calloc(1, sizeof(*tls));
	int rc = tls ? load(&tls->g, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	*out = NULL;
	if (rc == 0 && tls->g.gnutls_certificate_allocate_credentials(&tls->cred) < 0) {
		tls->cred = NULL;
		rc = mv_err_set(err, MV_E_FAILED, "out of memory");
	}
	if (rc == 0) {
		tls->side = side;
		rc = read_authority(tls, dir, err);
	}
	if (rc == 0)
		rc = read_own(tls, dir, err);
	if (rc) {
		mv_tls_close(tls);
		return rc;
	}
	*out = tls;
	return 0;
}

void mv_tls_close(struct mv_tls *tls)
{
	if (!tls)
		return;
	if (tls->cred)
		tls->g.gnutls_certificate_free_credentials(tls->cred);
	free(tls);
}

/* ---- transfers ---- */

/* What went wrong, in the words of whoever found it. */
static int failed(struct mv_tls_session *t, ssize_t e, struct mv_err *err)
{
	const struct gnutls *g = &t->tls->g;
	const char *alert;

	t->broken = true;
	if (e == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		alert = g->gnutls_alert_get_name(g->gnutls_alert_get(t->s));
		return mv_err_set(err, MV_E_FAILED, "%s ended the TLS connection: %s", t->io->peer,
				  alert ? alert : "unknown alert");
	}
	if (e == GNUTLS_E_PULL_ERROR || e == GNUTLS_E_PUSH_ERROR)
		return mv_err_set(err, MV_E_FAILED, "%s broke the connection", t->io->peer);
	return mv_err_set(err, MV_E_FAILED, "TLS with %s: %s", t->io->peer,
			  g->gnutls_strerror((int)e));
}

/* Bytes moved, or what to wait for. */
static int64_t outcome(struct mv_tls_session *t, ssize_t n, struct mv_err *err)
{
	const struct gnutls *g = &t->tls->g;

	if (n >= 0)
		return n;
	/* Every message of ours is whole and counted: an end without good-bye can't cut one short. */
	if (n == GNUTLS_E_PREMATURE_TERMINATION)
		return 0;
	if (g->gnutls_error_is_fatal((int)n))
		return failed(t, n, err);
	return g->gnutls_record_get_direction(t->s) ? MV_IO_WANT_WRITE : MV_IO_WANT_READ;
}

static int64_t tls_recv(struct mv_io *io, void *buf, size_t len, struct mv_err *err)
{
	struct mv_tls_session *t = io->ctx;

	if (t->have_ahead && len) {
		t->have_ahead = false;
		*(uint8_t *)buf = t->ahead;
		return 1;
	}
	return outcome(t, t->tls->g.gnutls_record_recv(t->s, buf, len), err);
}

static int64_t tls_send(struct mv_io *io, const void *buf, size_t len, struct mv_err *err)
{
	struct mv_tls_session *t = io->ctx;

	return outcome(t, t->tls->g.gnutls_record_send(t->s, buf, len), err);
}

static int tls_pending(struct mv_io *io, struct mv_err *err)
{
	struct mv_tls_session *t = io->ctx;
	int64_t n;

	if (t->have_ahead)
		return 1;
	n = tls_recv(io, &t->ahead, 1, err);
	t->have_ahead = n == 1;
	/* 0 is the end, which is news, too. */
	return n == MV_IO_WANT_READ || n == MV_IO_WANT_WRITE ? 0 : n < 0 ? (int)n : 1;
}

static const struct mv_io_ops tls_ops = {
	.recv = tls_recv, .send = tls_send, .pending = tls_pending,
};

/* ---- the handshake ---- */

/* The other side's certificate did not pass: why, in one line. */
static int unverified(struct mv_tls_session *t, const char *hostname, struct mv_err *err)
{
	const struct gnutls *g = &t->tls->g;
	unsigned status = g->gnutls_session_get_verify_cert_status(t->s);
	gnutls_datum_t text = { 0 };

	if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
		mv_err_set(err, MV_E_FAILED, "the certificate of %s is not for %s", t->io->peer,
			   hostname);
		mv_err_hint(err, "--tls-hostname, if it is known by another name");
		return -MV_E_FAILED;
	}
	if (g->gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0)
		text.data = NULL;
	mv_err_set(err, MV_E_FAILED, "the certificate of %s: %s", t->io->peer,
		   text.data ? (char *)text.data : "not to be trusted");
	free(text.data);	/* gnutls_free, unless a program sets another */
	/* The library ends each of its sentences with a blank. */
	for (size_t n = strlen(err ? err->msg : ""); n && err->msg[n - 1] == ' '; n--)
		err->msg[n - 1] = '\0';
	return -MV_E_FAILED;
}

static int explain(struct mv_tls_session *t, int e, const char *hostname, struct mv_err *err)
{
	const bool server = t->tls->side == MV_TLS_SERVER;

	switch (e) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		return unverified(t, hostname, err);
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		return mv_err_set(err, MV_E_FAILED, "%s shows no certificate", t->io->peer);
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNEXPECTED_PACKET:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
		mv_err_set(err, MV_E_FAILED, "%s sent something else than TLS 1.2 or later, or"
			   " broke off", t->io->peer);
		mv_err_hint(err, "is --tls-dir given on both sides?");
		return -MV_E_FAILED;
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		mv_err_set(err, MV_E_FAILED, "%s closed the connection instead of agreeing on TLS",
			   t->io->peer);
		mv_err_hint(err, server ? "is --tls-dir given on both sides?"
					: "its own messages say why; is --tls-dir given there?");
		return -MV_E_FAILED;
	default:
		return failed(t, e, err);
	}
}

static int handshake(struct mv_tls_session *t, const char *hostname, struct mv_err *err)
{
	const struct gnutls *g = &t->tls->g;
	uint64_t deadline = mv_io_now_ns() + (uint64_t)t->io->timeout_ms * 1000000;
	int n, rc;

	while ((n = g->gnutls_handshake(t->s)) < 0) {
		if (g->gnutls_error_is_fatal(n)) {
			rc = explain(t, n, hostname, err);
			if (g->gnutls_alert_send_appropriate(t->s, n) == 0)
				mv_io_drain(t->io, DRAIN_MS);
			return rc;
		}
		rc = mv_io_await(t->io, g->gnutls_record_get_direction(t->s) ? MV_IO_WANT_WRITE
									      : MV_IO_WANT_READ,
				 deadline, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* An address is no name to ask for. */
static bool is_name(const char *hostname)
{
	return hostname && !strchr(hostname, ':') &&
	       hostname[strspn(hostname, "0123456789.")] != '\0';
}

/* What the other side's certificate has to be good for. */
static void set_facts(struct mv_tls_session *t, const char *hostname)
{
	static char client[] = GNUTLS_KP_TLS_WWW_CLIENT, server[] = GNUTLS_KP_TLS_WWW_SERVER;

	t->facts[0].type = GNUTLS_DT_KEY_PURPOSE_OID;
	t->facts[0].data = (unsigned char *)(t->tls->side == MV_TLS_SERVER ? client : server);
	t->facts[1].type = GNUTLS_DT_DNS_HOSTNAME;
	t->facts[1].data = (unsigned char *)t->hostname;
	if (hostname)
		snprintf(t->hostname, sizeof(t->hostname), "%s", hostname);
	t->tls->g.gnutls_session_set_verify_cert2(t->s, t->facts, hostname ? 2 : 1, 0);
}

static int set_up(struct mv_tls_session *t, const char *hostname)
{
	const struct gnutls *g = &t->tls->g;
	const bool server = t->tls->side == MV_TLS_SERVER;
	/* Tickets are for sessions that are taken up again: never here. */
	int e = g->gnutls_init(&t->s, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK |
				      GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);

	if (e < 0) {
		t->s = NULL;
		return e;
	}
	e = g->gnutls_priority_set_direct(t->s, PRIORITIES, NULL);
	if (e >= 0)
		e = g->gnutls_credentials_set(t->s, GNUTLS_CRD_CERTIFICATE, t->tls->cred);
	if (e >= 0 && !server && is_name(hostname))
		e = g->gnutls_server_name_set(t->s, GNUTLS_NAME_DNS, hostname, strlen(hostname));
	if (e < 0)
		return e;
	if (server)
		g->gnutls_certificate_server_set_request(t->s, GNUTLS_CERT_REQUIRE);
	set_facts(t, hostname);
	g->gnutls_transport_set_int2(t->s, t->io->fd, t->io->fd);
	return 0;
}

int mv_tls_start(struct mv_tls_session **out, struct mv_tls *tls, struct mv_io *io,
		 const char *hostname, struct mv_err *err)
{
	struct mv_tls_session *t = calloc(1, sizeof(*t));
	int e, rc;

	*out = NULL;
	if (!t)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	*t = (struct mv_tls_session){ .tls = tls, .io = io, .plain = io->ops, .plain_ctx = io->ctx };
	e = set_up(t, hostname);
	rc = e < 0 ? failed(t, e, err) : handshake(t, hostname, err);
	if (rc) {
		t->broken = true;
		mv_tls_end(t);
		return rc;
	}
	io->ops = &tls_ops;
	io->ctx = t;
	*out = t;
	return 0;
}

void mv_tls_end(struct mv_tls_session *t)
{
	if (!t)
		return;
	if (!t->broken)
		t->tls->g.gnutls_bye(t->s, GNUTLS_SHUT_WR);
	if (t->s)
		t->tls->g.gnutls_deinit(t->s);
	t->io->ops = t->plain;
	t->io->ctx = t->plain_ctx;
	free(t);
}
