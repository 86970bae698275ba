/* The bootstrap and discovery files. Main thread. */

#include "config/bootstrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/log_filter.h"
#include "config/parse/matcher.h"
#include "config/parse/overload.h"
#include "config/parse/runtime.h"
#include "config/parse/stats_config.h"
#include "config/pb_arena.h"
#include "config/pb_json.h"
#include "config/pb_text.h"
#include "config/pb_unpack.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "proto/envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "proto/envoy/service/discovery/v3/discovery.pb-c.h"

#define FILE_BYTES_MAX (256u << 20)

/* --- files -------------------------------------------------------------------------------- */

static int read_file(const char *path, struct strbuf *out, struct error *reterr)
{
    FILE *f = fopen(path, "re");
    size_t n;

    if (f == NULL) {
        return error_set(reterr, E_SYS, "Invalid path: %s (%s)", path, strerror(errno));
    }
    do {
        char *at = strbuf_reserve(out, 65536);

        n = fread(at, 1, 65536, f);
        out->len += n;
    } while (n > 0 && out->len <= FILE_BYTES_MAX);
    n = (size_t)ferror(f);
    fclose(f);
    if (n != 0) {
        return error_set(reterr, E_SYS, "unable to read file: %s", path);
    }
    return out->len > FILE_BYTES_MAX ? error_set(reterr, E_LIMIT, "%s: too large", path) : 0;
}

enum file_format { FILE_YAML, FILE_JSON, FILE_PROTO, FILE_OTHER_PROTO };

/* By ending, as Envoy: what has none of these is JSON. */
static enum file_format file_format_of(struct str path)
{
    static const struct {
        const char *ending;
        enum file_format format;
    } ENDINGS[] = {
        {".yaml", FILE_YAML},
        {".yml", FILE_YAML},
        {".pb", FILE_PROTO},
        {".pb_text", FILE_OTHER_PROTO},
        {".pb_length_delimited", FILE_OTHER_PROTO},
    };

    for (size_t i = 0; i < ARRAY_LEN(ENDINGS); i++) {
        if (str_ends_nocase(path, str_c(ENDINGS[i].ending))) {
            return ENDINGS[i].format;
        }
    }
    return FILE_JSON;
}

static int message_from_text(struct str text, const char *file, enum file_format format,
                             const ProtobufCMessageDescriptor *d, bool allow_unknown,
                             struct arena *a, ProtobufCMessage **ret, struct error *reterr)
{
    struct pb_text_options options = {.allow_unknown = allow_unknown, .file = file};
    const struct text_node *root;
    int r = format == FILE_JSON ? json_parse(text, a, &root, reterr)
                                : yaml_parse(text, a, &root, reterr);

    if (r != 0) {
        error_prefix(reterr, "%s:", file);
        return r;
    }
    return pb_from_text(root, d, &options, a, ret, reterr);
}

static int message_from_bytes(struct str bytes, const char *path, enum file_format format,
                              const ProtobufCMessageDescriptor *d, bool allow_unknown,
                              struct arena *a, ProtobufCMessage **ret, struct error *reterr)
{
    int r;

    switch (format) {
    case FILE_PROTO:
        r = pb_unpack(d, (const uint8_t *)bytes.ptr, bytes.len, a, ret, reterr);
        if (r != 0) {
            error_prefix(reterr, "%s: ", path);
        }
        return r;
    case FILE_OTHER_PROTO:
        return error_set(reterr, E_UNSUPPORTED,
                         "%s: protobuf text and length-delimited files are not supported: "
                         "use YAML, JSON or .pb",
                         path);
    default:
        return message_from_text(bytes, path, format, d, allow_unknown, a, ret, reterr);
    }
}

static int message_from_file(const char *path, const ProtobufCMessageDescriptor *d,
                             bool allow_unknown, struct arena *a, ProtobufCMessage **ret,
                             struct error *reterr)
{
    struct strbuf bytes;
    int r;

    strbuf_init(&bytes);
    r = read_file(path, &bytes, reterr);
    if (r == 0) {
        r = message_from_bytes(strbuf_str(&bytes), path, file_format_of(str_c(path)), d,
                               allow_unknown, a, ret, reterr);
    }
    strbuf_done(&bytes);
    return r;
}

int bootstrap_read_discovery_file(struct str path, uint8_t **ret_bytes, size_t *ret_len,
                                  struct error *reterr)
{
    char *name = xstrndup(path.ptr, path.len);
    ProtobufCMessage *m = NULL;
    struct arena a;
    int r;

    arena_init(&a, NULL);
    r = message_from_file(name, &envoy__service__discovery__v3__discovery_response__descriptor,
                          true, &a, &m, reterr);
    if (r == 0) {
        *ret_len = protobuf_c_message_get_packed_size(m);
        *ret_bytes = xmalloc(*ret_len + 1);
        protobuf_c_message_pack(m, *ret_bytes);
    }
    arena_done(&a);
    free(name);
    return r;
}

#define LOG_FORMAT(name)                                                                           \
    ENVOY__CONFIG__BOOTSTRAP__V3__BOOTSTRAP__APPLICATION_LOG_CONFIG__LOG_FORMAT__LOG_FORMAT_##name

/* --- loading ------------------------------------------------------------------------------ */

/* Protobuf merge is concatenation of the serialized forms. */
static int merge(struct arena *a, const ProtobufCMessage *under, const ProtobufCMessage *over,
                 ProtobufCMessage **ret, struct error *reterr)
{
    size_t under_len;
    size_t over_len;
    const uint8_t *under_bytes = pb_pack(under, a, &under_len);
    const uint8_t *over_bytes = pb_pack(over, a, &over_len);
    uint8_t *both = arena_alloc(a, under_len + over_len + 1);

    memcpy(both, under_bytes, under_len);
    memcpy(both + under_len, over_bytes, over_len);
    return pb_unpack(under->descriptor, both, under_len + over_len, a, ret, reterr);
}

static int load_message(const struct bootstrap_params *p, struct arena *a, ProtobufCMessage **ret,
                        struct error *reterr)
{
    const ProtobufCMessageDescriptor *d = &envoy__config__bootstrap__v3__bootstrap__descriptor;
    ProtobufCMessage *file = NULL;
    ProtobufCMessage *text = NULL;
    int r = 0;

    if (p->config_path != NULL && p->config_path[0] != '\0') {
        r = message_from_file(p->config_path, d, p->allow_unknown_fields, a, &file, reterr);
    }
    if (r == 0 && p->config_yaml != NULL && p->config_yaml[0] != '\0') {
        r = message_from_text(str_c(p->config_yaml), "--config-yaml", FILE_YAML, d,
                              p->allow_unknown_fields, a, &text, reterr);
    }
    if (r != 0) {
        return r;
    }
    if (file != NULL && text != NULL) {
        return merge(a, file, text, ret, reterr);
    }
    *ret = file != NULL ? file : text;
    if (*ret == NULL) {
        return error_set(reterr, E_INVALID,
                         "At least one of --config-path or --config-yaml or "
                         "Options::configProto() should be non-empty");
    }
    return 0;
}

static int read_allow_paths(struct parse_context *ctx, const Envoy__Config__Bootstrap__V3__Admin *m,
                            struct bootstrap *b)
{
    struct string_matcher *paths =
        ARENA_ARRAY(parse_arena(ctx), struct string_matcher, m->n_allow_paths + 1);

    for (size_t i = 0; i < m->n_allow_paths; i++) {
        size_t at = path_push_index(ctx, "allow_paths", i);
        int r = parse_string_matcher(ctx, m->allow_paths[i], &paths[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    b->admin_allow_paths = paths;
    b->admin_allow_path_count = m->n_allow_paths;
    return 0;
}

/* Loggers that send to a cluster need one, and no cluster is there yet. */
static int check_admin_loggers(struct parse_context *ctx,
                               const Envoy__Config__Bootstrap__V3__Admin *m)
{
    for (size_t i = 0; i < m->n_access_log; i++) {
        const Envoy__Config__Accesslog__V3__AccessLog *l = m->access_log[i];

        if (l->config_type_case !=
                ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG ||
            str_find(str_c(l->typed_config->type_url), STR("access_loggers.file.")) != STR_NPOS ||
            str_find(str_c(l->typed_config->type_url), STR("access_loggers.stream.")) != STR_NPOS) {
            continue;
        }
        return parse_fail(ctx, E_UNSUPPORTED, "access_log",
                          "the admin interface logs to files and streams only");
    }
    return 0;
}

/* `access_log_path` is an old name for one more logger, to a file in the default format. */
static int read_admin_loggers(struct parse_context *ctx,
                              const Envoy__Config__Bootstrap__V3__Admin *m, struct bootstrap *b)
{
    char url[] = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog file;
    Envoy__Config__Accesslog__V3__AccessLog log;
    Google__Protobuf__Any any;
    Envoy__Config__Accesslog__V3__AccessLog **all = ARENA_ARRAY(
        parse_arena(ctx), Envoy__Config__Accesslog__V3__AccessLog *, m->n_access_log + 1);
    size_t n = m->n_access_log;
    int r = check_admin_loggers(ctx, m);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < n; i++) {
        all[i] = m->access_log[i];
    }
    if (m->access_log_path[0] != '\0') {
        envoy__extensions__access_loggers__file__v3__file_access_log__init(&file);
        file.path = m->access_log_path;
        google__protobuf__any__init(&any);
        any.type_url = url;
        any.value.len = protobuf_c_message_get_packed_size(&file.base);
        any.value.data = arena_alloc(parse_arena(ctx), any.value.len);
        (void)protobuf_c_message_pack(&file.base, any.value.data);
        envoy__config__accesslog__v3__access_log__init(&log);
        log.config_type_case = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
        log.typed_config = &any;
        all[n++] = &log;
    }
    return parse_access_logs(ctx, "access_log", n, all, &b->admin_access_logs);
}

static int read_admin_address(struct parse_context *ctx, const Envoy__Config__Core__V3__Address *m,
                              struct bootstrap *b)
{
    size_t at = path_push(ctx, "address");
    int r = parse_address(ctx, m, &b->admin_address, NULL);

    path_pop(ctx, at);
    if (r != 0) {
        return r;
    }
    if (m->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        b->admin_unix_mode = m->pipe->mode;
    } else {
        b->admin_ipv4_compat = m->socket_address->ipv4_compat;
    }
    return 0;
}

static int read_admin(struct parse_context *ctx, struct bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Admin *m = b->message->admin;
    size_t at;
    int r;

    if (m == NULL || m->address == NULL) {
        return 0;
    }
    at = path_push(ctx, "admin");
    r = read_admin_address(ctx, m->address, b);
    if (r == 0) {
        r = parse_socket_options(ctx, "socket_options", m->n_socket_options, m->socket_options,
                                 &b->admin_socket_options, &b->admin_socket_option_count);
    }
    if (r == 0) {
        r = read_admin_loggers(ctx, m, b);
    }
    if (r == 0) {
        r = read_allow_paths(ctx, m, b);
    }
    path_pop(ctx, at);
    b->has_admin = r == 0;
    return r;
}

static int read_source(struct parse_context *ctx, const char *field,
                       const Envoy__Config__Core__V3__ConfigSource *m, struct config_source *ret)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    r = parse_config_source(ctx, m, ret);
    path_pop(ctx, at);
    return r;
}

static int read_dynamic_resources(struct parse_context *ctx, struct bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__DynamicResources *m =
        b->message->dynamic_resources;
    size_t at = path_push(ctx, "dynamic_resources");
    int r = 0;

    if (m != NULL && m->ads_config != NULL) {
        size_t ads_at = path_push(ctx, "ads_config");

        r = parse_api_config_source(ctx, m->ads_config, &b->ads);
        path_pop(ctx, ads_at);
    }
    if (m != NULL && r == 0) {
        r = read_source(ctx, "cds_config", m->cds_config, &b->cds);
    }
    if (m != NULL && r == 0) {
        r = read_source(ctx, "lds_config", m->lds_config, &b->lds);
    }
    path_pop(ctx, at);
    return r;
}

/* The pattern of JSON lines is the JSON with flags in its values, where only %j is escaped as it
 * has to be. */
static int read_json_log_format(struct parse_context *ctx, const Google__Protobuf__Struct *m,
                                struct bootstrap *b)
{
    struct strbuf text;
    struct json_writer w;
    int r = 0;

    strbuf_init(&text);
    json_init(&w, &text, false);
    pb_json(&w, &m->base);
    if (str_find(strbuf_str(&text), STR("%v")) != STR_NPOS) {
        r = parse_fail(ctx, E_INVALID, "json_format",
                       "Usage of %%v is unavailable for JSON log formats");
    } else if (str_find(strbuf_str(&text), STR("%_")) != STR_NPOS) {
        r = parse_fail(ctx, E_INVALID, "json_format",
                       "Usage of %%_ is unavailable for JSON log formats");
    } else {
        b->log_format = arena_str(&b->part->arena, strbuf_str(&text)).ptr;
    }
    strbuf_done(&text);
    return r;
}

static int read_log_format(struct parse_context *ctx, struct bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__ApplicationLogConfig *m =
        b->message->application_log_config;
    size_t at;
    int r;

    if (m == NULL || m->log_format == NULL) {
        return 0;
    }
    at = path_push(ctx, "application_log_config");
    (void)path_push(ctx, "log_format");
    switch (m->log_format->log_format_case) {
    case LOG_FORMAT(TEXT_FORMAT):
        b->log_format = arena_strdup(&b->part->arena, m->log_format->text_format);
        r = 0;
        break;
    case LOG_FORMAT(JSON_FORMAT):
        r = read_json_log_format(ctx, m->log_format->json_format, b);
        break;
    default:
        r = parse_fail(ctx, E_INVALID, NULL, "log_format is required");
    }
    path_pop(ctx, at);
    return r;
}

static int read_runtime(struct parse_context *ctx, struct bootstrap *b)
{
    size_t at = path_push(ctx, "layered_runtime");
    int r = parse_layered_runtime(ctx, b->message->layered_runtime, &b->runtime);

    path_pop(ctx, at);
    return r;
}

static int read_overload(struct parse_context *ctx, bool is_memory_limited, struct bootstrap *b)
{
    size_t at = path_push(ctx, "overload_manager");
    int r =
        parse_overload_manager(ctx, b->message->overload_manager, is_memory_limited, &b->overload);

    path_pop(ctx, at);
    return r;
}

#define MISS_MS 200
#define MEGAMISS_MS 1000

static int read_watchdog(struct parse_context *ctx, const char *field,
                         const Envoy__Config__Bootstrap__V3__Watchdog *m,
                         struct watchdog_rules *ret)
{
    size_t at;
    int r;

    *ret = (struct watchdog_rules){.miss_ms = MISS_MS, .megamiss_ms = MEGAMISS_MS};
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    r = parse_ms_or(ctx, "miss_timeout", m->miss_timeout, DURATION_ANY, MISS_MS, &ret->miss_ms);
    if (r == 0) {
        r = parse_ms_or(ctx, "megamiss_timeout", m->megamiss_timeout, DURATION_ANY, MEGAMISS_MS,
                        &ret->megamiss_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "kill_timeout", m->kill_timeout, DURATION_ANY, 0, &ret->kill_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "max_kill_timeout_jitter", m->max_kill_timeout_jitter, DURATION_ANY, 0,
                        &ret->kill_jitter_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "multikill_timeout", m->multikill_timeout, DURATION_ANY, 0,
                        &ret->multikill_ms);
    }
    if (r == 0 && m->multikill_threshold != NULL) {
        ret->multikill_threshold = m->multikill_threshold->value;
        if (!(ret->multikill_threshold >= 0 && ret->multikill_threshold <= 100)) {
            r = parse_fail(ctx, E_INVALID, "multikill_threshold",
                           "value must be inside range [0, 100]");
        }
    }
    path_pop(ctx, at);
    return r;
}

static int read_watchdogs(struct parse_context *ctx, struct bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Watchdogs *both = b->message->watchdogs;
    int r;

    if (both != NULL && b->message->watchdog != NULL) {
        return error_set(ctx->err, E_INVALID, "Only one of watchdog or watchdogs should be set!");
    }
    if (both == NULL) {
        r = read_watchdog(ctx, "watchdog", b->message->watchdog, &b->watchdogs.workers);
        b->watchdogs.main_thread = b->watchdogs.workers;
        return r;
    }
    r = read_watchdog(ctx, "watchdogs.main_thread_watchdog", both->main_thread_watchdog,
                      &b->watchdogs.main_thread);
    return r == 0 ? read_watchdog(ctx, "watchdogs.worker_watchdog", both->worker_watchdog,
                                  &b->watchdogs.workers)
                  : r;
}

#define STATS_FLUSH_MS 5000
#define STATS_FLUSH_MAX_MS (5 * 60 * 1000)

static int read_stats_interval(struct parse_context *ctx, struct bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap *m = b->message;
    struct stats_flush_config *c = &b->stats_flush;
    int r = parse_ms_or(ctx, "stats_flush_interval", m->stats_flush_interval, DURATION_GTE_1MS,
                        STATS_FLUSH_MS, &c->interval_ms);

    if (r == 0 && c->interval_ms >= STATS_FLUSH_MAX_MS) {
        r = parse_fail(ctx, E_INVALID, "stats_flush_interval",
                       "value must be inside range [1ms, 5m0s)");
    }
    c->on_admin = m->stats_flush_case ==
                  ENVOY__CONFIG__BOOTSTRAP__V3__BOOTSTRAP__STATS_FLUSH_STATS_FLUSH_ON_ADMIN;
    if (r == 0 && c->on_admin && !m->stats_flush_on_admin) {
        r = parse_fail(ctx, E_INVALID, "stats_flush_on_admin", "value must equal true");
    }
    if (r == 0 && c->on_admin && m->stats_flush_interval != NULL) {
        r = error_set(ctx->err, E_INVALID,
                      "Only one of stats_flush_interval or stats_flush_on_admin should be set!");
    }
    return r;
}

static int read_stats_flush(struct parse_context *ctx, struct bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap *m = b->message;
    struct filter_config *sinks =
        ARENA_ARRAY(parse_arena(ctx), struct filter_config, m->n_stats_sinks + 1);
    int r = read_stats_interval(ctx, b);

    for (size_t i = 0; r == 0 && i < m->n_stats_sinks; i++) {
        const Envoy__Config__Metrics__V3__StatsSink *s = m->stats_sinks[i];
        size_t at = path_push_index(ctx, "stats_sinks", i);

        r = parse_extension(ctx, EXT_STAT_SINK, s->name, "typed_config", s->typed_config,
                            &sinks[i]);
        path_pop(ctx, at);
    }
    b->stats_flush.sinks = sinks;
    b->stats_flush.sink_count = m->n_stats_sinks;
    return r;
}

/* What is unsupported in the bootstrap itself; static resources report their own when they are
 * put into the store. */
static int check_own_fields(struct parse_context *ctx, struct bootstrap *b)
{
    Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *resources =
        b->message->static_resources;
    size_t n_clusters = resources != NULL ? resources->n_clusters : 0;
    size_t n_listeners = resources != NULL ? resources->n_listeners : 0;
    size_t n_secrets = resources != NULL ? resources->n_secrets : 0;
    int r;

    if (resources != NULL) {
        resources->n_clusters = 0;
        resources->n_listeners = 0;
        resources->n_secrets = 0;
    }
    r = parse_check_tree(ctx, &b->message->base);
    if (resources != NULL) {
        resources->n_clusters = n_clusters;
        resources->n_listeners = n_listeners;
        resources->n_secrets = n_secrets;
    }
    return r;
}

static void keep_report(struct parse_context *ctx, struct bootstrap *b)
{
    b->unsupported = ARENA_ARRAY(&b->part->arena, char *, ctx->unsupported_count + 1);
    for (const struct unsupported_field *f = ctx->unsupported; f != NULL; f = f->next) {
        b->unsupported[b->unsupported_count++] =
            (char *)(uintptr_t)arena_printf(&b->part->arena, "%.*s (%.*s)", STR_ARG(f->path),
                                            STR_ARG(f->message))
                .ptr;
        log_warn(LOG_C_CONFIG, "bootstrap: %s is not supported and ignored",
                 b->unsupported[b->unsupported_count - 1]);
    }
}

int bootstrap_load(const struct bootstrap_params *p, struct bootstrap **ret_bootstrap,
                   struct error *reterr)
{
    struct part *part = part_new(sizeof(struct part), PART_SECRET, STR("bootstrap"));
    struct bootstrap *b = ARENA_NEW(&part->arena, struct bootstrap);
    struct parse_context ctx;
    ProtobufCMessage *m = NULL;
    int r;

    b->part = part;
    arena_init(&b->arena, NULL);
    parse_context_init(&ctx, part, p->registry, NULL, reterr);
    ctx.is_strict = p->is_strict;
    ctx.access_logs = p->access_logs;
    ctx.is_static = true;
    ctx.rejects_unknown = !p->allow_unknown_fields;
    r = load_message(p, &b->arena, &m, reterr);
    if (r == 0) {
        b->message = (Envoy__Config__Bootstrap__V3__Bootstrap *)m;
        r = check_own_fields(&ctx, b);
    }
    if (r == 0) {
        r = read_admin(&ctx, b);
    }
    if (r == 0) {
        r = read_dynamic_resources(&ctx, b);
    }
    if (r == 0) {
        r = read_log_format(&ctx, b);
    }
    if (r == 0) {
        r = read_runtime(&ctx, b);
    }
    if (r == 0) {
        r = read_watchdogs(&ctx, b);
    }
    if (r == 0) {
        r = read_stats_flush(&ctx, b);
    }
    if (r == 0) {
        r = parse_stats_config(&ctx, b->message->stats_config, p->fixed_tags, p->fixed_tag_count,
                               &b->stats_options);
    }
    if (r == 0) {
        r = read_overload(&ctx, p->is_memory_limited, b);
    }
    if (r == 0) {
        keep_report(&ctx, b);
    }
    parse_context_finish(&ctx);
    if (r != 0) {
        bootstrap_free(b);
        return r;
    }
    *ret_bootstrap = b;
    return 0;
}

void bootstrap_drop_message(struct bootstrap *b)
{
    const ProtobufCMessage *m = &b->message->base;

    b->len = protobuf_c_message_get_packed_size(m);
    b->bytes = xmalloc(b->len + 1);
    protobuf_c_message_pack(m, b->bytes);
    b->message = NULL;
    arena_done(&b->arena);
}

void bootstrap_free(struct bootstrap *b)
{
    if (b != NULL) {
        free(b->bytes);
        arena_done(&b->arena);
        part_unref(b->part);
    }
}
