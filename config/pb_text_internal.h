#ifndef CONFIG_PB_TEXT_INTERNAL_H
#define CONFIG_PB_TEXT_INTERNAL_H

/* Shared by pb_text.c (fields by descriptor), pb_text_scalar.c (numbers, enums, strings, bytes) and
 * pb_text_special.c (types with a JSON form of their own). */

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
/* A scalar of the field's type, written to `to`. */
int pb_text_read_scalar(struct pb_reader *r, const struct text_node *n,
                        const ProtobufCFieldDescriptor *f, void *to);

#endif
