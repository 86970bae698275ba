/*
 * State of the world: every request names everything that is wanted; the version is that of the
 * last response accepted whole, the nonce that of the last response. Main thread, no I/O.
 */

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "xds/type_state.h"
#include "xds/wire.h"

/* discovery.v3.DiscoveryRequest */
enum {
    REQUEST_VERSION = 1,
    REQUEST_NODE = 2,
    REQUEST_NAMES = 3,
    REQUEST_TYPE_URL = 4,
    REQUEST_NONCE = 5,
    REQUEST_ERROR_DETAIL = 6,
};

/*
 * The version says "I have what you sent with it". On a new stream that would be wrong about names
 * that came since: a server that compares versions only would keep quiet about them.
 */
static bool sotw_shows_version(const struct xds_type_state *t)
{
    if (!t->is_fresh) {
        return true;
    }
    map_for_each (e, &t->names) {
        const struct xds_name *n = e->value;

        if (n->users > 0 && !n->is_received) {
            return false;
        }
    }
    return true;
}

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/*
 * Sorted, so that equal sets make equal requests. A name that was given up and is wanted again is
 * left out once, and another request follows: the server keeps quiet about a name that it believes
 * we have.
 */
static void sotw_put_names(struct xds_type_state *t, struct strbuf *out)
{
    struct str *names = xcalloc(t->wanted_count + 1, sizeof(*names));
    size_t n = 0;

    map_for_each (e, &t->names) {
        struct xds_name *name = e->value;

        name->is_told = name->users > 0 && !name->is_reborn;
        name->is_reborn = false;
        if (name->is_told) {
            names[n++] = name->name;
        }
    }
    t->unsaid_count = t->wanted_count - n;
    qsort(names, n, sizeof(*names), name_cmp);
    for (size_t i = 0; i < n; i++) {
        wire_put_bytes(out, REQUEST_NAMES, names[i]);
    }
    free(names);
}

static void sotw_build_request(struct xds_type_state *t, struct str node, struct strbuf *out)
{
    if (t->version.len > 0 && sotw_shows_version(t)) {
        wire_put_bytes(out, REQUEST_VERSION, strbuf_str(&t->version));
    }
    if (node.len > 0) {
        wire_put_bytes(out, REQUEST_NODE, node);
    }
    sotw_put_names(t, out);
    xds_type_state_sweep(t);
    wire_put_bytes(out, REQUEST_TYPE_URL, t->type_url);
    if (t->nonce.len > 0) {
        wire_put_bytes(out, REQUEST_NONCE, strbuf_str(&t->nonce));
    }
    if (t->owes_answer && t->is_refusal) {
        xds_put_error_detail(out, REQUEST_ERROR_DETAIL, strbuf_str(&t->error_detail));
    }
    t->has_asked = true;
    t->owes_answer = false;
}

static void sotw_applied(struct xds_type_state *t, const struct xds_response *rs,
                         const struct xds_verdict *v)
{
    const struct xds_update *u = &rs->update;

    xds_type_state_answer(t, rs, v);
    if (!v->accepted) {
        return;
    }
    strbuf_reset(&t->version);
    strbuf_add_str(&t->version, u->version_info);
    for (size_t i = 0; i < u->resource_count && t->wanted_count > 0; i++) {
        struct xds_name *n = map_get(&t->names, xds_resource_name(&u->resources[i]));

        if (n != NULL) {
            n->is_received = n->users > 0;
        }
    }
}

const struct xds_protocol xds_protocol_sotw = {
    .is_delta = false,
    .build_request = sotw_build_request,
    .applied = sotw_applied,
};
