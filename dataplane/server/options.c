/* Reads the command line. No side effects but the output of --help and --version. */

#include "dataplane/server/options.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/str.h"
#include "dataplane/server/hot_restart_wire.h"

enum flag_kind {
    FLAG_STRING,
    FLAG_U32,
    FLAG_BOOL,
    FLAG_IGNORED_BOOL,  /* taken, noted */
    FLAG_IGNORED_VALUE, /* the same, with a value */
    FLAG_SPECIAL,       /* with a value, options_set_special */
    FLAG_PRINT,         /* prints and exits */
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
    {"concurrency", NULL, FLAG_U32, AT(concurrency), "worker threads (default: usable CPUs)"},
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
    {"local-address-ip-version", NULL, FLAG_STRING, AT(local_address_ip_version),
     "v4 or v6: the node's own address"},
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
    {"skip-hot-restart-parent-stats", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"socket-path", NULL, FLAG_STRING, AT(socket_path),
     "hot restart: where the next process finds this one (default @envoy_domain_socket)"},
    {"socket-mode", NULL, FLAG_SPECIAL, 0, "hot restart: permissions of that file, octal"},
    {"log-format", NULL, FLAG_IGNORED_VALUE, 0, ""},
    {"log-format-escaped", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"log-stacktrace-single-entry", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"enable-fine-grain-logging", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"skip-deprecated-logs", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"cpuset-threads", NULL, FLAG_IGNORED_BOOL, 0, ""}, /* affinity and quota always count */
    {"enable-mutex-tracing", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"enable-core-dump", NULL, FLAG_IGNORED_BOOL, 0, ""},
    {"disable-extensions", NULL, FLAG_IGNORED_VALUE, 0, ""},
    {"stats-tag", NULL, FLAG_IGNORED_VALUE, 0, ""},
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

        if (f->kind == FLAG_IGNORED_BOOL || f->kind == FLAG_IGNORED_VALUE) {
            printf("  --%-32s (taken for Envoy's launchers, no effect)\n", f->name);
        } else if (f->alias != NULL) {
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

static void options_note(struct options *o, const struct flag *f)
{
    if (o->noted_count < ARRAY_LEN(o->noted)) {
        o->noted[o->noted_count++] = f->name;
    }
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
            return error_set(reterr, E_INVALID, "--%s: '%s' is no number", f->name, value);
        }
        narrow = (uint32_t)n;
        memcpy(base + f->offset, &narrow, sizeof(narrow));
        o->has_base_id |= f->offset == AT(base_id);
        return 0;
    }
    case FLAG_IGNORED_VALUE:
        options_note(o, f);
        return 0;
    default:
        return options_set_special(o, f, value, reterr);
    }
}

static bool flag_takes_value(const struct flag *f)
{
    return f->kind == FLAG_STRING || f->kind == FLAG_U32 || f->kind == FLAG_SPECIAL ||
           f->kind == FLAG_IGNORED_VALUE;
}

static void options_set_switch(struct options *o, const struct flag *f, const char *program)
{
    if (f->kind == FLAG_BOOL && f->offset != SIZE_MAX) {
        bool yes = true;

        memcpy((char *)o + f->offset, &yes, sizeof(yes));
    } else if (f->kind == FLAG_IGNORED_BOOL) {
        options_note(o, f);
    } else if (f->kind == FLAG_PRINT) {
        if (strcmp(f->name, "version") == 0) {
            printf("%s  version: %s\n", program, options_version());
        } else if (strcmp(f->name, "help") == 0) {
            options_print_help(program);
        } else {
            o->wants_hot_restart_version = true;
            return; /* which depends on flags to come */
        }
        o->should_exit = true;
    }
}

static void options_defaults(struct options *o)
{
    *o = (struct options){
        .log_level = LOG_INFO,
        .drain_time_s = 600,
        .parent_shutdown_time_s = 900,
        .file_flush_interval_ms = 10000,
        .file_flush_min_kb = 64,
        .sigterm_drain_s = 20,
        .missing_cluster_hold_ms = 1000,
        .xds_max_message_mb = 64,
    };
}

int options_parse(int argc, char **argv, struct options *ret_options, struct error *reterr)
{
    struct options o;

    options_defaults(&o);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        bool is_short = arg[0] == '-' && arg[1] != '-';
        struct str name = str_c(arg + (is_short ? 1 : 2));
        const char *value = NULL;
        size_t eq = str_find_char(name, '=');
        const struct flag *f;
        int r;

        if (arg[0] != '-' || arg[1] == '\0') {
            return error_set(reterr, E_INVALID, "unexpected argument '%s'", arg);
        }
        if (strcmp(arg, "--") == 0 || strcmp(arg, "--ignore_rest") == 0) {
            break;
        }
        if (eq != STR_NPOS) {
            value = name.ptr + eq + 1;
            name = str_sub(name, 0, eq);
        }
        f = flag_find(name, is_short);
        if (f == NULL) {
            return error_set(reterr, E_INVALID, "unknown flag '%s' (see --help)", arg);
        }
        if (!flag_takes_value(f)) {
            if (value != NULL) {
                return error_set(reterr, E_INVALID, "--%s takes no value", f->name);
            }
            options_set_switch(&o, f, argv[0]);
            continue;
        }
        if (value == NULL && ++i < argc) {
            value = argv[i];
        }
        if (value == NULL) {
            return error_set(reterr, E_INVALID, "--%s needs a value", f->name);
        }
        r = options_set_value(&o, f, value, reterr);
        if (r != 0) {
            return r;
        }
    }
    if (o.wants_hot_restart_version) {
        fputs(o.disable_hot_restart ? "disabled" : hot_restart_version(), stderr); /* as Envoy */
        o.should_exit = true;
    }
    if (o.use_dynamic_base_id && o.restart_epoch > 0) {
        return error_set(reterr, E_INVALID,
                         "error: cannot use --restart-epoch=%u with --use-dynamic-base-id",
                         o.restart_epoch);
    }
    if (o.config_path == NULL && o.config_yaml == NULL && !o.should_exit) {
        return error_set(reterr, E_INVALID,
                         "at least one of --config-path or --config-yaml must be given");
    }
    *ret_options = o;
    return 0;
}
