/* A PROXY protocol header from a stranger: the first byte chooses the rules. */

#include "dataplane/extensions/filters/listener/proxy_protocol/proxy_header.h"

#include "dataplane/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_found(const struct proxy_header *h, size_t size)
{
    struct str rest = h->tlvs;
    struct str value;
    uint8_t type;

    CHECK(h->version == 1 || h->version == 2);
    CHECK(h->size > 0 && h->size <= size);
    CHECK(!h->has_addresses || h->source.sa.sa_family == h->destination.sa.sa_family);
    CHECK(!h->has_addresses || address_is_ip(&h->source));
    while (proxy_header_next_tlv(&rest, &type, &value)) {
        CHECK(value.len <= rest.len + value.len);
    }
    CHECK(rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header_rules rules;
    struct proxy_header h;
    enum proxy_header_verdict whole;
    struct str all;

    if (size == 0) {
        return 0;
    }
    rules.allows_none = (data[0] & 1) != 0;
    rules.allows_v1 = (data[0] & 2) != 0;
    rules.allows_v2 = (data[0] & 4) != 0;
    all = str_n((const char *)data + 1, size - 1);
    whole = proxy_header_parse(all, &rules, &h);
    if (whole == PROXY_HEADER_FOUND) {
        check_found(&h, all.len);
    }
    CHECK(whole != PROXY_HEADER_NONE || rules.allows_none);
    CHECK(whole != PROXY_HEADER_DENIED || !rules.allows_v1 || !rules.allows_v2);
    /* A header that was found is found in its own bytes alone, and in no fewer. */
    if (whole == PROXY_HEADER_FOUND) {
        struct proxy_header again;

        CHECK(proxy_header_parse(str_sub(all, 0, h.size), &rules, &again) == PROXY_HEADER_FOUND);
        CHECK(again.size == h.size);
        CHECK(proxy_header_parse(str_sub(all, 0, h.size - 1), &rules, &again) !=
              PROXY_HEADER_FOUND);
    }
    return 0;
}
