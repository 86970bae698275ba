/*
 * All foreign libraries in one process, as the program has them: gRPC without its TLS, BoringSSL,
 * nghttp2, RE2, c-ares. Passes if each works and none of them is a shared object: a second TLS
 * library in the process would clash with BoringSSL's symbols (design: "No other TLS library").
 */

#include <assert.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <ares.h>
#include <grpc/grpc.h>
#include <nghttp2/nghttp2.h>
#include <openssl/base.h>
#include <openssl/ssl.h>

#include "dataplane/base/regex.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "openssl/ssl.h is not BoringSSL's"
#endif

static void foreign_libraries_work_side_by_side(void **state)
{
    struct error err;
    struct regex *re = NULL;
    nghttp2_session_callbacks *callbacks = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    (void)state;
    error_init(&err);
    assert_non_null(ctx);
    SSL_CTX_free(ctx);

    grpc_init();
    grpc_shutdown();

    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_del(callbacks);

    assert_int_equal(ares_library_init(ARES_LIB_INIT_ALL), ARES_SUCCESS);
    ares_library_cleanup();

    assert_int_equal(regex_new(STR("a.c"), 0, &re, &err), 0);
    assert_true(regex_full_match(re, STR("abc")));
    regex_free(re);
}

static int check_object(struct dl_phdr_info *info, size_t size, void *data)
{
    static const char *const forbidden[] = {"libssl",      "libcrypto", "libgrpc", "libgnutls",
                                            "libnghttp2",  "libre2",    "libuv",   "libcares",
                                            "libprotobuf", "libabsl",   "libyaml"};

    (void)size;
    (void)data;
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        if (strstr(info->dlpi_name, forbidden[i]) != NULL &&
            strstr(info->dlpi_name, "/android/") == NULL) {
            fail_msg("%s is in the process", info->dlpi_name);
        }
    }
    return 0;
}

static void no_foreign_shared_object_is_loaded(void **state)
{
    (void)state;
    (void)dl_iterate_phdr(check_object, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_libraries_work_side_by_side),
        cmocka_unit_test(no_foreign_shared_object_is_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
