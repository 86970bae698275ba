/* Headers that the connection manager owns, against the results of Envoy 1.40. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/client_address.h"
#include "dataplane/http/forwarding.h"

struct fixture {
    struct arena arena;
    struct header_map headers;
    struct http_conn_manager_config config;
    struct address remote;
    struct forwarding_peer peer;
    struct rng rng;
    struct route_config table;
    struct address client;
    int refused_with;
};

static struct fixture f;

static void set_peer(const char *ip)
{
    assert_int_equal(address_from_ip(str_c(ip), 5555, &f.remote), 0);
    f.peer.remote_ip = str_c(ip);
}

static int setup(void **state)
{
    memset(&f, 0, sizeof(f));
    arena_init(&f.arena, NULL);
    header_map_init(&f.headers, &f.arena);
    header_add(&f.headers, HDR_METHOD, STR("GET"));
    header_add(&f.headers, HDR_PATH, STR("/"));
    header_add(&f.headers, HDR_AUTHORITY, STR("h"));
    f.peer.remote = &f.remote;
    f.config.local_ip = STR("192.0.2.2");
    f.config.generate_request_id = true;
    f.config.request_id.pack_trace_reason = true;
    rng_seed_with(&f.rng, 1);
    set_peer("203.0.113.7");
    return 0;
}

static int teardown(void **state)
{
    arena_done(&f.arena);
    return 0;
}

static void mutate(void)
{
    f.refused_with = forwarding_mutate_request(
        &(struct forwarding_request){
            .config = &f.config,
            .peer = &f.peer,
            .table = &f.table,
            .node_id = "node",
            .node_cluster = "fleet",
            .rng = &f.rng,
            .headers = &f.headers,
        },
        &f.client);
}

static void add(const char *name, const char *value)
{
    header_add_name(&f.headers, str_c(name), str_c(value));
}

static void check(const char *name, const char *want)
{
    const struct header *h = header_find_name(&f.headers, str_c(name));

    if (want == NULL) {
        if (h != NULL) {
            fail_msg("%s is '%.*s', should be gone", name, STR_ARG(h->value));
        }
        return;
    }
    if (h == NULL || !str_eq(h->value, str_c(want))) {
        fail_msg("%s is '%.*s', want '%s'", name, h != NULL ? (int)h->value.len : 0,
                 h != NULL ? h->value.ptr : "", want);
    }
}

static void check_client(const char *want)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format(&f.client, text);

    if (!str_eq(str_n(text, len), str_c(want))) {
        fail_msg("client is '%.*s', want '%s'", (int)len, text, want);
    }
}

static void test_edge(void **state)
{
    f.config.use_remote_address = true;
    mutate();
    check("x-forwarded-for", "203.0.113.7");
    check("x-forwarded-proto", "http");
    check("x-envoy-external-address", "203.0.113.7");
    check("x-envoy-internal", NULL);
    check(":scheme", "http");
    check_client("203.0.113.7:5555");
    assert_int_equal(header_get(&f.headers, HDR_X_REQUEST_ID).len, 36);
    assert_int_equal(header_get(&f.headers, HDR_X_REQUEST_ID).ptr[14], '4');
}

static void test_edge_tls(void **state)
{
    f.config.use_remote_address = true;
    f.peer.is_tls = true;
    add("x-forwarded-proto", "http");
    mutate();
    check("x-forwarded-proto", "https"); /* the client is not believed */
    check(":scheme", "https");
}

/* As Envoy: this machine's address stands for a loopback peer. */
static void test_loopback_peer(void **state)
{
    f.config.use_remote_address = true;
    set_peer("127.0.0.1");
    add("x-forwarded-for", "1.1.1.1, 2.2.2.2 ");
    mutate();
    check("x-forwarded-for", "1.1.1.1, 2.2.2.2 ,192.0.2.2");
    check("x-envoy-external-address", "127.0.0.1");
}

static void test_skip_xff_append(void **state)
{
    f.config.use_remote_address = true;
    f.config.skip_xff_append = true;
    mutate();
    check("x-forwarded-for", NULL);
}

static void test_trusted_hops(void **state)
{
    f.config.use_remote_address = true;
    f.config.xff_num_trusted_hops = 1;
    add("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3");
    add("x-forwarded-proto", "https");
    mutate();
    check("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3,203.0.113.7");
    check("x-forwarded-proto", "https"); /* said by the trusted hop */
    check("x-envoy-external-address", "3.3.3.3");
    check_client("3.3.3.3:0");
}

static void test_trusted_hops_without_addresses(void **state)
{
    f.config.use_remote_address = true;
    f.config.xff_num_trusted_hops = 3;
    add("x-forwarded-for", "1.1.1.1");
    mutate();
    check_client("203.0.113.7:5555");
}

struct xff_case {
    const char *xff;
    uint32_t hops;
    const char *client;
};

static void test_address_from_xff(void **state)
{
    static const struct xff_case cases[] = {
        {"10.0.0.1", 0, "10.0.0.1:0"},
        {"1.1.1.1,2.2.2.2", 0, "2.2.2.2:0"},
        {"1.1.1.1, 2.2.2.2 ", 0, "2.2.2.2:0"},
        {"1.1.1.1,2.2.2.2", 1, "1.1.1.1:0"},
        {"1.1.1.1,2.2.2.2", 2, "203.0.113.7:5555"},
        {"nonsense", 0, "203.0.113.7:5555"},
        {"", 0, "203.0.113.7:5555"},
        {"1.1.1.1,", 0, "203.0.113.7:5555"},
        {"::1", 0, "[::1]:0"},
        {"1.1.1.1:80", 0, "203.0.113.7:5555"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)teardown(state);
        (void)setup(state);
        f.config.xff_num_trusted_hops = cases[i].hops;
        add("x-forwarded-for", cases[i].xff);
        mutate();
        check_client(cases[i].client);
        check("x-forwarded-for", cases[i].xff); /* never appended to without use_remote_address */
        check("x-envoy-external-address", NULL);
    }
}

/* Internal: the only address, and in a configured range. */
static void test_internal(void **state)
{
    struct cidr range;

    assert_int_equal(cidr_parse(STR("203.0.113.0"), 24, &range), 0);
    f.config.internal_ranges = &range;
    f.config.internal_range_count = 1;
    f.config.use_remote_address = true;
    add("x-envoy-retry-on", "5xx");
    add("x-request-id", "kept");
    mutate();
    check("x-envoy-internal", "true");
    check("x-envoy-external-address", NULL);
    check("x-envoy-retry-on", "5xx");
    check("x-request-id", "kept");
    (void)teardown(state);
    (void)setup(state);
    f.config.internal_ranges = &range;
    f.config.internal_range_count = 1;
    f.config.use_remote_address = true;
    add("x-forwarded-for", "203.0.113.1");
    add("x-envoy-internal", "true");
    mutate();
    check("x-envoy-internal", NULL); /* somebody stands between */
}

static void test_nothing_is_internal_by_default(void **state)
{
    f.config.use_remote_address = true;
    set_peer("10.0.0.1");
    mutate();
    check("x-envoy-internal", NULL);
    check("x-envoy-external-address", "10.0.0.1");
}

static void test_unix_peer(void **state)
{
    f.config.use_remote_address = true;
    f.config.unix_sockets_are_internal = true;
    assert_int_equal(address_from_path(STR("@x"), &f.remote), 0);
    f.peer.remote_ip = STR_NONE;
    mutate();
    check("x-envoy-internal", "true");
    check("x-forwarded-for", NULL);
}

static void test_what_outsiders_may_not_say(void **state)
{
    static const char *const at_edge_and_inside[] = {
        "x-envoy-retry-on",
        "x-envoy-retry-grpc-on",
        "x-envoy-max-retries",
        "x-envoy-retriable-status-codes",
        "x-envoy-retriable-header-names",
        "x-envoy-upstream-alt-stat-name",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-upstream-rq-timeout-alt-response",
        "x-envoy-expected-rq-timeout-ms",
        "x-envoy-force-trace",
        "x-envoy-ip-tags",
        "x-envoy-original-url",
        "x-envoy-hedge-on-per-try-timeout",
        "x-forwarded-client-cert",
        "x-envoy-internal",
        "x-secret",
    };
    static const char *const at_edge[] = {
        "x-envoy-decorator-operation",     "x-envoy-downstream-service-cluster",
        "x-envoy-downstream-service-node", "x-envoy-original-path",
        "x-envoy-original-host",
    };
    static const struct str internal_only[] = {{"x-secret", 8}};

    for (int use_remote = 0; use_remote < 2; use_remote++) {
        (void)teardown(state);
        (void)setup(state);
        f.config.use_remote_address = use_remote == 1;
        f.table.internal_only_headers = internal_only;
        f.table.internal_only_header_count = 1;
        for (size_t i = 0; i < sizeof(at_edge_and_inside) / sizeof(char *); i++) {
            add(at_edge_and_inside[i], "v");
        }
        for (size_t i = 0; i < sizeof(at_edge) / sizeof(char *); i++) {
            add(at_edge[i], "v");
        }
        add("x-envoy-attempt-count", "v");
        mutate();
        for (size_t i = 0; i < sizeof(at_edge_and_inside) / sizeof(char *); i++) {
            check(at_edge_and_inside[i], NULL);
        }
        for (size_t i = 0; i < sizeof(at_edge) / sizeof(char *); i++) {
            check(at_edge[i], use_remote == 1 ? NULL : "v");
        }
        check("x-envoy-attempt-count", "v");
    }
}

static void test_hop_by_hop(void **state)
{
    add("connection", "keep-alive");
    add("keep-alive", "timeout=5");
    add("proxy-connection", "close");
    add("transfer-encoding", "chunked");
    add("upgrade", "foo"); /* without Connection: upgrade it asks for nothing */
    add("te", "gzip, trailers");
    mutate();
    check("connection", NULL);
    check("keep-alive", NULL);
    check("proxy-connection", NULL);
    check("transfer-encoding", NULL);
    check("upgrade", NULL);
    check("te", "trailers");
    (void)teardown(state);
    (void)setup(state);
    add("te", "gzip");
    add("connection", "x, Upgrade");
    add("upgrade", "websocket");
    mutate();
    check("te", NULL);
    check("upgrade", "websocket"); /* for who decides about upgrades */
    assert_true(forwarding_is_upgrade(&f.headers));
}

static void test_referer(void **state)
{
    static const struct {
        const char *value;
        bool stays;
    } cases[] = {
        {"http://a/b?c", true}, {"/foo", true},         {"foo/b:c", true}, {"a:b/", false},
        {"http://u@h/", false}, {"http://h/#f", false}, {"a b", false},    {"?q", true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)teardown(state);
        (void)setup(state);
        add("referer", cases[i].value);
        mutate();
        check("referer", cases[i].stays ? cases[i].value : NULL);
    }
    (void)teardown(state);
    (void)setup(state);
    add("referer", "/a");
    add("referer", "/b");
    mutate();
    check("referer", NULL);
}

static void test_request_id(void **state)
{
    static const char *const traced = "a35aadec-7fc9-a22e-b82d-93b43b5e4a2f";

    add("x-request-id", traced);
    mutate();
    check("x-request-id", traced); /* not the edge */
    (void)teardown(state);
    (void)setup(state);
    f.config.use_remote_address = true;
    add("x-request-id", traced);
    mutate();
    assert_false(str_eq(header_get(&f.headers, HDR_X_REQUEST_ID), str_c(traced)));
    (void)teardown(state);
    (void)setup(state);
    f.config.use_remote_address = true;
    f.config.preserve_external_request_id = true;
    add("x-request-id", traced);
    mutate();
    check("x-request-id", "a35aadec-7fc9-422e-b82d-93b43b5e4a2f"); /* no trace was decided here */
    (void)teardown(state);
    (void)setup(state);
    f.config.generate_request_id = false;
    mutate();
    check("x-request-id", NULL);
}

static void test_via_and_response(void **state)
{
    struct header_map r;

    f.config.via = STR("me");
    add("via", "x");
    add("x-request-id", "id");
    mutate();
    check("via", "x, me");
    header_map_init(&r, &f.arena);
    header_add(&r, HDR_STATUS, STR("200"));
    header_add(&r, HDR_CONNECTION, STR("close"));
    header_add(&r, HDR_KEEP_ALIVE, STR("x"));
    header_add(&r, HDR_PROXY_CONNECTION, STR("x"));
    header_add(&r, HDR_TRANSFER_ENCODING, STR("chunked"));
    header_add(&r, HDR_UPGRADE, STR("x"));
    forwarding_mutate_response(&f.config, &f.headers, false, &r);
    assert_int_equal(header_has(&r, HDR_CONNECTION) || header_has(&r, HDR_KEEP_ALIVE) ||
                         header_has(&r, HDR_PROXY_CONNECTION) ||
                         header_has(&r, HDR_TRANSFER_ENCODING) || header_has(&r, HDR_UPGRADE),
                     0);
    assert_true(str_eq(header_get(&r, HDR_VIA), STR("me")));
    assert_false(header_has(&r, HDR_X_REQUEST_ID));
    f.config.always_set_request_id_in_response = true;
    forwarding_mutate_response(&f.config, &f.headers, true, &r);
    assert_true(str_eq(header_get(&r, HDR_X_REQUEST_ID), STR("id")));
    assert_true(str_eq(header_get(&r, HDR_VIA), STR("me"))); /* not again on a 1xx */
    forwarding_mutate_response(&f.config, NULL, false, &r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* --- original_ip_detection_extensions, and what else the next one is told ------------------ */

struct fake_finding {
    const char *ip; /* NULL: none */
    bool is_trusted;
    bool appends_peer;
    int reject_status;
};

static void fake_detect(const void *config, const struct header_map *h, const struct address *peer,
                        struct client_address *ret)
{
    const struct fake_finding *finding = config;

    if (finding->ip != NULL) {
        assert_int_equal(address_from_ip(str_c(finding->ip), 0, &ret->address), 0);
    }
    ret->is_trusted = finding->is_trusted;
    ret->appends_peer = finding->appends_peer;
    ret->reject_status = finding->reject_status;
}

static const struct ip_detector_type fake_detector = {.detect = fake_detect};

static void test_detectors(void **state)
{
    static const struct fake_finding nothing = {.ip = NULL, .appends_peer = true};
    static const struct fake_finding inner = {.ip = "10.0.0.1", .is_trusted = true};
    static const struct fake_finding outer = {.ip = "1.1.1.1"};
    struct cidr ten;
    const struct ip_detection detections[] = {
        {&fake_detector, &nothing}, {&fake_detector, &inner}, {&fake_detector, &outer}};

    assert_int_equal(cidr_parse(STR("10.0.0.0"), 8, &ten), 0);
    f.config.internal_ranges = &ten;
    f.config.internal_range_count = 1;
    f.config.ip_detections = detections;
    f.config.ip_detection_count = 3;
    mutate();
    assert_int_equal(f.refused_with, 0);
    check_client("10.0.0.1:0"); /* the first that finds one */
    check("x-envoy-internal", "true");
    check("x-forwarded-for", "203.0.113.7");
}

static void test_a_detector_refuses(void **state)
{
    static const struct fake_finding refusal = {.reject_status = 401};
    const struct ip_detection detections[] = {{&fake_detector, &refusal}};

    f.config.ip_detections = detections;
    f.config.ip_detection_count = 1;
    mutate();
    assert_int_equal(f.refused_with, 401);
}

static void check_beyond(const char *xff, const char *want, bool is_trusted)
{
    struct client_address got = {.is_trusted = false};
    char text[ADDRESS_TEXT_MAX] = "";
    struct cidr ten;

    assert_int_equal(cidr_parse(STR("10.0.0.0"), 8, &ten), 0);
    header_set(&f.headers, HDR_X_FORWARDED_FOR, str_c(xff));
    client_from_xff_beyond(&f.headers, &ten, 1, &got);
    if (address_is_set(&got.address)) {
        (void)address_format_ip(&got.address, text);
    }
    if (strcmp(text, want) != 0 || got.is_trusted != is_trusted) {
        fail_msg("'%s': %s %d", xff, text, got.is_trusted);
    }
}

static void test_beyond_trusted_ranges(void **state)
{
    check_beyond("1.1.1.1", "1.1.1.1", true);
    check_beyond("1.1.1.1,10.0.0.1, 10.0.0.2", "1.1.1.1", false);
    check_beyond("1.1.1.1,2.2.2.2,10.0.0.2", "2.2.2.2", false);
    check_beyond("10.0.0.1,10.0.0.2", "10.0.0.1", false); /* all trusted: the first */
    check_beyond("1.1.1.1,x,10.0.0.2", "10.0.0.2", false);
    check_beyond("x", "", false);
    check_beyond("", "", false);
    check_beyond(" , ,1.1.1.1, ", "1.1.1.1", true);
}

static void test_forwarded_port(void **state)
{
    struct address local;

    assert_int_equal(address_from_ip(STR("192.0.2.1"), 8443, &local), 0);
    f.peer.local = &local;
    f.config.append_x_forwarded_port = true;
    mutate();
    check("x-forwarded-port", "8443");
    header_set(&f.headers, HDR_X_FORWARDED_PORT, STR("1"));
    mutate();
    check("x-forwarded-port", "1"); /* somebody trusted has said so */
    f.config.use_remote_address = true;
    mutate();
    check("x-forwarded-port", "8443");
}

static void test_forward_proto(void **state)
{
    static const uint32_t https[] = {443};
    struct address local;

    assert_int_equal(address_from_ip(STR("192.0.2.1"), 443, &local), 0);
    f.peer.local = &local;
    f.config.use_remote_address = true;
    f.config.forward_proto = (struct forward_proto){.https_ports = https, .https_port_count = 1};
    mutate();
    check("x-forwarded-proto", "http"); /* the port reached, not the one meant */
    f.peer.is_local_restored = true;
    mutate();
    check("x-forwarded-proto", "https");
}

static void test_user_agent(void **state)
{
    f.config.add_user_agent = true;
    mutate();
    check("user-agent", "fleet");
    check("x-envoy-downstream-service-cluster", "fleet");
    check("x-envoy-downstream-service-node", "node");
    header_set(&f.headers, HDR_USER_AGENT, STR("curl"));
    mutate();
    check("user-agent", "curl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_edge),
        TEST(test_edge_tls),
        TEST(test_loopback_peer),
        TEST(test_skip_xff_append),
        TEST(test_trusted_hops),
        TEST(test_trusted_hops_without_addresses),
        TEST(test_address_from_xff),
        TEST(test_internal),
        TEST(test_nothing_is_internal_by_default),
        TEST(test_unix_peer),
        TEST(test_what_outsiders_may_not_say),
        TEST(test_hop_by_hop),
        TEST(test_referer),
        TEST(test_request_id),
        TEST(test_via_and_response),
        TEST(test_detectors),
        TEST(test_a_detector_refuses),
        TEST(test_beyond_trusted_ranges),
        TEST(test_forwarded_port),
        TEST(test_forward_proto),
        TEST(test_user_agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
