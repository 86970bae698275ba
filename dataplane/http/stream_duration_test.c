/* How long a stream may live. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/http/stream_duration.h"

#define NO_LIMIT UINT64_MAX
#define SET(n)                                                                                     \
    {                                                                                              \
        .is_set = true, .ms = (n)                                                                  \
    }

struct duration_case {
    struct route_forward forward;
    uint64_t manager_ms;
    const char *grpc_timeout; /* NULL: none */
    uint64_t want_ms;
    const char *want_header; /* of a gRPC request; NULL: gone */
};

#define NEW .has_stream_duration = true

static const struct duration_case cases[] = {
    /* Nothing configured: nobody looks. */
    {{.max_stream_duration = {0}}, 0, "1S", NO_LIMIT, "1S"},
    {{.max_stream_duration = {0}}, 500, "1S", 500, "1S"},
    /* The route's over the connection manager's. */
    {{NEW, .max_stream_duration = SET(700)}, 500, NULL, 700, "700m"},
    {{NEW, .max_stream_duration = SET(700)}, 0, "1S", 700, "700m"},
    {{NEW, .max_stream_duration = SET(0)}, 500, "1S", NO_LIMIT, NULL},
    {{NEW, .max_stream_duration = SET(0)}, 0, "1S", NO_LIMIT, "1S"},
    {{NEW}, 500, "1S", 500, "500m"},
    {{NEW}, 0, "1S", NO_LIMIT, "1S"},
    /* The client's, within bounds. */
    {{NEW, .grpc_timeout_header_max = SET(0)}, 500, "1S", 1000, "1000m"},
    {{NEW, .grpc_timeout_header_max = SET(800)}, 500, "1S", 800, "800m"},
    {{NEW, .grpc_timeout_header_max = SET(2000)}, 500, "1S", 1000, "1000m"},
    {{NEW, .grpc_timeout_header_max = SET(0), .max_stream_duration = SET(300)},
     0,
     "1S",
     1000,
     "1000m"},
    {{NEW, .grpc_timeout_header_max = SET(0), .max_stream_duration = SET(300)},
     0,
     NULL,
     300,
     "300m"},
    {{NEW, .grpc_timeout_header_max = SET(0), .max_stream_duration = SET(300)},
     0,
     "soon",
     300,
     "300m"},
    {{NEW, .grpc_timeout_header_max = SET(0), .grpc_timeout_header_offset = SET(200)},
     0,
     "1S",
     800,
     "800m"},
    {{NEW, .grpc_timeout_header_max = SET(900), .grpc_timeout_header_offset = SET(200)},
     0,
     "1S",
     700,
     "700m"},
    {{NEW, .grpc_timeout_header_max = SET(0), .grpc_timeout_header_offset = SET(1000)},
     0,
     "1S",
     0,
     "0m"},
    {{NEW, .grpc_timeout_header_max = SET(5)}, 0, "0m", 0, "0m"},
};

static void check(const struct duration_case *c, bool is_grpc, size_t index)
{
    struct header_map h;
    struct arena a;
    uint64_t ms = NO_LIMIT;
    const char *want = is_grpc ? c->want_header : c->grpc_timeout;
    struct str got;

    arena_init(&a, NULL);
    header_map_init(&h, &a);
    header_add(&h, HDR_PATH, STR("/s/m"));
    header_add(&h, HDR_CONTENT_TYPE, is_grpc ? STR("application/grpc") : STR("text/plain"));
    if (c->grpc_timeout != NULL) {
        header_add(&h, HDR_GRPC_TIMEOUT, str_c(c->grpc_timeout));
    }
    if (stream_duration_decide(&c->forward, c->manager_ms, &h, &ms) != (c->want_ms != NO_LIMIT) ||
        ms != c->want_ms) {
        fail_msg("case %zu: got %llu", index, (unsigned long long)ms);
    }
    got = header_get(&h, HDR_GRPC_TIMEOUT);
    if ((got.ptr == NULL) != (want == NULL) || (want != NULL && !str_eq(got, str_c(want)))) {
        fail_msg("case %zu, gRPC %d: got '%.*s'", index, is_grpc, STR_ARG(got));
    }
    arena_done(&a);
}

static void test_decisions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check(&cases[i], true, i);
        check(&cases[i], false, i); /* the time holds, the header is its own affair */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decisions)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
