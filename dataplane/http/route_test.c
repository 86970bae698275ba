/* Virtual host and route choice, redirects, against the results of Envoy 1.40; and the index
 * against a plain walk. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/route_index.h"
#include "dataplane/base/rand.h"
#include "dataplane/http/path.h"
#include "dataplane/http/redirect.h"
#include "dataplane/http/route.h"
#include "dataplane/runtime/runtime.h"

static const struct thread_context no_runtime;

/* --- a table by hand ------------------------------------------------------------------------ */

static struct route_config *table_new(void)
{
    return part_new(sizeof(struct route_config), PART_ROUTE_TABLE, STR("t"));
}

static void table_add_vhosts(struct route_config *t, struct virtual_host *vhosts, size_t count)
{
    struct error why;

    error_init(&why);
    for (size_t i = 0; i < count; i++) {
        struct route *routes = (struct route *)(uintptr_t)vhosts[i].routes;

        for (size_t k = 0; k < vhosts[i].route_count; k++) {
            routes[k].index = (uint32_t)k;
        }
        vhosts[i].index = route_index_build(&t->part, routes, vhosts[i].route_count);
    }
    t->vhosts = vhosts;
    t->vhost_count = count;
    assert_int_equal(domain_index_build(&t->part, vhosts, count, &t->domains, &why), 0);
    error_done(&why);
}

static const struct route *find(const struct route_config *t, const struct header_map *h,
                                uint64_t random)
{
    struct route_match m;

    route_find(t, &(struct route_request){.headers = h, .thread = &no_runtime, .random = random},
               &m);
    return m.route;
}

static void request(struct header_map *h, struct arena *a, const char *host, const char *path)
{
    header_map_init(h, a);
    header_add(h, HDR_METHOD, STR("GET"));
    header_add(h, HDR_PATH, str_c(path));
    header_add(h, HDR_AUTHORITY, str_c(host));
}

static void test_hosts(void **state)
{
    static struct route any[] = {{.path_kind = PATH_MATCH_PREFIX, .path = {"/", 1}}};
    static const struct str exact[] = {{"a.example", 9}};
    static const struct str suffix[] = {{"*.example", 9}};
    static const struct str rest[] = {{"*", 1}};
    static struct virtual_host vhosts[] = {
        {.name = {"rest", 4}, .domains = rest, .domain_count = 1, .routes = any, .route_count = 1},
        {.name = {"suffix", 6},
         .domains = suffix,
         .domain_count = 1,
         .routes = any,
         .route_count = 1},
        {.name = {"exact", 5},
         .domains = exact,
         .domain_count = 1,
         .routes = any,
         .route_count = 1},
    };
    static const struct {
        const char *host;
        const char *plain;
        const char *without_port;
    } cases[] = {
        {"a.example", "exact", "exact"},    {"A.EXAMPLE", "exact", "exact"},
        {"b.example", "suffix", "suffix"},  {"a.example:80", "rest", "exact"},
        {"b.example:80", "rest", "suffix"}, {"other", "rest", "rest"},
        {"[::1]:80", "rest", "rest"},       {"[::1]", "rest", "rest"},
    };
    struct route_config *t = table_new();
    struct header_map h;
    struct route_match m;
    struct arena a;

    arena_init(&a, NULL);
    table_add_vhosts(t, vhosts, 3);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request(&h, &a, cases[i].host, "/");
        t->ignore_port_in_host_matching = false;
        route_find(t, &(struct route_request){.headers = &h, .thread = &no_runtime}, &m);
        assert_true(str_eq(m.vhost->name, str_c(cases[i].plain)));
        t->ignore_port_in_host_matching = true;
        route_find(t, &(struct route_request){.headers = &h, .thread = &no_runtime}, &m);
        assert_true(str_eq(m.vhost->name, str_c(cases[i].without_port)));
    }
    arena_done(&a);
    part_unref(&t->part);
}

/* --- matchers: rows and columns measured with Envoy 1.40 ------------------------------------- */

#define VALUES 10
static const char *const values[VALUES][2] = {
    {NULL}, {"v"}, {""}, {"3"}, {"+3"}, {"3 "}, {"3x"}, {"1", "2"}, {"-5"}, {"10"},
};

static void check_matcher(const struct header_matcher *m, const char *want)
{
    struct arena a;

    arena_init(&a, NULL);
    for (size_t i = 0; i < VALUES; i++) {
        struct header_map h;

        if (i == 5) {
            continue; /* trimmed by the codec */
        }
        header_map_init(&h, &a);
        for (size_t k = 0; k < 2 && values[i][k] != NULL; k++) {
            header_add_name(&h, STR("x-a"), str_c(values[i][k]));
        }
        if (header_matcher_matches(m, &h) != (want[i] == 'Y')) {
            fail_msg("value %zu, want %s", i, want);
        }
    }
    arena_done(&a);
}

static struct header_matcher exact(const char *value, bool invert, bool missing_is_empty)
{
    return (struct header_matcher){
        .name = STR("x-a"),
        .kind = HEADER_MATCH_STRING,
        .string = {.kind = STRING_MATCH_EXACT, .value = str_c(value)},
        .invert = invert,
        .treat_missing_as_empty = missing_is_empty,
    };
}

static struct header_matcher present(bool is_present, bool invert, bool missing_is_empty)
{
    return (struct header_matcher){
        .name = STR("x-a"),
        .kind = HEADER_MATCH_PRESENT,
        .present = is_present,
        .invert = invert,
        .treat_missing_as_empty = missing_is_empty,
    };
}

static void test_header_matchers(void **state)
{
    struct header_matcher m;

    m = present(true, false, false);
    check_matcher(&m, "-YYYYYYYYY");
    m = present(false, false, false);
    check_matcher(&m, "Y---------");
    m = present(true, true, false);
    check_matcher(&m, "Y---------");
    m = present(false, true, false);
    check_matcher(&m, "-YYYYYYYYY");
    m = present(true, false, true);
    check_matcher(&m, "YYYYYYYYYY");
    m = present(false, false, true);
    check_matcher(&m, "----------");
    m = present(true, true, true);
    check_matcher(&m, "----------");
    m = exact("v", false, false);
    check_matcher(&m, "-Y--------");
    m = exact("v", true, false);
    check_matcher(&m, "--YYYYYYYY");
    m = exact("", false, true);
    check_matcher(&m, "Y-Y-------");
    m = exact("v", true, true);
    check_matcher(&m, "Y-YYYYYYYY");
    m = exact("1,2", false, false);
    check_matcher(&m, "----------");
    m = exact("1", false, false);
    check_matcher(&m, "-------Y--");
    m = exact("2", false, false); /* any of the values: a second one cannot hide the first */
    check_matcher(&m, "-------Y--");
    m = exact("1", true, false);
    check_matcher(&m, "-YYYYYY-YY");
    m = (struct header_matcher){
        .name = STR("x-a"), .kind = HEADER_MATCH_RANGE, .range_start = -5, .range_end = 10};
    check_matcher(&m, "---YYY-YY-");
    m.invert = true;
    check_matcher(&m, "-YY---Y--Y");
}

static void test_joined_headers(void **state)
{
    static const struct {
        const char *name;
        bool is_joined;
    } cases[] = {{"user-agent", true}, {"x-forwarded-for", true}, {"accept", true},
                 {"origin", true},     {"cookie", false},         {"x-a", false}};
    struct arena a;

    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct header_matcher m = exact("1,2", false, false);
        struct header_map h;

        m.name = str_c(cases[i].name);
        header_map_init(&h, &a);
        header_add_name(&h, m.name, STR("1"));
        header_add_name(&h, m.name, STR("2"));
        assert_int_equal(header_matcher_matches(&m, &h), cases[i].is_joined);
        m.string.value = STR("1");
        assert_int_equal(header_matcher_matches(&m, &h), !cases[i].is_joined);
    }
    arena_done(&a);
}

static void test_query_matchers(void **state)
{
    static const char *const queries[] = {"",      "q",   "q=",   "q=v",  "a=1&q=v", "q=w&q=v",
                                          "q=%76", "Q=v", ";q=v", "q=v&", "&q=v"};
    static const struct {
        struct query_matcher m;
        const char *want;
    } cases[] = {
        {{.name = {"q", 1}, .is_present_only = true, .present = true}, "-YYYYYY--YY"},
        {{.name = {"q", 1}, .is_present_only = true, .present = false}, "Y------YY--"},
        {{.name = {"q", 1}, .string = {.value = {"v", 1}}}, "---YY----YY"},
        {{.name = {"q", 1}, .string = {.value = {"", 0}}}, "-YY--------"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t k = 0; k < sizeof(queries) / sizeof(queries[0]); k++) {
            if (query_matcher_matches(&cases[i].m, str_c(queries[k])) !=
                (cases[i].want[k] == 'Y')) {
                fail_msg("case %zu, query '%s'", i, queries[k]);
            }
        }
    }
}

/* --- routes --------------------------------------------------------------------------------- */

static void test_route_conditions(void **state)
{
    struct header_matcher header = exact("yes", false, false);
    static const struct query_matcher query = {.name = {"q", 1}, .string = {.value = {"1", 1}}};
    struct route routes[] = {
        {.name = STR("header"),
         .path_kind = PATH_MATCH_PREFIX,
         .path = STR("/"),
         .case_sensitive = true,
         .headers = &header,
         .header_count = 1},
        {.name = STR("query"),
         .path_kind = PATH_MATCH_PREFIX,
         .path = STR("/"),
         .case_sensitive = true,
         .queries = &query,
         .query_count = 1},
        {.name = STR("half"),
         .path_kind = PATH_MATCH_PREFIX,
         .path = STR("/half"),
         .case_sensitive = true,
         .has_runtime_fraction = true,
         .runtime_fraction = {.numerator = 50, .denominator = 100}},
        {.name = STR("params"),
         .path_kind = PATH_MATCH_EXACT,
         .path = STR("/p"),
         .case_sensitive = true},
        {.name = STR("rest"),
         .path_kind = PATH_MATCH_PREFIX,
         .path = STR("/"),
         .case_sensitive = true},
    };
    static const struct str all[] = {{"*", 1}};
    struct virtual_host vh = {
        .domains = all, .domain_count = 1, .routes = routes, .route_count = 5};
    struct route_config *t = table_new();
    struct header_map h;
    struct arena a;

    arena_init(&a, NULL);
    table_add_vhosts(t, &vh, 1);
    request(&h, &a, "h", "/x?q=1");
    assert_ptr_equal(find(t, &h, 0), &routes[1]);
    header_add_name(&h, STR("x-a"), STR("yes"));
    assert_ptr_equal(find(t, &h, 0), &routes[0]);
    request(&h, &a, "h", "/x?q=2");
    assert_ptr_equal(find(t, &h, 0), &routes[4]);
    request(&h, &a, "h", "/half");
    assert_ptr_equal(find(t, &h, 49), &routes[2]);
    assert_ptr_equal(find(t, &h, 50), &routes[4]);
    assert_ptr_equal(find(t, &h, 149), &routes[2]);
    request(&h, &a, "h", "/p;a=b");
    assert_ptr_equal(find(t, &h, 0), &routes[4]);
    t->ignore_path_parameters = true;
    assert_ptr_equal(find(t, &h, 0), &routes[3]);
    header_map_init(&h, &a);
    header_add(&h, HDR_METHOD, STR("CONNECT"));
    header_add(&h, HDR_AUTHORITY, STR("h:80"));
    assert_null(find(t, &h, 0));
    arena_done(&a);
    part_unref(&t->part);
}

static void test_require_tls(void **state)
{
    static struct route any[] = {{.path_kind = PATH_MATCH_PREFIX, .path = {"/", 1}}};
    static const struct str all[] = {{"*", 1}};
    struct virtual_host vh = {.domains = all, .domain_count = 1, .routes = any, .route_count = 1};
    struct route_config *t = table_new();
    const struct route *r;
    struct header_map h;
    struct arena a;

    arena_init(&a, NULL);
    table_add_vhosts(t, &vh, 1);
    vh.require_tls = REQUIRE_TLS_ALL;
    request(&h, &a, "h:80", "/x?y");
    header_add(&h, HDR_X_FORWARDED_PROTO, STR("http"));
    r = find(t, &h, 0);
    assert_int_equal(r->action, ROUTE_REDIRECT);
    assert_true(str_eq(redirect_location(r, &r->redirect, &h, &a), STR("https://h/x?y")));
    header_set(&h, HDR_X_FORWARDED_PROTO, STR("https"));
    assert_ptr_equal(find(t, &h, 0), any);
    vh.require_tls = REQUIRE_TLS_EXTERNAL_ONLY;
    header_set(&h, HDR_X_FORWARDED_PROTO, STR("http"));
    assert_int_equal(find(t, &h, 0)->action, ROUTE_REDIRECT);
    header_add(&h, HDR_X_ENVOY_INTERNAL, STR("true"));
    assert_ptr_equal(find(t, &h, 0), any);
    arena_done(&a);
    part_unref(&t->part);
}

static void test_weights(void **state)
{
    static const struct weighted_cluster clusters[] = {{.name = {"a", 1}, .weight = 95},
                                                       {.name = {"z", 1}, .weight = 0},
                                                       {.name = {"b", 1}, .weight = 5}};
    static struct route routes[] = {{.path_kind = PATH_MATCH_PREFIX,
                                     .path = {"/", 1},
                                     .case_sensitive = true,
                                     .forward = {.weighted = clusters,
                                                 .weighted_count = 3,
                                                 .total_weight = 100,
                                                 .weight_header = {"x-w", 3}}}};
    static const struct str all[] = {{"*", 1}};
    struct virtual_host vh = {
        .domains = all, .domain_count = 1, .routes = routes, .route_count = 1};
    struct route_config *t = table_new();
    struct header_map h;
    struct route_match m;
    struct arena a;
    size_t hits[3] = {0};

    arena_init(&a, NULL);
    table_add_vhosts(t, &vh, 1);
    request(&h, &a, "h", "/");
    for (uint64_t i = 0; i < 1000; i++) {
        route_find(t, &(struct route_request){.headers = &h, .thread = &no_runtime, .random = i},
                   &m);
        hits[m.weighted - clusters]++;
    }
    assert_int_equal(hits[0], 950);
    assert_int_equal(hits[1], 0);
    assert_int_equal(hits[2], 50);
    header_add_name(&h, STR("x-w"), STR("197"));
    route_find(t, &(struct route_request){.headers = &h, .thread = &no_runtime, .random = 0}, &m);
    assert_ptr_equal(m.weighted, &clusters[2]); /* the header's number decides */
    header_set_name(&h, STR("x-w"), STR("many"));
    route_find(t, &(struct route_request){.headers = &h, .thread = &no_runtime, .random = 0}, &m);
    assert_ptr_equal(m.weighted, &clusters[0]);
    arena_done(&a);
    part_unref(&t->part);
}

/* --- gRPC and CONNECT ------------------------------------------------------------------------- */

static void test_grpc_only(void **state)
{
    static struct route routes[] = {
        {.path_kind = PATH_MATCH_PREFIX, .path = {"/", 1}, .is_grpc_only = true},
        {.path_kind = PATH_MATCH_PREFIX, .path = {"/", 1}},
    };
    static const struct str all[] = {{"*", 1}};
    static const struct {
        const char *content_type;
        size_t route;
    } cases[] = {{"application/grpc", 0},      {"application/grpc+proto", 0},
                 {"application/grpc;x=y", 1},  {"application/grpc-web", 1},
                 {"application/grpcx", 1},     {"application/json", 1},
                 {"application/grpc-web+p", 1}};
    struct virtual_host vh = {
        .domains = all, .domain_count = 1, .routes = routes, .route_count = 2};
    struct route_config *t = table_new();
    struct header_map h;
    struct arena a;

    arena_init(&a, NULL);
    table_add_vhosts(t, &vh, 1);
    request(&h, &a, "h", "/s/m");
    assert_ptr_equal(find(t, &h, 0), &routes[1]);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        header_set(&h, HDR_CONTENT_TYPE, str_c(cases[i].content_type));
        assert_ptr_equal(find(t, &h, 0), &routes[cases[i].route]);
    }
    arena_done(&a);
    part_unref(&t->part);
}

static void test_connect(void **state)
{
    static struct route routes[] = {
        {.path_kind = PATH_MATCH_CONNECT, .is_grpc_only = true}, /* wants a path: never */
        {.path_kind = PATH_MATCH_PREFIX, .path = {"", 0}, .header_count = 0},
        {.path_kind = PATH_MATCH_CONNECT},
    };
    static struct route udp[] = {
        {.path_kind = PATH_MATCH_CONNECT},
        {.path_kind = PATH_MATCH_PREFIX, .path = {"/", 1}},
    };
    static const struct str all[] = {{"*", 1}};
    static const struct str second[] = {{"udp", 3}};
    struct virtual_host vhosts[] = {
        {.domains = all, .domain_count = 1, .routes = routes, .route_count = 3},
        {.domains = second, .domain_count = 1, .routes = udp, .route_count = 2},
    };
    struct route_config *t = table_new();
    struct header_map h;
    struct arena a;

    arena_init(&a, NULL);
    table_add_vhosts(t, vhosts, 2);
    header_map_init(&h, &a);
    header_add(&h, HDR_METHOD, STR("CONNECT"));
    header_add(&h, HDR_AUTHORITY, STR("target:443"));
    header_add(&h, HDR_CONTENT_TYPE, STR("application/grpc"));
    assert_ptr_equal(find(t, &h, 0), &routes[2]);
    header_set(&h, HDR_METHOD, STR("GET")); /* without path: nothing takes it */
    assert_null(find(t, &h, 0));
    request(&h, &a, "udp", "/x");
    assert_ptr_equal(find(t, &h, 0), &udp[1]);
    header_add(&h, HDR_UPGRADE, STR("CONNECT-UDP"));
    assert_ptr_equal(find(t, &h, 0), &udp[0]);
    header_set(&h, HDR_UPGRADE, STR("websocket"));
    assert_ptr_equal(find(t, &h, 0), &udp[1]);
    arena_done(&a);
    part_unref(&t->part);
}

/* --- redirects ------------------------------------------------------------------------------ */

static void test_redirects(void **state)
{
    static const struct {
        struct route_redirect rd;
        const char *host;
        const char *path;
        const char *want;
    } cases[] = {
        {{.https_redirect = true}, "h:80", "/p/a?b", "https://h/p/a?b"},
        {{.https_redirect = true}, "h:8080", "/p/a?b", "https://h:8080/p/a?b"},
        {{.https_redirect = true, .port = 8443}, "h:80", "/p", "https://h:8443/p"},
        {{.host = {"other", 5}}, "h:80", "/p", "http://other/p"},
        {{.scheme = {"ftp", 3}}, "h:80", "/p", "ftp://h:80/p"},
        {{.path = {"/new", 4}}, "h", "/p?b", "http://h/new?b"},
        {{.path = {"/new?c", 6}}, "h", "/p?b", "http://h/new?c"},
        {{.path = {"/new?c", 6}, .strip_query = true}, "h", "/p?b", "http://h/new?c"},
        {{.path = {"/new", 4}, .strip_query = true}, "h", "/p?b", "http://h/new"},
        {{.strip_query = true}, "h", "/p/a?b", "http://h/p/a"},
        {{.prefix_rewrite = {"/q", 2}}, "h", "/p/a?b", "http://h/q/a?b"},
        {{.https_redirect = true}, "[::1]:80", "/p", "https://[::1]/p"},
    };
    struct header_map h;
    struct arena a;

    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct route r = {.path_kind = PATH_MATCH_PREFIX,
                          .path = STR("/p"),
                          .action = ROUTE_REDIRECT,
                          .redirect = cases[i].rd};
        struct str got;

        request(&h, &a, cases[i].host, cases[i].path);
        header_add(&h, HDR_SCHEME, STR("http"));
        got = redirect_location(&r, &r.redirect, &h, &a);
        if (!str_eq(got, str_c(cases[i].want))) {
            fail_msg("got '%.*s', want '%s'", STR_ARG(got), cases[i].want);
        }
        assert_true(str_starts(redirect_location(&r, NULL, &h, &a), STR("http://")));
    }
    arena_done(&a);
}

/* --- the index against a walk ---------------------------------------------------------------- */

static bool path_matches(const struct route *r, struct str path)
{
    switch (r->path_kind) {
    case PATH_MATCH_PREFIX:
        return r->case_sensitive ? str_starts(path, r->path) : str_starts_nocase(path, r->path);
    case PATH_MATCH_EXACT:
        return r->case_sensitive ? str_eq(path, r->path) : str_eq_nocase(path, r->path);
    case PATH_MATCH_SEPARATED_PREFIX:
        return (r->case_sensitive ? str_starts(path, r->path) : str_starts_nocase(path, r->path)) &&
               (path.len == r->path.len || path.ptr[r->path.len] == '/');
    case PATH_MATCH_REGEX:
    case PATH_MATCH_CONNECT:
        break;
    }
    return false;
}

#define RANDOM_ROUTES 60

static struct str random_path(struct rng *rng, struct arena *a)
{
    static const char letters[] = "aAb/";
    size_t len = 1 + rng_below(rng, 6);
    char *p = arena_alloc(a, len);

    p[0] = '/';
    for (size_t i = 1; i < len; i++) {
        p[i] = letters[rng_below(rng, 4)];
    }
    return str_n(p, len);
}

static void test_index_against_walk(void **state)
{
    static const struct str all[] = {{"*", 1}};
    struct rng rng;

    rng_seed_with(&rng, 7);
    for (int round = 0; round < 100; round++) {
        struct route_config *t = table_new();
        struct arena *a = &t->part.arena;
        struct route *routes = ARENA_ARRAY(a, struct route, RANDOM_ROUTES);
        struct virtual_host *vh = ARENA_NEW(a, struct virtual_host);
        struct header_matcher *never = ARENA_NEW(a, struct header_matcher);

        *never = present(true, false, false);
        for (size_t i = 0; i < RANDOM_ROUTES; i++) {
            routes[i].path_kind = (enum path_match_kind)rng_below(&rng, 3);
            routes[i].path = random_path(&rng, a);
            routes[i].case_sensitive = rng_below(&rng, 4) != 0;
            if (rng_below(&rng, 3) == 0) {
                routes[i].headers = never;
                routes[i].header_count = 1;
            }
        }
        *vh = (struct virtual_host){
            .domains = all, .domain_count = 1, .routes = routes, .route_count = RANDOM_ROUTES};
        table_add_vhosts(t, vh, 1);
        for (int i = 0; i < 100; i++) {
            struct header_map h;
            struct str path = random_path(&rng, a);
            const struct route *want = NULL;

            header_map_init(&h, a);
            header_add(&h, HDR_PATH, path);
            header_add(&h, HDR_AUTHORITY, STR("h"));
            for (size_t k = 0; k < RANDOM_ROUTES && want == NULL; k++) {
                if (path_matches(&routes[k], path) && routes[k].header_count == 0) {
                    want = &routes[k];
                }
            }
            assert_ptr_equal(find(t, &h, 0), want);
        }
        part_unref(&t->part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_header_matchers),
        cmocka_unit_test(test_joined_headers),
        cmocka_unit_test(test_query_matchers),
        cmocka_unit_test(test_route_conditions),
        cmocka_unit_test(test_require_tls),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_grpc_only),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_index_against_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
