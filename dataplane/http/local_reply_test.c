/* The shape of local replies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/local_reply.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, NULL);
    return 0;
}

static int teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

static void check(const struct local_reply *reply, bool is_grpc, bool is_head, const char *head,
                  const char *body)
{
    struct header_map *h = local_reply_headers(reply, &arena);
    struct str got_body = local_reply_finish(reply, is_grpc, is_head, h);
    struct strbuf got;

    strbuf_init(&got);
    header_for_each(e, h)
    {
        strbuf_addf(&got, "%.*s: %.*s|", STR_ARG(e->name), STR_ARG(e->value));
    }
    if (!str_eq(strbuf_str(&got), str_c(head)) || !str_eq(got_body, str_c(body))) {
        fail_msg("got '%.*s' and '%.*s'", STR_ARG(strbuf_str(&got)), STR_ARG(got_body));
    }
    strbuf_done(&got);
}

static void test_plain(void **state)
{
    struct local_reply r = {.status = 503, .body = STR("no healthy upstream")};

    check(&r, false, false, ":status: 503|content-length: 19|content-type: text/plain|",
          "no healthy upstream");
    check(&r, false, true, ":status: 503|content-length: 19|content-type: text/plain|", "");
    r.body = STR_NONE;
    check(&r, false, false, ":status: 503|", "");
}

static void test_extra_headers(void **state)
{
    struct header_map extra;
    struct local_reply r = {.status = 200, .body = STR("{}"), .extra = &extra};

    header_map_init(&extra, &arena);
    header_add(&extra, HDR_CONTENT_TYPE, STR("application/json"));
    header_add_name(&extra, STR("x"), STR("y"));
    check(&r, false, false, ":status: 200|content-type: application/json|x: y|content-length: 2|",
          "{}");
    r.body = STR_NONE; /* a type of nothing says nothing */
    check(&r, false, false, ":status: 200|x: y|", "");
}

static void test_grpc(void **state)
{
    struct local_reply r = {.status = 503, .body = STR("50% ~}\n\xc3\xa4\x7f")};

    check(&r, true, false,
          ":status: 200|content-type: application/grpc|grpc-status: 14|grpc-message: 50%25 "
          "%7E}%0A%C3%A4%7F|",
          "");
    r.has_grpc_status = true;
    r.grpc_status = 4;
    r.body = STR_NONE;
    check(&r, true, false, ":status: 200|content-type: application/grpc|grpc-status: 4|", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain),
        TEST(test_extra_headers),
        TEST(test_grpc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
