/* Socket addresses and CIDR ranges. Plain values, any thread, no name resolution. */

#include "dataplane/base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/error.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/json.h"

int address_from_ip(struct str ip, uint16_t port, struct address *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    struct address a;

    if (ip.len == 0 || ip.len >= sizeof(text)) {
        return E_INVALID;
    }
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = '\0';
    if (strlen(text) != ip.len) {
        return E_INVALID;
    }
    memset(&a, 0, sizeof(a));
    if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
        a.len = sizeof(a.in);
    } else if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
        a.len = sizeof(a.in6);
    } else {
        return E_INVALID;
    }
    *ret_address = a;
    return 0;
}

int address_from_path(struct str path, struct address *ret_address)
{
    struct address a;

    if (path.len == 0) {
        return E_INVALID;
    }
    if (path.len >= sizeof(a.un.sun_path)) {
        return E_LIMIT;
    }
    memset(&a, 0, sizeof(a));
    a.un.sun_family = AF_UNIX;
    memcpy(a.un.sun_path, path.ptr, path.len);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
    if (path.ptr[0] == '@') {
        a.un.sun_path[0] = '\0'; /* abstract: no terminator counted */
    } else {
        a.len++;
    }
    *ret_address = a;
    return 0;
}

bool address_is_set(const struct address *a)
{
    return a->len != 0;
}

bool address_is_ip(const struct address *a)
{
    return a->len != 0 && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

uint16_t address_port(const struct address *a)
{
    if (a->len == 0) {
        return 0;
    }
    if (a->sa.sa_family == AF_INET) {
        return ntohs(a->in.sin_port);
    }
    return a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

void address_set_port(struct address *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET) {
        a->in.sin_port = htons(port);
    } else if (a->sa.sa_family == AF_INET6) {
        a->in6.sin6_port = htons(port);
    }
}

/* The bytes that make an IP; NULL for anything else. */
static const uint8_t *address_ip_bytes(const struct address *a, size_t *ret_len)
{
    if (a->len != 0 && a->sa.sa_family == AF_INET) {
        *ret_len = 4;
        return (const uint8_t *)&a->in.sin_addr;
    }
    if (a->len != 0 && a->sa.sa_family == AF_INET6) {
        *ret_len = 16;
        return (const uint8_t *)&a->in6.sin6_addr;
    }
    *ret_len = 0;
    return NULL;
}

bool address_eq_ip(const struct address *a, const struct address *b)
{
    size_t a_len;
    size_t b_len;
    const uint8_t *pa = address_ip_bytes(a, &a_len);
    const uint8_t *pb = address_ip_bytes(b, &b_len);

    return pa != NULL && pb != NULL && a_len == b_len && memcmp(pa, pb, a_len) == 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
    if (a->len == 0 || b->len == 0) {
        return a->len == b->len;
    }
    if (a->sa.sa_family != b->sa.sa_family) {
        return false;
    }
    if (a->sa.sa_family == AF_UNIX) {
        return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
    }
    return address_eq_ip(a, b) && address_port(a) == address_port(b);
}

uint64_t address_hash(const struct address *a)
{
    size_t len;
    const uint8_t *ip = address_ip_bytes(a, &len);

    if (ip == NULL) {
        return hash_map(str_n((const char *)&a->un, a->len));
    }
    return hash_map(str_n((const char *)ip, len)) ^
           (address_port(a) * UINT64_C(0x9e3779b97f4a7c15));
}

static size_t address_format_path(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    size_t len = a->len - offsetof(struct sockaddr_un, sun_path);

    if (len > 0 && a->un.sun_path[0] == '\0') {
        out[0] = '@';
        memcpy(out + 1, a->un.sun_path + 1, len - 1);
    } else {
        len = strnlen(a->un.sun_path, len);
        memcpy(out, a->un.sun_path, len);
    }
    out[len] = '\0';
    return len;
}

size_t address_format_ip(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    size_t len;
    const uint8_t *ip = address_ip_bytes(a, &len);

    if (ip == NULL) {
        if (a->len == 0) {
            out[0] = '\0';
            return 0;
        }
        return address_format_path(a, out);
    }
    if (inet_ntop(a->sa.sa_family, ip, out, ADDRESS_TEXT_MAX) == NULL) {
        out[0] = '\0';
    }
    return strlen(out);
}

void address_json(struct json_writer *w, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format_ip(a, text);

    json_object_begin(w);
    json_key(w, address_is_ip(a) ? STR("socket_address") : STR("pipe"));
    json_object_begin(w);
    json_member_str(w, address_is_ip(a) ? "address" : "path", str_n(text, len));
    if (address_is_ip(a)) {
        json_member_u64(w, "port_value", address_port(a));
    }
    json_object_end(w);
    json_object_end(w);
}

size_t address_format(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    char ip[ADDRESS_TEXT_MAX];
    int n;

    if (!address_is_ip(a)) {
        return address_format_ip(a, out);
    }
    address_format_ip(a, ip);
    n = snprintf(out, ADDRESS_TEXT_MAX, a->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
                 (unsigned)address_port(a));
    return n > 0 ? (size_t)n : 0;
}

bool address_is_loopback(const struct address *a)
{
    size_t len;
    const uint8_t *ip = address_ip_bytes(a, &len);

    if (ip == NULL) {
        return false;
    }
    if (len == 4) {
        return a->in.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    }
    return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool address_is_private(const struct address *a)
{
    size_t len;
    const uint8_t *ip = address_ip_bytes(a, &len);

    if (ip == NULL) {
        return a->len != 0; /* a unix peer is on this host */
    }
    if (len == 4) {
        return ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
               (ip[0] == 192 && ip[1] == 168);
    }
    return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr) || (ip[0] & 0xfe) == 0xfc;
}

uint32_t address_mask(struct address *a, uint32_t prefix_len)
{
    uint8_t *ip =
        a->sa.sa_family == AF_INET6 ? a->in6.sin6_addr.s6_addr : (uint8_t *)&a->in.sin_addr.s_addr;
    size_t len = a->sa.sa_family == AF_INET6 ? 16 : 4;

    CHECK(address_is_ip(a));
    if (prefix_len >= len * 8) {
        return (uint32_t)len * 8;
    }
    for (size_t i = prefix_len / 8; i < len; i++) {
        uint32_t kept = i == prefix_len / 8 ? prefix_len % 8 : 0;

        ip[i] &= (uint8_t)(0xff00 >> kept);
    }
    return prefix_len;
}

int cidr_parse(struct str ip, uint32_t prefix_len, struct cidr *ret_cidr)
{
    struct address a;
    struct cidr c;
    size_t len;
    const uint8_t *bytes;

    if (address_from_ip(ip, 0, &a) != 0) {
        return E_INVALID;
    }
    bytes = address_ip_bytes(&a, &len);
    if (prefix_len > len * 8) {
        return E_INVALID;
    }
    memset(&c, 0, sizeof(c));
    c.is_v6 = len == 16;
    c.prefix_len = (uint8_t)prefix_len;
    memcpy(c.bytes, bytes, prefix_len / 8);
    if (prefix_len % 8 != 0) {
        uint8_t mask = (uint8_t)(0xff << (8 - prefix_len % 8));

        c.bytes[prefix_len / 8] = bytes[prefix_len / 8] & mask;
    }
    *ret_cidr = c;
    return 0;
}

bool cidr_contains(const struct cidr *c, const struct address *a)
{
    size_t len;
    const uint8_t *ip = address_ip_bytes(a, &len);
    size_t whole = c->prefix_len / 8;
    uint8_t mask = (uint8_t)(0xff << (8 - c->prefix_len % 8));

    if (ip == NULL || (len == 16) != c->is_v6 || memcmp(ip, c->bytes, whole) != 0) {
        return false;
    }
    return c->prefix_len % 8 == 0 || (ip[whole] & mask) == c->bytes[whole];
}
