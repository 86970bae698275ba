#ifndef CONFIG_MODEL_REGEX_PREFIX_H
#define CONFIG_MODEL_REGEX_PREFIX_H

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

/* The literal text that every full match of this RE2 pattern begins with; shorter than it could be
 * where the syntax is not plain, empty when there is none. The pattern is valid. In `a`. */
struct str regex_literal_prefix(struct arena *a, struct str pattern);

#endif
