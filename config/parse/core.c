/* Addresses, metadata, sockets and data of envoy.config.core.v3. Main thread. Where resources come
 * from is in config_source.c, the options of HTTP in protocol.c. */

#include "config/parse/core.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/parse/check.h"
#include "dataplane/base/xalloc.h"

#define PORT_MAX 65535
#define PIPE_MODE_MAX 0777
#define DATA_SOURCE_MAX_BYTES (64 << 20)

struct str parse_lower(struct parse_context *ctx, const char *s)
{
    size_t len = strlen(s);
    char *copy = arena_memdup(parse_arena(ctx), s, len + 1);

    str_lower_in_place(copy, len);
    return str_n(copy, len);
}

/* --- addresses ------------------------------------------------------------------------------ */

int parse_socket_address(struct parse_context *ctx, const Envoy__Config__Core__V3__SocketAddress *m,
                         struct address *ret, struct str *ret_name)
{
    int r = parse_check_enum(ctx, "protocol", (int)m->protocol,
                             &envoy__config__core__v3__socket_address__protocol__descriptor);

    if (r == 0) {
        r = parse_check_not_empty(ctx, "address", m->address);
    }
    if (r < 0) {
        return r;
    }
    if (m->port_specifier_case !=
        ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE) {
        return parse_fail(ctx, E_INVALID, "port_specifier", "value is required");
    }
    if (m->port_value > PORT_MAX) {
        return parse_fail(ctx, E_INVALID, "port_value",
                          "value must be less than or equal to 65535");
    }
    if (address_from_ip(str_c(m->address), (uint16_t)m->port_value, ret) == 0) {
        return 0;
    }
    if (ret_name == NULL) {
        return parse_fail(ctx, E_INVALID, "address",
                          "malformed IP address: %s. Consider setting resolver_name or setting "
                          "cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'",
                          m->address);
    }
    /* Where the port waits until the name is resolved. */
    CHECK(address_from_ip(STR("0.0.0.0"), (uint16_t)m->port_value, ret) == 0);
    *ret_name = parse_str(ctx, m->address);
    return 0;
}

static int parse_pipe(struct parse_context *ctx, const Envoy__Config__Core__V3__Pipe *m,
                      struct address *ret)
{
    int r = parse_check_not_empty(ctx, "path", m->path);

    if (r < 0) {
        return r;
    }
    if (m->mode > PIPE_MODE_MAX) {
        return parse_fail(ctx, E_INVALID, "mode", "value must be less than or equal to 511");
    }
    if (m->path[0] == '@' && m->mode != 0) {
        return parse_fail(ctx, E_INVALID, "mode", "Cannot set mode for Abstract AF_UNIX sockets");
    }
    r = address_from_path(str_c(m->path), ret);
    if (r < 0) {
        return parse_fail(ctx, r, "path",
                          "Path \"%s\" exceeds maximum UNIX domain socket path size of %zu.",
                          m->path, sizeof(ret->un.sun_path));
    }
    return 0;
}

int parse_address(struct parse_context *ctx, const Envoy__Config__Core__V3__Address *m,
                  struct address *ret, struct str *ret_name)
{
    size_t at = ctx->path.len;
    int r = 0;

    switch (m->address_case) {
    case ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS:
        at = path_push(ctx, "socket_address");
        r = parse_socket_address(ctx, m->socket_address, ret, ret_name);
        break;
    case ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE:
        at = path_push(ctx, "pipe");
        r = parse_pipe(ctx, m->pipe, ret);
        break;
    default:
        return parse_fail(ctx, E_INVALID, NULL, "address is required: socket_address or pipe");
    }
    path_pop(ctx, at);
    return r;
}

static int parse_cidr(struct parse_context *ctx, const Envoy__Config__Core__V3__CidrRange *m,
                      struct cidr *ret)
{
    uint32_t len = parse_u32_or(m->prefix_len, 0);
    struct address ip;
    int r = parse_check_not_empty(ctx, "address_prefix", m->address_prefix);

    if (r < 0) {
        return r;
    }
    if (len > 128) {
        return parse_fail(ctx, E_INVALID, "prefix_len", "value must be less than or equal to 128");
    }
    if (address_from_ip(str_c(m->address_prefix), 0, &ip) < 0) {
        return parse_fail(ctx, E_INVALID, "address_prefix", "malformed IP address: %s",
                          m->address_prefix);
    }
    if (ip.sa.sa_family == AF_INET && len > 32) {
        len = 32; /* as Envoy */
    }
    if (cidr_parse(str_c(m->address_prefix), len, ret) < 0) {
        return parse_fail(ctx, E_INVALID, "prefix_len", "invalid CIDR range: %s/%u",
                          m->address_prefix, len);
    }
    return 0;
}

int parse_cidrs(struct parse_context *ctx, const char *field, size_t n,
                Envoy__Config__Core__V3__CidrRange *const *m, const struct cidr **ret,
                size_t *ret_count)
{
    struct cidr *cidrs = ARENA_ARRAY(parse_arena(ctx), struct cidr, n);

    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        int r = parse_cidr(ctx, m[i], &cidrs[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    *ret = cidrs;
    *ret_count = n;
    return 0;
}

/* --- socket options ------------------------------------------------------------------------- */

static int parse_socket_option(struct parse_context *ctx,
                               const Envoy__Config__Core__V3__SocketOption *m,
                               struct socket_option *ret)
{
    int r = parse_check_enum(ctx, "state", (int)m->state,
                             &envoy__config__core__v3__socket_option__socket_state__descriptor);

    if (r < 0) {
        return r;
    }
    ret->level = (int)m->level; /* as Envoy: setsockopt takes ints */
    ret->name = (int)m->name;
    switch (m->state) {
    case ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__SOCKET_STATE__STATE_BOUND:
        ret->state = SOCKET_STATE_BOUND;
        break;
    case ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__SOCKET_STATE__STATE_LISTENING:
        ret->state = SOCKET_STATE_LISTENING;
        break;
    default:
        ret->state = SOCKET_STATE_PREBIND;
        break;
    }
    switch (m->value_case) {
    case ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__VALUE_INT_VALUE:
        ret->is_int = true;
        ret->int_value = (int)m->int_value;
        return 0;
    case ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__VALUE_BUF_VALUE:
        ret->buf_value = parse_bytes(ctx, m->buf_value);
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "value", "value is required");
    }
}

int parse_socket_options(struct parse_context *ctx, const char *field, size_t n,
                         Envoy__Config__Core__V3__SocketOption *const *m,
                         const struct socket_option **ret, size_t *ret_count)
{
    struct socket_option *options;

    if (n == 0) {
        return 0;
    }
    options = ARENA_ARRAY(parse_arena(ctx), struct socket_option, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        int r = parse_socket_option(ctx, m[i], &options[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    *ret = options;
    *ret_count = n;
    return 0;
}

struct tcp_keepalive parse_tcp_keepalive(const Envoy__Config__Core__V3__TcpKeepalive *m)
{
    struct tcp_keepalive k = {.is_enabled = m != NULL};

    if (m != NULL) {
        k.probes = parse_opt_u32(m->keepalive_probes);
        k.time_s = parse_opt_u32(m->keepalive_time);
        k.interval_s = parse_opt_u32(m->keepalive_interval);
    }
    return k;
}

/* --- data sources --------------------------------------------------------------------------- */

static int read_all(int fd, char *to, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, to + done, len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return E_SYS; /* a file that shrank is as bad as one that fails */
        }
        done += (size_t)n;
    }
    return 0;
}

/* As Envoy: none that is not there, none of the system's. */
static bool is_legal_path(const char *path)
{
    static const char *const closed[] = {"/dev", "/proc", "/sys"};
    char real[PATH_MAX];

    if (realpath(path, real) == NULL) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        size_t len = strlen(closed[i]);

        if (strncmp(real, closed[i], len) == 0 && (real[len] == '\0' || real[len] == '/')) {
            return false;
        }
    }
    return true;
}

/* What is no regular file reads as empty (as Envoy), and opening it does not wait for anybody. */
static int read_file(struct parse_context *ctx, int fd, const struct stat *st, struct str *ret)
{
    size_t len = S_ISREG(st->st_mode) ? (size_t)st->st_size : 0;
    char *text = arena_alloc(parse_arena(ctx), len + 1);

    if (read_all(fd, text, len) < 0) {
        return E_SYS;
    }
    text[len] = '\0';
    *ret = str_n(text, len);
    return 0;
}

static int parse_file(struct parse_context *ctx, const char *path, size_t max, bool is_bounded,
                      struct str *ret)
{
    struct stat st;
    int fd;
    int r;

    if (!is_bounded && !is_legal_path(path)) {
        return parse_fail(ctx, E_INVALID, "filename", "Invalid path: %s", path);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (is_bounded && fd < 0) {
        return parse_fail(ctx, E_INVALID, "filename", "file %s does not exist", path);
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = E_SYS;
    } else if ((uint64_t)st.st_size > max) {
        r = parse_fail(ctx, E_LIMIT, "filename", "file %s size is %lld bytes; maximum is %zu", path,
                       (long long)st.st_size, max);
    } else {
        r = read_file(ctx, fd, &st, ret);
    }
    if (fd >= 0) {
        close(fd);
    }
    return r == E_SYS ? parse_fail(ctx, E_INVALID, "filename", "unable to read file: %s", path) : r;
}

static int parse_environment(struct parse_context *ctx, const char *name, struct str *ret)
{
    const char *value = getenv(name);

    if (value == NULL) {
        return parse_fail(ctx, E_INVALID, "environment_variable",
                          "Environment variable doesn't exist: %s", name);
    }
    *ret = parse_str(ctx, value);
    return 0;
}

int parse_data_source(struct parse_context *ctx, const Envoy__Config__Core__V3__DataSource *m,
                      size_t max_bytes, struct str *ret)
{
    size_t max = max_bytes > 0 ? max_bytes : DATA_SOURCE_MAX_BYTES;
    int r = 0;

    switch (m->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME:
        r = parse_check_not_empty(ctx, "filename", m->filename);
        return r < 0 ? r : parse_file(ctx, m->filename, max, max_bytes > 0, ret);
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        *ret = parse_bytes(ctx, m->inline_bytes);
        break;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING:
        *ret = parse_str(ctx, m->inline_string);
        break;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE:
        r = parse_check_not_empty(ctx, "environment_variable", m->environment_variable);
        if (r == 0) {
            r = parse_environment(ctx, m->environment_variable, ret);
        }
        break;
    default:
        return parse_fail(ctx, E_INVALID, "specifier", "value is required");
    }
    if (r == 0 && ret->len > max) {
        return parse_fail(ctx, E_LIMIT, NULL, "response body size is %zu bytes; maximum is %zu",
                          ret->len, max);
    }
    return r;
}

/* --- metadata ------------------------------------------------------------------------------- */

/* One entry of a proto map; of equal keys the one that stands last on the wire counts. */
struct map_item {
    struct str key;
    const void *value;
    size_t position;
};

static int map_item_cmp(const void *a, const void *b)
{
    const struct map_item *x = a;
    const struct map_item *y = b;
    int r = str_cmp(x->key, y->key);

    return r != 0 ? r : x->position < y->position ? -1 : 1;
}

/* Sorts by key, keeps the last of equal ones; returns how many are left. */
static size_t map_items_sort(struct map_item *items, size_t n)
{
    size_t kept = 0;

    qsort(items, n, sizeof(*items), map_item_cmp);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && str_eq(items[i].key, items[i + 1].key)) {
            continue;
        }
        items[kept++] = items[i];
    }
    return kept;
}

void parse_struct(struct parse_context *ctx, const Google__Protobuf__Struct *m, struct value *ret)
{
    struct map_item *items;
    struct value_field *fields;

    *ret = (struct value){.kind = VALUE_STRUCT};
    if (m == NULL || m->n_fields == 0) {
        return;
    }
    items = xcalloc(m->n_fields, sizeof(*items));
    for (size_t i = 0; i < m->n_fields; i++) {
        items[i] = (struct map_item){str_c(m->fields[i]->key), m->fields[i]->value, i};
    }
    ret->count = map_items_sort(items, m->n_fields);
    fields = ARENA_ARRAY(parse_arena(ctx), struct value_field, ret->count);
    for (size_t i = 0; i < ret->count; i++) {
        fields[i].name = arena_str(parse_arena(ctx), items[i].key);
        parse_value(ctx, items[i].value, &fields[i].value);
    }
    free(items);
    ret->fields = fields;
}

static void parse_list(struct parse_context *ctx, const Google__Protobuf__ListValue *m,
                       struct value *ret)
{
    struct value *items = ARENA_ARRAY(parse_arena(ctx), struct value, m->n_values);

    for (size_t i = 0; i < m->n_values; i++) {
        parse_value(ctx, m->values[i], &items[i]);
    }
    *ret = (struct value){.kind = VALUE_LIST, .items = items, .count = m->n_values};
}

void parse_value(struct parse_context *ctx, const Google__Protobuf__Value *m, struct value *ret)
{
    *ret = (struct value){.kind = VALUE_NULL};
    if (m == NULL) {
        return;
    }
    switch (m->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        ret->kind = VALUE_NUMBER;
        ret->number = m->number_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        ret->kind = VALUE_STRING;
        ret->string = parse_str(ctx, m->string_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        ret->kind = VALUE_BOOL;
        ret->boolean = m->bool_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        parse_struct(ctx, m->struct_value, ret);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        parse_list(ctx, m->list_value, ret);
        break;
    default:
        break;
    }
}

int parse_metadata(struct parse_context *ctx, const char *field,
                   const Envoy__Config__Core__V3__Metadata *m, const struct value **ret)
{
    struct map_item *items;
    struct value_field *fields;
    struct value *v;
    size_t at;

    *ret = NULL;
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    v = ARENA_NEW(parse_arena(ctx), struct value);
    v->kind = VALUE_STRUCT;
    items = xcalloc(m->n_filter_metadata + 1, sizeof(*items));
    for (size_t i = 0; i < m->n_filter_metadata; i++) {
        if (m->filter_metadata[i]->key[0] == '\0') {
            free(items);
            return parse_fail(ctx, E_INVALID, "filter_metadata",
                              "value length must be at least 1 characters");
        }
        items[i] =
            (struct map_item){str_c(m->filter_metadata[i]->key), m->filter_metadata[i]->value, i};
    }
    v->count = map_items_sort(items, m->n_filter_metadata);
    fields = ARENA_ARRAY(parse_arena(ctx), struct value_field, v->count);
    for (size_t i = 0; i < v->count; i++) {
        fields[i].name = arena_str(parse_arena(ctx), items[i].key);
        parse_struct(ctx, items[i].value, &fields[i].value);
    }
    free(items);
    v->fields = fields;
    *ret = v;
    path_pop(ctx, at);
    return 0;
}

struct locality parse_locality(struct parse_context *ctx,
                               const Envoy__Config__Core__V3__Locality *m)
{
    struct locality l = {STR_NONE, STR_NONE, STR_NONE};

    if (m != NULL) {
        l.region = parse_str(ctx, m->region);
        l.zone = parse_str(ctx, m->zone);
        l.sub_zone = parse_str(ctx, m->sub_zone);
    }
    return l;
}

/* --- fractions ------------------------------------------------------------------------------ */

int parse_fraction(struct parse_context *ctx, const Envoy__Type__V3__FractionalPercent *m,
                   struct fraction *ret)
{
    int r = parse_check_enum(ctx, "denominator", (int)m->denominator,
                             &envoy__type__v3__fractional_percent__denominator_type__descriptor);

    if (r < 0) {
        return r;
    }
    ret->numerator = m->numerator;
    switch (m->denominator) {
    case ENVOY__TYPE__V3__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__TEN_THOUSAND:
        ret->denominator = 10000;
        break;
    case ENVOY__TYPE__V3__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__MILLION:
        ret->denominator = 1000000;
        break;
    default:
        ret->denominator = 100;
        break;
    }
    return 0;
}

int parse_runtime_fraction(struct parse_context *ctx,
                           const Envoy__Config__Core__V3__RuntimeFractionalPercent *m,
                           struct fraction *ret)
{
    size_t at;
    int r = parse_check_present(ctx, "default_value", m->default_value);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "default_value");
    r = parse_fraction(ctx, m->default_value, ret);
    path_pop(ctx, at);
    ret->runtime_key = parse_str(ctx, m->runtime_key);
    return r;
}

int parse_runtime_flag(struct parse_context *ctx, const char *field,
                       const Envoy__Config__Core__V3__RuntimeFeatureFlag *m, bool absent,
                       struct runtime_flag *ret)
{
    size_t at;
    int r;

    *ret = (struct runtime_flag){.default_value = absent};
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    r = parse_check_present(ctx, "default_value", m->default_value);
    path_pop(ctx, at);
    if (r == 0) {
        ret->default_value = m->default_value->value;
        ret->runtime_key = parse_str(ctx, m->runtime_key);
    }
    return r;
}
