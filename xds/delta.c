/*
 * Incremental discovery: requests say what is newly wanted and what no more; on a new stream the
 * first request tells which version of each resource is held, so that nothing is sent twice.
 * Main thread, no I/O.
 */

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "xds/type_state.h"
#include "xds/wire.h"

/* discovery.v3.DeltaDiscoveryRequest */
enum {
    REQUEST_NODE = 1,
    REQUEST_TYPE_URL = 2,
    REQUEST_SUBSCRIBE = 3,
    REQUEST_UNSUBSCRIBE = 4,
    REQUEST_INITIAL_VERSIONS = 5,
    REQUEST_NONCE = 6,
    REQUEST_ERROR_DETAIL = 7,
    MAP_KEY = 1,
    MAP_VALUE = 2,
};

/* A resource held, with its version. */
struct xds_version {
    struct str name; /* both behind the struct */
    struct str version;
};

static bool delta_is_wanted(const struct xds_type_state *t, struct str name)
{
    const struct xds_name *n = map_get(&t->names, name);

    return t->is_wildcard || (n != NULL && n->users > 0);
}

static void delta_hold(struct xds_type_state *t, struct str name, struct str version)
{
    struct xds_version *v = xmalloc(sizeof(*v) + name.len + version.len + 1);
    char *text = (char *)(v + 1);

    memcpy(text, name.ptr, name.len);
    if (version.len > 0) {
        memcpy(text + name.len, version.ptr, version.len);
    }
    v->name = str_n(text, name.len);
    v->version = str_n(text + name.len, version.len);
    free(map_remove(&t->versions, name)); /* first: the map borrows its key from the value */
    map_put(&t->versions, v->name, v);
}

static void delta_put_initial_versions(const struct xds_type_state *t, struct strbuf *out)
{
    map_for_each (e, &t->versions) {
        const struct xds_version *v = e->value;
        size_t entry = wire_begin(out);

        wire_put_bytes(out, MAP_KEY, v->name);
        wire_put_bytes(out, MAP_VALUE, v->version);
        wire_end(out, entry, REQUEST_INITIAL_VERSIONS);
    }
}

/* Says the differences to what the server was told. A name that was given up and is wanted again
 * is subscribed again, as Envoy: the server must send its resource once more. */
static void delta_put_names(struct xds_type_state *t, struct strbuf *out)
{
    map_for_each (e, &t->names) {
        struct xds_name *n = e->value;

        if (n->users == 0) {
            wire_put_bytes(out, REQUEST_UNSUBSCRIBE, n->name);
        } else if (!n->is_told || n->is_reborn) {
            wire_put_bytes(out, REQUEST_SUBSCRIBE, n->name);
            n->is_told = true;
            n->is_reborn = false;
        }
    }
    xds_type_state_sweep(t);
    t->unsaid_count = 0;
}

static void delta_build_request(struct xds_type_state *t, struct str node, struct strbuf *out)
{
    if (node.len > 0) {
        wire_put_bytes(out, REQUEST_NODE, node);
    }
    wire_put_bytes(out, REQUEST_TYPE_URL, t->type_url);
    if (t->unsaid_count > 0) {
        delta_put_names(t, out);
    }
    if (!t->has_asked) {
        delta_put_initial_versions(t, out);
    }
    if (t->owes_answer) {
        if (t->nonce.len > 0) {
            wire_put_bytes(out, REQUEST_NONCE, strbuf_str(&t->nonce));
        }
        if (t->is_refusal) {
            xds_put_error_detail(out, REQUEST_ERROR_DETAIL, strbuf_str(&t->error_detail));
        }
    }
    t->has_asked = true;
    t->owes_answer = false;
}

static void delta_applied(struct xds_type_state *t, const struct xds_response *rs,
                          const struct xds_verdict *v)
{
    const struct xds_update *u = &rs->update;

    xds_type_state_answer(t, rs, v);
    for (size_t i = 0; i < u->removed_count; i++) {
        free(map_remove(&t->versions, u->removed[i]));
    }
    for (size_t i = 0; i < u->resource_count; i++) {
        const struct xds_resource *r = &u->resources[i];

        if (r->name.len > 0 && delta_is_wanted(t, r->name)) {
            /* Of a refused response some may have been applied, and we cannot say which: on a new
             * stream we claim a version that no server has, and are sent it again or its end. */
            delta_hold(t, r->name, v->accepted ? r->version : STR_NONE);
        }
    }
}

const struct xds_protocol xds_protocol_delta = {
    .is_delta = true,
    .build_request = delta_build_request,
    .applied = delta_applied,
};
