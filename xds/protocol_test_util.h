#ifndef XDS_PROTOCOL_TEST_UTIL_H
#define XDS_PROTOCOL_TEST_UTIL_H

/* For sotw_test and delta_test: one type's state, driven by hand. Include after cmocka.h. */

#include "xds/fake_ads.h"
#include "xds/type_state.h"

static struct xds_type_state ts;

static void add(const char *name)
{
    struct xds_name *n;

    (void)xds_type_state_add(&ts, str_c(name), &n);
}

static void drop(const char *name)
{
    xds_type_state_remove(&ts, str_c(name));
}

/* The next request must be `text` (fake_request_text). */
#define assert_request(text) assert_request_at((text), __FILE__, __LINE__)
static void assert_request_at(const char *text, const char *file, int line)
{
    struct strbuf out;
    struct fake_request *rq;

    _assert_true(xds_type_state_has_request(&ts), "has a request", file, line);
    strbuf_init(&out);
    ts.protocol->build_request(&ts, STR_NONE, &out);
    rq = fake_request_decode(strbuf_str(&out), ts.protocol->is_delta);
    _assert_string_equal(fake_request_text(rq), text, file, line);
    assert_true(str_eq(rq->type_url, ts.type_url));
    fake_request_free(rq);
    strbuf_done(&out);
}

static void assert_silent(void)
{
    assert_false(xds_type_state_has_request(&ts));
}

/* A response with these names (comma-separated, "-x" for a removal), accepted when `error` is
 * NULL. */
static void answer(const char *version, const char *nonce, const char *names, const char *error)
{
    struct xds_resource resources[8] = {{.len = 0}};
    struct str removed[8];
    struct xds_response rs = {
        .update = {.type_url = ts.type_url,
                   .version_info = str_c(version),
                   .resources = resources,
                   .removed = removed},
        .nonce = str_c(nonce),
    };
    struct xds_verdict v = {.accepted = error == NULL};
    struct str rest = str_c(names);
    struct str name;

    while (rest.len > 0 && str_split(&rest, ',', &name)) {
        if (name.ptr[0] == '-') {
            removed[rs.update.removed_count++] = str_sub(name, 1, name.len);
        } else {
            resources[rs.update.resource_count].name = name;
            resources[rs.update.resource_count++].version = str_c(version);
        }
    }
    strbuf_init(&v.detail);
    strbuf_add_str(&v.detail, str_c(error));
    ts.protocol->applied(&ts, &rs, &v);
    strbuf_done(&v.detail);
}

static void new_stream(void)
{
    xds_type_state_stream_started(&ts);
}

static int teardown(void **state)
{
    xds_type_state_done(&ts);
    return 0;
}

#endif
