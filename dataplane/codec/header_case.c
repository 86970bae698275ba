/* Spellings of field names: a hash table that only grows, in the stream's arena. No I/O. */

#include "dataplane/codec/header_case.h"

#include "dataplane/base/hash.h"

#define CAP_MIN 64

struct header_case *header_case_new(struct arena *a, const struct header_case_options *options)
{
    struct header_case *c = arena_alloc(a, sizeof(*c));

    *c = (struct header_case){.arena = a, .is_proper_otherwise = options->is_proper_otherwise};
    return c;
}

/* Of the name in lower case, whatever case it is in. */
static uint64_t hash_of(struct str name)
{
    char piece[64];
    uint64_t h = 0;

    for (size_t at = 0; at < name.len; at += sizeof(piece)) {
        size_t n = name.len - at < sizeof(piece) ? name.len - at : sizeof(piece);

        memcpy(piece, name.ptr + at, n);
        str_lower_in_place(piece, n);
        h = h * 31 + hash_map(str_n(piece, n));
    }
    return h;
}

/* Where `name` stands, or the free place for it. The table is never full. */
static struct str *find(const struct header_case *c, struct str name)
{
    uint32_t at = (uint32_t)hash_of(name) & (c->cap - 1);

    while (c->names[at].ptr != NULL && !str_eq_nocase(c->names[at], name)) {
        at = (at + 1) & (c->cap - 1);
    }
    return &c->names[at];
}

static void grow(struct header_case *c)
{
    struct str *old = c->names;
    uint32_t old_cap = c->cap;

    c->cap = old_cap == 0 ? CAP_MIN : old_cap * 2;
    c->names = arena_alloc(c->arena, c->cap * sizeof(*c->names));
    memset(c->names, 0, c->cap * sizeof(*c->names));
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i].ptr != NULL) {
            *find(c, old[i]) = old[i];
        }
    }
}

void header_case_note(struct header_case *c, struct str name)
{
    struct str *place;

    if (c->count >= c->cap / 2) {
        grow(c);
    }
    place = find(c, name);
    if (place->ptr == NULL) {
        *place = name;
        c->count++;
    }
}

void header_case_write_proper(struct str lower_name, void *to)
{
    char *p = to;
    bool is_first = true;

    for (size_t i = 0; i < lower_name.len; i++) {
        char b = lower_name.ptr[i];
        bool is_letter = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z');

        p[i] = is_first && b >= 'a' && b <= 'z' ? (char)(b - 'a' + 'A') : b;
        is_first = !is_letter && !(b >= '0' && b <= '9');
    }
}

void header_case_write(const struct header_case *c, struct str lower_name, void *to)
{
    struct str name = c->cap > 0 ? *find(c, lower_name) : STR_NONE;

    if (name.ptr != NULL) {
        memcpy(to, name.ptr, name.len);
    } else if (c->is_proper_otherwise) {
        header_case_write_proper(lower_name, to);
    } else if (lower_name.len > 0) {
        memcpy(to, lower_name.ptr, lower_name.len);
    }
}
