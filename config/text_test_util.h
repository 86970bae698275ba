#ifndef CONFIG_TEXT_TEST_UTIL_H
#define CONFIG_TEXT_TEST_UTIL_H

/* For tests of readers of text: nodes written out with their kinds. */

#include "config/text_node.h"
#include "dataplane/base/str.h"

/* null, true, #5 (number), "x" (string), [a b], {k:v}. */
static inline void text_describe(struct strbuf *out, const struct text_node *n)
{
    switch (n->kind) {
    case TEXT_NULL:
        strbuf_add_c(out, "null");
        break;
    case TEXT_BOOL:
        strbuf_add_c(out, n->boolean ? "true" : "false");
        break;
    case TEXT_NUMBER:
        strbuf_addf(out, "#%.*s", STR_ARG(n->scalar));
        break;
    case TEXT_STRING:
        strbuf_addf(out, "\"%.*s\"", STR_ARG(n->scalar));
        break;
    case TEXT_LIST:
        strbuf_add_char(out, '[');
        for (size_t i = 0; i < n->count; i++) {
            strbuf_add_c(out, i > 0 ? " " : "");
            text_describe(out, n->items[i]);
        }
        strbuf_add_char(out, ']');
        break;
    case TEXT_MAP:
        strbuf_add_char(out, '{');
        for (size_t i = 0; i < n->count; i++) {
            strbuf_addf(out, "%s%.*s:", i > 0 ? " " : "", STR_ARG(n->members[i].key));
            text_describe(out, n->members[i].value);
        }
        strbuf_add_char(out, '}');
        break;
    }
}

typedef int text_parser(struct str text, struct arena *a, const struct text_node **ret_root,
                        struct error *reterr);

struct text_case {
    const char *text;
    const char *want; /* a description, or the error */
};

/* The number of cases that are not as they should be; those are printed. */
static inline size_t text_check_cases(text_parser *parse, const struct text_case *cases, size_t n)
{
    size_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        const struct text_node *root = NULL;
        struct strbuf got;
        struct arena a;
        struct error err;

        arena_init(&a, NULL);
        error_init(&err);
        strbuf_init(&got);
        if (parse(str_c(cases[i].text), &a, &root, &err) == 0) {
            text_describe(&got, root);
        } else {
            strbuf_add_c(&got, error_message(&err));
        }
        if (!str_eq(strbuf_str(&got), str_c(cases[i].want))) {
            print_message("%s\n     got %.*s\n    want %s\n", cases[i].text,
                          STR_ARG(strbuf_str(&got)), cases[i].want);
            bad++;
        }
        strbuf_done(&got);
        error_done(&err);
        arena_done(&a);
    }
    return bad;
}

#define TEXT_CHECK(parse, ...)                                                                     \
    do {                                                                                           \
        static const struct text_case CASES[] = {__VA_ARGS__};                                     \
        assert_int_equal(text_check_cases((parse), CASES, sizeof(CASES) / sizeof(CASES[0])), 0);   \
    } while (0)

#endif
