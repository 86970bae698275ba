/* Names and answers of one type, shared by both protocols. Main thread. */

#include "xds/type_state.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "xds/wire.h"

#define STATUS_INVALID_ARGUMENT 3

void xds_type_state_init(struct xds_type_state *t, const struct xds_protocol *p,
                         struct str type_url, bool is_wildcard)
{
    *t = (struct xds_type_state){.protocol = p, .type_url = type_url, .is_wildcard = is_wildcard};
    map_init(&t->names);
    map_init(&t->versions);
    strbuf_init(&t->version);
    strbuf_init(&t->nonce);
    strbuf_init(&t->error_detail);
}

static void map_free_values(struct map *m)
{
    map_for_each (e, m) {
        free(e->value);
    }
    map_done(m);
}

void xds_type_state_done(struct xds_type_state *t)
{
    map_for_each (e, &t->names) {
        list_remove(&((struct xds_name *)e->value)->waiting);
    }
    map_free_values(&t->names);
    map_free_values(&t->versions);
    strbuf_done(&t->version);
    strbuf_done(&t->nonce);
    strbuf_done(&t->error_detail);
}

static struct xds_name *name_new(struct xds_type_state *t, struct str name)
{
    struct xds_name *n = xcalloc(1, sizeof(*n) + name.len + 1);

    memcpy(n + 1, name.ptr, name.len);
    n->name = str_n((const char *)(n + 1), name.len);
    list_init(&n->waiting);
    map_put(&t->names, n->name, n);
    return n;
}

bool xds_type_state_add(struct xds_type_state *t, struct str name, struct xds_name **ret_name)
{
    struct xds_name *n = map_get(&t->names, name);
    bool is_new;

    CHECK(!t->is_wildcard);
    if (n == NULL) {
        n = name_new(t, name);
    }
    is_new = n->users++ == 0;
    if (is_new) {
        n->is_reborn = n->is_told;
        t->wanted_count++;
        t->unsaid_count += !n->is_told; /* else its end is still unsaid */
    }
    *ret_name = n;
    return is_new;
}

static void name_forget(struct xds_type_state *t, struct xds_name *n)
{
    if (!n->is_told) {
        t->unsaid_count--;
    } else if (!n->is_reborn) {
        t->unsaid_count++;
    }
    n->users = 0;
    n->is_reborn = false;
    n->is_received = false;
    list_remove(&n->waiting);
    free(map_remove(&t->versions, n->name));
    t->wanted_count--;
}

void xds_type_state_remove(struct xds_type_state *t, struct str name)
{
    struct xds_name *n = map_get(&t->names, name);

    if (n == NULL || n->users == 0 || --n->users > 0) {
        return;
    }
    name_forget(t, n);
    if (!n->is_told) {
        map_remove(&t->names, name);
        free(n);
    }
}

void xds_type_state_remove_all(struct xds_type_state *t)
{
    map_for_each (e, &t->names) {
        if (((struct xds_name *)e->value)->users > 0) {
            name_forget(t, e->value);
        }
    }
}

void xds_type_state_sweep(struct xds_type_state *t)
{
    size_t gone_count = t->names.count - t->wanted_count;
    struct xds_name **gone;
    size_t n = 0;

    if (gone_count == 0) {
        return;
    }
    gone = xcalloc(gone_count, sizeof(struct xds_name *));
    map_for_each (e, &t->names) {
        if (((struct xds_name *)e->value)->users == 0) {
            gone[n++] = e->value;
        }
    }
    for (size_t i = 0; i < n; i++) {
        map_remove(&t->names, gone[i]->name);
        free(gone[i]);
    }
    free(gone);
}

void xds_type_state_stream_started(struct xds_type_state *t)
{
    t->has_asked = false;
    t->owes_answer = false;
    t->is_fresh = true;
    strbuf_reset(&t->nonce);
    xds_type_state_sweep(t);
    t->unsaid_count = t->wanted_count;
    map_for_each (e, &t->names) {
        struct xds_name *n = e->value;

        n->is_told = false;
        n->is_reborn = false;
    }
}

bool xds_type_state_has_request(const struct xds_type_state *t)
{
    if (!t->has_asked) {
        /* A first request without names would ask for everything. */
        return t->is_wildcard || t->wanted_count > 0;
    }
    return t->owes_answer || t->unsaid_count > 0;
}

void xds_type_state_answer(struct xds_type_state *t, const struct xds_response *rs,
                           const struct xds_verdict *v)
{
    strbuf_reset(&t->nonce);
    strbuf_add_str(&t->nonce, rs->nonce);
    strbuf_reset(&t->error_detail);
    strbuf_add_str(&t->error_detail, v->accepted ? STR_NONE : strbuf_str(&v->detail));
    t->is_refusal = !v->accepted;
    t->owes_answer = true;
    t->is_fresh = false;
}

void xds_put_error_detail(struct strbuf *out, uint32_t number, struct str text)
{
    static const struct str MARK = {"...(truncated)", sizeof("...(truncated)") - 1};
    size_t max = text.len > XDS_ERROR_DETAIL_MAX ? XDS_ERROR_DETAIL_MAX - MARK.len : text.len;
    struct strbuf clean;
    size_t status;

    strbuf_init(&clean);
    for (size_t i = 0; i < max;) {
        size_t n = utf8_sequence(text.ptr + i, text.len - i);

        if (i + n > max) {
            break;
        }
        strbuf_add(&clean, n > 0 ? text.ptr + i : "?", n > 0 ? n : 1);
        i += n > 0 ? n : 1;
    }
    strbuf_add_str(&clean, max < text.len ? MARK : STR_NONE);

    status = wire_begin(out);
    wire_put_varint(out, 1, STATUS_INVALID_ARGUMENT);
    wire_put_bytes(out, 2, strbuf_str(&clean));
    wire_end(out, status, number);
    strbuf_done(&clean);
}
