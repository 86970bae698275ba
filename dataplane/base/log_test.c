/* The log's line format, levels, redirection and reopening. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/error.h"
#include "dataplane/base/log.h"

static char dir[] = "/tmp/nuncio-log-XXXXXX";
static char path[64];
static char moved[64];

static size_t read_file(const char *name, char *out, size_t cap)
{
    FILE *f = fopen(name, "r");
    size_t n;

    assert_non_null(f);
    n = fread(out, 1, cap - 1, f);
    out[n] = '\0';
    (void)fclose(f);
    return n;
}

static void test_line_has_envoys_format(void **state)
{
    char text[512];
    regex_t re;

    log_info(LOG_C_MAIN, "hello %d", 42);
    (void)read_file(path, text, sizeof(text));
    assert_int_equal(
        regcomp(
            &re,
            "^\\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\\.[0-9]{3}\\]\\[[0-9]+\\]"
            "\\[info\\]\\[main\\] \\[([^]. ]+/)?dataplane/base/log_test\\.c:[0-9]+\\] hello 42\n$",
            REG_EXTENDED),
        0);
    assert_int_equal(regexec(&re, text, 0, NULL, 0), 0);
    regfree(&re);
}

static void test_levels_filter_per_component(void **state)
{
    char text[2048];

    log_debug(LOG_C_HTTP, "hidden");
    log_set_level(LOG_C_HTTP, LOG_DEBUG);
    log_debug(LOG_C_HTTP, "shown");
    log_debug(LOG_C_POOL, "hidden");
    log_set_all(LOG_OFF);
    log_critical(LOG_C_MAIN, "hidden");
    log_set_all(LOG_INFO);
    (void)read_file(path, text, sizeof(text));
    assert_non_null(strstr(text, "][debug][http] "));
    assert_non_null(strstr(text, "shown\n"));
    assert_null(strstr(text, "hidden"));
}

static void test_long_lines_are_whole_and_errno_is_kept(void **state)
{
    static char text[20000];
    static char big[8000];

    memset(big, 'x', sizeof(big) - 1);
    errno = EBUSY;
    log_warn(LOG_C_MAIN, "<%s>", big);
    assert_int_equal(errno, EBUSY);
    (void)read_file(path, text, sizeof(text));
    assert_non_null(strstr(text, big));
    assert_string_equal(text + strlen(text) - 3, "x>\n");
    assert_non_null(strstr(text, "[warning]"));
}

static void test_reopen_follows_a_rename(void **state)
{
    static char text[20000];

    assert_int_equal(rename(path, moved), 0);
    log_info(LOG_C_MAIN, "into the old file");
    log_reopen();
    log_info(LOG_C_MAIN, "into the new file");
    (void)read_file(moved, text, sizeof(text));
    assert_non_null(strstr(text, "into the old file\n"));
    assert_null(strstr(text, "into the new file\n"));
    (void)read_file(path, text, sizeof(text));
    assert_non_null(strstr(text, "into the new file\n"));
}

static void test_names(void **state)
{
    enum log_level l = LOG_OFF;
    enum log_component c = LOG_C_ADMIN;

    for (int i = LOG_TRACE; i <= LOG_OFF; i++) {
        assert_true(log_level_parse(log_level_name((enum log_level)i), &l));
        assert_int_equal(l, i);
    }
    assert_true(log_level_parse("warn", &l));
    assert_int_equal(l, LOG_WARN);
    assert_false(log_level_parse("verbose", &l));
    for (int i = 0; i < LOG_COMPONENT_COUNT; i++) {
        assert_true(log_component_parse(log_component_name((enum log_component)i), &c));
        assert_int_equal(c, i);
    }
    assert_false(log_component_parse("nosuch", &c));
    assert_int_equal(log_open("/nonexistent/dir/log"), E_SYS);
}

static int setup(void **state)
{
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(moved, sizeof(moved), "%s/log.1", dir);
    return log_open(path);
}

static int teardown(void **state)
{
    (void)unlink(path);
    (void)unlink(moved);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_has_envoys_format),
        cmocka_unit_test(test_levels_filter_per_component),
        cmocka_unit_test(test_long_lines_are_whole_and_errno_is_kept),
        cmocka_unit_test(test_reopen_follows_a_rename),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
