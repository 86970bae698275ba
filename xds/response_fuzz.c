/* Any bytes as a discovery response: what is decoded lies inside the message. */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "xds/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct str part, struct str whole)
{
    CHECK(part.len == 0 ||
          (part.ptr >= whole.ptr && part.len <= (size_t)(whole.ptr + whole.len - part.ptr)));
}

static void check_response(const struct xds_response *rs, struct str whole)
{
    const struct xds_update *u = &rs->update;

    check_inside(u->type_url, whole);
    check_inside(u->version_info, whole);
    check_inside(rs->nonce, whole);
    check_inside(rs->control_plane, whole);
    CHECK(str_is_utf8(rs->nonce) && str_is_utf8(u->version_info));
    for (size_t i = 0; i < u->resource_count; i++) {
        const struct xds_resource *r = &u->resources[i];

        check_inside(r->name, whole);
        check_inside(r->version, whole);
        check_inside(r->type_url, whole);
        check_inside(str_n((const char *)r->bytes, r->len), whole);
        check_inside(xds_resource_name(r), whole);
        CHECK(str_is_utf8(r->name));
    }
    for (size_t i = 0; i < u->removed_count; i++) {
        check_inside(u->removed[i], whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str whole = str_n((const char *)data, size);

    for (int is_delta = 0; is_delta < 2; is_delta++) {
        struct arena a;
        struct xds_response rs;

        arena_init(&a, NULL);
        if (xds_response_decode(whole, is_delta, &a, &rs) == 0) {
            check_response(&rs, whole);
        }
        arena_done(&a);
    }
    return 0;
}
