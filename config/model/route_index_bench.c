/* Time to build the index of 10,000 routes and to find one, by kind and place. Run by hand. */

#include <stdio.h>
#include <stdlib.h>

#include "config/model/route_index.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/xalloc.h"

#define ROUTES 10000
#define ROUNDS 200000

static bool take(void *user, const struct route *r)
{
    (void)r;
    ++*(size_t *)user;
    return true;
}

static void free_regex(void *r)
{
    regex_free(r);
}

static struct str make_path(struct arena *a, const char *head, unsigned n, const char *tail)
{
    return arena_printf(a, "%s%05u%s", head, n, tail);
}

static void bench(const char *title, enum path_match_kind kind, size_t count, const char *head,
                  const char *tail)
{
    struct part *part = part_new(sizeof(struct route_config), PART_ROUTE_TABLE, STR("bench"));
    struct route *routes = xcalloc(count, sizeof(*routes));
    const struct route_index *ix;
    size_t before;
    uint64_t start;
    size_t hits = 0;

    for (size_t i = 0; i < count; i++) {
        struct error err;

        routes[i] = (struct route){.index = (uint32_t)i, .path_kind = kind, .case_sensitive = true};
        routes[i].path = make_path(&part->arena, head, (unsigned)i, tail);
        error_init(&err);
        if (kind == PATH_MATCH_REGEX &&
            regex_new(routes[i].path, 0, &routes[i].path_regex, &err) == 0) {
            part_on_free(part, free_regex, routes[i].path_regex);
        }
        error_done(&err);
    }
    before = part->arena.total_bytes;
    start = clock_mono_ns();
    ix = route_index_build(part, routes, count);
    printf("%-28s build %7.2f ms, %5zu KB;", title, (double)(clock_mono_ns() - start) / 1e6,
           (part->arena.total_bytes - before) / 1024);
    for (int place = 0; place < 3; place++) {
        size_t i = place == 0 ? 0 : place == 1 ? count / 2 : count - 1;
        char text[64];

        (void)snprintf(text, sizeof(text), "/service/%05u/users", (unsigned)i);
        start = clock_mono_ns();
        for (int k = 0; k < ROUNDS; k++) {
            (void)route_index_find(ix, str_c(text), false, take, &hits);
        }
        printf(" %6.0f", (double)(clock_mono_ns() - start) / ROUNDS);
    }
    start = clock_mono_ns();
    for (unsigned k = 0; k < ROUNDS; k++) {
        char text[64] = "/service/00000/users";
        unsigned n = k * 2654435761u % (unsigned)count;

        for (int d = 13; d > 8; d--, n /= 10) {
            text[d] = (char)('0' + n % 10);
        }
        (void)route_index_find(ix, str_n(text, 20), false, take, &hits);
    }
    printf(" %6.0f ns (first, middle, last, any)\n", (double)(clock_mono_ns() - start) / ROUNDS);
    part_unref(part);
    free(routes);
}

int main(void)
{
    bench("10000 prefixes", PATH_MATCH_PREFIX, ROUTES, "/service/", "");
    bench("10000 separated prefixes", PATH_MATCH_SEPARATED_PREFIX, ROUTES, "/service/", "");
    bench("10000 exact", PATH_MATCH_EXACT, ROUTES, "/service/", "/users");
    for (size_t n = 1; n <= 16; n *= 2) {
        char title[32];

        (void)snprintf(title, sizeof(title), "%zu prefixes", n);
        bench(title, PATH_MATCH_PREFIX, n, "/service/", "");
    }
    for (size_t n = 1; n <= 64; n *= 2) {
        char title[32];

        (void)snprintf(title, sizeof(title), "%zu regexes, one prefix", n);
        bench(title, PATH_MATCH_REGEX, n, "/service/[0-9]*", "/.*");
    }
    bench("2000 regexes, one prefix", PATH_MATCH_REGEX, 2000, "/service/0?", "/.*");
    bench("2000 regexes, own prefixes", PATH_MATCH_REGEX, 2000, "/service/", "/.*");
    return 0;
}
