/* Reads discovery responses in place. Main thread; no state. */

#include "xds/response.h"

#include "dataplane/base/error.h"
#include "xds/wire.h"

#define RESOURCE_TYPE_URL "type.googleapis.com/envoy.service.discovery.v3.Resource"

/* Field numbers of discovery.proto; where the two responses differ, delta second. */
enum {
    RESPONSE_VERSION = 1,
    RESPONSE_RESOURCES = 2,
    RESPONSE_TYPE_URL = 4,
    RESPONSE_NONCE = 5,
    RESPONSE_CONTROL_PLANE = 6,
    DELTA_REMOVED = 6,
    DELTA_CONTROL_PLANE = 7,
    DELTA_REMOVED_NAMES = 8,
    RESOURCE_VERSION = 1,
    RESOURCE_RESOURCE = 2,
    RESOURCE_NAME = 3,
    RESOURCE_RESOURCE_NAME = 8,
    ANY_TYPE_URL = 1,
    ANY_VALUE = 2,
    FIRST_STRING = 1, /* ControlPlane.identifier, ResourceName.name */
};

/* The last occurrence of string field 1; empty when absent. */
static struct str first_string(struct str message)
{
    struct wire_reader r = wire_reader_of(message);
    struct wire_field f;
    struct str found = STR_NONE;

    while (wire_next(&r, &f) == 1) {
        if (f.number == FIRST_STRING && f.is_bytes) {
            found = f.bytes;
        }
    }
    return found;
}

static int any_decode(struct str any, struct str *ret_type_url, struct str *ret_value)
{
    struct wire_reader r = wire_reader_of(any);
    struct wire_field f;
    int more;

    *ret_type_url = STR_NONE;
    *ret_value = STR_NONE;
    while ((more = wire_next(&r, &f)) == 1) {
        if (f.number == ANY_TYPE_URL && f.is_bytes) {
            *ret_type_url = f.bytes;
        } else if (f.number == ANY_VALUE && f.is_bytes) {
            *ret_value = f.bytes;
        }
    }
    return more;
}

static void resource_set_any(struct xds_resource *r, struct str any)
{
    struct str value;

    if (any_decode(any, &r->type_url, &value) != 0) {
        r->undecodable = true;
        return;
    }
    r->bytes = (const uint8_t *)value.ptr;
    r->len = value.len;
}

/* discovery.v3.Resource. False when it wraps nothing. */
static bool resource_unwrap(struct xds_resource *r, struct str wrapper)
{
    struct wire_reader reader = wire_reader_of(wrapper);
    struct wire_field f;
    struct str any = STR_NONE;
    bool has_any = false;
    int more;

    while ((more = wire_next(&reader, &f)) == 1) {
        if (!f.is_bytes) {
            continue;
        }
        if (f.number == RESOURCE_VERSION) {
            r->version = f.bytes;
        } else if (f.number == RESOURCE_NAME) {
            r->name = f.bytes;
        } else if (f.number == RESOURCE_RESOURCE_NAME) {
            r->name = first_string(f.bytes);
        } else if (f.number == RESOURCE_RESOURCE) {
            any = f.bytes;
            has_any = true;
        }
    }
    if (!str_is_utf8(r->name)) {
        r->name = STR_NONE;
        r->undecodable = true;
    }
    r->undecodable |= more != 0 || !str_is_utf8(r->version);
    if (has_any && !r->undecodable) {
        resource_set_any(r, any);
    }
    return has_any || r->undecodable;
}

/* False for what is to be left out. */
static bool resource_decode(struct xds_resource *r, struct str bytes, bool is_delta)
{
    *r = (struct xds_resource){0};
    if (is_delta) {
        return resource_unwrap(r, bytes);
    }
    resource_set_any(r, bytes);
    if (!r->undecodable && str_eq(r->type_url, STR(RESOURCE_TYPE_URL))) {
        struct str wrapper = str_n((const char *)r->bytes, r->len);

        *r = (struct xds_resource){0};
        return resource_unwrap(r, wrapper);
    }
    return true;
}

/* Counts first, so that the arrays are made once. */
static int response_count(struct str bytes, bool is_delta, size_t *ret_resources,
                          size_t *ret_removed)
{
    struct wire_reader r = wire_reader_of(bytes);
    struct wire_field f;
    int more;

    *ret_resources = 0;
    *ret_removed = 0;
    while ((more = wire_next(&r, &f)) == 1) {
        if (f.number == RESPONSE_RESOURCES && f.is_bytes) {
            ++*ret_resources;
        } else if (is_delta && f.is_bytes &&
                   (f.number == DELTA_REMOVED || f.number == DELTA_REMOVED_NAMES)) {
            ++*ret_removed;
        }
    }
    return more;
}

/* We send the nonce and the version back: no server could parse what is not UTF-8. */
static bool response_is_text(const struct xds_response *x)
{
    const struct xds_update *u = &x->update;

    for (size_t i = 0; i < u->removed_count; i++) {
        if (!str_is_utf8(u->removed[i])) {
            return false;
        }
    }
    return str_is_utf8(u->version_info) && str_is_utf8(u->type_url) && str_is_utf8(x->nonce) &&
           str_is_utf8(x->control_plane);
}

int xds_response_decode(struct str bytes, bool is_delta, struct arena *a,
                        struct xds_response *ret_response)
{
    struct xds_response x = {.update = {.is_delta = is_delta}};
    struct wire_reader r = wire_reader_of(bytes);
    struct wire_field f;
    struct xds_resource *resources;
    struct str *removed;
    size_t resource_count;
    size_t removed_count;

    if (response_count(bytes, is_delta, &resource_count, &removed_count) != 0) {
        return E_INVALID;
    }
    resources = arena_alloc(a, (resource_count + 1) * sizeof(*resources));
    removed = arena_alloc(a, (removed_count + 1) * sizeof(*removed));
    while (wire_next(&r, &f) == 1) {
        if (!f.is_bytes) {
            continue;
        }
        if (f.number == RESPONSE_VERSION) {
            x.update.version_info = f.bytes;
        } else if (f.number == RESPONSE_RESOURCES) {
            x.update.resource_count +=
                resource_decode(&resources[x.update.resource_count], f.bytes, is_delta);
        } else if (f.number == RESPONSE_TYPE_URL) {
            x.update.type_url = f.bytes;
        } else if (f.number == RESPONSE_NONCE) {
            x.nonce = f.bytes;
        } else if (is_delta && f.number == DELTA_REMOVED) {
            removed[x.update.removed_count++] = f.bytes;
        } else if (is_delta && f.number == DELTA_REMOVED_NAMES) {
            removed[x.update.removed_count++] = first_string(f.bytes);
        } else if (f.number == (is_delta ? DELTA_CONTROL_PLANE : RESPONSE_CONTROL_PLANE)) {
            x.control_plane = first_string(f.bytes);
        }
    }
    x.update.resources = resources;
    x.update.removed = removed;
    if (!response_is_text(&x)) {
        return E_INVALID;
    }
    *ret_response = x;
    return 0;
}

struct str xds_message_name(const uint8_t *bytes, size_t len)
{
    return first_string(str_n((const char *)bytes, len));
}

struct str xds_resource_name(const struct xds_resource *r)
{
    return r->name.len > 0 ? r->name : xds_message_name(r->bytes, r->len);
}
