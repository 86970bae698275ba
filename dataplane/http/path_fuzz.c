/* Path functions on any bytes: normalising twice gives what normalising once gave, and no dot
 * segment survives. */

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_dot_segment(struct str path)
{
    struct str only = path_only(path);
    struct str segment;

    while (str_split(&only, '/', &segment)) {
        if (str_eq(segment, STR(".")) || str_eq(segment, STR(".."))) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* At its exact size on the heap, so that a read behind the end is seen. */
    char *copy = malloc(size + 1);
    struct str path = {copy, size};
    struct str once;
    struct str twice;
    struct arena a;

    CHECK(copy != NULL);
    memmove(copy, data, size);
    arena_init(&a, NULL);
    if (size > 0 && copy[0] == '/' && path_normalize(path, &a, &once)) {
        CHECK(!has_dot_segment(once));
        CHECK(once.len > 0 && once.ptr[0] == '/');
        /* "/%2e;x" becomes "/.;x", which Envoy too reads as a dot segment the next time. */
        if (str_find(once, STR(";")) == STR_NPOS) {
            CHECK(path_normalize(once, &a, &twice));
            CHECK(str_eq(once, twice));
        }
        (void)path_merge_slashes(once, &a);
    }
    (void)path_merge_slashes(path, &a);
    (void)path_unescape_slashes(path, &a, &once);
    arena_done(&a);
    free(copy);
    return 0;
}
