#ifndef CONFIG_PB_TEXT_INTERNAL_H
#define CONFIG_PB_TEXT_INTERNAL_H

/* Shared by pb_text.c (fields by descriptor), pb_text_known.c (official fields without one),
 * pb_text_scalar.c (numbers, enums, strings, bytes) and pb_text_special.c (types with a JSON form
 * of their own). */

#include "config/pb_text.h"

/* One step of the path to the value being read. Steps lie on the C stack of their readers; text is
 * made of them only for an error. */
struct pb_step {
    const struct pb_step *up;
    const char *field; /* NULL: an entry or an element of what is above */
    struct str key;    /* of a map entry; none: an element */
    size_t index;
};

struct pb_reader {
    struct arena *arena;
    struct error *err;
    const struct pb_text_options *options;
    const struct pb_step *path;
    int depth;
};

/* Sets "file:line:column: path: sentence"; returns E_INVALID. */
int pb_text_fail(struct pb_reader *r, const struct text_node *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* "<what> expected, not <kind>". */
int pb_text_expected(struct pb_reader *r, const struct text_node *n, const char *what);

/* Any message: special JSON forms first, else its fields. One level of nesting. */
int pb_text_read_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m);
/* Its fields from an object, without "@type" when `is_any`. */
int pb_text_read_fields(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m,
                        bool is_any);
struct known_field; /* proto/known_fields.h */
/* Checks, and forgets, the text of an official field that is not in the subset. */
int pb_text_check_known(struct pb_reader *r, const struct text_node *n,
                        const struct known_field *k);
/* The same of the fields in an Any whose type is not in the subset; types that nobody knows pass.
 */
int pb_text_check_known_any(struct pb_reader *r, const struct text_node *n, struct str type_name);
/* A scalar of the field's type, written to `to`. */
int pb_text_read_scalar(struct pb_reader *r, const struct text_node *n,
                        const ProtobufCFieldDescriptor *f, void *to);

#endif
