/* What a regex must begin with, read from its syntax. Any thread. Decides nothing about matching: a
 * prefix that is too short costs time, one that is too long would lose matches, so every doubt ends
 * it. */

#include "config/model/regex_prefix.h"

/* Past the character class that begins at p[i] == '['. */
static size_t class_end(struct str p, size_t i)
{
    i++;
    if (i < p.len && p.ptr[i] == '^') {
        i++;
    }
    if (i < p.len && p.ptr[i] == ']') { /* stands for itself in first place */
        i++;
    }
    while (i < p.len && p.ptr[i] != ']') {
        if (p.ptr[i] == '\\') {
            i++;
        } else if (p.ptr[i] == '[' && i + 1 < p.len && p.ptr[i + 1] == ':') {
            size_t end = str_find(str_sub(p, i, p.len), STR(":]"));

            i += end != STR_NPOS ? end + 1 : 0;
        }
        i++;
    }
    return i + 1;
}

/* Alternatives outside of any group: nothing is common to all of them. Also \Q...\E, inside which
 * no character means anything. */
static bool has_top_level_choice(struct str p)
{
    size_t depth = 0;
    size_t i = 0;

    while (i < p.len) {
        switch (p.ptr[i]) {
        case '\\':
            if (i + 1 < p.len && p.ptr[i + 1] == 'Q') {
                return true;
            }
            i += 2;
            continue;
        case '[':
            i = class_end(p, i);
            continue;
        case '(':
            depth++;
            break;
        case ')':
            depth -= depth > 0;
            break;
        case '|':
            if (depth == 0) {
                return true;
            }
            break;
        default:
            break;
        }
        i++;
    }
    return false;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The one literal character at p[*i], moving past it; false when it is something else. Characters
 * beyond ASCII are several bytes, to which a quantifier applies as one: not taken. */
static bool take_literal(struct str p, size_t *i, char *ret)
{
    char c = p.ptr[*i];

    if (c == '\\') {
        if (*i + 1 == p.len || is_alnum(p.ptr[*i + 1]) || (p.ptr[*i + 1] & 0x80) != 0) {
            return false;
        }
        *ret = p.ptr[*i + 1];
        *i += 2;
        return true;
    }
    if (c == '\0' || (c & 0x80) != 0 || strchr(".[]()|^$*+?{}", c) != NULL) {
        return false;
    }
    *ret = c;
    *i += 1;
    return true;
}

struct str regex_literal_prefix(struct arena *a, struct str pattern)
{
    char *text;
    size_t len = 0;
    size_t i = 0;

    if (has_top_level_choice(pattern)) {
        return STR("");
    }
    text = arena_alloc(a, pattern.len);
    if (pattern.len > 0 && pattern.ptr[0] == '^') {
        i++;
    }
    while (i < pattern.len && take_literal(pattern, &i, &text[len])) {
        char next = i < pattern.len ? pattern.ptr[i] : '\0';

        if (next == '*' || next == '?' || next == '{') { /* may stand no times */
            break;
        }
        len++;
        if (next == '+') {
            break;
        }
    }
    return str_n(text, len);
}
