/* Reads the command line. No side effects but the output of --help and --version. */

#include "dataplane/server/options.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/log_format.h"
#include "dataplane/base/str.h"
#include "dataplane/server/hot_restart_wire.h"

enum flag_kind {
    FLAG_STRING,
    FLAG_U32,
    FLAG_BOOL,
    FLAG_NOTED,     /* a switch that is taken and has nothing to switch here */
    FLAG_SPECIAL,   /* with a value, options_set_special */
    FLAG_STATS_TAG, /* with a value, may come again */
    FLAG_PRINT,     /* prints and exits */
};

struct flag {
    const char *name;  /* without the dashes */
    const char *alias; /* "c" of -c, or NULL */
    enum flag_kind kind;
    size_t offset;
    const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct flag FLAGS[] = {
    {"config-path", "c", FLAG_STRING, AT(config_path), "bootstrap file: YAML, JSON or protobuf"},
    {"config-yaml", NULL, FLAG_STRING, AT(config_yaml),
     "bootstrap as inline YAML, merged over --config-path"},
    {"mode", NULL, FLAG_SPECIAL, 0, "serve or validate"},
    {"concurrency", NULL, FLAG_U32, AT(concurrency),
     "worker threads (default: usable CPUs; 0: one)"},
    {"log-level", "l", FLAG_SPECIAL, 0,
     "trace, debug, info, warning, error, critical or off (default info)"},
    {"component-log-level", NULL, FLAG_STRING, AT(component_log_level),
     "levels per component: upstream:debug,config:trace"},
    {"log-path", NULL, FLAG_STRING, AT(log_path), "log file instead of standard error"},
    {"service-node", NULL, FLAG_STRING, AT(service_node), "node id"},
    {"service-cluster", NULL, FLAG_STRING, AT(service_cluster), "node cluster"},
    {"service-zone", NULL, FLAG_STRING, AT(service_zone), "node zone"},
    {"admin-address-path", NULL, FLAG_STRING, AT(admin_address_path),
     "file to write the admin address to"},
    {"drain-time-s", NULL, FLAG_U32, AT(drain_time_s),
     "how long a removed listener drains (default 600)"},
    {"drain-strategy", NULL, FLAG_SPECIAL, 0, "gradual or immediate"},
    {"parent-shutdown-time-s", NULL, FLAG_U32, AT(parent_shutdown_time_s),
     "hot restart: how long the parent lives (default 900)"},
    {"base-id", NULL, FLAG_U32, AT(base_id), "hot restart: instance number"},
    {"base-id-path", NULL, FLAG_STRING, AT(base_id_path), "file to write the base id to"},
    {"restart-epoch", NULL, FLAG_U32, AT(restart_epoch), "hot restart: generation"},
    {"local-address-ip-version", NULL, FLAG_SPECIAL, 0, "v4 or v6: the node's own address"},
    {"file-flush-interval-msec", NULL, FLAG_U32, AT(file_flush_interval_ms),
     "access log flush interval (default 10000)"},
    {"file-flush-min-size-kb", NULL, FLAG_U32, AT(file_flush_min_kb),
     "access log flush size (default 64)"},
    {"allow-unknown-static-fields", NULL, FLAG_BOOL, AT(allow_unknown_static_fields),
     "unknown fields in the bootstrap do not refuse it"},
    {"allow-unknown-fields", NULL, FLAG_BOOL, AT(allow_unknown_static_fields),
     "deprecated spelling of --allow-unknown-static-fields"},
    {"reject-unknown-dynamic-fields", NULL, FLAG_BOOL, AT(reject_unknown_dynamic_fields),
     "unknown fields in xDS resources refuse them"},
    {"ignore-unknown-dynamic-fields", NULL, FLAG_BOOL, AT(ignore_unknown_dynamic_fields),
     "unknown fields in xDS resources are not reported"},
    {"strict", NULL, FLAG_BOOL, AT(is_strict),
     "fields that Envoy has and nuncio lacks refuse their resource"},
    {"sigterm-drain-time-s", NULL, FLAG_U32, AT(sigterm_drain_s),
     "longest drain after SIGTERM (default 20)"},
    {"missing-cluster-hold-ms", NULL, FLAG_U32, AT(missing_cluster_hold_ms),
     "how long a route waits for a cluster that is not there yet (default 1000)"},
    {"xds-max-message-mb", NULL, FLAG_U32, AT(xds_max_message_mb),
     "largest xDS response (default 64)"},
    {"version", NULL, FLAG_PRINT, 0, "prints the version"},
    {"hot-restart-version", NULL, FLAG_PRINT, 0, "prints the hot restart version"},
    {"help", "h", FLAG_PRINT, 0, "prints this"},
    {"disable-hot-restart", NULL, FLAG_BOOL, AT(disable_hot_restart), "no hot restart"},
    {"use-dynamic-base-id", NULL, FLAG_BOOL, AT(use_dynamic_base_id),
     "hot restart: any base id that is free"},
    {"skip-hot-restart-on-no-parent", NULL, FLAG_BOOL, AT(skip_hot_restart_on_no_parent),
     "hot restart: without a parent, start as if there were no epoch"},
    {"skip-hot-restart-parent-stats", NULL, FLAG_BOOL, AT(skip_hot_restart_parent_stats),
     "hot restart: no stats of the parent (they are never copied here)"},
    {"socket-path", NULL, FLAG_STRING, AT(socket_path),
     "hot restart: where the next process finds this one (default @envoy_domain_socket)"},
    {"socket-mode", NULL, FLAG_SPECIAL, 0, "hot restart: permissions of that file, octal"},
    {"log-format", NULL, FLAG_STRING, AT(log_format),
     "log lines in spdlog's syntax (default " LOG_FORMAT_DEFAULT ")"},
    {"log-format-escaped", NULL, FLAG_BOOL, AT(log_format_escaped), "C escapes in log messages"},
    {"enable-fine-grain-logging", NULL, FLAG_BOOL, AT(enable_fine_grain_logging),
     "levels are per component all the same: only refuses --component-log-level, as Envoy"},
    {"cpuset-threads", NULL, FLAG_BOOL, AT(cpuset_threads),
     "the default of --concurrency counts the cpuset (it always does)"},
    {"enable-core-dump", NULL, FLAG_BOOL, AT(enable_core_dump), "a fatal signal leaves a core"},
    {"disable-extensions", NULL, FLAG_STRING, AT(disable_extensions),
     "category/name,...: extensions that configuration may not use"},
    {"stats-tag", NULL, FLAG_STATS_TAG, 0, "tag:value on every metric; may be given again"},
    {"log-stacktrace-single-entry", NULL, FLAG_NOTED, AT(log_stacktrace_single_entry),
     "stacks are one entry of the log (they always are)"},
    {"skip-deprecated-logs", NULL, FLAG_NOTED, AT(skip_deprecated_logs),
     "no warnings about deprecated fields (there are none)"},
    {"enable-mutex-tracing", NULL, FLAG_NOTED, AT(enable_mutex_tracing),
     "contention of locks (there are none to trace)"},
};

const char *options_version(void)
{
    return "0000000000000000000000000000000000000000/" NUNCIO_VERSION "-nuncio/Clean/RELEASE/"
           "BoringSSL";
}

static void options_print_help(const char *program)
{
    printf("usage: %s [-c FILE] [--config-yaml TEXT] [flags]\n\n", program);
    for (size_t i = 0; i < ARRAY_LEN(FLAGS); i++) {
        const struct flag *f = &FLAGS[i];

        if (f->alias != NULL) {
            printf("  -%s, --%-28s %s\n", f->alias, f->name, f->help);
        } else {
            printf("  --%-32s %s\n", f->name, f->help);
        }
    }
}

static const struct flag *flag_find(struct str name, bool is_short)
{
    for (size_t i = 0; i < ARRAY_LEN(FLAGS); i++) {
        const char *candidate = is_short ? FLAGS[i].alias : FLAGS[i].name;

        if (candidate != NULL && str_eq(name, str_c(candidate))) {
            return &FLAGS[i];
        }
    }
    return NULL;
}

static int parse_octal(struct str s, uint32_t *ret)
{
    uint32_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '7' || n > 0777) {
            return E_INVALID;
        }
        n = n * 8 + (uint32_t)(s.ptr[i] - '0');
    }
    *ret = n;
    return s.len > 0 && n <= 0777 ? 0 : E_INVALID;
}

static int options_set_special(struct options *o, const struct flag *f, const char *value,
                               struct error *reterr)
{
    struct str v = str_c(value);

    if (strcmp(f->name, "mode") == 0) {
        if (str_eq(v, STR("serve"))) {
            o->mode = MODE_SERVE;
        } else if (str_eq(v, STR("validate"))) {
            o->mode = MODE_VALIDATE;
        } else {
            return error_set(reterr, E_INVALID, "error: unknown mode '%s'", value);
        }
        return 0;
    }
    if (strcmp(f->name, "drain-strategy") == 0) {
        if (str_eq(v, STR("gradual"))) {
            o->drain_strategy = DRAIN_GRADUAL;
        } else if (str_eq(v, STR("immediate"))) {
            o->drain_strategy = DRAIN_IMMEDIATE;
        } else {
            return error_set(reterr, E_INVALID, "error: unknown drain-strategy '%s'", value);
        }
        return 0;
    }
    if (strcmp(f->name, "local-address-ip-version") == 0) {
        if (!str_eq(v, STR("v4")) && !str_eq(v, STR("v6"))) {
            return error_set(reterr, E_INVALID, "error: unknown IP address version '%s'", value);
        }
        o->local_address_ip_version = value;
        return 0;
    }
    if (strcmp(f->name, "socket-mode") == 0) {
        return parse_octal(v, &o->socket_mode) == 0
                   ? 0
                   : error_set(reterr, E_INVALID, "error: invalid socket-mode '%s'", value);
    }
    if (!log_level_parse(value, &o->log_level)) {
        return error_set(reterr, E_INVALID, "error: invalid log level specified '%s'", value);
    }
    return 0;
}

static bool is_tag_char(char c, bool is_value)
{
    bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

    return is_value ? c != '.' && c != '\0' : is_alnum;
}

/* As Envoy: a name of letters and digits, a value without a dot, neither empty. */
static int check_tag_part(struct str part, bool is_value, const char *tag, struct error *reterr)
{
    bool ok = part.len > 0;

    for (size_t i = 0; i < part.len; i++) {
        ok &= is_tag_char(part.ptr[i], is_value);
    }
    return ok ? 0
              : error_set(reterr, E_INVALID,
                          "error: misformatted stats-tag '%s' contains invalid char in '%.*s'", tag,
                          STR_ARG(part));
}

static int options_add_stats_tag(struct options *o, const char *value, struct error *reterr)
{
    struct str text = str_c(value);
    size_t colon = str_find_char(text, ':');
    struct stat_tag tag;
    int r;

    if (colon == STR_NPOS) {
        return error_set(reterr, E_INVALID, "error: misformatted stats-tag '%s'", value);
    }
    tag.name = str_sub(text, 0, colon);
    tag.value = str_sub(text, colon + 1, text.len);
    r = check_tag_part(tag.name, false, value, reterr);
    if (r == 0) {
        r = check_tag_part(tag.value, true, value, reterr);
    }
    for (size_t i = 0; i < o->stats_tag_count && r == 0; i++) {
        if (str_eq(o->stats_tags[i].name, tag.name)) {
            r = error_set(reterr, E_INVALID, "error: stats-tag '%.*s' is given twice",
                          STR_ARG(tag.name));
        }
    }
    if (r == 0 && o->stats_tag_count == ARRAY_LEN(o->stats_tags)) {
        r = error_set(reterr, E_LIMIT, "error: more than %zu stats-tags", o->stats_tag_count);
    }
    if (r == 0) {
        o->stats_tags[o->stats_tag_count++] = tag;
    }
    return r;
}

static int options_set_value(struct options *o, const struct flag *f, const char *value,
                             struct error *reterr)
{
    char *base = (char *)o;
    uint64_t n;

    switch (f->kind) {
    case FLAG_STRING:
        memcpy(base + f->offset, &value, sizeof(value));
        return 0;
    case FLAG_U32: {
        uint32_t narrow;

        if (parse_u64(str_c(value), &n) != 0 || n > UINT32_MAX) {
            return error_set(reterr, E_INVALID,
                             "PARSE ERROR: Argument: (--%s)\n             Couldn't read argument "
                             "value from string '%s'",
                             f->name, value);
        }
        narrow = (uint32_t)n;
        memcpy(base + f->offset, &narrow, sizeof(narrow));
        o->has_base_id |= f->offset == AT(base_id);
        o->has_concurrency |= f->offset == AT(concurrency);
        return 0;
    }
    case FLAG_STATS_TAG:
        return options_add_stats_tag(o, value, reterr);
    default:
        return options_set_special(o, f, value, reterr);
    }
}

static bool flag_takes_value(const struct flag *f)
{
    return f->kind == FLAG_STRING || f->kind == FLAG_U32 || f->kind == FLAG_SPECIAL ||
           f->kind == FLAG_STATS_TAG;
}

static void options_set_switch(struct options *o, const struct flag *f, const char *program)
{
    if (f->kind == FLAG_BOOL || f->kind == FLAG_NOTED) {
        bool yes = true;

        memcpy((char *)o + f->offset, &yes, sizeof(yes));
        if (f->kind == FLAG_NOTED && o->noted_count < ARRAY_LEN(o->noted)) {
            o->noted[o->noted_count++] = f->name;
        }
    } else if (strcmp(f->name, "version") == 0) {
        printf("\n%s  version: %s\n\n", program, options_version());
        o->should_exit = true;
    } else if (strcmp(f->name, "help") == 0) {
        options_print_help(program);
        o->should_exit = true;
    } else {
        o->wants_hot_restart_version = true; /* which depends on flags to come */
    }
}

static void options_defaults(struct options *o)
{
    *o = (struct options){
        .log_level = LOG_INFO,
        .local_address_ip_version = "v4",
        .drain_time_s = 600,
        .parent_shutdown_time_s = 900,
        .file_flush_interval_ms = 10000,
        .file_flush_min_kb = 64,
        .sigterm_drain_s = 20,
        .missing_cluster_hold_ms = 1000,
        .xds_max_message_mb = 64,
    };
}

/* What flags say only together. */
static int options_check(struct options *o, struct error *reterr)
{
    if (o->should_exit) {
        return 0;
    }
    if (o->wants_hot_restart_version) {
        fputs(o->disable_hot_restart ? "disabled" : hot_restart_version(), stderr); /* as Envoy */
        o->should_exit = true;
        return 0;
    }
    if (o->use_dynamic_base_id && o->restart_epoch > 0) {
        return error_set(reterr, E_INVALID,
                         "error: cannot use --restart-epoch=%u with --use-dynamic-base-id",
                         o->restart_epoch);
    }
    if (o->enable_fine_grain_logging && o->component_log_level != NULL) {
        return error_set(
            reterr, E_INVALID,
            "error: --component-log-level will not work with --enable-fine-grain-logging");
    }
    if (o->config_path == NULL && o->config_yaml == NULL) {
        return error_set(reterr, E_INVALID,
                         "At least one of --config-path or --config-yaml or Options::configProto() "
                         "should be non-empty");
    }
    return 0;
}

/* One flag and, where it has one, its value: how many arguments that were, or an error. */
static int options_take(struct options *o, int argc, char **argv, int at, bool *seen,
                        struct error *reterr)
{
    const char *arg = argv[at];
    bool is_short = arg[0] == '-' && arg[1] != '-';
    struct str name = str_c(arg + (is_short ? 1 : 2));
    const char *value = NULL;
    size_t eq = str_find_char(name, '=');
    const struct flag *f;
    int taken = 1;
    int r;

    if (eq != STR_NPOS) {
        value = name.ptr + eq + 1;
        name = str_sub(name, 0, eq);
    }
    f = flag_find(name, is_short);
    if (f == NULL || (value != NULL && !flag_takes_value(f))) {
        return error_set(reterr, E_INVALID,
                         "PARSE ERROR: Argument: %s\n             Couldn't find match for argument",
                         arg);
    }
    if (seen[f - FLAGS] && f->kind != FLAG_STATS_TAG) {
        return error_set(reterr, E_INVALID,
                         "PARSE ERROR: Argument: (--%s)\n             Argument already set!",
                         f->name);
    }
    seen[f - FLAGS] = true;
    if (!flag_takes_value(f)) {
        options_set_switch(o, f, argv[0]);
        return taken;
    }
    if (value == NULL && at + 1 < argc) {
        value = argv[at + 1];
        taken++;
    }
    if (value == NULL) {
        return error_set(
            reterr, E_INVALID,
            "PARSE ERROR: Argument: (--%s)\n             Missing a value for this argument!",
            f->name);
    }
    r = options_set_value(o, f, value, reterr);
    return r < 0 ? r : taken;
}

int options_parse(int argc, char **argv, struct options *ret_options, struct error *reterr)
{
    bool seen[ARRAY_LEN(FLAGS)] = {false};
    struct options o;
    int r;

    options_defaults(&o);
    for (int at = 1; at < argc; at += r) {
        const char *arg = argv[at];

        if (strcmp(arg, "--") == 0 || strcmp(arg, "--ignore_rest") == 0) {
            break;
        }
        if (arg[0] != '-' || arg[1] == '\0') {
            return error_set(
                reterr, E_INVALID,
                "PARSE ERROR: Argument: %s\n             Couldn't find match for argument", arg);
        }
        r = options_take(&o, argc, argv, at, seen, reterr);
        if (r < 0) {
            return r;
        }
    }
    r = options_check(&o, reterr);
    *ret_options = o;
    return r;
}
