/* OCSP responses from whoever configures us. */

#include "dataplane/base/check.h"
#include "dataplane/tls/ocsp.h"

#define YEAR_0_S (-62167219200)
#define YEAR_10000_S 253402300800

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_time(int64_t t)
{
    CHECK(t >= YEAR_0_S && t < YEAR_10000_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str der = str_n((const char *)data, size);
    struct tls_ocsp ocsp;
    struct error error;

    error_init(&error);
    if (tls_ocsp_parse(der, &ocsp, &error) != 0) {
        CHECK(error_is_set(&error));
        error_done(&error);
        return 0;
    }
    CHECK(!error_is_set(&error));
    CHECK(ocsp.serial.len > 0 && ocsp.serial.ptr >= der.ptr);
    CHECK(ocsp.serial.ptr + ocsp.serial.len <= der.ptr + der.len);
    check_time(ocsp.this_update_s);
    if (ocsp.has_next_update) {
        check_time(ocsp.next_update_s);
    }
    error_done(&error);
    return 0;
}
