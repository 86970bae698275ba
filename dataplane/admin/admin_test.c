/* Routing, parameters and help of the admin interface; the home page. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/admin/admin.h"

static char context[] = "context";
static struct strbuf seen;

/* Writes what it was asked. */
static void echo_render(void *got, const struct admin_request *rq, struct admin_response *rs)
{
    assert_ptr_equal(got, context);
    for (size_t i = 0; i < rq->param_count; i++) {
        strbuf_addf(&rs->body, "[%.*s=%.*s]", STR_ARG(rq->params[i].name),
                    STR_ARG(rq->params[i].value));
    }
}

static const char *const CHOICES[] = {"one", "two", NULL};
static const struct admin_param_doc DOCS[] = {
    {.name = "flag", .help = "<b>&\"'", .is_flag = true},
    {.name = "pick", .help = "a choice", .choices = CHOICES},
    {.name = "text", .help = "anything"},
};
static const struct admin_endpoint echo = {.path = "/echo",
                                           .help = "says it again",
                                           .params = DOCS,
                                           .param_count = 3,
                                           .render = echo_render};
static const struct admin_endpoint change = {
    .path = "/change/it", .help = "changes <it>", .needs_post = true, .render = echo_render};

static struct admin *make(void)
{
    struct admin *a = admin_new();

    admin_add(a, &echo, context);
    admin_add(a, &change, context);
    admin_add(a, &admin_home_endpoint, a);
    return a;
}

/* The body; until the next call. */
static const char *ask(struct admin *a, const char *method, const char *path, const char *form,
                       int wanted_status)
{
    struct admin_response rs = {.status = 200, .content_type = "text/plain; charset=UTF-8"};

    strbuf_done(&seen);
    strbuf_init(&rs.body);
    admin_handle(a,
                 &(struct admin_call){
                     .method = str_c(method), .path_and_query = str_c(path), .form = str_c(form)},
                 &rs);
    assert_int_equal(rs.status, wanted_status);
    seen = rs.body;
    strbuf_add_c(&seen, "");
    return seen.ptr != NULL ? seen.ptr : "";
}

static void test_parameters(void **state)
{
    static const struct {
        const char *path;
        const char *form;
        const char *body;
    } rows[] = {
        {"/echo", "", ""},
        {"/echo?", "", ""},
        {"/echo?a=1&b", "", "[a=1][b=]"},
        {"/echo?a=1&&a=2&", "", "[a=1][a=2]"},
        {"/echo?%61=%3d%26&b=a+b", "", "[a==&][b=a+b]"},
        {"/echo?a=%4&b=%zz&c=%", "", "[a=%4][b=%zz][c=%]"},
        {"/echo?a=b=c", "", "[a=b=c]"},
        {"/echo?a=?x", "", "[a=?x]"},
        {"/echo", "x=1&y=%20", "[x=1][y= ]"},
        {"/echo?a=1", "x=1", "[a=1]"}, /* as Envoy: the query wins */
    };
    struct admin *a = make();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(ask(a, "GET", rows[i].path, rows[i].form, 200), rows[i].body);
    }
    admin_free(a);
}

static void test_more_parameters_than_fit_are_left_out(void **state)
{
    struct admin *a = make();
    struct strbuf path;
    const char *body;
    size_t n = 0;

    (void)state;
    strbuf_init(&path);
    strbuf_add_c(&path, "/echo?");
    for (int i = 0; i < 1000; i++) {
        strbuf_add_c(&path, "a&");
    }
    body = ask(a, "GET", path.ptr, "", 200);
    for (const char *p = body; *p != '\0'; p++) {
        n += *p == '[';
    }
    assert_int_equal(n, 256);
    strbuf_done(&path);
    admin_free(a);
}

static void test_methods_and_paths(void **state)
{
    struct admin *a = make();

    (void)state;
    assert_string_equal(ask(a, "GET", "/change/it", "", 405),
                        "Method GET not allowed, POST required.");
    assert_string_equal(ask(a, "HEAD", "/change/it", "", 405),
                        "Method HEAD not allowed, POST required.");
    (void)ask(a, "POST", "/change/it", "", 200);
    (void)ask(a, "PUT", "/echo", "", 200); /* as Envoy */
    (void)ask(a, "GET", "/ECHO", "", 404);
    (void)ask(a, "GET", "/echo/", "", 404);
    (void)ask(a, "GET", "", "", 404);
    admin_free(a);
}

static void test_help_names_all(void **state)
{
    static const char wanted[] = "admin commands are:\n"
                                 "  /: Admin home page\n"
                                 "  /change/it (POST): changes <it>\n"
                                 "  /echo: says it again\n"
                                 "      flag: <b>&\"'\n"
                                 "      pick: a choice; One of (one, two)\n"
                                 "      text: anything\n"
                                 "  /help: print out list of admin commands\n";
    struct admin *a = make();
    const char *body;

    (void)state;
    assert_string_equal(ask(a, "GET", "/help", "", 200), wanted);
    body = ask(a, "GET", "/nothing", "", 404);
    assert_memory_equal(body, "invalid path. ", 14);
    assert_string_equal(body + 14, wanted);
    admin_free(a);
}

static void test_only_allowed_paths(void **state)
{
    const struct string_matcher allowed[] = {
        {.kind = STRING_MATCH_EXACT, .value = STR("/echo")},
        {.kind = STRING_MATCH_PREFIX, .value = STR("/change")},
    };
    struct admin *a = make();

    (void)state;
    admin_allow_paths(a, allowed, ARRAY_LEN(allowed));
    (void)ask(a, "GET", "/echo", "", 200);
    assert_string_equal(ask(a, "GET", "/echo?a", "", 403), "request to path /echo?a not allowed");
    (void)ask(a, "POST", "/change/it?x", "", 200);
    (void)ask(a, "GET", "/nothing", "", 403);
    admin_free(a);
}

static void assert_has(const char *text, const char *part)
{
    if (str_find(str_c(text), str_c(part)) == STR_NPOS) {
        fail_msg("no %s", part);
    }
}

static void test_home_page(void **state)
{
    struct admin *a = make();
    const char *body = ask(a, "GET", "/", "", 200);

    (void)state;
    assert_has(body, "<!DOCTYPE html>\n");
    assert_has(body, "</html>\n");
    assert_has(body, "<form action='change/it' method='post' id='change/it'><button>change/it<");
    assert_has(body, "changes &lt;it&gt;");
    assert_has(body, "<form action='echo' method='get' id='echo'>");
    assert_has(body, "<input type='checkbox' name='flag' form='echo'>");
    assert_has(body, "&lt;b&gt;&amp;&quot;&#39;");
    assert_has(body, "<option value='two'>two</option>");
    assert_has(body, "<a class='mono' href='help'>help</a>");
    admin_free(a);
}

static int done(void **state)
{
    (void)state;
    strbuf_done(&seen);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_more_parameters_than_fit_are_left_out),
        cmocka_unit_test(test_methods_and_paths),
        cmocka_unit_test(test_help_names_all),
        cmocka_unit_test(test_only_allowed_paths),
        cmocka_unit_test(test_home_page),
    };

    return cmocka_run_group_tests(tests, NULL, done);
}
