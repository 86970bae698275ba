/*
 * Names of response flags, and their lists as access logs print them. Owns no state; any thread.
 * Does not decide which flag a failure gets: that is http/ and the router.
 */

#include "dataplane/stream_info/response_flags.h"

#include "dataplane/base/check.h"

struct response_flag_names {
    const char *short_name;
    const char *long_name;
};

static const struct response_flag_names response_flag_names[] = {
#define RESPONSE_FLAG_NAMES(id, short_name, long_name) {short_name, long_name},
    RESPONSE_FLAG_LIST(RESPONSE_FLAG_NAMES)
#undef RESPONSE_FLAG_NAMES
};

_Static_assert(FLAG_COUNT <= 64, "flags are bits of a uint64_t");

static void response_flags_join(uint64_t flags, bool is_long, struct strbuf *out)
{
    bool is_first = true;

    if (flags == 0) {
        strbuf_add_char(out, '-');
        return;
    }
    while (flags != 0) {
        size_t i = (size_t)__builtin_ctzll(flags);

        flags &= flags - 1;
        CHECK(i < ARRAY_LEN(response_flag_names));
        if (!is_first) {
            strbuf_add_char(out, ',');
        }
        is_first = false;
        strbuf_add_c(out, is_long ? response_flag_names[i].long_name
                                  : response_flag_names[i].short_name);
    }
}

void response_flags_format(uint64_t flags, struct strbuf *out)
{
    response_flags_join(flags, false, out);
}

void response_flags_format_long(uint64_t flags, struct strbuf *out)
{
    response_flags_join(flags, true, out);
}
