/* The first bytes of a connection, from a stranger: whole, and as they trickle in. */

#include "dataplane/base/check.h"
#include "dataplane/tls/client_hello.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_found(const struct client_hello *h)
{
    char ja3[CLIENT_HELLO_JA3_LEN];
    char ja4[CLIENT_HELLO_JA4_LEN];
    struct str alpn = h->alpn;
    struct str protocol;

    CHECK(h->server_name.len <= 255);
    CHECK(str_find_char(h->server_name, '\0') == STR_NPOS);
    while (client_hello_next_protocol(&alpn, &protocol)) {
        CHECK(protocol.len > 0);
    }
    CHECK(alpn.len == 0);
    client_hello_ja3(h, ja3);
    client_hello_ja4(h, ja4);
    CHECK(ja4[0] == 't' && ja4[10] == '_' && ja4[23] == '_');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = str_n((const char *)data, size);
    struct client_hello h;
    enum client_hello_verdict whole;
    struct arena a;
    size_t looked_at = 0;

    arena_init(&a, NULL);
    whole = client_hello_parse(all, &a, &h, &looked_at);
    CHECK(whole == CLIENT_HELLO_PARTIAL || looked_at <= size);
    if (whole == CLIENT_HELLO_FOUND) {
        check_found(&h);
    }
    /* What is decided by fewer bytes stays so: more of them change nothing. */
    for (size_t len = 0; len < size; len += 1 + len / 8) {
        struct client_hello part;
        enum client_hello_verdict v =
            client_hello_parse(str_sub(all, 0, len), &a, &part, &looked_at);

        CHECK(v == CLIENT_HELLO_PARTIAL || v == whole);
    }
    arena_done(&a);
    return 0;
}
