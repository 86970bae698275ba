#ifndef CONFIG_PB_TEXT_INTERNAL_H
#define CONFIG_PB_TEXT_INTERNAL_H

/* Shared by pb_text.c (fields by descriptor) and pb_text_special.c (types with a JSON form of
 * their own). */

#include "config/pb_text.h"

struct pb_reader {
    struct arena *arena;
    struct error *err;
    const struct pb_text_options *options;
    int depth;
    size_t path_len;
    char path[1024];
};

int pb_text_fail(struct pb_reader *r, const struct text_node *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Returns the old length, to be put back into r->path_len. */
size_t pb_text_push(struct pb_reader *r, struct str name);
/* Any message: special JSON forms first, else its fields. */
int pb_text_read_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m);
/* Its fields from an object; `skip_key` ("@type") may be empty. */
int pb_text_read_fields(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m,
                        struct str skip_key);

#endif
