/* Header operations, host and path rewriting against the results of Envoy 1.40. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/header_rewrite.h"

static struct arena arena;
static struct header_map headers;
static struct stream_info info;
static struct route_config table;
static struct virtual_host vhost;
static struct route route;
static struct weighted_cluster weighted;
static struct route_match match;

static int setup(void **state)
{
    arena_init(&arena, NULL);
    header_map_init(&headers, &arena);
    memset(&info, 0, sizeof(info));
    memset(&table, 0, sizeof(table));
    memset(&vhost, 0, sizeof(vhost));
    memset(&route, 0, sizeof(route));
    memset(&weighted, 0, sizeof(weighted));
    match = (struct route_match){.vhost = &vhost, .route = &route};
    header_add(&headers, HDR_METHOD, STR("GET"));
    header_add(&headers, HDR_PATH, STR("/ops/x?q=1"));
    header_add(&headers, HDR_AUTHORITY, STR("h:80"));
    route.path_kind = PATH_MATCH_PREFIX;
    route.path = STR("/ops");
    return 0;
}

static int teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

static struct header_rewrite rewrite(struct access_log_entry *entry)
{
    *entry = (struct access_log_entry){.info = &info, .request_headers = &headers};
    return (struct header_rewrite){.table = &table, .match = &match, .entry = entry};
}

static void request(bool keeps_original)
{
    struct access_log_entry entry;
    struct header_rewrite rw = rewrite(&entry);

    header_rewrite_request(&rw, keeps_original, &headers);
}

/* All live headers but the pseudo ones, as "name: value|". */
static void check(const char *want)
{
    struct strbuf got;

    strbuf_init(&got);
    header_for_each(h, &headers)
    {
        if (!header_id_is_pseudo((enum header_id)h->id)) {
            strbuf_addf(&got, "%.*s: %.*s|", STR_ARG(h->name), STR_ARG(h->value));
        }
    }
    strbuf_add(&got, "", 0);
    if (!str_eq(strbuf_str(&got), str_c(want))) {
        fail_msg("got  '%.*s'\nwant '%s'", STR_ARG(strbuf_str(&got)), want);
    }
    strbuf_done(&got);
}

static struct header_add literal(const char *name, const char *value,
                                 enum header_append_action action)
{
    return (struct header_add){
        .name = str_c(name),
        .value = {.is_literal = true, .literal = str_c(value)},
        .action = action,
    };
}

static struct header_ops adds(const struct header_add *add, size_t count)
{
    return (struct header_ops){.add = add, .add_count = count};
}

static void test_actions(void **state)
{
    const struct header_add add[] = {
        literal("x-append", "2", HEADER_APPEND_IF_EXISTS_OR_ADD),
        literal("x-absent", "2", HEADER_ADD_IF_ABSENT),
        literal("x-new", "2", HEADER_ADD_IF_ABSENT),
        literal("x-over", "2", HEADER_OVERWRITE_IF_EXISTS_OR_ADD),
        literal("x-over-new", "2", HEADER_OVERWRITE_IF_EXISTS_OR_ADD),
        literal("x-if", "2", HEADER_OVERWRITE_IF_EXISTS),
        literal("x-if-new", "2", HEADER_OVERWRITE_IF_EXISTS),
    };

    header_add_name(&headers, STR("x-append"), STR("1"));
    header_add_name(&headers, STR("x-absent"), STR("1"));
    header_add_name(&headers, STR("x-over"), STR("1"));
    header_add_name(&headers, STR("x-over"), STR("1b"));
    header_add_name(&headers, STR("x-if"), STR("1"));
    route.request_headers = adds(add, sizeof(add) / sizeof(add[0]));
    request(true);
    check("x-append: 1|x-absent: 1|x-over: 2|x-if: 2|x-over-new: 2|x-append: 2|x-new: 2|");
}

/* Headers of which Envoy keeps one value grow with a comma, others get another line. */
static void test_append_to_single_headers(void **state)
{
    const struct header_add add[] = {
        literal("user-agent", "2", HEADER_APPEND_IF_EXISTS_OR_ADD),
        literal("cookie", "2", HEADER_APPEND_IF_EXISTS_OR_ADD),
    };

    header_add(&headers, HDR_USER_AGENT, STR("1"));
    header_add(&headers, HDR_COOKIE, STR("1"));
    route.request_headers = adds(add, 2);
    request(true);
    check("user-agent: 1,2|cookie: 1|cookie: 2|");
}

static void test_removal_comes_first(void **state)
{
    const struct header_add add[] = {literal("x", "new", HEADER_APPEND_IF_EXISTS_OR_ADD)};
    const struct str names[] = {STR("x"), STR("user-agent"), STR("not-there")};

    header_add_name(&headers, STR("x"), STR("old"));
    header_add(&headers, HDR_USER_AGENT, STR("ua"));
    route.request_headers = adds(add, 1);
    route.request_headers.remove = names;
    route.request_headers.remove_count = 3;
    request(true);
    check("x: new|");
}

static void test_operators_and_empty_values(void **state)
{
    const struct format_item missing[] = {{.op = FORMAT_REQ, .arg1 = STR("nope")}};
    const struct format_item mixed[] = {{.op = FORMAT_LITERAL, .arg1 = STR("a")},
                                        {.op = FORMAT_REQ, .arg1 = STR("nope")},
                                        {.op = FORMAT_LITERAL, .arg1 = STR("b")}};
    const struct format_item there[] = {{.op = FORMAT_REQ, .arg1 = STR(":path")}};
    const struct header_add add[] = {
        {.name = STR("x-missing"), .value = {.items = missing, .count = 1}},
        {.name = STR("x-kept"), .value = {.items = missing, .count = 1}, .keep_empty_value = true},
        {.name = STR("x-mixed"), .value = {.items = mixed, .count = 3}},
        {.name = STR("x-path"), .value = {.items = there, .count = 1}},
    };

    route.request_headers = adds(add, 4);
    request(true);
    check("x-kept: |x-mixed: ab|x-path: /ops/x?q=1|");
}

/* What a peer says elsewhere may hold anything: a request is marked for the router, a response goes
 * without. */
static void test_values_that_no_header_may_have(void **state)
{
    const struct format_item name[] = {{.op = FORMAT_ROUTE_NAME}};
    const struct header_add add[] = {
        {.name = STR("x-name"), .value = {.items = name, .count = 1}},
        {.name = STR("x-ok"), .value = {.is_literal = true, .literal = STR("1")}},
    };
    struct access_log_entry entry;
    struct header_rewrite rw = rewrite(&entry);

    info.route_name = STR("a.example");
    route.request_headers = adds(add, 2);
    route.response_headers = adds(add, 2);
    request(true);
    assert_null(header_find_invalid(&headers));
    info.route_name = STR("a\r\nx-evil: 1");
    request(true);
    assert_true(str_eq(header_find_invalid(&headers)->name, STR("x-name")));
    header_map_init(&headers, &arena);
    header_rewrite_response(&rw, &headers);
    check("x-ok: 1|");
}

static void set_levels(const struct header_add add[4])
{
    weighted.request_headers = adds(&add[0], 1);
    route.request_headers = adds(&add[1], 1);
    vhost.request_headers = adds(&add[2], 1);
    table.request_headers = adds(&add[3], 1);
    match.weighted = &weighted;
}

static void test_levels(void **state)
{
    const struct header_add append[] = {literal("x", "weighted", HEADER_APPEND_IF_EXISTS_OR_ADD),
                                        literal("x", "route", HEADER_APPEND_IF_EXISTS_OR_ADD),
                                        literal("x", "vhost", HEADER_APPEND_IF_EXISTS_OR_ADD),
                                        literal("x", "table", HEADER_APPEND_IF_EXISTS_OR_ADD)};
    const struct header_add over[] = {literal("y", "weighted", HEADER_OVERWRITE_IF_EXISTS_OR_ADD),
                                      literal("y", "route", HEADER_OVERWRITE_IF_EXISTS_OR_ADD),
                                      literal("y", "vhost", HEADER_OVERWRITE_IF_EXISTS_OR_ADD),
                                      literal("y", "table", HEADER_OVERWRITE_IF_EXISTS_OR_ADD)};

    set_levels(append);
    request(true);
    check("x: weighted|x: route|x: vhost|x: table|");
    (void)header_remove_name(&headers, STR("x"));
    set_levels(over);
    request(true);
    check("y: table|");
    (void)header_remove_name(&headers, STR("y"));
    table.most_specific_header_mutations_wins = true;
    request(true);
    check("y: route|"); /* the weighted cluster goes first all the same */
}

static void test_response_levels(void **state)
{
    const struct header_add add[] = {literal("r", "route", HEADER_APPEND_IF_EXISTS_OR_ADD),
                                     literal("r", "table", HEADER_APPEND_IF_EXISTS_OR_ADD)};
    struct access_log_entry entry;
    struct header_rewrite rw = rewrite(&entry);

    route.response_headers = adds(&add[0], 1);
    table.response_headers = adds(&add[1], 1);
    header_rewrite_response(&rw, &headers);
    check("r: route|r: table|");
}

static void test_prefix_and_host(void **state)
{
    route.forward.prefix_rewrite = STR("/new");
    route.forward.host_rewrite_literal = STR("other");
    route.forward.append_x_forwarded_host = true;
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_PATH), STR("/new/x?q=1")));
    assert_true(str_eq(header_get(&headers, HDR_AUTHORITY), STR("other")));
    check("x-envoy-original-host: h:80|x-forwarded-host: h:80|x-envoy-original-path: /ops/x?q=1|");
}

static void test_suppressed_originals(void **state)
{
    route.forward.prefix_rewrite = STR("/new");
    route.forward.host_rewrite_literal = STR("other");
    request(false);
    assert_true(str_eq(header_get(&headers, HDR_PATH), STR("/new/x?q=1")));
    check("");
}

static void test_rewrite_kinds(void **state)
{
    static const struct {
        enum path_match_kind kind;
        const char *match;
        const char *path;
        const char *rewrite;
        const char *want;
    } cases[] = {
        {PATH_MATCH_EXACT, "/a", "/a?q", "/b", "/b?q"},
        {PATH_MATCH_PREFIX, "/", "/a/b", "/x/", "/x/a/b"},
        {PATH_MATCH_PREFIX, "/a/", "/a/b?c=/a/", "/", "/b?c=/a/"},
        {PATH_MATCH_SEPARATED_PREFIX, "/a", "/a/b", "/x", "/x/b"},
        {PATH_MATCH_SEPARATED_PREFIX, "/a", "/a", "/x", "/x"},
        {PATH_MATCH_REGEX, "", "/a/b?c", "/x", "/x?c"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)teardown(state);
        (void)setup(state);
        route.path_kind = cases[i].kind;
        route.path = str_c(cases[i].match);
        route.forward.prefix_rewrite = str_c(cases[i].rewrite);
        header_set(&headers, HDR_PATH, str_c(cases[i].path));
        request(true);
        assert_true(str_eq(header_get(&headers, HDR_PATH), str_c(cases[i].want)));
    }
}

static void test_regex_rewrite(void **state)
{
    struct error why;

    error_init(&why);
    assert_int_equal(
        regex_new(STR("^/ops/(.*)$"), 0, &route.forward.path_regex_rewrite.regex, &why), 0);
    route.forward.path_regex_rewrite.substitution = STR("/v2/\\1");
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_PATH), STR("/v2/x?q=1")));
    regex_free(route.forward.path_regex_rewrite.regex);
    error_done(&why);
}

static void test_host_from_header(void **state)
{
    route.forward.host_rewrite_header = STR("x-host");
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_AUTHORITY), STR("h:80"))); /* it is not there */
    header_add_name(&headers, STR("x-host"), STR("from-header"));
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_AUTHORITY), STR("from-header")));
    check("x-host: from-header|x-envoy-original-host: h:80|");
}

static void test_host_from_path(void **state)
{
    struct error why;

    error_init(&why);
    assert_int_equal(
        regex_new(STR("^/ops/(.*)$"), 0, &route.forward.host_rewrite_path_regex.regex, &why), 0);
    route.forward.host_rewrite_path_regex.substitution = STR("\\1.test");
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_AUTHORITY), STR("x.test")));
    check("x-envoy-original-host: h:80|");
    regex_free(route.forward.host_rewrite_path_regex.regex);
    error_done(&why);
}

static void test_host_of_a_weighted_cluster(void **state)
{
    weighted.host_rewrite = STR("from-weighted");
    match.weighted = &weighted;
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_AUTHORITY), STR("from-weighted")));
    check("");
    route.forward.host_rewrite_literal = STR("from-route"); /* which comes after it */
    request(true);
    assert_true(str_eq(header_get(&headers, HDR_AUTHORITY), STR("from-route")));
    check("x-envoy-original-host: from-weighted|");
}

static void test_forwarded_host_once(void **state)
{
    header_add(&headers, HDR_X_FORWARDED_HOST, STR("first, h:80"));
    header_rewrite_host(&headers, STR("other"), false, true);
    assert_true(str_eq(header_get(&headers, HDR_X_FORWARDED_HOST), STR("first, h:80")));
    header_rewrite_host(&headers, STR("third"), false, true);
    assert_true(str_eq(header_get(&headers, HDR_X_FORWARDED_HOST), STR("first, h:80,other")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_actions),
        TEST(test_append_to_single_headers),
        TEST(test_removal_comes_first),
        TEST(test_operators_and_empty_values),
        TEST(test_values_that_no_header_may_have),
        TEST(test_levels),
        TEST(test_response_levels),
        TEST(test_prefix_and_host),
        TEST(test_suppressed_originals),
        TEST(test_rewrite_kinds),
        TEST(test_regex_rewrite),
        TEST(test_host_from_header),
        TEST(test_host_from_path),
        TEST(test_host_of_a_weighted_cluster),
        TEST(test_forwarded_host_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
