/* Rows of verdicts through a parser. For tests only. */

#include "config/parse/verdict_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    char *text = malloc(1 << 20);

    assert_non_null(f);
    assert_non_null(text);
    *ret_len = fread(text, 1, 1 << 20, f);
    (void)fclose(f);
    return text;
}

/* Prints what is not as it should be; returns whether all is well. */
static bool check_case(struct str line, enum part_kind kind, size_t bytes, verdict_fn *fn)
{
    struct str verdict;
    struct str name;
    struct str json;
    struct str error = STR("");
    struct parse_fixture f;
    bool is_good;
    int r;

    assert_true(str_split(&line, '\t', &verdict));
    assert_true(str_split(&line, '\t', &name));
    assert_true(str_split(&line, '\t', &json));
    (void)str_split(&line, '\t', &error);
    parse_fixture_init(&f, bytes, kind, "r");
    f.ctx.is_static = true;
    r = fn(&f, json);
    is_good = str_eq(verdict, STR("accept")) ? r == 0 : r < 0;
    is_good = is_good && str_eq(str_c(error_message(&f.err)), error);
    if (getenv("VERDICTS_WRITE") != NULL) {
        printf("@%.*s\t%.*s\t%.*s\t%s\n",
               STR_ARG(r < 0 && str_eq(verdict, STR("accept")) ? STR("unsupported") : verdict),
               STR_ARG(name), STR_ARG(json), error_message(&f.err));
    } else if (!is_good) {
        printf("%.*s, %.*s: got %d '%s', want '%.*s'\n", STR_ARG(verdict), STR_ARG(name), r,
               error_message(&f.err), STR_ARG(error));
    }
    parse_fixture_done(&f);
    return is_good;
}

void verdicts_check(const char *path, enum part_kind kind, size_t bytes, verdict_fn *fn)
{
    size_t len;
    char *text = read_file(path, &len);
    struct str rest = str_n(text, len);
    struct str line;
    size_t bad = 0;
    size_t n = 0;

    while (str_split(&rest, '\n', &line)) {
        if (line.len > 0 && line.ptr[0] != '#') {
            bad += !check_case(line, kind, bytes, fn);
            n++;
        }
    }
    free(text);
    assert_true(n > 10);
    assert_int_equal(bad, 0);
}
