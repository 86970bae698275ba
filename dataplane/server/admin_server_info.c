/* /server_info and /memory. As Envoy, defaults are written too: readers need no schema. Main
 * thread. */

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "config/pb_json.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/json.h"
#include "dataplane/base/log.h"
#include "dataplane/base/log_format.h"
#include "dataplane/server/admin_endpoints.h"
#include "dataplane/server/hot_restart_wire.h"
#include "dataplane/server/server.h"

static void member_str(struct json_writer *w, const char *key, const char *value)
{
    json_member_str(w, key, str_c(value));
}

/* 64 bits: as text, as in every proto's JSON. */
static void member_u64_text(struct json_writer *w, const char *key, uint64_t value)
{
    char digits[U64_DIGITS];

    json_key(w, str_c(key));
    json_str(w, str_n(digits, format_u64(value, digits)));
}

static void member_ms(struct json_writer *w, const char *key, uint64_t ms)
{
    char text[32];
    int n = ms % 1000 == 0 ? snprintf(text, sizeof(text), "%llus", (unsigned long long)ms / 1000)
                           : snprintf(text, sizeof(text), "%llu.%03us",
                                      (unsigned long long)ms / 1000, (unsigned)(ms % 1000));

    json_key(w, str_c(key));
    json_str(w, str_n(text, (size_t)n));
}

static void member_empty_array(struct json_writer *w, const char *key)
{
    json_key(w, str_c(key));
    json_array_begin(w);
    json_array_end(w);
}

#define NS_PER_S 1000000000ull

/* --- command_line_options ----------------------------------------------------------------- */

static void member_disabled_extensions(struct json_writer *w, const char *list)
{
    struct str rest = str_c(list);
    struct str entry;

    json_key(w, STR("disabled_extensions"));
    json_array_begin(w);
    while (rest.len > 0 && str_split(&rest, ',', &entry)) {
        json_str(w, entry);
    }
    json_array_end(w);
}

static void member_stats_tags(struct json_writer *w, const struct options *o)
{
    json_key(w, STR("stats_tag"));
    json_array_begin(w);
    for (size_t i = 0; i < o->stats_tag_count; i++) {
        const struct stat_tag *t = &o->stats_tags[i];

        json_str(w, str_n(t->name.ptr, t->name.len + 1 + t->value.len)); /* as given */
    }
    json_array_end(w);
}

static void write_options(struct json_writer *w, const struct server *s)
{
    const struct options *o = &s->options;

    member_u64_text(w, "base_id", o->base_id);
    json_member_u64(w, "concurrency", s->worker_count);
    member_str(w, "config_path", o->config_path);
    member_str(w, "config_yaml", o->config_yaml);
    json_member_bool(w, "allow_unknown_static_fields", o->allow_unknown_static_fields);
    member_str(w, "admin_address_path", o->admin_address_path);
    member_str(w, "local_address_ip_version", o->local_address_ip_version);
    member_str(w, "log_level", log_level_name(o->log_level));
    member_str(w, "component_log_level", o->component_log_level);
    member_str(w, "log_format", o->log_format != NULL ? o->log_format : LOG_FORMAT_DEFAULT);
    member_str(w, "log_path", o->log_path);
    member_str(w, "service_cluster", o->service_cluster);
    member_str(w, "service_node", o->service_node);
    member_str(w, "service_zone", o->service_zone);
    member_ms(w, "file_flush_interval", o->file_flush_interval_ms);
    member_ms(w, "drain_time", (uint64_t)o->drain_time_s * 1000);
    member_ms(w, "parent_shutdown_time", (uint64_t)o->parent_shutdown_time_s * 1000);
    member_str(w, "mode", o->mode == MODE_SERVE ? "Serve" : "Validate");
    json_member_bool(w, "disable_hot_restart", o->disable_hot_restart);
    json_member_bool(w, "enable_mutex_tracing", o->enable_mutex_tracing);
    json_member_u64(w, "restart_epoch", o->restart_epoch);
    json_member_bool(w, "cpuset_threads", o->cpuset_threads);
    json_member_bool(w, "reject_unknown_dynamic_fields", o->reject_unknown_dynamic_fields);
    json_member_bool(w, "log_format_escaped", o->log_format_escaped);
    member_disabled_extensions(w, o->disable_extensions);
    json_member_bool(w, "ignore_unknown_dynamic_fields", o->ignore_unknown_dynamic_fields);
    json_member_bool(w, "use_dynamic_base_id", o->use_dynamic_base_id);
    member_str(w, "base_id_path", o->base_id_path);
    member_str(w, "drain_strategy", o->drain_strategy == DRAIN_GRADUAL ? "Gradual" : "Immediate");
    json_member_bool(w, "enable_fine_grain_logging", o->enable_fine_grain_logging);
    member_str(w, "socket_path", o->socket_path != NULL ? o->socket_path : HOT_RESTART_SOCKET_PATH);
    json_member_u64(w, "socket_mode", o->socket_mode);
    json_member_bool(w, "enable_core_dump", o->enable_core_dump);
    member_stats_tags(w, o);
    json_member_bool(w, "skip_hot_restart_on_no_parent", o->skip_hot_restart_on_no_parent);
    json_member_bool(w, "skip_hot_restart_parent_stats", o->skip_hot_restart_parent_stats);
    json_member_bool(w, "skip_deprecated_logs", o->skip_deprecated_logs);
    json_member_u64(w, "file_flush_min_size", o->file_flush_min_kb);
    json_member_bool(w, "log_stacktrace_single_entry", o->log_stacktrace_single_entry);
}

/* --- node --------------------------------------------------------------------------------- */

static void write_build_version(struct json_writer *w)
{
    json_object_begin(w);
    json_key(w, STR("version"));
    json_object_begin(w);
    json_member_u64(w, "major_number", NUNCIO_ENVOY_MAJOR);
    json_member_u64(w, "minor_number", NUNCIO_ENVOY_MINOR);
    json_member_u64(w, "patch", NUNCIO_ENVOY_PATCH);
    json_object_end(w);
    json_object_end(w);
}

static void write_extension(struct json_writer *w, const Envoy__Config__Core__V3__Extension *e)
{
    json_object_begin(w);
    member_str(w, "name", e->name);
    member_str(w, "category", e->category);
    member_str(w, "type_descriptor", "");
    json_member_bool(w, "disabled", false);
    json_key(w, STR("type_urls"));
    json_array_begin(w);
    for (size_t i = 0; i < e->n_type_urls; i++) {
        json_str(w, str_c(e->type_urls[i]));
    }
    json_array_end(w);
    json_object_end(w);
}

static void write_node(struct json_writer *w, const Envoy__Config__Core__V3__Node *n)
{
    member_str(w, "id", n->id);
    member_str(w, "cluster", n->cluster);
    if (n->metadata != NULL) {
        json_key(w, STR("metadata"));
        pb_json(w, &n->metadata->base);
    }
    if (n->locality != NULL) {
        json_key(w, STR("locality"));
        json_object_begin(w);
        member_str(w, "region", n->locality->region);
        member_str(w, "zone", n->locality->zone);
        member_str(w, "sub_zone", n->locality->sub_zone);
        json_object_end(w);
    }
    member_str(w, "user_agent_name", n->user_agent_name);
    json_key(w, STR("user_agent_build_version"));
    write_build_version(w);
    json_key(w, STR("extensions"));
    json_array_begin(w);
    for (size_t i = 0; i < n->n_extensions; i++) {
        write_extension(w, n->extensions[i]);
    }
    json_array_end(w);
    member_empty_array(w, "client_features");
    member_empty_array(w, "listening_addresses");
    json_key(w, STR("dynamic_parameters"));
    json_object_begin(w);
    json_object_end(w);
}

static void server_info_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    const struct server *s = context;
    uint64_t now = clock_wall_ns();
    struct json_writer w;

    (void)rq;
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    member_str(&w, "version", options_version());
    member_str(&w, "state", server_state_name(server_visible_state(s)));
    member_ms(&w, "uptime_current_epoch", (now - s->start_wall_ns) / NS_PER_S * 1000);
    member_ms(&w, "uptime_all_epochs", (now - server_first_start_ns(s)) / NS_PER_S * 1000);
    member_str(&w, "hot_restart_version",
               s->hot_restart != NULL ? hot_restart_version() : "disabled");
    json_key(&w, STR("command_line_options"));
    json_object_begin(&w);
    write_options(&w, s);
    json_object_end(&w);
    json_key(&w, STR("node"));
    json_object_begin(&w);
    write_node(&w, s->node.message);
    json_object_end(&w);
    json_member_bool(&w, "hot_restart_initializing", false);
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
}

const struct admin_endpoint admin_server_info_endpoint = {
    .path = "/server_info",
    .help = "print server version/status information",
    .render = server_info_render,
};

/* --- /memory ------------------------------------------------------------------------------ */

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long total = 0;
    unsigned long long resident = 0;

    if (f != NULL) {
        if (fscanf(f, "%llu %llu", &total, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(f); /* nothing was written */
    }
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* In tcmalloc's words, as far as malloc has the same thing. */
static void memory_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    struct mallinfo2 heap = mallinfo2();
    struct json_writer w;

    (void)context;
    (void)rq;
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    member_u64_text(&w, "allocated", heap.uordblks + heap.hblkhd);
    member_u64_text(&w, "heap_size", heap.arena + heap.hblkhd);
    member_u64_text(&w, "pageheap_unmapped", 0);
    member_u64_text(&w, "pageheap_free", heap.fordblks);
    member_u64_text(&w, "total_thread_cache", heap.fsmblks);
    member_u64_text(&w, "total_physical_bytes", resident_bytes());
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
}

const struct admin_endpoint admin_memory_endpoint = {
    .path = "/memory",
    .help = "print current allocation/heap usage",
    .render = memory_render,
};
