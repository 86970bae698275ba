#ifndef DATAPLANE_BASE_ERROR_H
#define DATAPLANE_BASE_ERROR_H

/*
 * Error codes (0 or negative) and the one-sentence error that configuration code hands upwards.
 * The sentence becomes the NACK text, so it names the place and the reason:
 *   "listeners[0].filter_chains[1].filters[0]: unknown extension type 'foo.Bar'".
 */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/check.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    E_OK = 0,
    E_INVALID = -1,     /* malformed input */
    E_UNSUPPORTED = -2, /* well-formed, but not built here */
    E_LIMIT = -3,       /* a configured bound was reached */
    E_NOT_FOUND = -4,
    E_EXISTS = -5,
    E_AGAIN = -6, /* not now; the callee calls back or the caller tries later */
    E_SYS = -7,   /* a system call failed; errno or the message says which */
    E_CLOSED = -8,
    E_TIMEOUT = -9,
    E_TLS = -10,
    E_PROTOCOL = -11, /* the peer broke the protocol */
};

const char *error_name(int code);

/* Holds at most one message; the first one set wins, later ones are dropped. */
struct error {
    char *message; /* heap, NULL when nothing was set */
};

void error_init(struct error *e);
void error_done(struct error *e);
bool error_is_set(const struct error *e);
/* Never NULL. */
const char *error_message(const struct error *e);
/* Both return `code`, so that a parser can write `return error_set(e, E_INVALID, ...)`. */
int error_set(struct error *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "prefix" in front of the message already there. */
void error_prefix(struct error *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#ifdef __cplusplus
}
#endif

#endif
