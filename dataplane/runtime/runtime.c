/* Reading of runtime values, and one immutable state of all layers. */

#include "dataplane/runtime/runtime.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"

/* --- reading a value ---------------------------------------------------------------------- */

static struct str trim_all(struct str s)
{
    while (s.len > 0 && (unsigned char)s.ptr[0] <= ' ') {
        s = str_sub(s, 1, s.len);
    }
    while (s.len > 0 && (unsigned char)s.ptr[s.len - 1] <= ' ') {
        s = str_sub(s, 0, s.len - 1);
    }
    return s;
}

static struct str unquote(struct str s)
{
    s = trim_all(s);
    if (s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0]) {
        return str_sub(s, 1, s.len - 1);
    }
    return s;
}

static uint32_t denominator_of(struct str name)
{
    static const struct {
        struct str name;
        uint32_t value;
    } NAMES[] = {
        {{"HUNDRED", 7}, 100},     {{"TEN_THOUSAND", 12}, 10000},
        {{"MILLION", 7}, 1000000}, {{"0", 1}, 100}, /* enums by number */
        {{"1", 1}, 10000},         {{"2", 1}, 1000000},
    };

    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (str_eq(name, NAMES[i].name)) {
            return NAMES[i].value;
        }
    }
    return 0;
}

/* "numerator: N" and "denominator: NAME", on lines of their own or in braces with a comma. */
static void read_fraction(struct str text, struct runtime_value *v)
{
    struct str rest = text;
    uint64_t numerator = 0;
    uint32_t denominator = 100;
    size_t fields = 0;

    if (rest.len >= 2 && rest.ptr[0] == '{' && rest.ptr[rest.len - 1] == '}') {
        rest = str_sub(rest, 1, rest.len - 1);
    }
    while (rest.len > 0) {
        size_t end = 0;
        struct str part;
        struct str name;
        size_t colon;

        while (end < rest.len && rest.ptr[end] != ',' && rest.ptr[end] != '\n') {
            end++;
        }
        part = trim_all(str_sub(rest, 0, end));
        rest = str_sub(rest, end + 1, rest.len);
        if (part.len == 0) {
            continue;
        }
        colon = str_find_char(part, ':');
        if (colon == STR_NPOS) {
            return;
        }
        name = unquote(str_sub(part, 0, colon));
        part = unquote(str_sub(part, colon + 1, part.len));
        if (str_eq(name, STR("numerator"))) {
            if (parse_u64(part, &numerator) != 0 || numerator > UINT32_MAX) {
                return;
            }
        } else if (str_eq(name, STR("denominator"))) {
            denominator = denominator_of(part);
            if (denominator == 0) {
                return;
            }
        } else {
            return;
        }
        fields++;
    }
    v->is_fraction = fields > 0;
    v->numerator = (uint32_t)numerator;
    v->denominator = denominator;
}

void runtime_value_read(struct str text, struct runtime_value *ret)
{
    struct str s = trim_all(text);

    *ret = (struct runtime_value){.text = text};
    if (str_eq_nocase(s, STR("true")) || str_eq_nocase(s, STR("false"))) {
        ret->is_bool = true;
        ret->boolean = s.len == 4;
        return;
    }
    if (parse_double(s, &ret->number) == 0) {
        ret->is_number = true;
        /* Whole numbers that a double holds exactly. */
        if (ret->number >= 0 && ret->number <= 9007199254740992.0 &&
            ret->number == (double)(uint64_t)ret->number) {
            ret->is_uint = true;
            ret->uint = (uint64_t)ret->number;
            ret->is_bool = true;
            ret->boolean = ret->uint != 0;
        }
        return;
    }
    read_fraction(s, ret);
}

/* --- one state ---------------------------------------------------------------------------- */

static int entry_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct runtime_entry *)a)->key, ((const struct runtime_entry *)b)->key);
}

static void copy_layer(struct runtime *r, const struct runtime_layer *from,
                       struct runtime_layer *to)
{
    struct runtime_entry *entries = ARENA_ARRAY(&r->arena, struct runtime_entry, from->count + 1);

    for (size_t i = 0; i < from->count; i++) {
        entries[i].key = arena_str(&r->arena, from->entries[i].key);
        entries[i].value = from->entries[i].value;
        entries[i].value.text = arena_str(&r->arena, from->entries[i].value.text);
    }
    qsort(entries, from->count, sizeof(*entries), entry_cmp);
    for (size_t i = 0; i < from->count; i++) {
        (void)map_put(&r->values, entries[i].key, &entries[i].value); /* an earlier layer's */
    }
    *to = (struct runtime_layer){
        .name = arena_str(&r->arena, from->name), .entries = entries, .count = from->count};
}

static bool has_key_under(const struct runtime *r, struct str prefix)
{
    for (size_t i = 0; i < r->layer_count; i++) {
        for (size_t j = 0; j < r->layers[i].count; j++) {
            if (str_starts(r->layers[i].entries[j].key, prefix)) {
                return true;
            }
        }
    }
    return false;
}

struct runtime *runtime_new(const struct runtime_layer *layers, size_t count)
{
    struct runtime *r = xcalloc(1, sizeof(*r));
    struct thread_context self = {.runtime = r};
    struct runtime_layer *copies;

    arena_init(&r->arena, NULL);
    map_init(&r->values);
    copies = ARENA_ARRAY(&r->arena, struct runtime_layer, count + 1);
    for (size_t i = 0; i < count; i++) {
        copy_layer(r, &layers[i], &copies[i]);
    }
    r->layers = copies;
    r->layer_count = count;
    r->replays_unprocessed_streams =
        runtime_get_bool(&self, STR("nuncio.replay_unprocessed_streams"), true);
    r->replays_raced_requests = runtime_get_bool(&self, STR("nuncio.replay_raced_requests"), true);
    r->limits_clusters = has_key_under(r, STR("circuit_breakers."));
    return r;
}

void runtime_free(struct runtime *r)
{
    if (r != NULL) {
        map_done(&r->values);
        arena_done(&r->arena);
        free(r);
    }
}

struct str runtime_layer_text(const struct runtime_layer *l, struct str key)
{
    struct runtime_entry wanted = {.key = key};
    const struct runtime_entry *e =
        bsearch(&wanted, l->entries, l->count, sizeof(wanted), entry_cmp);

    return e != NULL ? e->value.text : STR("");
}

/* --- asking ------------------------------------------------------------------------------- */

const struct runtime_value *runtime_get(const struct thread_context *t, struct str key)
{
    if (t->runtime == NULL || t->runtime->values.count == 0 || key.len == 0) {
        return NULL;
    }
    return map_get(&t->runtime->values, key);
}

bool runtime_get_bool(const struct thread_context *t, struct str key, bool otherwise)
{
    const struct runtime_value *v = runtime_get(t, key);

    return v != NULL && v->is_bool ? v->boolean : otherwise;
}

uint64_t runtime_get_u64(const struct thread_context *t, struct str key, uint64_t otherwise)
{
    const struct runtime_value *v = runtime_get(t, key);

    return v != NULL && v->is_uint ? v->uint : otherwise;
}

double runtime_get_double(const struct thread_context *t, struct str key, double otherwise)
{
    const struct runtime_value *v = runtime_get(t, key);

    return v != NULL && v->is_number ? v->number : otherwise;
}

bool runtime_feature_enabled(const struct thread_context *t, struct str key, uint64_t numerator,
                             uint64_t denominator, uint64_t random)
{
    const struct runtime_value *v = runtime_get(t, key);

    if (v != NULL && v->is_fraction) {
        numerator = v->numerator;
        denominator = v->denominator;
    } else if (v != NULL && v->is_uint) {
        numerator = v->uint;
        denominator = 100;
    }
    return random % denominator < numerator;
}
