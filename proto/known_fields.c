/*
 * Lookups in the table of official fields (known_fields.h). The table itself is generated:
 * known_fields_table.c. Any thread; no state.
 */

#include "proto/known_fields.h"

#include <string.h>

#include "proto/known_fields_table.h"

const char *known_message_name(const struct known_message *m)
{
    return known_strings + m->name_offset;
}

const char *known_field_name(const struct known_field *f)
{
    return known_strings + f->name_offset;
}

const struct known_message *known_field_message(const struct known_field *f)
{
    return f->kind == KNOWN_MESSAGE ? &known_messages[f->message] : NULL;
}

const struct known_message *known_message_find(const char *full_name)
{
    size_t low = 0;
    size_t high = known_message_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(full_name, known_message_name(&known_messages[middle]));
        if (order == 0) {
            return &known_messages[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct known_field *known_field_by_number(const struct known_message *m, uint32_t number)
{
    const struct known_field *fields = &known_fields[m->first_field];
    for (size_t i = 0; i < m->field_count; i++) {
        if (fields[i].number == number) {
            return &fields[i];
        }
    }
    return NULL;
}

static bool equals_snake_case(const char *field, const char *name, size_t len)
{
    return strlen(field) == len && memcmp(field, name, len) == 0;
}

/* Protobuf's own rule: an underscore goes, the letter after it becomes upper case. */
static bool equals_camel_case(const char *field, const char *name, size_t len)
{
    size_t i = 0;
    bool is_word_start = false;
    for (; *field != '\0'; field++) {
        if (*field == '_') {
            is_word_start = true;
            continue;
        }
        char c = *field;
        if (is_word_start && c >= 'a' && c <= 'z') {
            c = (char)(c - 'a' + 'A');
        }
        is_word_start = false;
        if (i == len || name[i] != c) {
            return false;
        }
        i++;
    }
    return i == len;
}

const struct known_field *known_field_by_name(const struct known_message *m, const char *name,
                                              size_t len)
{
    const struct known_field *fields = &known_fields[m->first_field];
    for (size_t i = 0; i < m->field_count; i++) {
        const char *field = known_field_name(&fields[i]);
        if (equals_snake_case(field, name, len) || equals_camel_case(field, name, len)) {
            return &fields[i];
        }
    }
    return NULL;
}
