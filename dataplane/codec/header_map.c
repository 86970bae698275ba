/*
 * The header map: entries in arrival order and where each well-known name first stands. Memory is
 * the stream's arena; nothing is freed here. Knows nothing of wire formats.
 */

#include "dataplane/codec/header_map.h"

#include "dataplane/codec/header_hash.h"

#define FIRST_CAP 32
/* In `first`: the entry is too far down to be named, look for it. */
#define FIRST_FAR 255

static const struct str names[HDR_COUNT] = {
#define HEADER_NAME(id, name) [id] = {(name), sizeof(name) - 1},
    HEADER_LIST(HEADER_NAME)
#undef HEADER_NAME
};

_Static_assert(HEADER_HASH_NAMES == HDR_COUNT - 1, "run dataplane/codec/header_hash_gen.py");

void header_map_init(struct header_map *m, struct arena *a)
{
    m->arena = a;
    m->items = NULL;
    m->count = 0;
    m->cap = 0;
    m->byte_size = 0;
    memset(m->first, 0, sizeof(m->first));
    m->has_invalid_value = false;
    m->header_case = NULL;
}

static uint64_t load_u64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t load_u32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* memcmp of two names of one length, without the call for all but the longest. */
static bool name_eq(const char *a, const char *b, size_t len)
{
    if (len >= 8) {
        if (load_u64(a) != load_u64(b) || load_u64(a + len - 8) != load_u64(b + len - 8)) {
            return false;
        }
        return len <= 16 || memcmp(a + 8, b + 8, len - 16) == 0;
    }
    if (len >= 4) {
        return load_u32(a) == load_u32(b) && load_u32(a + len - 4) == load_u32(b + len - 4);
    }
    return memcmp(a, b, len) == 0;
}

enum header_id header_id_of(struct str lower_name)
{
    const unsigned char *n = (const unsigned char *)lower_name.ptr;
    size_t len = lower_name.len;
    uint32_t hash;
    unsigned char id;

    if (len == 0) {
        return HDR_UNKNOWN;
    }
    hash = (uint32_t)len * HEADER_HASH_LEN + n[len / 2] * HEADER_HASH_HALF +
           n[len * 3 / 4] * HEADER_HASH_QUARTER3 + n[len - 1] * HEADER_HASH_LAST;
    id = header_hash_table[(hash >> 4) % HEADER_HASH_SIZE];
    if (names[id].len != len || !name_eq(lower_name.ptr, names[id].ptr, len)) {
        return HDR_UNKNOWN;
    }
    return (enum header_id)id;
}

struct str header_name(enum header_id id)
{
    CHECK(id > HDR_UNKNOWN && id < HDR_COUNT);
    return names[id];
}

void header_map_reserve(struct header_map *m, uint32_t count)
{
    struct header *items;

    if (count <= m->cap) {
        return;
    }
    items = arena_alloc(m->arena, count * sizeof(*items));
    if (m->count > 0) {
        memcpy(items, m->items, m->count * sizeof(*items));
    }
    m->items = items;
    m->cap = count;
}

static void remember_first(struct header_map *m, enum header_id id, uint32_t index)
{
    m->first[id] = index + 1 < FIRST_FAR ? (uint8_t)(index + 1) : FIRST_FAR;
}

struct header *header_push(struct header_map *m, enum header_id id, struct str lower_name,
                           struct str value)
{
    struct header *h;

    if (NUNCIO_UNLIKELY(m->count == m->cap)) {
        header_map_reserve(m, m->cap > 0 ? m->cap * 2 : FIRST_CAP);
    }
    h = &m->items[m->count];
    h->name = lower_name;
    h->value = value;
    h->id = (uint16_t)id;
    h->is_wire_line = false;
    if (id != HDR_UNKNOWN && m->first[id] == 0) {
        remember_first(m, id, m->count);
    }
    m->count++;
    m->byte_size += (uint32_t)(lower_name.len + value.len);
    return h;
}

/* First live entry with `id` from `index` on; m->count when there is none. */
static uint32_t find_from(const struct header_map *m, enum header_id id, uint32_t index)
{
    while (index < m->count && m->items[index].id != id) {
        index++;
    }
    return index;
}

/* Sets `first` of every id anew: indexes have moved. */
static void index_again(struct header_map *m)
{
    memset(m->first, 0, sizeof(m->first));
    for (uint32_t i = 0; i < m->count; i++) {
        uint16_t id = m->items[i].id;

        if (id != HDR_UNKNOWN && id != HDR_REMOVED && m->first[id] == 0) {
            remember_first(m, (enum header_id)id, i);
        }
    }
}

/* Pseudo-headers stay in front: takes a place that one of them left, else moves the others up. */
static void add_pseudo(struct header_map *m, enum header_id id, struct str value)
{
    uint32_t at = 0;

    while (at < m->count && m->items[at].id != HDR_REMOVED &&
           header_id_is_pseudo((enum header_id)m->items[at].id)) {
        at++;
    }
    if (at == m->count || m->items[at].id != HDR_REMOVED) {
        struct header moved;

        (void)header_push(m, HDR_UNKNOWN, STR_NONE, STR_NONE); /* for its room */
        moved = m->items[m->count - 1];
        memmove(&m->items[at + 1], &m->items[at], (m->count - 1 - at) * sizeof(moved));
        m->items[at] = moved;
        index_again(m);
    }
    m->items[at] = (struct header){.name = names[id], .value = value, .id = (uint16_t)id};
    m->byte_size += (uint32_t)(names[id].len + value.len);
    if (m->first[id] == 0 || m->first[id] > at + 1) {
        remember_first(m, id, at);
    }
}

void header_add(struct header_map *m, enum header_id id, struct str value)
{
    CHECK(id > HDR_UNKNOWN && id < HDR_COUNT);
    if (header_id_is_pseudo(id)) {
        add_pseudo(m, id, value);
        return;
    }
    (void)header_push(m, id, names[id], value); /* the entry is complete */
}

void header_add_name(struct header_map *m, struct str lower_name, struct str value)
{
    enum header_id id = header_id_of(lower_name);

    if (id != HDR_UNKNOWN) {
        header_add(m, id, value);
        return;
    }
    (void)header_push(m, id, lower_name, value); /* the entry is complete */
}

struct header *header_find(const struct header_map *m, enum header_id id)
{
    uint8_t first = m->first[id];

    if (first == 0) {
        return NULL;
    }
    return &m->items[first < FIRST_FAR ? first - 1U : find_from(m, id, FIRST_FAR - 1)];
}

struct str header_get(const struct header_map *m, enum header_id id)
{
    const struct header *h = header_find(m, id);

    return h != NULL ? h->value : STR_NONE;
}

/* First live entry called `name` from `index` on. */
static struct header *find_name_from(const struct header_map *m, uint32_t index, struct str name)
{
    for (; index < m->count; index++) {
        struct header *h = &m->items[index];

        if (h->id == HDR_UNKNOWN && str_eq(h->name, name)) {
            return h;
        }
    }
    return NULL;
}

static struct header *find_as_named(const struct header_map *m, struct str lower_name)
{
    enum header_id id = header_id_of(lower_name);

    return id != HDR_UNKNOWN ? header_find(m, id) : find_name_from(m, 0, lower_name);
}

struct header *header_find_name(const struct header_map *m, struct str lower_name)
{
    struct header *h = find_as_named(m, lower_name);

    if (h == NULL && str_eq(lower_name, header_name(HDR_HOST))) {
        h = header_find(m, HDR_AUTHORITY);
    }
    return h;
}

struct header *header_next_same(const struct header_map *m, const struct header *h)
{
    uint32_t next = (uint32_t)(h - m->items) + 1;

    if (h->id == HDR_UNKNOWN) {
        return find_name_from(m, next, h->name);
    }
    next = find_from(m, (enum header_id)h->id, next);
    return next < m->count ? &m->items[next] : NULL;
}

void header_remove_entry(struct header_map *m, struct header *h)
{
    uint32_t index = (uint32_t)(h - m->items);
    uint16_t id = h->id;

    CHECK(index < m->count && id != HDR_REMOVED);
    m->byte_size -= (uint32_t)(h->name.len + h->value.len);
    h->id = HDR_REMOVED;
    if (id != HDR_UNKNOWN && (m->first[id] == FIRST_FAR || m->first[id] == index + 1)) {
        uint32_t from = m->first[id] == FIRST_FAR ? FIRST_FAR - 1 : index + 1;
        uint32_t next = find_from(m, (enum header_id)id, from);

        m->first[id] = 0;
        if (next < m->count) {
            remember_first(m, (enum header_id)id, next);
        }
    }
}

/* Removes all entries with the name of `h`, starting with `h`, which may be NULL. */
static size_t remove_from(struct header_map *m, struct header *h)
{
    size_t n = 0;

    while (h != NULL) {
        struct header *next = header_next_same(m, h);

        header_remove_entry(m, h);
        h = next;
        n++;
    }
    return n;
}

size_t header_remove(struct header_map *m, enum header_id id)
{
    return m->first[id] != 0 ? remove_from(m, header_find(m, id)) : 0;
}

size_t header_remove_name(struct header_map *m, struct str lower_name)
{
    return remove_from(m, find_as_named(m, lower_name));
}

static void set_value(struct header_map *m, struct header *h, struct str value)
{
    m->byte_size += (uint32_t)value.len;
    m->byte_size -= (uint32_t)h->value.len;
    h->value = value;
    h->is_wire_line = false;
}

static void replace(struct header_map *m, struct header *h, struct str value)
{
    (void)remove_from(m, header_next_same(m, h)); /* how many others there were is of no interest */
    set_value(m, h, value);
}

void header_set(struct header_map *m, enum header_id id, struct str value)
{
    struct header *h = header_find(m, id);

    if (h != NULL) {
        replace(m, h, value);
    } else {
        header_add(m, id, value);
    }
}

void header_set_name(struct header_map *m, struct str lower_name, struct str value)
{
    struct header *h = find_as_named(m, lower_name);

    if (h != NULL) {
        replace(m, h, value);
    } else {
        header_add_name(m, lower_name, value);
    }
}

void header_append_value(struct header_map *m, enum header_id id, struct str value)
{
    struct header *h = header_find(m, id);

    if (h == NULL) {
        header_add(m, id, value);
    } else if (h->value.len == 0) {
        set_value(m, h, value);
    } else {
        const struct str pieces[] = {h->value, STR(","), value};

        set_value(m, h, arena_concat(m->arena, pieces, ARRAY_LEN(pieces)));
    }
}

struct str header_joined(const struct header_map *m, struct str lower_name)
{
    struct header *first = header_find_name(m, lower_name);
    size_t len = 0;
    char *text;
    char *p;

    if (first == NULL) {
        return STR_NONE;
    }
    if (header_next_same(m, first) == NULL) {
        return first->value.ptr != NULL ? first->value : STR("");
    }
    for (const struct header *h = first; h != NULL; h = header_next_same(m, h)) {
        len += h->value.len + 1;
    }
    text = arena_alloc(m->arena, len);
    p = text;
    for (const struct header *h = first; h != NULL; h = header_next_same(m, h)) {
        if (h != first) {
            *p++ = ',';
        }
        if (h->value.len > 0) {
            memcpy(p, h->value.ptr, h->value.len);
            p += h->value.len;
        }
    }
    return str_n(text, (size_t)(p - text));
}

bool header_value_is_valid(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (NUNCIO_UNLIKELY((c < ' ' && c != '\t') || c == 0x7f)) {
            return false;
        }
    }
    return true;
}

struct header *header_find_invalid(const struct header_map *m)
{
    if (NUNCIO_LIKELY(!m->has_invalid_value)) {
        return NULL;
    }
    header_for_each(h, m)
    {
        if (!header_value_is_valid(h->value)) {
            return h;
        }
    }
    return NULL;
}

void header_map_copy(struct header_map *to, const struct header_map *from, struct arena *a)
{
    header_map_init(to, a);
    header_map_reserve(to, from->count);
    to->has_invalid_value = from->has_invalid_value;
    header_for_each(h, from)
    {
        struct str name = h->id != HDR_UNKNOWN ? names[h->id] : arena_str(a, h->name);

        (void)header_push(to, (enum header_id)h->id, name, arena_str(a, h->value));
    }
}
