/*
 * Formats of access logs and header values: any text as a format is refused with a reason or can be
 * evaluated, with everything known about a request and with nothing.
 */

#include <string.h>

#include "config/parse/format.h"
#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/formatter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is always there. */
static struct stream_info *new_info(struct arena *a)
{
    struct stream_info *info = ARENA_NEW(a, struct stream_info);

    info->local = ARENA_NEW(a, struct address);
    info->direct_remote = &info->remote;
    return info;
}

static struct access_log_entry known_entry(struct arena *a)
{
    struct stream_info *info = new_info(a);
    struct header_map *request = ARENA_NEW(a, struct header_map);
    struct header_map *response = ARENA_NEW(a, struct header_map);

    header_map_init(request, a);
    header_map_init(response, a);
    header_add(request, HDR_METHOD, STR("GET"));
    header_add(request, HDR_PATH, STR("/p?q=1"));
    header_add(request, HDR_AUTHORITY, STR("h"));
    header_add_name(request, STR("x-a"), STR("a \"value\"\twith \\ more"));
    header_add_name(response, STR("x-b"), STR("b"));
    info->start_wall_ns = UINT64_C(1795405965) * 1000000000;
    info->start_mono_ns = UINT64_C(100) * 1000000000;
    info->end_ns = UINT64_C(101) * 1000000000;
    info->response_code = 200;
    return (struct access_log_entry){
        .info = info, .request_headers = request, .response_headers = response};
}

static void evaluate(const struct format *f, const struct access_log_entry *e, struct arena *a)
{
    static struct loop loop; /* of which only the clock is looked at */
    static struct thread_context thread = {.loop = &loop, .hostname = "box"};
    struct strbuf out;
    struct str value;

    for (int omit_empty = 0; omit_empty < 2; omit_empty++) {
        strbuf_init(&out);
        formatter_text(f, e, &thread, omit_empty != 0, &out);
        strbuf_done(&out);
    }
    if (formatter_header(f, e, &thread, a, &value)) {
        CHECK(value.len > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct access_log_entry known;
    struct access_log_entry nothing;
    struct format f;
    struct error err;
    struct arena a;

    arena_init(&a, NULL);
    error_init(&err);
    memset(&f, 0, sizeof(f));
    if (format_parse(&a, str_n((const char *)data, size), &f, &err) != 0) {
        CHECK(error_message(&err)[0] != '\0');
    } else {
        known = known_entry(&a);
        nothing = (struct access_log_entry){.info = new_info(&a)};
        evaluate(&f, &known, &a);
        evaluate(&f, &nothing, &a);
    }
    error_done(&err);
    arena_done(&a);
    return 0;
}
