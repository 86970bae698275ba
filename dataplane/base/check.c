/* The one place where a broken invariant ends the process. Any thread; takes no lock and no memory,
 * because the heap may be what is broken. */

#include "dataplane/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *expr, const char *file, int line)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "assert failure: %s at %s:%d\n", expr, file, line);

    if (n > (int)sizeof(text) - 1) {
        n = (int)sizeof(text) - 1;
        text[n - 1] = '\n';
    }
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) {
        /* Nothing is left to report to. */
    }
    abort();
}
