/*
 * The header map against a list of pairs: the same changes to both, by the input's instructions,
 * and after each the same answers.
 */

#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/codec/header_map.h"

#define PAIRS_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pair {
    struct str name;
    struct str value;
};

struct model {
    struct pair pairs[PAIRS_MAX];
    size_t count;
};

struct input {
    const uint8_t *data;
    size_t len;
};

static uint8_t take_byte(struct input *in)
{
    if (in->len == 0) {
        return 0;
    }
    in->len--;
    return *in->data++;
}

static struct str take_value(struct input *in)
{
    size_t n = take_byte(in) % 8;
    struct str s = str_n((const char *)in->data, n < in->len ? n : in->len);

    in->data += s.len;
    in->len -= s.len;
    return s;
}

/* One of few, so that names meet again; no pseudo-headers, whose place is their own. */
static struct str take_name(struct input *in)
{
    static const char *const NAMES[] = {"accept",        "content-length",
                                        "cookie",        "host",
                                        "via",           "x-request-id",
                                        "x-a",           "x-b",
                                        "x-c",           "te",
                                        "authorization", "x-forwarded-for"};

    return str_c(NAMES[take_byte(in) % ARRAY_LEN(NAMES)]);
}

/* --- the model ----------------------------------------------------------------------------------
 */

static void model_add(struct model *m, struct str name, struct str value)
{
    CHECK(m->count < PAIRS_MAX);
    m->pairs[m->count++] = (struct pair){name, value};
}

static size_t model_remove_from(struct model *m, struct str name, size_t first)
{
    size_t kept = first;
    size_t before = m->count;

    for (size_t i = first; i < m->count; i++) {
        if (!str_eq(m->pairs[i].name, name)) {
            m->pairs[kept++] = m->pairs[i];
        }
    }
    m->count = kept;
    return before - kept;
}

static struct pair *model_find(struct model *m, struct str name)
{
    for (size_t i = 0; i < m->count; i++) {
        if (str_eq(m->pairs[i].name, name)) {
            return &m->pairs[i];
        }
    }
    return NULL;
}

static void model_set(struct model *m, struct str name, struct str value)
{
    struct pair *p = model_find(m, name);

    if (p == NULL) {
        model_add(m, name, value);
        return;
    }
    p->value = value;
    (void)model_remove_from(m, name, (size_t)(p - m->pairs) + 1);
}

/* --- both ---------------------------------------------------------------------------------------
 */

static void compare(const struct header_map *h, struct model *m)
{
    size_t at = 0;
    size_t bytes = 0;

    header_for_each(e, h)
    {
        CHECK(at < m->count);
        CHECK(str_eq(e->name, m->pairs[at].name) && str_eq(e->value, m->pairs[at].value));
        bytes += e->name.len + e->value.len;
        at++;
    }
    CHECK(at == m->count && bytes == h->byte_size);
    for (size_t i = 0; i < m->count; i++) {
        const struct pair *first = model_find(m, m->pairs[i].name);
        enum header_id id = header_id_of(first->name);
        const struct header *found = header_find_name(h, first->name);

        CHECK(found != NULL && found->value.ptr == first->value.ptr);
        CHECK(id == HDR_UNKNOWN || header_get(h, id).ptr == first->value.ptr);
    }
}

static void step(struct header_map *h, struct model *m, struct input *in)
{
    unsigned op = take_byte(in) % 6;
    struct str name = take_name(in);
    enum header_id id = header_id_of(name);
    struct header *e;

    switch (op) {
    case 0:
        if (m->count < PAIRS_MAX) {
            struct str value = take_value(in);

            header_add_name(h, name, value);
            model_add(m, name, value);
        }
        break;
    case 1: {
        struct str value = take_value(in);

        if (m->count < PAIRS_MAX) {
            header_set_name(h, name, value);
            model_set(m, name, value);
        }
        break;
    }
    case 2:
        CHECK(header_remove_name(h, name) == model_remove_from(m, name, 0));
        break;
    case 3:
        if (id != HDR_UNKNOWN) {
            CHECK(header_remove(h, id) == model_remove_from(m, name, 0));
        }
        break;
    case 4: /* the first alone */
        e = header_find_name(h, name);
        if (e != NULL && str_eq(e->name, name)) { /* "host" finds :authority */
            struct pair *p = model_find(m, name);

            header_remove_entry(h, e);
            memmove(p, p + 1, (size_t)(m->pairs + m->count - (p + 1)) * sizeof(*p));
            m->count--;
        }
        break;
    default: {
        struct header_map copy;

        header_map_copy(&copy, h, h->arena);
        CHECK(copy.byte_size == h->byte_size);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    struct input in = {data, size};
    struct header_map h;
    struct arena a;

    m.count = 0;
    arena_init(&a, NULL);
    header_map_init(&h, &a);
    while (in.len > 0) {
        step(&h, &m, &in);
        compare(&h, &m);
    }
    arena_done(&a);
    return 0;
}
