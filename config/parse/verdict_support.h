#ifndef CONFIG_PARSE_VERDICT_SUPPORT_H
#define CONFIG_PARSE_VERDICT_SUPPORT_H

/*
 * For tests: what is accepted and what is refused, against Envoy 1.40. integration/corpus/verdicts/
 * holds for each case Envoy's verdict (accept, refuse; unsupported: Envoy accepts, this build says
 * it cannot) and the exact error that it gets here.
 */

#include "config/parse/parse_support.h"

#define VERDICTS_DIR "integration/corpus/verdicts/"

typedef int verdict_fn(struct parse_fixture *f, struct str json);

/* Every row of the file through `fn`, each with a part of its own; fails the test after printing
 * all that is not as it should be. */
void verdicts_check(const char *path, enum part_kind kind, size_t bytes, verdict_fn *fn);

#endif
