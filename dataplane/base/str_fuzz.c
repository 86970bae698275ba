/* Fuzz: UTF-8 check, JSON escaping and number parsing on any bytes. */

#include <math.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/json.h"
#include "dataplane/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the writer may produce: a quoted UTF-8 string without raw controls whose only backslashes
 * begin one of its escapes. */
static void check_escaped(struct str s)
{
    CHECK(s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"');
    CHECK(str_is_utf8(s));
    s = str_sub(s, 1, s.len - 1);
    for (size_t i = 0; i < s.len; i++) {
        CHECK((unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != '"');
        if (s.ptr[i] == '\\') {
            i++;
            CHECK(i < s.len && s.ptr[i] != '\0' && strchr("\"\\bfnrtu", s.ptr[i]) != NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = str_n((const char *)data, size);
    struct strbuf once;
    struct strbuf twice;
    uint64_t u;
    int64_t i;
    double d;

    strbuf_init(&once);
    strbuf_init(&twice);
    json_escape(&once, s);
    check_escaped(strbuf_str(&once));
    json_escape(&twice, strbuf_str(&once));
    check_escaped(strbuf_str(&twice));

    if (parse_u64(s, &u) == 0) {
        char digits[U64_DIGITS];

        CHECK(format_u64(u, digits) <= size);
    }
    if (parse_u64_hex(s, &u) == 0 && u > 0) {
        CHECK(size >= (67 - (size_t)__builtin_clzll(u)) / 4); /* a digit for every four bits */
    }
    if (parse_i64(s, &i) == 0 && parse_u64(s, &u) == 0) {
        CHECK((uint64_t)i == u);
    }
    if (parse_double(s, &d) == 0) {
        CHECK(isfinite(d));
    }
    CHECK(str_contains_nocase(s, str_trim(s)));

    strbuf_done(&once);
    strbuf_done(&twice);
    return 0;
}
