/*
 * The PROXY protocol's header (https://www.haproxy.org/download/2.1/doc/proxy-protocol.txt), as
 * Envoy takes it: what it refuses is refused, and in the same order. Hostile bytes. Owns nothing.
 */

#include "dataplane/extensions/filters/listener/proxy_protocol/proxy_header.h"

#include <string.h>

#include "dataplane/base/error.h"

#define V1_SIGNATURE STR("PROXY ")
#define V1_MAX_BYTES 108
#define V2_SIGNATURE STR("\r\n\r\n\0\r\nQUIT\n")
#define V2_HEADER_BYTES 16 /* signature, version and command, family and transport, length */
#define V2_VERSION 2
#define V2_LOCAL 0
#define V2_PROXY 1
#define V2_FAMILY_INET 1
#define V2_FAMILY_INET6 2
#define V2_STREAM 1
#define V2_DGRAM 2
#define V2_INET_BYTES 12
#define V2_INET6_BYTES 36

/* --- TLVs --------------------------------------------------------------------------------- */

static size_t read_u16(const char *p)
{
    return (size_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

bool proxy_header_next_tlv(struct str *tlvs, uint8_t *ret_type, struct str *ret_value)
{
    size_t len;

    if (tlvs->len < PROXY_TLV_HEADER_BYTES) {
        return false;
    }
    len = read_u16(tlvs->ptr + 1);
    if (tlvs->len - PROXY_TLV_HEADER_BYTES < len) {
        return false;
    }
    *ret_type = (uint8_t)tlvs->ptr[0];
    *ret_value = str_sub(*tlvs, PROXY_TLV_HEADER_BYTES, PROXY_TLV_HEADER_BYTES + len);
    *tlvs = str_sub(*tlvs, PROXY_TLV_HEADER_BYTES + len, tlvs->len);
    return true;
}

static bool tlvs_are_sound(struct str tlvs)
{
    struct str value;
    uint8_t type;

    while (proxy_header_next_tlv(&tlvs, &type, &value)) {
    }
    return tlvs.len == 0;
}

/* --- addresses ---------------------------------------------------------------------------- */

/* One that a TCP connection can have: not 0, not everybody's, not a group's. */
static bool is_unicast(const struct address *a)
{
    if (a->sa.sa_family == AF_INET) {
        uint32_t ip = ntohl(a->in.sin_addr.s_addr);

        return ip != INADDR_ANY && ip != INADDR_BROADCAST && !IN_MULTICAST(ip);
    }
    return !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) && !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

static void address_of_v4(const char *ip, const char *port, struct address *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->in.sin_family = AF_INET;
    memcpy(&ret->in.sin_addr, ip, sizeof(ret->in.sin_addr));
    memcpy(&ret->in.sin_port, port, sizeof(ret->in.sin_port));
    ret->len = sizeof(ret->in);
}

static void address_of_v6(const char *ip, const char *port, struct address *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->in6.sin6_family = AF_INET6;
    memcpy(&ret->in6.sin6_addr, ip, sizeof(ret->in6.sin6_addr));
    memcpy(&ret->in6.sin6_port, port, sizeof(ret->in6.sin6_port));
    ret->len = sizeof(ret->in6);
}

/* --- version 1 ---------------------------------------------------------------------------- */

static bool read_text_address(struct str ip, struct str port, int family, struct address *ret)
{
    uint64_t number;

    return parse_u64(port, &number) == 0 && number <= UINT16_MAX &&
           address_from_ip(ip, (uint16_t)number, ret) == 0 && ret->sa.sa_family == family;
}

/* "PROXY TCP4 source destination port port", the line end and blanks before it cut off. */
static bool read_line(struct str line, struct proxy_header *h)
{
    struct str words[6];
    struct str word;
    size_t count = 0;
    int family;

    while (line.len > 0 && strchr(" \t\r\n\v\f", line.ptr[line.len - 1]) != NULL) {
        line.len--;
    }
    while (str_split(&line, ' ', &word)) {
        if (count < 6) {
            words[count] = word;
        }
        count++;
    }
    if (count < 2 || !str_eq(words[0], STR("PROXY"))) {
        return false;
    }
    if (str_eq(words[1], STR("UNKNOWN"))) {
        return true; /* whatever follows */
    }
    family = str_eq(words[1], STR("TCP4"))   ? AF_INET
             : str_eq(words[1], STR("TCP6")) ? AF_INET6
                                             : AF_UNSPEC;
    if (family == AF_UNSPEC || count != 6 ||
        !read_text_address(words[2], words[4], family, &h->source) ||
        !read_text_address(words[3], words[5], family, &h->destination)) {
        return false;
    }
    h->has_addresses = true;
    return is_unicast(&h->source) && is_unicast(&h->destination);
}

static enum proxy_header_verdict parse_v1(struct str bytes, const struct proxy_header_rules *rules,
                                          struct proxy_header *h)
{
    size_t end = 1;

    while (end < bytes.len && !(bytes.ptr[end] == '\n' && bytes.ptr[end - 1] == '\r')) {
        end++;
    }
    if (end < bytes.len) {
        if (end == 1) {
            return PROXY_HEADER_PARTIAL; /* so begins a signature of version 2 */
        }
        h->version = 1;
        end++;
    }
    if (end > V1_MAX_BYTES) {
        h->version = end == bytes.len ? h->version : 1;
        return PROXY_HEADER_ERROR;
    }
    if (h->version != 1) {
        return PROXY_HEADER_PARTIAL;
    }
    if (!rules->allows_v1) {
        return PROXY_HEADER_DENIED;
    }
    h->size = end;
    return read_line(str_sub(bytes, 0, end), h) ? PROXY_HEADER_FOUND : PROXY_HEADER_ERROR;
}

/* --- version 2 ---------------------------------------------------------------------------- */

/* How many bytes of addresses a header of this kind begins with; false: none that is taken. */
static bool address_bytes(uint8_t command, uint8_t family, size_t *ret)
{
    *ret = 0;
    if (command == V2_LOCAL) {
        return true;
    }
    *ret = family == V2_FAMILY_INET ? V2_INET_BYTES : V2_INET6_BYTES;
    return family == V2_FAMILY_INET || family == V2_FAMILY_INET6;
}

static void read_addresses(const char *p, uint8_t family, struct proxy_header *h)
{
    if (family == V2_FAMILY_INET) {
        address_of_v4(p, p + 8, &h->source);
        address_of_v4(p + 4, p + 10, &h->destination);
    } else {
        address_of_v6(p, p + 32, &h->source);
        address_of_v6(p + 16, p + 34, &h->destination);
    }
    h->has_addresses = true;
}

static enum proxy_header_verdict parse_v2(struct str bytes, const struct proxy_header_rules *rules,
                                          struct proxy_header *h)
{
    uint8_t command = bytes.ptr[12] & 0x0f;
    uint8_t family = (uint8_t)bytes.ptr[13] >> 4;
    uint8_t transport = bytes.ptr[13] & 0x0f;
    size_t body_bytes = read_u16(bytes.ptr + 14);
    size_t addresses;

    h->version = 2;
    if (!rules->allows_v2) {
        return PROXY_HEADER_DENIED;
    }
    if ((uint8_t)bytes.ptr[12] >> 4 != V2_VERSION || !address_bytes(command, family, &addresses) ||
        body_bytes < addresses) {
        return PROXY_HEADER_ERROR;
    }
    if (bytes.len < V2_HEADER_BYTES + addresses) {
        return PROXY_HEADER_PARTIAL;
    }
    if (command != V2_LOCAL &&
        (command != V2_PROXY || (transport != V2_STREAM && transport != V2_DGRAM))) {
        return PROXY_HEADER_ERROR;
    }
    h->size = V2_HEADER_BYTES + body_bytes;
    if (bytes.len < h->size) {
        return PROXY_HEADER_PARTIAL;
    }
    if (command == V2_LOCAL) {
        return PROXY_HEADER_FOUND; /* what it says all the same is passed over */
    }
    h->tlvs = str_sub(bytes, V2_HEADER_BYTES + addresses, h->size);
    read_addresses(bytes.ptr + V2_HEADER_BYTES, family, h);
    return tlvs_are_sound(h->tlvs) && is_unicast(&h->source) && is_unicast(&h->destination)
               ? PROXY_HEADER_FOUND
               : PROXY_HEADER_ERROR;
}

/* --- which of them ------------------------------------------------------------------------ */

/* As far as there are bytes to compare. */
static bool may_begin_with(struct str bytes, struct str signature)
{
    return str_starts(signature, str_sub(bytes, 0, signature.len));
}

enum proxy_header_verdict proxy_header_parse(struct str bytes,
                                             const struct proxy_header_rules *rules,
                                             struct proxy_header *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (bytes.len == 0) {
        return PROXY_HEADER_PARTIAL;
    }
    if (rules->allows_none && !(rules->allows_v2 && may_begin_with(bytes, V2_SIGNATURE)) &&
        !(rules->allows_v1 && may_begin_with(bytes, V1_SIGNATURE))) {
        return PROXY_HEADER_NONE;
    }
    if (bytes.len >= V2_HEADER_BYTES) {
        if (str_starts(bytes, V2_SIGNATURE)) {
            return parse_v2(bytes, rules, ret);
        }
        if (!str_starts(bytes, V1_SIGNATURE)) {
            return PROXY_HEADER_ERROR;
        }
    }
    return parse_v1(bytes, rules, ret);
}
