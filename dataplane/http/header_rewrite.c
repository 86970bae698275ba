/* Header operations and rewriting in Envoy's order. See header_rewrite.h. */

#include "dataplane/http/header_rewrite.h"

#include "dataplane/codec/header_value.h"
#include "dataplane/http/path.h"
#include "dataplane/http/redirect.h"
#include "dataplane/stream_info/formatter.h"

/* --- one level ---------------------------------------------------------------------------- */

static void header_append(struct header_map *h, struct str name, struct str value)
{
    enum header_id id = header_id_of(name);

    if (header_is_joined(id)) {
        header_append_value(h, id, value);
    } else if (id != HDR_UNKNOWN) {
        header_add(h, id, value);
    } else {
        header_add_name(h, name, value);
    }
}

struct pending_header {
    struct str name;
    struct str value;
    bool overwrites;
    bool is_invalid;
};

/* What becomes of one configured addition; false when nothing. */
static bool header_add_evaluate(const struct header_add *add, const struct header_rewrite *rw,
                                const struct header_map *h, struct pending_header *ret)
{
    bool has_value = formatter_header(&add->value, rw->entry, rw->thread, h->arena, &ret->value);
    bool is_present =
        add->action == HEADER_ADD_IF_ABSENT || add->action == HEADER_OVERWRITE_IF_EXISTS
            ? header_find_name(h, add->name) != NULL
            : false;

    if (!has_value && !add->keep_empty_value) {
        return false;
    }
    ret->is_invalid = !add->value.is_literal && !header_value_is_valid(ret->value);
    ret->name = add->name;
    switch (add->action) {
    case HEADER_APPEND_IF_EXISTS_OR_ADD:
        ret->overwrites = false;
        return true;
    case HEADER_ADD_IF_ABSENT:
        ret->overwrites = false;
        return !is_present;
    case HEADER_OVERWRITE_IF_EXISTS_OR_ADD:
        ret->overwrites = true;
        return true;
    case HEADER_OVERWRITE_IF_EXISTS:
        ret->overwrites = true;
        return is_present;
    }
    return false;
}

void header_ops_apply(const struct header_ops *ops, const struct header_rewrite *rw,
                      struct header_map *h)
{
    struct pending_header *pending;
    size_t count = 0;

    for (size_t i = 0; i < ops->remove_count; i++) {
        (void)header_remove_name(h, ops->remove[i]); /* there or not */
    }
    if (ops->add_count == 0) {
        return;
    }
    pending = arena_alloc(h->arena, ops->add_count * sizeof(*pending));
    for (size_t i = 0; i < ops->add_count; i++) {
        count += header_add_evaluate(&ops->add[i], rw, h, &pending[count]) ? 1 : 0;
    }
    for (size_t i = 0; i < count; i++) {
        h->has_invalid_value = h->has_invalid_value || pending[i].is_invalid;
        if (pending[i].overwrites) {
            header_set_name(h, pending[i].name, pending[i].value);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!pending[i].overwrites) {
            header_append(h, pending[i].name, pending[i].value);
        }
    }
}

void header_drop_invalid(struct header_map *h)
{
    struct header *invalid;

    while ((invalid = header_find_invalid(h)) != NULL) {
        header_remove_entry(h, invalid);
    }
    h->has_invalid_value = false;
}

/* --- all levels --------------------------------------------------------------------------- */

#define LEVELS 3

/* Most specific first; NULL where there is no such level. */
static void header_rewrite_levels(const struct header_rewrite *rw, bool is_request,
                                  const struct header_ops *levels[LEVELS])
{
    const struct route_match *m = rw->match;

    levels[0] = is_request ? &m->route->request_headers : &m->route->response_headers;
    levels[1] = NULL;
    levels[2] = NULL;
    if (m->vhost != NULL) {
        levels[1] = is_request ? &m->vhost->request_headers : &m->vhost->response_headers;
        levels[2] = is_request ? &rw->table->request_headers : &rw->table->response_headers;
    }
}

/* What the chosen cluster of several says goes before all levels, whatever their order, and they
 * see its host; the original host is not kept. As Envoy. */
static void header_rewrite_weighted(const struct header_rewrite *rw, bool is_request,
                                    struct header_map *h)
{
    const struct weighted_cluster *w = rw->match->weighted;

    header_ops_apply(is_request ? &w->request_headers : &w->response_headers, rw, h);
    if (is_request && w->host_rewrite.len > 0) {
        header_set(h, HDR_AUTHORITY, w->host_rewrite);
    }
}

static void header_rewrite_apply(const struct header_rewrite *rw, bool is_request,
                                 struct header_map *h)
{
    const struct header_ops *levels[LEVELS];

    if (rw->match->weighted != NULL) {
        header_rewrite_weighted(rw, is_request, h);
    }
    header_rewrite_levels(rw, is_request, levels);
    for (size_t i = 0; i < LEVELS; i++) {
        size_t level = rw->table->most_specific_header_mutations_wins ? LEVELS - 1 - i : i;

        if (levels[level] != NULL) {
            header_ops_apply(levels[level], rw, h);
        }
    }
}

void header_rewrite_host(struct header_map *h, struct str host, bool keeps_original,
                         bool appends_forwarded_host)
{
    struct str old = header_get(h, HDR_AUTHORITY);

    if (keeps_original && !header_has(h, HDR_X_ENVOY_ORIGINAL_HOST)) {
        header_add(h, HDR_X_ENVOY_ORIGINAL_HOST, old);
    }
    if (appends_forwarded_host) {
        struct str forwarded = header_get(h, HDR_X_FORWARDED_HOST);
        size_t comma = str_rfind_char(forwarded, ',');
        struct str last =
            str_trim(comma == STR_NPOS ? forwarded : str_sub(forwarded, comma + 1, forwarded.len));

        if (!str_eq(last, old)) {
            header_append_value(h, HDR_X_FORWARDED_HOST, old);
        }
    }
    header_set(h, HDR_AUTHORITY, host);
}

static void header_rewrite_route_host(const struct header_rewrite *rw, bool keeps_original,
                                      struct header_map *h)
{
    const struct route_forward *f = &rw->match->route->forward;
    struct str host = STR_NONE;

    if (f->host_rewrite_literal.len > 0) {
        host = f->host_rewrite_literal;
    } else if (f->host_rewrite_header.len > 0) {
        const struct header *from = header_find_name(h, f->host_rewrite_header);

        host = from != NULL ? from->value : STR_NONE;
    } else if (f->host_rewrite_path_regex.regex != NULL) {
        host =
            regex_replace_all(f->host_rewrite_path_regex.regex, path_only(header_get(h, HDR_PATH)),
                              f->host_rewrite_path_regex.substitution, h->arena);
    }
    if (host.len > 0) {
        header_rewrite_host(h, host, keeps_original, f->append_x_forwarded_host);
    }
}

void header_rewrite_path(const struct route *r, struct str prefix_rewrite,
                         const struct regex_rewrite *regex, bool keeps_original,
                         struct header_map *h)
{
    struct str old = header_get(h, HDR_PATH);
    struct str path;

    if (old.len == 0 || !route_rewrite_path(r, prefix_rewrite, regex, old, h->arena, &path)) {
        return;
    }
    if (keeps_original) {
        header_set(h, HDR_X_ENVOY_ORIGINAL_PATH, old);
    }
    header_set(h, HDR_PATH, path);
}

void header_rewrite_request(const struct header_rewrite *rw, bool keeps_original,
                            struct header_map *h)
{
    const struct route *r = rw->match->route;

    header_rewrite_apply(rw, true, h);
    if (r->action == ROUTE_FORWARD) {
        header_rewrite_route_host(rw, keeps_original, h);
        header_rewrite_path(r, r->forward.prefix_rewrite, &r->forward.path_regex_rewrite,
                            keeps_original, h);
    }
}

void header_rewrite_response(const struct header_rewrite *rw, struct header_map *h)
{
    header_rewrite_apply(rw, false, h);
    header_drop_invalid(h);
}
