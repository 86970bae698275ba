/* Name resolution against a DNS server of our own on the same loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/event/testing.h"
#include "dataplane/net/dns.h"

#define WATCHDOG_MS 10000
#define TYPE_A 1
#define TYPE_AAAA 28
#define RCODE_SERVFAIL 2
#define RCODE_NXDOMAIN 3

static struct loop loop;
static struct timer watchdog;
static struct dns_resolver *resolver;
static uv_poll_t server;
static int server_fd;
static int queries;
static bool is_silent;

/* The last answer. */
static bool is_answered;
static bool is_inside;
static enum dns_status status;
static size_t address_count;
static struct address first;
static bool has_v4;
static bool has_v6;
static uint64_t ttl_s;

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* One record for the name of the question, which stands at offset 12. */
static uint8_t *put_record(uint8_t *p, unsigned type, unsigned ttl, uint8_t last)
{
    size_t len = type == TYPE_A ? 4 : 16;

    put16(p, 0xc00c);
    put16(p + 2, type);
    put16(p + 4, 1);
    put16(p + 6, 0);
    put16(p + 8, ttl);
    put16(p + 10, (unsigned)len);
    memset(p + 12, 10, len);
    p[12 + len - 1] = last;
    return p + 12 + len;
}

/* Names say what is answered: v4.* has two A records, v6.* one AAAA, both.* both, fail.* SERVFAIL,
 * others do not exist. */
static size_t answer(uint8_t *m, size_t len)
{
    uint8_t *end = m + 12;
    unsigned type;
    uint8_t *p;
    unsigned rcode = 0;
    unsigned count = 0;
    bool is_v4 = memcmp(m + 13, "v4", 2) == 0 || memcmp(m + 13, "both", 4) == 0;
    bool is_v6 = memcmp(m + 13, "v6", 2) == 0 || memcmp(m + 13, "both", 4) == 0;

    while (*end != 0) {
        end += *end + 1;
    }
    type = (unsigned)end[1] << 8 | end[2];
    p = end + 5;
    if (memcmp(m + 13, "fail", 4) == 0) {
        rcode = RCODE_SERVFAIL;
    } else if (!is_v4 && !is_v6) {
        rcode = RCODE_NXDOMAIN;
    } else if (type == TYPE_A && is_v4) {
        p = put_record(p, TYPE_A, 60, 1);
        p = put_record(p, TYPE_A, 30, 2);
        count = 2;
    } else if (type == TYPE_AAAA && is_v6) {
        p = put_record(p, TYPE_AAAA, 90, 3);
        count = 1;
    }
    put16(m + 2, 0x8180 | rcode);
    put16(m + 6, count);
    put16(m + 8, 0);
    put16(m + 10, 0);
    return (size_t)(p - m);
}

static void server_on_readable(uv_poll_t *poll, int poll_status, int events)
{
    uint8_t m[1024] = {0};
    struct address from = {.len = sizeof(from.un)};
    ssize_t n = recvfrom(server_fd, m, 512, 0, &from.sa, &from.len);

    if (n > 12) {
        queries++;
        if (!is_silent) {
            size_t len = answer(m, (size_t)n);

            assert_int_equal(sendto(server_fd, m, len, 0, &from.sa, from.len), (ssize_t)len);
        }
    }
}

static void on_answer(void *user, const struct dns_answer *a)
{
    assert_false(is_inside);
    is_answered = true;
    status = a->status;
    address_count = a->address_count;
    ttl_s = a->ttl_s;
    has_v4 = has_v6 = false;
    for (size_t i = 0; i < a->address_count; i++) {
        has_v4 = has_v4 || a->addresses[i].sa.sa_family == AF_INET;
        has_v6 = has_v6 || a->addresses[i].sa.sa_family == AF_INET6;
    }
    if (a->address_count > 0) {
        first = a->addresses[0];
    }
}

static void on_watchdog(struct timer *t)
{
    fail_msg("nothing happened for too long");
}

#define WAIT(condition) LOOP_WAIT(&loop, condition)

static int set_up(void **state)
{
    struct address a;
    socklen_t len = sizeof(a.in);

    assert_int_equal(loop_init(&loop, LOOP_MAIN_INDEX), 0);
    timer_init(&watchdog, on_watchdog);
    timer_arm(&loop, &watchdog, WATCHDOG_MS);
    assert_int_equal(address_from_ip(STR("127.0.0.1"), 0, &a), 0);
    server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server_fd, &a.sa, a.len), 0);
    assert_int_equal(getsockname(server_fd, &a.sa, &len), 0);
    assert_int_equal(uv_poll_init(&loop.uv, &server, server_fd), 0);
    assert_int_equal(uv_poll_start(&server, UV_READABLE, server_on_readable), 0);
    assert_int_equal(dns_resolver_new(&loop, &resolver), 0);
    assert_int_equal(dns_resolver_set_servers(resolver, &a, 1), 0);
    queries = 0;
    is_silent = is_answered = false;
    return 0;
}

static int tear_down(void **state)
{
    dns_resolver_close(resolver);
    uv_close((uv_handle_t *)&server, NULL);
    timer_cancel(&loop, &watchdog);
    loop_done(&loop);
    assert_int_equal(close(server_fd), 0);
    return 0;
}

static void resolve(const char *name, int family)
{
    is_answered = false;
    is_inside = true;
    (void)dns_resolve(resolver, str_c(name), family, on_answer, NULL); /* answers or nothing */
    is_inside = false;
    WAIT(is_answered);
}

static void families(void **state)
{
    resolve("v4.test", DNS_V4_ONLY);
    assert_int_equal(status, DNS_OK);
    assert_int_equal(address_count, 2);
    assert_true(has_v4 && !has_v6);
    assert_int_equal(address_port(&first), 0);
    assert_int_equal(ttl_s, 30); /* the shortest */
    resolve("v6.test", DNS_V6_ONLY);
    assert_true(has_v6 && !has_v4);
    resolve("v4.test", DNS_V6_ONLY);
    assert_int_equal(status, DNS_NOT_FOUND);
    resolve("both.test", DNS_ALL);
    assert_int_equal(address_count, 3);
    assert_true(has_v4 && has_v6);
}

static void the_other_family_is_asked_when_the_first_has_nothing(void **state)
{
    resolve("both.test", DNS_AUTO);
    assert_true(has_v6 && !has_v4);
    resolve("v4.test", DNS_AUTO);
    assert_true(has_v4 && !has_v6);
    resolve("both.test", DNS_V4_PREFERRED);
    assert_true(has_v4 && !has_v6);
    resolve("v6.test", DNS_V4_PREFERRED);
    assert_true(has_v6 && !has_v4);
}

static void failures(void **state)
{
    resolve("none.test", DNS_AUTO);
    assert_int_equal(status, DNS_NOT_FOUND);
    assert_int_equal(address_count, 0);
    resolve("fail.test", DNS_V4_ONLY);
    assert_int_equal(status, DNS_FAILURE);
}

/* A bare chroot has no hosts file worth the name. */
static bool hosts_file_names_localhost(void)
{
    char line[256];
    FILE *f = fopen("/etc/hosts", "re");
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        found = strstr(line, "127.0.0.1") != NULL && strstr(line, "localhost") != NULL;
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

static void hosts_and_literals_need_no_server(void **state)
{
    resolve("127.0.0.9", DNS_V4_ONLY);
    assert_int_equal(status, DNS_OK);
    assert_int_equal(queries, 0);
    if (!hosts_file_names_localhost()) {
        return;
    }
    resolve("localhost", DNS_V4_ONLY);
    assert_int_equal(status, DNS_OK);
    assert_true(address_is_loopback(&first));
    assert_int_equal(queries, 0);
}

static void a_cancelled_query_is_silent(void **state)
{
    struct dns_query *q = dns_resolve(resolver, STR("v4.test"), DNS_V4_ONLY, on_answer, NULL);

    dns_cancel(q);
    dns_cancel(NULL);
    WAIT(queries == 1);
    assert_false(is_answered);
    resolve("v6.test", DNS_V6_ONLY);
    assert_true(has_v6);
}

static void closing_ends_what_is_pending(void **state)
{
    is_silent = true;
    (void)dns_resolve(resolver, STR("v4.test"), DNS_ALL, on_answer, NULL);
    WAIT(queries > 0);
    /* tear_down closes the resolver: no answer, no leak. */
    assert_false(is_answered);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(families),
        CASE(the_other_family_is_asked_when_the_first_has_nothing),
        CASE(failures),
        CASE(hosts_and_literals_need_no_server),
        CASE(a_cancelled_query_is_silent),
        CASE(closing_ends_what_is_pending),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
