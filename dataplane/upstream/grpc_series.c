/* A cluster's series for gRPC methods. Who may touch what: see grpc_series.h. */

#include "dataplane/upstream/grpc_series.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "dataplane/base/map.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/upstream/cluster_registry.h"

static const struct stat_def grpc_stat_defs[GRPC_STAT_COUNT] = {
    [GRPC_SUCCESS] = {"success", STAT_COUNTER},
    [GRPC_FAILURE] = {"failure", STAT_COUNTER},
    [GRPC_TOTAL] = {"total", STAT_COUNTER},
    [GRPC_REQUEST_MESSAGE_COUNT] = {"request_message_count", STAT_COUNTER},
    [GRPC_RESPONSE_MESSAGE_COUNT] = {"response_message_count", STAT_COUNTER},
    [GRPC_UPSTREAM_RQ_TIME] = {"upstream_rq_time", STAT_HISTOGRAM},
    [GRPC_STATUS_FIRST + 0] = {"0", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 1] = {"1", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 2] = {"2", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 3] = {"3", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 4] = {"4", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 5] = {"5", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 6] = {"6", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 7] = {"7", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 8] = {"8", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 9] = {"9", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 10] = {"10", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 11] = {"11", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 12] = {"12", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 13] = {"13", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 14] = {"14", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 15] = {"15", STAT_COUNTER},
    [GRPC_STATUS_FIRST + 16] = {"16", STAT_COUNTER},
};

const struct stat_schema grpc_stat_schema = {
    .defs = grpc_stat_defs, .count = GRPC_STAT_COUNT, .shown_singly = true};

/* One method on one thread. Its thread reads all but what is main's. */
struct grpc_series {
    struct grpc_series *next; /* in the list of new ones */
    struct stat_block *block;
    struct stat_scope *scope; /* main's; NULL: not adopted yet, and the block is ours */
    enum grpc_family family;
    struct str key;   /* key_of */
    struct str names; /* of the key: "service.method", or empty */
    char text[];
};

/* A thread's own, by key. */
struct grpc_series_table {
    struct map series;
    size_t named_counts[GRPC_FAMILY_COUNT];
};

struct grpc_series_set {
    _Atomic(struct grpc_series *) fresh;  /* pushed by any thread, taken by main */
    struct map scopes[GRPC_FAMILY_COUNT]; /* main's: key -> scope, one reference each */
    size_t thread_count;
    struct grpc_series_table tables[];
};

/* --- Names ------------------------------------------------------------------------------------ */

bool grpc_method_of_path(struct str path, struct grpc_method *ret_method)
{
    struct str rest = str_sub(path, 0, str_find_char(path, '?'));
    struct str parts[2];
    struct str part;
    size_t n = 0;

    while (str_split(&rest, '/', &part)) {
        if (part.len == 0) {
            continue;
        }
        if (n == ARRAY_LEN(parts)) {
            return false;
        }
        parts[n++] = part;
    }
    if (n < ARRAY_LEN(parts)) {
        return false;
    }
    *ret_method = (struct grpc_method){.service = parts[0], .method = parts[1]};
    return true;
}

/* A letter for the family, then "service.method". */
#define KEY_HEAD_BYTES 1
#define KEY_BYTES (KEY_HEAD_BYTES + GRPC_NAMES_MAX)

static struct str key_of(char text[KEY_BYTES], enum grpc_family family,
                         const struct grpc_method *method, bool replaces_dots)
{
    size_t n = 0;

    text[n++] = (char)('a' + family);
    if (method->service.len == 0 || method->service.len >= GRPC_NAMES_MAX ||
        method->method.len >= GRPC_NAMES_MAX - method->service.len) {
        return str_n(text, n);
    }
    for (size_t i = 0; i < method->service.len; i++) {
        char c = method->service.ptr[i];

        text[n++] = c == '.' && replaces_dots ? '_' : c;
    }
    text[n++] = '.';
    memcpy(text + n, method->method.ptr, method->method.len);
    n += method->method.len;
    for (size_t i = KEY_HEAD_BYTES; i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return str_n(text, KEY_HEAD_BYTES);
        }
    }
    return str_n(text, n);
}

/* --- A thread's side -------------------------------------------------------------------------- */

static void set_push(struct grpc_series_set *set, struct grpc_series *s)
{
    struct grpc_series *head = atomic_load_explicit(&set->fresh, memory_order_relaxed);

    do {
        s->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&set->fresh, &head, s, memory_order_release,
                                                    memory_order_relaxed));
}

static struct grpc_series *series_new(enum grpc_family family, struct str key)
{
    struct grpc_series *s = xcalloc(1, sizeof(*s) + key.len);

    memcpy(s->text, key.ptr, key.len);
    s->family = family;
    s->key = str_n(s->text, key.len);
    s->names = str_sub(s->key, KEY_HEAD_BYTES, key.len);
    s->block = stat_block_new(&grpc_stat_schema);
    return s;
}

struct stat_block *grpc_series_set_get(struct grpc_series_set *set, size_t thread,
                                       enum grpc_family family, const struct grpc_method *method,
                                       bool replaces_dots)
{
    struct grpc_series_table *t = &set->tables[thread];
    char text[KEY_BYTES];
    struct str key = key_of(text, family, method, replaces_dots);
    struct grpc_series *s;

    CHECK(thread < set->thread_count);
    s = map_get(&t->series, key);
    if (s == NULL && key.len > KEY_HEAD_BYTES && t->named_counts[family] == GRPC_SERIES_MAX) {
        key.len = KEY_HEAD_BYTES;
        s = map_get(&t->series, key);
    }
    if (s == NULL) {
        s = series_new(family, key);
        t->named_counts[family] += s->names.len > 0;
        (void)map_put(&t->series, s->key, s);
        set_push(set, s);
    }
    return s->block;
}

void grpc_series_count_result(struct stat_block *b, bool is_success)
{
    stat_inc(b, is_success ? GRPC_SUCCESS : GRPC_FAILURE);
    stat_inc(b, GRPC_TOTAL);
}

void grpc_series_count_status(struct stat_block *b, struct str grpc_status)
{
    for (size_t i = GRPC_STATUS_FIRST; i < GRPC_STAT_COUNT; i++) {
        if (str_eq(grpc_status, str_c(grpc_stat_defs[i].name))) {
            stat_inc(b, i);
            break;
        }
    }
    grpc_series_count_result(b, str_eq(grpc_status, STR("0")));
}

/* --- Main's side ------------------------------------------------------------------------------ */

/* As Envoy's extractors: of what follows "grpc.", the first two segments between dots are the tags
 * service and method, whatever they were; the rest stays in the name. */
static void spec_take_tags(struct stat_scope_spec *spec, struct str names, struct strbuf *tagged)
{
    struct str rest = names;
    struct str service = STR_NONE;
    struct str method = STR_NONE;

    (void)str_split(&rest, '.', &service); /* there is a dot: both are set */
    (void)str_split(&rest, '.', &method);
    spec->tags[spec->tag_count++] = (struct stat_tag){STR("envoy.grpc_bridge_method"), method};
    spec->tags[spec->tag_count++] = (struct stat_tag){STR("envoy.grpc_bridge_service"), service};
    if (rest.len > 0) {
        strbuf_add_str(tagged, rest);
        strbuf_add_char(tagged, '.');
    }
}

static struct stat_scope *scope_make(struct stat_store *stats, struct str stat_name,
                                     enum grpc_family family, struct str names)
{
    struct stat_scope_spec spec = {.schema = &grpc_stat_schema};
    struct stat_scope *scope;
    struct strbuf prefix;
    struct strbuf tagged;
    size_t cluster_end;

    strbuf_init(&prefix);
    strbuf_init(&tagged);
    cluster_stat_prefix(&prefix, stat_name);
    cluster_end = prefix.len - 1;
    strbuf_add_c(&prefix, family == GRPC_FAMILY_GRPC ? "grpc." : "grpc-web.");
    strbuf_add_c(&tagged, "cluster.");
    strbuf_add_str(&tagged, str_sub(strbuf_str(&prefix), cluster_end + 1, prefix.len));
    if (names.len > 0) {
        strbuf_add_str(&prefix, names);
        strbuf_add_char(&prefix, '.');
    }
    if (names.len > 0 && family == GRPC_FAMILY_GRPC) {
        spec_take_tags(&spec, names, &tagged);
    } else if (names.len > 0) {
        strbuf_add_str(&tagged, names);
        strbuf_add_char(&tagged, '.');
    }
    spec.prefix = strbuf_str(&prefix);
    spec.tagged_prefix = strbuf_str(&tagged);
    spec.tags[spec.tag_count++] = (struct stat_tag){
        STR("envoy.cluster_name"), str_sub(spec.prefix, CLUSTER_STAT_PREFIX_BYTES, cluster_end)};
    scope = stat_scope_ref(stats, &spec);
    strbuf_done(&prefix);
    strbuf_done(&tagged);
    return scope;
}

/* Threads may each have their own thousand names; together they get no more. */
static struct stat_scope *set_scope(struct grpc_series_set *set, struct stat_store *stats,
                                    struct str stat_name, const struct grpc_series *s)
{
    struct map *scopes = &set->scopes[s->family];
    struct str key = s->key;
    struct stat_scope *scope = map_get(scopes, key);

    if (scope == NULL && s->names.len > 0 && scopes->count > GRPC_SERIES_MAX) {
        key.len = KEY_HEAD_BYTES;
        scope = map_get(scopes, key);
    }
    if (scope == NULL) {
        scope = scope_make(stats, stat_name, s->family, str_sub(key, KEY_HEAD_BYTES, key.len));
        (void)map_put(scopes, key, scope); /* the key lives as long as the set */
    }
    return scope;
}

void grpc_series_set_adopt(struct grpc_series_set *set, struct stat_store *stats,
                           struct str stat_name)
{
    struct grpc_series *s = atomic_exchange_explicit(&set->fresh, NULL, memory_order_acquire);

    for (; s != NULL; s = s->next) {
        s->scope = set_scope(set, stats, stat_name, s);
        stat_scope_adopt(s->scope, s->block);
    }
}

struct grpc_series_set *grpc_series_set_new(size_t thread_count)
{
    struct grpc_series_set *set = xcalloc(1, sizeof(*set) + thread_count * sizeof(set->tables[0]));

    set->thread_count = thread_count;
    for (size_t i = 0; i < GRPC_FAMILY_COUNT; i++) {
        map_init(&set->scopes[i]);
    }
    for (size_t i = 0; i < thread_count; i++) {
        map_init(&set->tables[i].series);
    }
    return set;
}

void grpc_series_set_free(struct grpc_series_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < GRPC_FAMILY_COUNT; i++) {
        map_for_each (e, &set->scopes[i]) {
            stat_scope_unref(e->value);
        }
        map_done(&set->scopes[i]);
    }
    for (size_t i = 0; i < set->thread_count; i++) {
        map_for_each (e, &set->tables[i].series) {
            struct grpc_series *s = e->value;

            if (s->scope == NULL) {
                stat_block_free(s->block, &grpc_stat_schema);
            }
            free(s);
        }
        map_done(&set->tables[i].series);
    }
    free(set);
}
