/* ConnectionLimit messages: defaults, every field, and Envoy's verdicts. What becomes of
 * connections is in integration/limits. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/verdict_support.h"
#include "dataplane/base/check.h"
#include "dataplane/extensions/registry.h"
#include "dataplane/net/network_filter.h"

extern const struct network_filter_type network_filter_connection_limit;

static int parse_case(struct parse_fixture *fixture, struct str text)
{
    const struct extension *ext = &network_filter_connection_limit.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    fixture->ctx.registry = &extension_registry;
    r = parse_fixture_message(fixture, ext->descriptor, text, &m);
    return r < 0 ? r : ext->parse(&fixture->ctx, m, &config);
}

static void verdicts_are_envoys(void **state)
{
    (void)state;
    verdicts_check(VERDICTS_DIR "connection_limit.tsv", PART_FILTER_CHAIN,
                   sizeof(struct filter_chain_config), parse_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_envoys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
