/* Flags about the process log. Main thread. */

#include "dataplane/server/log_setup.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/server/options.h"

/* Loggers that Envoy has and nuncio has not: their levels are nobody's, and no mistake. */
static const char *const ENVOY_LOGGERS[] = {
    "a2a",
    "ai_protocol_manager",
    "alternate_protocols_cache",
    "assert",
    "aws",
    "backtrace",
    "basic_auth",
    "cache_filter",
    "compression",
    "conn_handler",
    "credential_injector",
    "decompression",
    "dubbo",
    "dynamic_modules",
    "envoy_bug",
    "ext_authz",
    "ext_proc",
    "file",
    "forward_proxy",
    "geolocation",
    "golang",
    "grpc",
    "happy_eyeballs",
    "hc",
    "health_checker",
    "http2",
    "hystrix",
    "init",
    "io",
    "ip_tagging",
    "json_rpc",
    "jwt",
    "kafka",
    "key_value_store",
    "local_rate_limit",
    "lua",
    "matcher",
    "mcp",
    "misc",
    "mongo",
    "multi_connection",
    "notification",
    "oauth2",
    "quic",
    "quic_stream",
    "rate_limit_quota",
    "rbac",
    "rds",
    "redis",
    "rocketmq",
    "secret",
    "sse",
    "stats",
    "stats_sinks",
    "tap",
    "testing",
    "thrift",
    "tracing",
    "udp",
    "wasm",
    "websocket",
};

static bool is_envoy_logger(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ENVOY_LOGGERS); i++) {
        if (strcmp(name, ENVOY_LOGGERS[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* "upstream:debug", cut in two by `colon`. */
static int set_component(const char *name, const char *value, struct error *reterr)
{
    enum log_component component;
    enum log_level level;

    if (!log_level_parse(value, &level)) {
        return error_set(reterr, E_INVALID, "error: invalid log level specified '%s'", value);
    }
    if (log_component_parse(name, &component)) {
        log_set_level(component, level);
        return 0;
    }
    return is_envoy_logger(name)
               ? 0
               : error_set(reterr, E_INVALID, "error: invalid component specified '%s'", name);
}

static int set_components(const char *levels, struct error *reterr)
{
    struct str rest = str_c(levels);
    struct str pair;
    int r = 0;

    while (r == 0 && rest.len > 0 && str_split(&rest, ',', &pair)) {
        char *text = xstrndup(pair.ptr, pair.len);
        char *colon = strchr(text, ':');

        if (colon == NULL || strchr(colon + 1, ':') != NULL) {
            r = error_set(reterr, E_INVALID,
                          "error: component log level not correctly specified '%s'", text);
        } else {
            *colon = '\0';
            r = set_component(text, colon + 1, reterr);
        }
        free(text);
    }
    return r;
}

int log_setup(const struct options *o, struct error *reterr)
{
    int r;

    log_set_all(o->log_level);
    r = set_components(o->component_log_level, reterr);
    if (r != 0) {
        return r;
    }
    log_set_format(o->log_format, o->log_format_escaped);
    if (o->log_path != NULL && o->mode == MODE_SERVE && log_open(o->log_path) != 0) {
        return error_set(reterr, E_SYS, "Failed to open log-file '%s'", o->log_path);
    }
    for (size_t i = 0; i < o->noted_count; i++) {
        log_info(LOG_C_MAIN, "--%s is taken and has no effect", o->noted[i]);
    }
    if (o->has_concurrency && o->cpuset_threads) {
        log_warn(LOG_C_CONFIG, "Both --concurrency and --cpuset-threads options are set; not "
                               "applying --cpuset-threads.");
    }
    return 0;
}

int log_use_bootstrap(const struct options *o, const char *format, struct error *reterr)
{
    if (format == NULL) {
        return 0;
    }
    if (o->log_format != NULL) {
        return error_set(reterr, E_INVALID,
                         "Only one of ApplicationLogConfig.log_format or CLI option --log-format "
                         "can be specified.");
    }
    log_set_format(format, o->log_format_escaped);
    return 0;
}

void log_forget_bootstrap(const struct options *o)
{
    log_set_format(o->log_format, o->log_format_escaped);
}
