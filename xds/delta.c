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
};

/* A resource held, with its version. */
struct xds_version {
    struct str name; /* both behind the struct */
    struct str version;
};

static void delta_hold(struct xds_type_state *t, struct str name, struct str version)
{
    struct xds_version *v = xmalloc(sizeof(*v) + name.len + version.len + 1);
    char *text = (char *)(v + 1);
    struct xds_version *old;

    memcpy(text, name.ptr, name.len);
    memcpy(text + name.len, version.ptr, version.len);
    v->name = str_n(text, name.len);
    v->version = str_n(text + name.len, version.len);
    old = map_remove(&t->versions, name);
    map_put(&t->versions, v->name, v);
    free(old);
}

static void delta_let_go(struct xds_type_state *t, struct str name)
{
    free(map_remove(&t->versions, name));
}

static bool delta_has_request(const struct xds_type_state *t)
{
    if (!t->has_asked && !t->is_wildcard) {
        return t->names_changed && t->names.count > 0;
    }
    return !t->has_asked || t->owes_answer || t->names_changed;
}

static void delta_put_initial_versions(const struct xds_type_state *t, struct strbuf *out)
{
    map_for_each (e, &t->versions) {
        const struct xds_version *v = e->value;
        size_t begin = wire_begin(out);

        wire_put_bytes(out, 1, v->name);
        wire_put_bytes(out, 2, v->version);
        wire_end(out, begin, REQUEST_INITIAL_VERSIONS);
    }
}

/* Says the differences to what the server was told, and forgets what it need not know. */
static void delta_put_names(struct xds_type_state *t, struct strbuf *out)
{
    struct xds_name **gone = xcalloc(t->names.count + 1, sizeof(struct xds_name *));
    size_t gone_count = 0;

    map_for_each (e, &t->names) {
        struct xds_name *n = e->value;

        if (n->is_wanted && !n->is_told) {
            wire_put_bytes(out, REQUEST_SUBSCRIBE, n->name);
            n->is_told = true;
        } else if (!n->is_wanted) {
            if (n->is_told) {
                wire_put_bytes(out, REQUEST_UNSUBSCRIBE, n->name);
            }
            gone[gone_count++] = n;
        }
    }
    for (size_t i = 0; i < gone_count; i++) {
        delta_let_go(t, gone[i]->name);
        map_remove(&t->names, gone[i]->name);
        free(gone[i]);
    }
    free(gone);
}

static void delta_build_request(struct xds_type_state *t, struct str node, struct strbuf *out)
{
    if (node.len > 0) {
        wire_put_bytes(out, REQUEST_NODE, node);
    }
    wire_put_bytes(out, REQUEST_TYPE_URL, t->type_url);
    delta_put_names(t, out);
    if (!t->has_asked) {
        delta_put_initial_versions(t, out);
    }
    if (t->owes_answer) {
        if (t->nonce != NULL) {
            wire_put_bytes(out, REQUEST_NONCE, str_c(t->nonce));
        }
        if (t->error_detail != NULL) {
            xds_put_error_detail(out, REQUEST_ERROR_DETAIL, t->error_detail);
        }
    }
    t->has_asked = true;
    t->owes_answer = false;
    t->names_changed = false;
}

static void delta_applied(struct xds_type_state *t, const struct xds_response *rs,
                          const struct xds_verdict *v)
{
    xds_type_state_answer(t, rs, v);
    /* After a refusal nothing of the response counts as held: a new stream asks for all of it. */
    for (size_t i = 0; v->accepted && i < rs->update.resource_count; i++) {
        const struct xds_resource *r = &rs->update.resources[i];

        if (r->name.len > 0) {
            delta_hold(t, r->name, r->version);
        }
    }
    for (size_t i = 0; i < rs->update.removed_count; i++) {
        delta_let_go(t, rs->update.removed[i]);
    }
}

static void delta_stream_started(struct xds_type_state *t)
{
    xds_protocol_sotw.stream_started(t);
    t->names_changed = true;
}

const struct xds_protocol xds_protocol_delta = {
    .is_delta = true,
    .has_request = delta_has_request,
    .build_request = delta_build_request,
    .applied = delta_applied,
    .stream_started = delta_stream_started,
};
