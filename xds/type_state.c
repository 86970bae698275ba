/* Names and answers of one type, shared by both protocols. Main thread. */

#include "xds/type_state.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "xds/wire.h"

#define STATUS_INVALID_ARGUMENT 3
#define ERROR_DETAIL_MAX 4096 /* servers limit metadata and log lines; the admin page has it all   \
                               */

void xds_type_state_init(struct xds_type_state *t, const struct xds_protocol *p,
                         struct str type_url, bool is_wildcard)
{
    *t = (struct xds_type_state){.protocol = p, .type_url = type_url, .is_wildcard = is_wildcard};
    map_init(&t->names);
    map_init(&t->versions);
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
    free(t->version);
    free(t->nonce);
    free(t->error_detail);
}

bool xds_type_state_add(struct xds_type_state *t, struct str name, struct xds_name **ret_name)
{
    struct xds_name *n = map_get(&t->names, name);
    bool is_new = n == NULL || !n->is_wanted;

    if (n == NULL) {
        n = xcalloc(1, sizeof(*n) + name.len + 1);
        memcpy(n + 1, name.ptr, name.len);
        n->name = str_n((const char *)(n + 1), name.len);
        list_init(&n->waiting);
        map_put(&t->names, n->name, n);
    }
    if (is_new) {
        n->is_wanted = true;
        t->names_changed = true;
    }
    n->users++;
    *ret_name = n;
    return is_new;
}

void xds_type_state_remove(struct xds_type_state *t, struct str name)
{
    struct xds_name *n = map_get(&t->names, name);

    if (n == NULL || n->users == 0 || --n->users > 0) {
        return;
    }
    n->is_wanted = false;
    n->is_received = false;
    list_remove(&n->waiting);
    t->names_changed = true;
    if (!n->is_told) {
        map_remove(&t->names, name);
        free(n);
    }
}

static void replace(char **at, struct str s)
{
    free(*at);
    *at = xstrndup(s.ptr, s.len);
}

void xds_type_state_answer(struct xds_type_state *t, const struct xds_response *rs,
                           const struct xds_verdict *v)
{
    replace(&t->nonce, rs->nonce);
    free(t->error_detail);
    t->error_detail = NULL;
    if (!v->accepted) {
        struct str detail = strbuf_str(&v->detail);

        t->error_detail =
            xstrndup(detail.ptr, detail.len < ERROR_DETAIL_MAX ? detail.len : ERROR_DETAIL_MAX);
    }
    t->owes_answer = true;
}

void xds_put_error_detail(struct strbuf *out, uint32_t number, const char *text)
{
    size_t begin = wire_begin(out);

    wire_put_varint(out, 1, STATUS_INVALID_ARGUMENT);
    wire_put_bytes(out, 2, str_c(text));
    wire_end(out, begin, number);
}
