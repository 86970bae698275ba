#ifndef DATAPLANE_BASE_REGEX_H
#define DATAPLANE_BASE_REGEX_H

/*
 * RE2 behind a C face: linear time, bounded program size. A compiled regex is immutable and may
 * be matched from any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

struct regex;

/* E_INVALID with RE2's reason, E_LIMIT when the program is larger than `max_program_size`
 * instructions (0: only bounded by memory, see regex.cc). Patterns are UTF-8. */
int regex_new(struct str pattern, uint32_t max_program_size, struct regex **ret_regex,
              struct error *reterr) MUST_CHECK;
void regex_free(struct regex *r);
/* The whole input must match (Envoy's safe_regex). */
bool regex_full_match(const struct regex *r, struct str s);
bool regex_partial_match(const struct regex *r, struct str s);
/* The first match anywhere in `s`: what its first `n` groups matched, windows into `s`; empty where
 * a group is not there. */
bool regex_find_groups(const struct regex *r, struct str s, struct str *ret_groups, size_t n);
/* Replaces every match (Envoy's RegexMatchAndSubstitute, `\1` groups); the result is in `a`. */
struct str regex_replace_all(const struct regex *r, struct str s, struct str substitution,
                             struct arena *a);
/* Whether `substitution` names only groups that exist. */
bool regex_check_rewrite(const struct regex *r, struct str substitution);

/* Many full-match patterns in one automaton. */
struct regex_set;

/* E_LIMIT when RE2 cannot compile the set in its memory budget, E_INVALID when a pattern is not
 * valid: match one by one then. */
int regex_set_new(const struct str *patterns, size_t n, struct regex_set **ret_set) MUST_CHECK;
void regex_set_free(struct regex_set *s);
/* Lowest index of a pattern that matches the whole input, or -1 for none; -2 when the automaton
 * ran out of memory (match one by one). */
int regex_set_first(const struct regex_set *s, struct str input);
/* All matching indexes in ascending order into `out` (at most `max`); returns their number or -2.
 */
int regex_set_all(const struct regex_set *s, struct str input, int *out, size_t max);

#ifdef __cplusplus
}
#endif

#endif
