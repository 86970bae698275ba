/* Transport options compared, hashed and copied. No state. */

#include "dataplane/net/transport_options.h"

#include <string.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"

static uint64_t mix_str(uint64_t h, struct str s)
{
    h = hash_mix(h, &s.len, sizeof(s.len));
    return hash_mix(h, s.ptr, s.len);
}

static uint64_t mix_list(uint64_t h, const struct str *list, size_t count)
{
    h = hash_mix(h, &count, sizeof(count));
    for (size_t i = 0; i < count; i++) {
        h = mix_str(h, list[i]);
    }
    return h;
}

static uint64_t mix_address(uint64_t h, const struct address *a)
{
    uint64_t value = a != NULL ? address_hash(a) : 0;

    return hash_mix(h, &value, sizeof(value));
}

uint64_t transport_options_hash(const struct transport_options *o)
{
    uint64_t h = 1;

    if (o->server_name.len == 0 && o->san_count == 0 && o->alpn_count == 0 &&
        o->proxy_source == NULL) {
        return 0;
    }
    h = mix_str(h, o->server_name);
    h = mix_list(h, o->sans, o->san_count);
    h = mix_list(h, o->alpn, o->alpn_count);
    h = mix_address(h, o->proxy_source);
    h = mix_address(h, o->proxy_destination);
    h = mix_str(h, o->proxy_tlvs);
    return h != 0 ? h : 1;
}

static bool list_eq(const struct str *a, size_t a_count, const struct str *b, size_t b_count)
{
    if (a_count != b_count) {
        return false;
    }
    for (size_t i = 0; i < a_count; i++) {
        if (!str_eq(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

static bool same_address(const struct address *a, const struct address *b)
{
    return a == NULL || b == NULL ? a == b : address_eq(a, b);
}

bool transport_options_eq(const struct transport_options *a, const struct transport_options *b)
{
    return a->hash == b->hash && str_eq(a->server_name, b->server_name) &&
           list_eq(a->sans, a->san_count, b->sans, b->san_count) &&
           list_eq(a->alpn, a->alpn_count, b->alpn, b->alpn_count) &&
           same_address(a->proxy_source, b->proxy_source) &&
           same_address(a->proxy_destination, b->proxy_destination) &&
           str_eq(a->proxy_tlvs, b->proxy_tlvs);
}

/* Where the parts of a copy go: lists, then addresses and texts, which need less alignment. */
struct copier {
    struct str *strings;
    struct address *addresses;
    char *text;
};

static size_t list_bytes(const struct str *list, size_t count)
{
    size_t bytes = count * sizeof(*list);

    for (size_t i = 0; i < count; i++) {
        bytes += list[i].len;
    }
    return bytes;
}

static struct str copy_str(struct copier *c, struct str s)
{
    char *at = c->text;

    if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    c->text += s.len;
    return str_n(at, s.len);
}

static const struct str *copy_list(struct copier *c, const struct str *list, size_t count)
{
    struct str *to = c->strings;

    for (size_t i = 0; i < count; i++) {
        to[i] = copy_str(c, list[i]);
    }
    c->strings += count;
    return to;
}

static const struct address *copy_address(struct copier *c, const struct address *a)
{
    if (a == NULL) {
        return NULL;
    }
    *c->addresses = *a;
    return c->addresses++;
}

struct transport_options *transport_options_copy(const struct transport_options *o)
{
    size_t address_count = (size_t)(o->proxy_source != NULL) + (o->proxy_destination != NULL);
    struct transport_options *to =
        xcalloc(1, sizeof(*to) + address_count * sizeof(struct address) +
                       list_bytes(o->sans, o->san_count) + list_bytes(o->alpn, o->alpn_count) +
                       o->server_name.len + o->proxy_tlvs.len);
    struct copier c = {.strings = (struct str *)(to + 1)};

    c.addresses = (struct address *)(c.strings + o->san_count + o->alpn_count);
    c.text = (char *)(c.addresses + address_count);
    to->hash = o->hash;
    to->server_name = copy_str(&c, o->server_name);
    to->sans = copy_list(&c, o->sans, o->san_count);
    to->san_count = o->san_count;
    to->alpn = copy_list(&c, o->alpn, o->alpn_count);
    to->alpn_count = o->alpn_count;
    to->proxy_source = copy_address(&c, o->proxy_source);
    to->proxy_destination = copy_address(&c, o->proxy_destination);
    to->proxy_tlvs = copy_str(&c, o->proxy_tlvs);
    return to;
}
