#ifndef DATAPLANE_BASE_ADDRESS_H
#define DATAPLANE_BASE_ADDRESS_H

/*
 * Socket addresses and CIDR ranges as plain values. In base/ (not net/) because the configuration
 * model holds them.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

struct json_writer;

struct address {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len; /* 0: unset */
};

/* E_INVALID when `ip` is no IP literal. */
int address_from_ip(struct str ip, uint16_t port, struct address *ret_address) MUST_CHECK;
/* A leading '@' is the abstract namespace. E_LIMIT when longer than sun_path. */
int address_from_path(struct str path, struct address *ret_address) MUST_CHECK;
bool address_is_ip(const struct address *a);
bool address_is_set(const struct address *a);
uint16_t address_port(const struct address *a); /* 0 for unix */
void address_set_port(struct address *a, uint16_t port);
bool address_eq(const struct address *a, const struct address *b);
/* Same IP, whatever the port. */
bool address_eq_ip(const struct address *a, const struct address *b);
uint64_t address_hash(const struct address *a);
/* "10.0.0.1:80", "[::1]:80", "/path" as Envoy prints; NUL-terminated. */
#define ADDRESS_TEXT_MAX 128
size_t address_format(const struct address *a, char out[ADDRESS_TEXT_MAX]);
/* "10.0.0.1" or "::1"; the path for unix. */
size_t address_format_ip(const struct address *a, char out[ADDRESS_TEXT_MAX]);
/* As an envoy.config.core.v3.Address. */
void address_json(struct json_writer *w, const struct address *a);
/* 127.0.0.1 or ::1: as Envoy, of 127.0.0.0/8 only the one address. */
bool address_is_loopback(const struct address *a);
/* RFC 1918, loopback and ULA: what Envoy calls internal by default. */
bool address_is_private(const struct address *a);

/* Zeroes the bits of an IP address behind the first `prefix_len`; returns how many are kept: all,
 * when there are fewer. */
uint32_t address_mask(struct address *a, uint32_t prefix_len);

struct cidr {
    uint8_t bytes[16];
    uint8_t prefix_len;
    bool is_v6;
};

/* Host bits are cleared, as Envoy does. E_INVALID. */
int cidr_parse(struct str ip, uint32_t prefix_len, struct cidr *ret_cidr) MUST_CHECK;
bool cidr_contains(const struct cidr *c, const struct address *a);

#endif
