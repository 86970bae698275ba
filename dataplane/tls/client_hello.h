#ifndef DATAPLANE_TLS_CLIENT_HELLO_H
#define DATAPLANE_TLS_CLIENT_HELLO_H

/*
 * Reads a ClientHello without answering it: which host, which protocols, whose handwriting. Refuses
 * what BoringSSL would refuse before it asks the server anything, but does not go into extensions
 * that it does not need; nor does it know the hello of SSL 2.0. No I/O, no state; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

enum client_hello_verdict {
    CLIENT_HELLO_PARTIAL, /* more bytes may make one */
    CLIENT_HELLO_FOUND,
    CLIENT_HELLO_NOT_TLS, /* or one that no TLS server would take */
};

/* Slices of what was parsed, or of the arena. */
struct client_hello {
    uint16_t version;         /* legacy_version */
    struct str cipher_suites; /* two bytes each */
    struct str extensions;    /* each: type, length, body */
    struct str server_name;   /* as sent; empty: none */
    struct str alpn;          /* name list: each behind its length; empty: none, or a broken one */
};

/* `bytes`: all that a connection has sent so far. `ret_size` (also of NOT_TLS): how much of it had
 * to be looked at. `a` is used when the message comes in several records. */
enum client_hello_verdict client_hello_parse(struct str bytes, struct arena *a,
                                             struct client_hello *ret, size_t *ret_size);

/* The next protocol of `alpn`, cut off its front; false at the end. */
bool client_hello_next_protocol(struct str *alpn, struct str *ret_protocol);

#define CLIENT_HELLO_JA3_LEN 32
#define CLIENT_HELLO_JA4_LEN 36

/* Fingerprints as Envoy writes them; no terminator. */
void client_hello_ja3(const struct client_hello *h, char out[CLIENT_HELLO_JA3_LEN]);
void client_hello_ja4(const struct client_hello *h, char out[CLIENT_HELLO_JA4_LEN]);

#endif
