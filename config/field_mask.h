#ifndef CONFIG_FIELD_MASK_H
#define CONFIG_FIELD_MASK_H

/*
 * The paths of a google.protobuf.FieldMask, as the admin's `mask` parameter gives them: which
 * fields of a message are to be shown. Strings are borrowed. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/str.h"

#define FIELD_MASK_PATHS_MAX 32

/* No paths: everything is shown. */
struct field_mask {
    struct str paths[FIELD_MASK_PATHS_MAX];
    size_t count;
};

/* "a.b,c". False when there are too many. */
bool field_mask_parse(struct str text, struct field_mask *ret);
/* Whether the field is shown at all, and then how much of it. NULL is as no paths. `ret_inner` is
 * another mask than `m`. */
bool field_mask_enter(const struct field_mask *m, const char *field, struct field_mask *ret_inner);
/* Whether every path names fields of the message, all but the last of them singular messages.
 * `any_type`: what an Any on the way holds; NULL: its inside cannot be named. */
bool field_mask_is_valid(const struct field_mask *m, const char *message, const char *any_type);

#endif
