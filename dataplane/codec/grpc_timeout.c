/* grpc-timeout, read and written. */

#include "dataplane/codec/grpc_timeout.h"

#define TIMEOUT_VALUE_MAX 99999999

/* As absl::SimpleAtoi. */
static bool parse_value(struct str s, uint64_t *ret_value)
{
    int64_t value;

    s = str_trim(s);
    if (s.len > 1 && s.ptr[0] == '+' && s.ptr[1] != '-') {
        s = str_sub(s, 1, s.len);
    }
    if (parse_i64(s, &value) != 0 || value < 0 || value > TIMEOUT_VALUE_MAX) {
        return false;
    }
    *ret_value = (uint64_t)value;
    return true;
}

bool grpc_timeout_parse(struct str value, uint64_t *ret_ms)
{
    uint64_t n;

    if (value.len == 0 || !parse_value(str_sub(value, 0, value.len - 1), &n)) {
        return false;
    }
    switch (value.ptr[value.len - 1]) {
    case 'H':
        n *= 60 * 60 * 1000;
        break;
    case 'M':
        n *= 60 * 1000;
        break;
    case 'S':
        n *= 1000;
        break;
    case 'm':
        break;
    case 'u':
        n = (n + 999) / 1000;
        break;
    case 'n':
        n = (n + 999999) / 1000000;
        break;
    default:
        return false;
    }
    *ret_ms = n;
    return true;
}

size_t grpc_timeout_format(uint64_t ms, char ret_text[GRPC_TIMEOUT_BYTES])
{
    static const struct {
        char unit;
        uint32_t to_next; /* how many make one of the next */
    } units[] = {{'m', 1000}, {'S', 60}, {'M', 60}, {'H', 0}};
    char digits[U64_DIGITS];
    size_t unit = 0;
    size_t len;

    while (ms > TIMEOUT_VALUE_MAX) {
        ms = units[unit].to_next > 0 ? ms / units[unit].to_next : TIMEOUT_VALUE_MAX;
        unit += units[unit].to_next > 0 ? 1 : 0;
    }
    len = format_u64(ms, digits);
    memcpy(ret_text, digits, len);
    ret_text[len] = units[unit].unit;
    return len + 1;
}
