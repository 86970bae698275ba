#ifndef DATAPLANE_EXTENSIONS_FILTERS_LISTENER_PROXY_PROTOCOL_PROXY_HEADER_H
#define DATAPLANE_EXTENSIONS_FILTERS_LISTENER_PROXY_PROTOCOL_PROXY_HEADER_H

/*
 * Reads the header that the PROXY protocol puts in front of a connection, versions 1 and 2, with
 * Envoy's verdicts. No I/O, no state; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/address.h"
#include "dataplane/base/str.h"

enum proxy_header_verdict {
    PROXY_HEADER_PARTIAL, /* more bytes may make one */
    PROXY_HEADER_FOUND,
    PROXY_HEADER_NONE,   /* the connection begins without one, and may */
    PROXY_HEADER_DENIED, /* one of a version that is not allowed */
    PROXY_HEADER_ERROR,
};

struct proxy_header_rules {
    bool allows_none;
    bool allows_v1;
    bool allows_v2;
};

struct proxy_header {
    int version; /* 0: it was not recognized; also set when the verdict is bad */
    size_t size; /* with everything that belongs to it */
    /* LOCAL or UNKNOWN: says nothing of addresses. */
    bool has_addresses;
    struct address source;
    struct address destination;
    struct str tlvs; /* of version 2: checked, each type, length, value */
};

enum proxy_header_verdict proxy_header_parse(struct str bytes,
                                             const struct proxy_header_rules *rules,
                                             struct proxy_header *ret);

#define PROXY_TLV_HEADER_BYTES 3 /* type, length */

/* The next one, cut off the front of `tlvs`; false at the end, and at a broken one. */
bool proxy_header_next_tlv(struct str *tlvs, uint8_t *ret_type, struct str *ret_value);

#endif
