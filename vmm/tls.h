/* SPDX-License-Identifier: MIT */
/*
 * TLS around a connection between two hosts, by GnuTLS, which is loaded only when asked for. Both sides
 * show a certificate and check the other's: its chain, its dates, what it may be used for, and for the
 * side that connects whether it is for the host it meant. TLS 1.3, or 1.2.
 *
 * The files of a folder have the names that QEMU and libvirt use: ca-cert.pem (who signs),
 * ca-crl.pem (optional: what was revoked), server-cert.pem and server-key.pem for the side that
 * listens, client-cert.pem and client-key.pem for the side that connects.
 */
#ifndef MV_VMM_TLS_H
#define MV_VMM_TLS_H

#include "io.h"

enum mv_tls_side { MV_TLS_SERVER, MV_TLS_CLIENT };

struct mv_tls;		/* the library, and what the folder holds */
struct mv_tls_session;	/* one connection */

/*
 * Read a side's files. -MV_E_FAILED: the library is missing; -MV_E_INPUT: a file is, or is unusable,
 * with its name.
 */
int mv_tls_open(struct mv_tls **tls, const char *dir, enum mv_tls_side side, struct mv_err *err);
void mv_tls_close(struct mv_tls *tls);	/* accepts NULL */

/*
 * Agree with the other side, within io's timeout; from then on io transfers what is encrypted.
 * hostname: whom the other side's certificate has to be for, a name or an address; NULL: anybody whom
 * the CA knows. On failure the other side has been told, as far as it listens.
 */
int mv_tls_start(struct mv_tls_session **session, struct mv_tls *tls, struct mv_io *io,
		 const char *hostname, struct mv_err *err);
/* Say good-bye, and release it; io is a plain one again. Accepts NULL. */
void mv_tls_end(struct mv_tls_session *session);

#endif
