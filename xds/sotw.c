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

static bool sotw_has_names(const struct xds_type_state *t)
{
    map_for_each (e, &t->names) {
        if (((const struct xds_name *)e->value)->is_wanted) {
            return true;
        }
    }
    return false;
}

static bool sotw_has_request(const struct xds_type_state *t)
{
    if (!t->has_asked) {
        /* A list of no names would ask for everything. */
        return t->is_wildcard || sotw_has_names(t);
    }
    return t->owes_answer || t->names_changed;
}

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Sorted, so that equal sets make equal requests. Forgets the names that are wanted no more. */
static void sotw_put_names(struct xds_type_state *t, struct strbuf *out)
{
    struct str *names = xcalloc(t->names.count + 1, sizeof(*names));
    struct xds_name **gone = xcalloc(t->names.count + 1, sizeof(struct xds_name *));
    size_t n = 0;
    size_t gone_count = 0;

    map_for_each (e, &t->names) {
        struct xds_name *name = e->value;

        if (name->is_wanted) {
            name->is_told = true;
            names[n++] = name->name;
        } else {
            gone[gone_count++] = name;
        }
    }
    qsort(names, n, sizeof(*names), name_cmp);
    for (size_t i = 0; i < n; i++) {
        wire_put_bytes(out, REQUEST_NAMES, names[i]);
    }
    for (size_t i = 0; i < gone_count; i++) {
        map_remove(&t->names, gone[i]->name);
        free(gone[i]);
    }
    free(names);
    free(gone);
}

static void sotw_build_request(struct xds_type_state *t, struct str node, struct strbuf *out)
{
    if (t->version != NULL) {
        wire_put_bytes(out, REQUEST_VERSION, str_c(t->version));
    }
    if (node.len > 0) {
        wire_put_bytes(out, REQUEST_NODE, node);
    }
    sotw_put_names(t, out);
    wire_put_bytes(out, REQUEST_TYPE_URL, t->type_url);
    if (t->nonce != NULL) {
        wire_put_bytes(out, REQUEST_NONCE, str_c(t->nonce));
    }
    if (t->error_detail != NULL && t->owes_answer) {
        xds_put_error_detail(out, REQUEST_ERROR_DETAIL, t->error_detail);
    }
    t->has_asked = true;
    t->owes_answer = false;
    t->names_changed = false;
}

static void sotw_applied(struct xds_type_state *t, const struct xds_response *rs,
                         const struct xds_verdict *v)
{
    xds_type_state_answer(t, rs, v);
    if (v->accepted) {
        free(t->version);
        t->version = xstrndup(rs->update.version_info.ptr, rs->update.version_info.len);
    }
}

static void sotw_stream_started(struct xds_type_state *t)
{
    t->has_asked = false;
    t->owes_answer = false;
    free(t->nonce);
    t->nonce = NULL;
    free(t->error_detail);
    t->error_detail = NULL;
    map_for_each (e, &t->names) {
        ((struct xds_name *)e->value)->is_told = false;
    }
}

const struct xds_protocol xds_protocol_sotw = {
    .is_delta = false,
    .has_request = sotw_has_request,
    .build_request = sotw_build_request,
    .applied = sotw_applied,
    .stream_started = sotw_stream_started,
};
