/* Authorities from strangers, on their way to be an SNI: what is left is a part of what came, holds
 * no port, and is the same when it is looked at once more. */

#include "dataplane/base/address.h"
#include "dataplane/base/check.h"
#include "dataplane/upstream/request_transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str authority = str_n((const char *)data, size);
    struct address address;
    struct str host;
    struct str again;
    bool is_ip = authority_host(authority, &host);

    CHECK(host.len <= authority.len);
    CHECK(host.len == 0 || str_find_char(authority, host.ptr[0]) != STR_NPOS);
    CHECK(is_ip == (address_from_ip(host, 0, &address) == 0));
    if (is_ip && str_find_char(host, ':') == STR_NPOS) {
        CHECK(authority_host(host, &again) && str_eq(again, host));
    }
    return 0;
}
