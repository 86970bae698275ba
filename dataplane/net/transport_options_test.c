/* Which transport options are the same, and what a copy of them is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "dataplane/net/transport_options.h"

/* Everything set, and what it points to. */
struct sample {
    struct transport_options o;
    struct str sans[2];
    struct str alpn[2];
    struct address source;
    struct address destination;
};

static void sample_init(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    s->sans[0] = STR("one.test");
    s->sans[1] = STR("two.test");
    s->alpn[0] = STR("istio-h2");
    s->alpn[1] = STR("h2");
    assert_int_equal(address_from_ip(STR("10.0.0.1"), 1000, &s->source), 0);
    assert_int_equal(address_from_ip(STR("10.0.0.2"), 80, &s->destination), 0);
    s->o = (struct transport_options){
        .server_name = STR("sni.test"),
        .sans = s->sans,
        .san_count = 2,
        .alpn = s->alpn,
        .alpn_count = 2,
        .proxy_source = &s->source,
        .proxy_destination = &s->destination,
        .proxy_tlvs = STR("\x01\x00\x01z"),
    };
    s->o.hash = transport_options_hash(&s->o);
}

static void nothing_set_is_zero(void **state)
{
    struct transport_options o = {.host_name = STR("host.test")};
    struct str fallback = STR("h2");

    (void)state;
    o.alpn_fallback = &fallback;
    o.alpn_fallback_count = 1;
    assert_int_equal(transport_options_hash(&o), 0);
}

/* Changes one part of a sample. */
struct change {
    const char *name;
    void (*apply)(struct sample *s);
};

static void change_server_name(struct sample *s)
{
    s->o.server_name = STR("other.test");
}

static void change_san(struct sample *s)
{
    s->sans[1] = STR("three.test");
}

static void change_san_borders(struct sample *s)
{
    s->sans[0] = STR("one.testt");
    s->sans[1] = STR("wo.test");
}

static void change_alpn(struct sample *s)
{
    s->o.alpn_count = 1;
}

static void change_source(struct sample *s)
{
    assert_int_equal(address_from_ip(STR("10.0.0.1"), 1001, &s->source), 0);
}

static void change_source_to_none(struct sample *s)
{
    s->o.proxy_source = NULL;
}

static void change_destination(struct sample *s)
{
    assert_int_equal(address_from_ip(STR("10.0.0.3"), 80, &s->destination), 0);
}

static void change_tlvs(struct sample *s)
{
    s->o.proxy_tlvs = STR_NONE;
}

static void every_part_counts(void **state)
{
    static const struct change changes[] = {
        {"server name", change_server_name}, {"san", change_san},
        {"san borders", change_san_borders}, {"alpn", change_alpn},
        {"source", change_source},           {"no source", change_source_to_none},
        {"destination", change_destination}, {"tlvs", change_tlvs},
    };
    struct sample a;

    (void)state;
    sample_init(&a);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct sample b;

        sample_init(&b);
        assert_true(transport_options_eq(&a.o, &b.o));
        changes[i].apply(&b);
        assert_false(transport_options_eq(&a.o, &b.o)); /* whatever the hash says */
        b.o.hash = transport_options_hash(&b.o);
        if (a.o.hash == b.o.hash) {
            fail_msg("%s is not in the hash", changes[i].name);
        }
    }
}

static void copies_stand_alone(void **state)
{
    struct sample s;
    struct sample same;
    struct transport_options *copy;

    (void)state;
    sample_init(&s);
    sample_init(&same);
    copy = transport_options_copy(&s.o);
    memset(&s, 0xff, sizeof(s));
    assert_true(transport_options_eq(copy, &same.o));
    assert_int_equal(transport_options_hash(copy), copy->hash);
    free(copy);
}

static void copies_of_little(void **state)
{
    struct transport_options o = {.server_name = STR("x")};
    struct transport_options *copy;

    (void)state;
    o.hash = transport_options_hash(&o);
    copy = transport_options_copy(&o);
    assert_true(transport_options_eq(copy, &o));
    assert_null(copy->proxy_source);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_is_zero),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(copies_stand_alone),
        cmocka_unit_test(copies_of_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
