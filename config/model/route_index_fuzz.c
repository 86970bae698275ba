/*
 * The route index against a walk over all routes. Input: the first byte is how many lines are
 * routes, the others are paths to look up, each as CONNECT too. A route line is one letter and the
 * path: p, s, e (prefix, separated prefix, exact; in upper case: case-insensitive), r (regex), c
 * (CONNECT).
 */

#include "config/model/route_index.h"
#include "dataplane/base/check.h"

#define ROUTES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void free_regex(void *r)
{
    regex_free(r);
}

/* False when the line is no route. */
static bool read_route(struct part *part, struct str line, struct route *r)
{
    struct error err;
    int e = 0;

    if (line.len == 0) {
        return false;
    }
    r->path = arena_str(&part->arena, str_sub(line, 1, line.len));
    r->case_sensitive = line.ptr[0] >= 'a';
    switch (ascii_lower(line.ptr[0])) {
    case 'p':
        r->path_kind = PATH_MATCH_PREFIX;
        break;
    case 's':
        r->path_kind = PATH_MATCH_SEPARATED_PREFIX;
        break;
    case 'e':
        r->path_kind = PATH_MATCH_EXACT;
        break;
    case 'r':
        r->path_kind = PATH_MATCH_REGEX;
        r->case_sensitive = true;
        error_init(&err);
        e = regex_new(r->path, 1000, &r->path_regex, &err);
        error_done(&err);
        if (e == 0) {
            part_on_free(part, free_regex, r->path_regex);
        }
        break;
    case 'c':
        r->path_kind = PATH_MATCH_CONNECT;
        break;
    default:
        return false;
    }
    return e == 0;
}

struct log {
    uint32_t asked[ROUTES_MAX];
    size_t count;
    uint32_t wanted; /* the n-th candidate is taken */
};

static bool log_accept(void *user, const struct route *r)
{
    struct log *l = user;

    l->asked[l->count++] = r->index;
    return l->count > l->wanted;
}

static void check_path(const struct route_index *ix, const struct route *routes, size_t n,
                       struct str path, bool is_connect, uint32_t wanted)
{
    struct log fast = {.wanted = wanted};
    struct log slow = {.wanted = wanted};
    const struct route *want = NULL;

    for (size_t i = 0; i < n && want == NULL; i++) {
        if (route_matches_path(&routes[i], path, is_connect) && log_accept(&slow, &routes[i])) {
            want = &routes[i];
        }
    }
    CHECK(route_index_find(ix, path, is_connect, log_accept, &fast) == want);
    CHECK(fast.count == slow.count);
    CHECK(memcmp(fast.asked, slow.asked, fast.count * sizeof(*fast.asked)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_n((const char *)data, size);
    struct part *part;
    struct route *routes;
    const struct route_index *ix = NULL;
    struct str line;
    size_t route_lines;
    size_t n = 0;

    if (size == 0) {
        return 0;
    }
    route_lines = data[0];
    rest = str_sub(rest, 1, size);
    part = part_new(sizeof(struct route_config), PART_ROUTE_TABLE, STR("fuzz"));
    routes = ARENA_ARRAY(&part->arena, struct route, ROUTES_MAX);
    while (str_split(&rest, '\n', &line)) {
        if (route_lines > 0) {
            route_lines--;
            routes[n].index = (uint32_t)n;
            n += read_route(part, line, &routes[n]);
            continue;
        }
        if (ix == NULL) {
            ix = route_index_build(part, routes, n);
        }
        for (uint32_t wanted = 0; wanted < 4; wanted++) {
            check_path(ix, routes, n, line, false, wanted * wanted * wanted);
            check_path(ix, routes, n, line, true, wanted * wanted * wanted);
            check_path(ix, routes, n, STR_NONE, true, wanted * wanted * wanted);
        }
    }
    part_unref(part);
    return 0;
}
