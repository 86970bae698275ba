/* What requests want of the transport of their upstream connections. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/net/transport_options.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/request_transport.h"

struct fixture {
    struct arena arena;
    struct cluster_config config;
    struct cluster cluster;
    struct stream_info info;
    struct filter_state_object state[3];
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.cluster.config = &f.config};
    arena_init(&f.arena, NULL);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_done(&f->arena);
    return 0;
}

static const struct transport_options *options_of(struct fixture *f, struct str name)
{
    return request_transport_options(&f->cluster, name, &f->info, &f->arena);
}

static void leave(struct fixture *f, size_t at, const char *name, struct str plain)
{
    f->state[at] = (struct filter_state_object){.name = str_c(name), .plain = plain};
    filter_state_add(&f->info, &f->state[at]);
}

#define assert_str(is, want)                                                                       \
    do {                                                                                           \
        struct str is_ = is;                                                                       \
                                                                                                   \
        assert_int_equal(is_.len, sizeof(want) - 1);                                               \
        assert_memory_equal(is_.ptr, want, sizeof(want) - 1);                                      \
    } while (0)

static void hosts_of_authorities(void **state)
{
    static const struct {
        const char *authority;
        const char *host;
        bool is_ip;
    } cases[] = {
        {"a.test", "a.test", false},
        {"a.test:80", "a.test", false},
        {"a.test:", "a.test:", false},
        {"a.test:http", "a.test:http", false},
        {"a.test:65536", "a.test:65536", false},
        {"1.2.3.4", "1.2.3.4", true},
        {"1.2.3.4:443", "1.2.3.4", true},
        {"[::1]", "::1", true},
        {"[::1]:443", "::1", true},
        {"[a]", "[a]", false},
        {"", "", false},
        {":80", "", false},
        {"[]", "[]", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str host;
        bool is_ip = authority_host(str_c(cases[i].authority), &host);

        if (is_ip != cases[i].is_ip || !str_eq(host, str_c(cases[i].host))) {
            fail_msg("%s: %.*s", cases[i].authority, STR_ARG(host));
        }
    }
}

static void nothing_is_wanted_unless_asked_for(void **state)
{
    struct fixture *f = *state;

    assert_null(options_of(f, STR("a.test")));
    f->config.auto_sni = true;
    assert_null(options_of(f, STR("1.2.3.4:80"))); /* an IP is no SNI */
    assert_null(options_of(f, STR("")));
}

static void auto_sni_and_san(void **state)
{
    struct fixture *f = *state;
    const struct transport_options *o;

    f->config.auto_sni = true;
    o = options_of(f, STR("a.test:8443"));
    assert_non_null(o);
    assert_str(o->server_name, "a.test");
    assert_int_equal(o->san_count, 0);
    assert_int_equal(o->hash, transport_options_hash(o));

    f->config.auto_san_validation = true;
    o = options_of(f, STR("a.test:8443"));
    assert_int_equal(o->san_count, 1);
    assert_str(o->sans[0], "a.test");

    o = options_of(f, STR("[::1]:8443"));
    assert_int_equal(o->server_name.len, 0);
    assert_str(o->sans[0], "::1");

    o = options_of(f, STR("")); /* a request of no name gets no check less */
    assert_non_null(o);
    assert_int_equal(o->server_name.len, 0);
    assert_int_equal(o->san_count, 1);
    assert_int_equal(o->sans[0].len, 0);
}

static void filters_come_first(void **state)
{
    struct fixture *f = *state;
    const struct transport_options *o;

    f->config.auto_sni = true;
    f->config.auto_san_validation = true;
    leave(f, 0, UPSTREAM_SERVER_NAME_KEY, STR("filter.test"));
    leave(f, 1, UPSTREAM_ALPN_KEY, STR("istio-h2,h2"));
    leave(f, 2, UPSTREAM_SANS_KEY, STR("x.test"));
    o = options_of(f, STR("a.test"));
    assert_str(o->server_name, "filter.test");
    assert_int_equal(o->alpn_count, 2);
    assert_str(o->alpn[0], "istio-h2");
    assert_str(o->alpn[1], "h2");
    assert_int_equal(o->san_count, 1);
    assert_str(o->sans[0], "x.test");
}

static void filters_need_no_auto_sni(void **state)
{
    struct fixture *f = *state;
    const struct transport_options *o;

    leave(f, 0, UPSTREAM_ALPN_KEY, STR("istio"));
    o = options_of(f, STR("a.test"));
    assert_non_null(o);
    assert_int_equal(o->alpn_count, 1);
    assert_int_equal(o->server_name.len, 0);
}

static void the_name_may_come_from_a_header(void **state)
{
    struct fixture *f = *state;
    struct header_map h;

    header_map_init(&h, &f->arena);
    header_add_name(&h, STR("x-sni"), STR("b.test:1"));
    f->config.override_auto_sni_header = STR("x-sni");
    assert_int_equal(request_transport_name_header(&f->cluster, &h).len, 0); /* nobody asks */
    f->config.auto_sni = true;
    assert_str(request_transport_name_header(&f->cluster, &h), "b.test:1");
    f->config.override_auto_sni_header = STR("x-other");
    assert_int_equal(request_transport_name_header(&f->cluster, &h).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hosts_of_authorities, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_wanted_unless_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(auto_sni_and_san, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_come_first, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_need_no_auto_sni, setup, teardown),
        cmocka_unit_test_setup_teardown(the_name_may_come_from_a_header, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
