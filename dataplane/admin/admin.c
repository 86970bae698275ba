/* The table of admin pages: routing, parameters, help. Main thread. HTTP is admin_filter.c. */

#include "dataplane/admin/admin.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/admin/admin_internal.h"
#include "dataplane/base/xalloc.h"

#define PARAMS_MAX 256

struct admin_entry {
    const struct admin_endpoint *endpoint;
    void *context;
};

struct admin {
    struct admin_entry *entries; /* sorted by path */
    size_t count;
    void (*refresh)(void *context);
    void *refresh_context;
    const struct string_matcher *allowed;
    size_t allowed_count; /* 0: everything */
    size_t unread_bytes;  /* see admin_internal.h */
};

/* --- the table ---------------------------------------------------------------------------- */

static void help_render(void *context, const struct admin_request *rq, struct admin_response *rs);

static const struct admin_endpoint help_endpoint = {
    .path = "/help",
    .help = "print out list of admin commands",
    .render = help_render,
};

struct admin *admin_new(void)
{
    struct admin *a = xcalloc(1, sizeof(struct admin));

    admin_add(a, &help_endpoint, a);
    return a;
}

void admin_free(struct admin *a)
{
    if (a != NULL) {
        free(a->entries);
        free(a);
    }
}

static int entry_cmp(const void *x, const void *y)
{
    return strcmp(((const struct admin_entry *)x)->endpoint->path,
                  ((const struct admin_entry *)y)->endpoint->path);
}

void admin_add(struct admin *a, const struct admin_endpoint *e, void *context)
{
    a->entries = xreallocarray(a->entries, a->count + 1, sizeof(*a->entries));
    a->entries[a->count++] = (struct admin_entry){e, context};
    qsort(a->entries, a->count, sizeof(*a->entries), entry_cmp);
}

void admin_set_refresh(struct admin *a, void (*refresh)(void *context), void *context)
{
    a->refresh = refresh;
    a->refresh_context = context;
}

void admin_allow_paths(struct admin *a, const struct string_matcher *matchers, size_t count)
{
    a->allowed = matchers;
    a->allowed_count = count;
}

void admin_visit(const struct admin *a, void (*visit)(void *user, const struct admin_endpoint *e),
                 void *user)
{
    for (size_t i = 0; i < a->count; i++) {
        visit(user, a->entries[i].endpoint);
    }
}

size_t *admin_unread_bytes(struct admin *a)
{
    return &a->unread_bytes;
}

/* --- /help -------------------------------------------------------------------------------- */

static void help_param(struct strbuf *out, const struct admin_param_doc *p)
{
    strbuf_addf(out, "      %s: %s", p->name, p->help);
    if (p->choices != NULL) {
        strbuf_add_c(out, "; One of (");
        for (size_t i = 0; p->choices[i] != NULL; i++) {
            strbuf_addf(out, "%s%s", i > 0 ? ", " : "", p->choices[i]);
        }
        strbuf_add_char(out, ')');
    }
    strbuf_add_char(out, '\n');
}

static void render_commands(const struct admin *a, struct strbuf *out)
{
    strbuf_add_c(out, "admin commands are:\n");
    for (size_t i = 0; i < a->count; i++) {
        const struct admin_endpoint *e = a->entries[i].endpoint;

        strbuf_addf(out, "  %s%s: %s\n", e->path, e->needs_post ? " (POST)" : "", e->help);
        for (size_t k = 0; k < e->param_count; k++) {
            help_param(out, &e->params[k]);
        }
    }
}

static void help_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    (void)rq;
    render_commands(context, &rs->body);
}

/* --- requests ----------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* '+' stays: a raw regex in `filter` is common. What is no valid escape stays as it is. */
static struct str percent_decode(struct arena *arena, struct str s)
{
    char *out = arena_alloc(arena, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '%' && i + 2 < s.len && hex_digit(s.ptr[i + 1]) >= 0 &&
            hex_digit(s.ptr[i + 2]) >= 0) {
            out[n++] = (char)(hex_digit(s.ptr[i + 1]) * 16 + hex_digit(s.ptr[i + 2]));
            i += 2;
        } else {
            out[n++] = s.ptr[i];
        }
    }
    out[n] = '\0';
    return str_n(out, n);
}

static size_t parse_query(struct arena *arena, struct str query, struct admin_param *params)
{
    struct str rest = query;
    struct str pair;
    size_t n = 0;

    while (n < PARAMS_MAX && str_split(&rest, '&', &pair)) {
        size_t eq = str_find_char(pair, '=');
        struct str value = eq == STR_NPOS ? STR("") : str_sub(pair, eq + 1, pair.len);

        if (pair.len == 0) {
            continue;
        }
        params[n].name = percent_decode(arena, eq == STR_NPOS ? pair : str_sub(pair, 0, eq));
        params[n++].value = percent_decode(arena, value);
    }
    return n;
}

static const struct admin_entry *admin_find(const struct admin *a, struct str path)
{
    for (size_t i = 0; i < a->count; i++) {
        if (str_eq(path, str_c(a->entries[i].endpoint->path))) {
            return &a->entries[i];
        }
    }
    return NULL;
}

static bool is_allowed(const struct admin *a, struct str path_and_query)
{
    for (size_t i = 0; i < a->allowed_count; i++) {
        if (string_matcher_matches(&a->allowed[i], path_and_query)) {
            return true;
        }
    }
    return a->allowed_count == 0;
}

static void admin_render(const struct admin *a, const struct admin_entry *entry,
                         const struct admin_request *rq, struct admin_response *rs)
{
    if (a->refresh != NULL) {
        a->refresh(a->refresh_context);
    }
    entry->endpoint->render(entry->context, rq, rs);
}

void admin_handle(const struct admin *a, const struct admin_call *call, struct admin_response *rs)
{
    struct str target = call->path_and_query;
    size_t mark = str_find_char(target, '?');
    struct admin_param params[PARAMS_MAX];
    struct admin_request rq = {
        .path = str_sub(target, 0, mark == STR_NPOS ? target.len : mark),
        .params = params,
        .is_post = str_eq(call->method, STR("POST")),
    };
    const struct admin_entry *entry = admin_find(a, rq.path);
    struct arena arena;

    if (!is_allowed(a, target)) {
        rs->status = 403;
        strbuf_addf(&rs->body, "request to path %.*s not allowed", STR_ARG(target));
        return;
    }
    if (entry == NULL) {
        rs->status = 404;
        strbuf_add_c(&rs->body, "invalid path. ");
        render_commands(a, &rs->body);
        return;
    }
    if (entry->endpoint->needs_post && !rq.is_post) {
        rs->status = 405;
        strbuf_addf(&rs->body, "Method %.*s not allowed, POST required.", STR_ARG(call->method));
        return;
    }
    arena_init(&arena, NULL);
    if (mark != STR_NPOS) {
        rq.param_count = parse_query(&arena, str_sub(target, mark + 1, target.len), params);
    }
    if (rq.param_count == 0 && call->form.len > 0) {
        rq.param_count = parse_query(&arena, call->form, params);
    }
    admin_render(a, entry, &rq, rs);
    arena_done(&arena);
}
