/* Control groups of both versions, made of files; the process's own memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/overload/memory.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char full[512];
    FILE *f;

    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    f = fopen(full, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void make_folder(const char *path)
{
    char full[512];

    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    assert_int_equal(mkdir(full, 0700), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/cgroup-test-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -r %s", root);
    return system(command);
}

static uint64_t used(const struct cgroup_memory *c)
{
    uint64_t bytes = 0;

    assert_int_equal(cgroup_memory_used(c, &bytes), 0);
    return bytes;
}

static void version_2_counts_what_cannot_be_taken_back(void **state)
{
    struct cgroup_memory c;

    (void)state;
    make_folder("/pod");
    put("/pod/memory.max", "1000000\n");
    put("/pod/memory.current", "700000\n");
    put("/pod/memory.stat", "anon 1\ninactive_file 50000\nactive_file 150000\nslab 3\n");
    assert_int_equal(cgroup_memory_open(root, "/pod", &c), 0);
    assert_int_equal(c.limit_bytes, 1000000);
    assert_int_equal(used(&c), 700000);
    assert_int_equal(cgroup_memory_refresh(&c), 0);
    assert_int_equal(used(&c), 500000);
    put("/pod/memory.current", "900000\n");
    assert_int_equal(used(&c), 700000);
    put("/pod/memory.current", "100000\n"); /* less than was page cache a moment ago */
    assert_int_equal(used(&c), 0);
    cgroup_memory_close(&c);
}

static void the_tightest_group_above_binds(void **state)
{
    struct cgroup_memory c;

    (void)state;
    make_folder("/pod");
    make_folder("/pod/box");
    put("/pod/memory.max", "1000\n");
    put("/pod/memory.current", "900\n");
    put("/pod/memory.stat", "anon 1\n");
    put("/pod/box/memory.max", "max\n");
    put("/pod/box/memory.current", "5\n");
    put("/pod/box/memory.stat", "anon 1\n");
    assert_int_equal(cgroup_memory_open(root, "/pod/box", &c), 0);
    assert_int_equal(c.limit_bytes, 1000);
    assert_int_equal(used(&c), 900);
    cgroup_memory_close(&c);
}

static void no_limit_is_said_in_two_ways(void **state)
{
    struct cgroup_memory c;

    (void)state;
    put("/memory.max", "max\n");
    put("/memory.current", "5\n");
    put("/memory.stat", "anon 1\n");
    assert_int_equal(cgroup_memory_open(root, "", &c), 0);
    assert_true(c.limit_bytes == MEMORY_UNLIMITED);
    assert_int_equal(used(&c), 5);
    cgroup_memory_close(&c);
    make_folder("/memory");
    put("/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/memory/memory.usage_in_bytes", "6\n");
    put("/memory/memory.stat", "rss 1\n");
    assert_int_equal(cgroup_memory_open(root, "", &c), 0);
    assert_true(c.limit_bytes == MEMORY_UNLIMITED);
    assert_int_equal(used(&c), 6);
    cgroup_memory_close(&c);
}

static void version_1_comes_first_and_its_path_may_be_the_hosts(void **state)
{
    struct cgroup_memory c;

    (void)state;
    make_folder("/memory");
    put("/memory/memory.limit_in_bytes", "4096000\n");
    put("/memory/memory.usage_in_bytes", "2048000\n");
    put("/memory/memory.stat",
        "inactive_file 1\ntotal_cache 9\ntotal_inactive_file 48000\ntotal_active_file 0\n");
    assert_int_equal(cgroup_memory_open(root, "/docker/0123", &c), 0);
    assert_int_equal(c.limit_bytes, 4096000);
    assert_int_equal(cgroup_memory_refresh(&c), 0);
    assert_int_equal(used(&c), 2000000);
    cgroup_memory_close(&c);
}

static void without_files_there_is_nothing_to_watch(void **state)
{
    struct cgroup_memory c;

    (void)state;
    assert_int_equal(cgroup_memory_open(root, "/x", &c), E_SYS);
}

static void the_process_has_some_memory(void **state)
{
    int fd = process_memory_open();
    uint64_t before = 0;
    uint64_t after = 0;
    size_t size = 64u << 20;
    char *p;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(process_memory_used(fd, &before), 0);
    p = malloc(size);
    assert_non_null(p);
    memset(p, 1, size);
    assert_int_equal(process_memory_used(fd, &after), 0);
    assert_true(after >= before + size * 9 / 10);
    free(p);
    close(fd);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(version_2_counts_what_cannot_be_taken_back),
        CASE(the_tightest_group_above_binds),
        CASE(no_limit_is_said_in_two_ways),
        CASE(version_1_comes_first_and_its_path_may_be_the_hosts),
        CASE(without_files_there_is_nothing_to_watch),
        cmocka_unit_test(the_process_has_some_memory),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
