/* Pages that Envoy has because of the libraries that it is built with. Here they say that there is
 * nothing to see, with the status that Envoy gives where it is built without. Main thread. */

#include "dataplane/admin/admin.h"
#include "dataplane/base/check.h"

static const char *const YES_OR_NO[] = {"y", "n", NULL};

static bool wants_enable(const struct admin_request *rq, struct admin_response *rs)
{
    const struct str *enable = admin_param(rq, STR("enable"));

    if (enable != NULL && (str_eq(*enable, STR("y")) || str_eq(*enable, STR("n")))) {
        return true;
    }
    rs->status = 400;
    strbuf_add_c(&rs->body, "?enable=<y|n>\n");
    return false;
}

static void no_profiler_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    (void)context;
    if (wants_enable(rq, rs)) {
        rs->status = 501;
        strbuf_add_c(&rs->body, "The current build does not support this profiler; perf(1) works "
                                "on the process as it is\n");
    }
}

static void no_heap_profiler_render(void *context, const struct admin_request *rq,
                                    struct admin_response *rs)
{
    (void)context;
    (void)rq;
    rs->status = 501;
    strbuf_add_c(&rs->body, "The current build does not support heap profiler");
}

static void no_tcmalloc_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    (void)context;
    (void)rq;
    rs->status = 501;
    strbuf_add_c(&rs->body, "The current build does not use tcmalloc; /memory has what its "
                            "allocator tells");
}

static void contention_render(void *context, const struct admin_request *rq,
                              struct admin_response *rs)
{
    (void)context;
    (void)rq;
    strbuf_add_c(&rs->body, "Mutex contention tracing is not enabled. To enable, run Envoy with "
                            "flag --enable-mutex-tracing.");
}

static void no_lookups_render(void *context, const struct admin_request *rq,
                              struct admin_response *rs)
{
    (void)context;
    if (rq->is_post) {
        rs->status = 501;
        strbuf_add_c(&rs->body, "Stats are not looked up by their names here: there is nothing to "
                                "track\n");
    } else {
        strbuf_add_c(&rs->body, "Lookup tracking is not enabled: stats are not looked up by their "
                                "names here.\n\ntotal: 0\n");
    }
}

static const struct admin_param_doc enable_alloc = {
    .name = "enable", .help = "enable/disable the allocation profiler", .choices = YES_OR_NO};
static const struct admin_param_doc enable_cpu = {
    .name = "enable", .help = "enables the CPU profiler", .choices = YES_OR_NO};
static const struct admin_param_doc enable_heap = {
    .name = "enable", .help = "enable/disable the heap profiler", .choices = YES_OR_NO};

static const struct admin_endpoint allocprofiler_endpoint = {
    .path = "/allocprofiler",
    .help = "enable/disable the allocation profiler (if supported)",
    .params = &enable_alloc,
    .param_count = 1,
    .needs_post = true,
    .render = no_profiler_render,
};

static const struct admin_endpoint cpuprofiler_endpoint = {
    .path = "/cpuprofiler",
    .help = "enable/disable the CPU profiler",
    .params = &enable_cpu,
    .param_count = 1,
    .needs_post = true,
    .render = no_profiler_render,
};

static const struct admin_endpoint heapprofiler_endpoint = {
    .path = "/heapprofiler",
    .help = "enable/disable the heap profiler",
    .params = &enable_heap,
    .param_count = 1,
    .needs_post = true,
    .render = no_heap_profiler_render,
};

static const struct admin_endpoint heap_dump_endpoint = {
    .path = "/heap_dump",
    .help = "dump current Envoy heap (if supported)",
    .render = no_heap_profiler_render,
};

static const struct admin_endpoint peak_heap_dump_endpoint = {
    .path = "/peak_heap_dump",
    .help = "dump peak Envoy heap (if supported)",
    .render = no_heap_profiler_render,
};

static const struct admin_endpoint tcmalloc_endpoint = {
    .path = "/memory/tcmalloc",
    .help = "print TCMalloc stats",
    .render = no_tcmalloc_render,
};

static const struct admin_endpoint contention_endpoint = {
    .path = "/contention",
    .help = "dump current Envoy mutex contention stats (if enabled)",
    .render = contention_render,
};

static const struct admin_endpoint lookups_endpoint = {
    .path = "/stats/recentlookups",
    .help = "Show recent stat-name lookups",
    .render = no_lookups_render,
};

static const struct admin_endpoint lookups_clear_endpoint = {
    .path = "/stats/recentlookups/clear",
    .help = "clear list of stat-name lookups and counter",
    .needs_post = true,
    .render = no_lookups_render,
};

static const struct admin_endpoint lookups_disable_endpoint = {
    .path = "/stats/recentlookups/disable",
    .help = "disable recording of reset stat-name lookup names",
    .needs_post = true,
    .render = no_lookups_render,
};

static const struct admin_endpoint lookups_enable_endpoint = {
    .path = "/stats/recentlookups/enable",
    .help = "enable recording of reset stat-name lookup names",
    .needs_post = true,
    .render = no_lookups_render,
};

const struct admin_endpoint *const admin_profiler_endpoints[] = {
    &allocprofiler_endpoint,   &cpuprofiler_endpoint,    &heapprofiler_endpoint,
    &heap_dump_endpoint,       &peak_heap_dump_endpoint, &tcmalloc_endpoint,
    &contention_endpoint,      &lookups_endpoint,        &lookups_clear_endpoint,
    &lookups_disable_endpoint, &lookups_enable_endpoint,
};
const size_t admin_profiler_endpoint_count = ARRAY_LEN(admin_profiler_endpoints);
