/* The shape of local replies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/conn_manager_config.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/runtime/thread_context.h"

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

/* --- local_reply_config ------------------------------------------------------------------- */

static struct stream_info info;
static struct thread_context thread; /* without runtime */

static void check_rewritten(const struct local_reply_config *c, const struct local_reply *reply,
                            bool is_grpc, const char *head, const char *body)
{
    struct local_reply made = *reply;
    struct header_map *h = local_reply_headers(&made, &arena);
    struct access_log_entry entry = {.info = &info, .response_headers = h};
    struct str got_body;
    struct strbuf got;

    local_reply_rewrite(c, &made, &info, &entry, &thread, h);
    got_body = local_reply_finish(&made, is_grpc, false, h);
    strbuf_init(&got);
    header_for_each(e, h)
    {
        strbuf_addf(&got, "%.*s: %.*s|", STR_ARG(e->name), STR_ARG(e->value));
    }
    if (!str_eq(strbuf_str(&got), str_c(head)) || !str_eq(got_body, str_c(body))) {
        fail_msg("got '%.*s' and '%.*s'", STR_ARG(strbuf_str(&got)), STR_ARG(got_body));
    }
    strbuf_done(&got);
    assert_int_equal(info.local_reply_body.len, 0);
}

static struct log_filter status_is(uint64_t status)
{
    return (struct log_filter){
        .kind = LOG_FILTER_STATUS_CODE, .op = LOG_FILTER_EQ, .value = status};
}

static struct format literal(const char *text)
{
    return (struct format){.is_literal = true, .literal = str_c(text)};
}

static void test_first_mapper_decides(void **state)
{
    static const struct header_add add = {.name = {"x", 1},
                                          .value = {.is_literal = true, .literal = {"y", 1}}};
    const struct local_reply_mapper mappers[] = {
        {.filter = status_is(500), .status = 501},
        {.filter = status_is(503),
         .status = 504,
         .has_body = true,
         .body = STR("sorry"),
         .headers = {.add = &add, .add_count = 1}},
        {.filter = status_is(503), .status = 505},
    };
    struct local_reply_config c = {.mappers = mappers, .mapper_count = 3};
    struct local_reply r = {.status = 503, .body = STR("no")};

    check_rewritten(&c, &r, false, ":status: 504|x: y|content-length: 5|content-type: text/plain|",
                    "sorry");
    assert_int_equal(info.response_code, 504);
    check_rewritten(&c, &r, true,
                    ":status: 200|x: y|content-type: application/grpc|grpc-status: 14|"
                    "grpc-message: sorry|",
                    "");
    r.status = 404; /* of no mapper's */
    check_rewritten(&c, &r, false, ":status: 404|content-length: 2|content-type: text/plain|",
                    "no");
}

static void test_body_formats(void **state)
{
    struct format_item body = {.op = FORMAT_LOCAL_REPLY_BODY};
    struct format_json leaf = {
        .kind = FORMAT_JSON_LEAF, .key = STR("m"), .leaf = {.items = &body, .count = 1}};
    struct substitution_format text = {.text = literal("<p>"), .content_type = STR("text/html")};
    struct substitution_format json = {
        .is_json = true,
        .json = {.kind = FORMAT_JSON_OBJECT, .children = &leaf, .count = 1},
    };
    struct local_reply_mapper mapper = {.filter = status_is(400), .format = &json};
    struct local_reply_config c = {.mappers = &mapper, .mapper_count = 1, .format = &text};
    struct local_reply r = {.status = 404, .body = STR("no")};

    check_rewritten(&c, &r, false, ":status: 404|content-length: 3|content-type: text/html|",
                    "<p>");
    r.status = 400; /* the mapper's own */
    check_rewritten(&c, &r, false,
                    ":status: 400|content-length: 11|content-type: application/json|",
                    "{\"m\":\"no\"}\n");
    /* A header value has no end of line. */
    check_rewritten(&c, &r, true,
                    ":status: 200|content-type: application/grpc|grpc-status: 13|"
                    "grpc-message: {\"m\":\"no\"}|",
                    "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain),        TEST(test_extra_headers),
        TEST(test_grpc),         TEST(test_first_mapper_decides),
        TEST(test_body_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
