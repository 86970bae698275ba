/* Paths of fields. No state. */

#include "config/field_mask.h"

#include <string.h>

#include "proto/known_fields.h"

bool field_mask_parse(struct str text, struct field_mask *ret)
{
    struct str rest = text;
    struct str path;

    ret->count = 0;
    while (rest.len > 0 && str_split(&rest, ',', &path)) {
        if (ret->count == FIELD_MASK_PATHS_MAX) {
            return false;
        }
        if (path.len > 0) {
            ret->paths[ret->count++] = path;
        }
    }
    return true;
}

bool field_mask_enter(const struct field_mask *m, const char *field, struct field_mask *ret_inner)
{
    size_t len = strlen(field);
    bool is_whole = m == NULL || m->count == 0;

    ret_inner->count = 0;
    for (size_t i = 0; !is_whole && i < m->count; i++) {
        struct str path = m->paths[i];

        if (!str_starts(path, str_n(field, len))) {
            continue;
        }
        if (path.len == len) {
            is_whole = true;
        } else if (path.ptr[len] == '.') {
            ret_inner->paths[ret_inner->count++] = str_sub(path, len + 1, path.len);
        }
    }
    if (is_whole) {
        ret_inner->count = 0;
    }
    return is_whole || ret_inner->count > 0;
}

static bool path_is_valid(struct str path, const char *message, const char *any_type)
{
    const struct known_message *m = known_message_find(message);
    struct str rest = path;
    struct str name;

    while (m != NULL && str_split(&rest, '.', &name)) {
        const struct known_field *f = known_field_by_name(m, name.ptr, name.len);

        if (f == NULL || !str_eq(name, str_c(known_field_name(f)))) {
            return false; /* as Envoy: not by its JSON name */
        }
        if (rest.ptr == NULL) {
            return true;
        }
        if (f->kind != KNOWN_MESSAGE || (f->flags & (KNOWN_REPEATED | KNOWN_MAP)) != 0) {
            return false;
        }
        m = known_field_message(f);
        if (m != NULL && strcmp(known_message_name(m), "google.protobuf.Any") == 0) {
            m = any_type != NULL ? known_message_find(any_type) : NULL;
            any_type = NULL;
        }
    }
    return false;
}

bool field_mask_is_valid(const struct field_mask *m, const char *message, const char *any_type)
{
    for (size_t i = 0; i < m->count; i++) {
        if (!path_is_valid(m->paths[i], message, any_type)) {
            return false;
        }
    }
    return true;
}
