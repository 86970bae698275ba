/*
 * What is accepted and what is refused, against Envoy 1.40: integration/corpus/verdicts/ holds for
 * each case Envoy's verdict (accept, refuse; unsupported: Envoy accepts, this build says it cannot)
 * and the exact error that it gets here.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/parse/cluster.h"
#include "config/parse/format.h"
#include "config/parse/listener.h"
#include "config/parse/parse_support.h"
#include "config/parse/route.h"
#include "config/text_node.h"

#define CASES_DIR "integration/corpus/verdicts/"

typedef int case_fn(struct parse_fixture *f, struct str json);

static int parse_route_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r = parse_fixture_message(f, &envoy__config__route__v3__route_configuration__descriptor,
                                  json, &m);

    return r < 0 ? r
                 : parse_route_config(&f->ctx,
                                      (const Envoy__Config__Route__V3__RouteConfiguration *)m,
                                      (struct route_config *)f->part);
}

static int parse_cluster_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r = parse_fixture_message(f, &envoy__config__cluster__v3__cluster__descriptor, json, &m);

    return r < 0 ? r
                 : parse_cluster(&f->ctx, (const Envoy__Config__Cluster__V3__Cluster *)m,
                                 (struct cluster_config *)f->part);
}

static int parse_listener_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r = parse_fixture_message(f, &envoy__config__listener__v3__listener__descriptor, json, &m);

    return r < 0 ? r
                 : parse_listener(&f->ctx, (const Envoy__Config__Listener__V3__Listener *)m, NULL,
                                  (struct listener_config *)f->part);
}

static int parse_format_case(struct parse_fixture *f, struct str json)
{
    const struct text_node *node;
    struct format format;
    int r = json_parse(json, &f->scratch, &node, &f->err);

    return r < 0 ? r : parse_format(&f->ctx, NULL, node->scalar, &format);
}

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    char *text = malloc(1 << 20);

    assert_non_null(f);
    assert_non_null(text);
    *ret_len = fread(text, 1, 1 << 20, f);
    (void)fclose(f);
    return text;
}

/* Prints what is not as it should be; returns whether all is well. */
static bool check_case(struct str line, enum part_kind kind, size_t bytes, case_fn *fn)
{
    struct str verdict;
    struct str name;
    struct str json;
    struct str error = STR("");
    struct parse_fixture f;
    bool is_good;
    int r;

    assert_true(str_split(&line, '\t', &verdict));
    assert_true(str_split(&line, '\t', &name));
    assert_true(str_split(&line, '\t', &json));
    (void)str_split(&line, '\t', &error);
    parse_fixture_init(&f, bytes, kind, "r");
    f.ctx.is_static = true;
    r = fn(&f, json);
    is_good = str_eq(verdict, STR("accept")) ? r == 0 : r < 0;
    is_good = is_good && str_eq(str_c(error_message(&f.err)), error);
    if (getenv("VERDICTS_WRITE") != NULL) {
        printf("@%.*s\t%.*s\t%.*s\t%s\n",
               STR_ARG(r < 0 && str_eq(verdict, STR("accept")) ? STR("unsupported") : verdict),
               STR_ARG(name), STR_ARG(json), error_message(&f.err));
    } else if (!is_good) {
        printf("%.*s, %.*s: got %d '%s', want '%.*s'\n", STR_ARG(verdict), STR_ARG(name), r,
               error_message(&f.err), STR_ARG(error));
    }
    parse_fixture_done(&f);
    return is_good;
}

static void check_file(const char *path, enum part_kind kind, size_t bytes, case_fn *fn)
{
    size_t len;
    char *text = read_file(path, &len);
    struct str rest = str_n(text, len);
    struct str line;
    size_t bad = 0;
    size_t n = 0;

    while (str_split(&rest, '\n', &line)) {
        if (line.len > 0 && line.ptr[0] != '#') {
            bad += !check_case(line, kind, bytes, fn);
            n++;
        }
    }
    free(text);
    assert_true(n > 10);
    assert_int_equal(bad, 0);
}

static void test_route_tables(void **state)
{
    check_file(CASES_DIR "route.tsv", PART_ROUTE_TABLE, sizeof(struct route_config),
               parse_route_case);
}

static void test_clusters(void **state)
{
    check_file(CASES_DIR "cluster.tsv", PART_CLUSTER, sizeof(struct cluster_config),
               parse_cluster_case);
}

static void test_listeners(void **state)
{
    check_file(CASES_DIR "listener.tsv", PART_LISTENER, sizeof(struct listener_config),
               parse_listener_case);
}

static void test_formats(void **state)
{
    check_file(CASES_DIR "format.tsv", PART_LISTENER, sizeof(struct listener_config),
               parse_format_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_tables),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
