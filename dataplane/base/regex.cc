/*
 * The only file that sees RE2. Compiled regexes are immutable: any thread may match.
 *
 * Size: a program may grow to what RE2 allows within MAX_MEM_BYTES (Envoy's bound is 100
 * instructions unless a runtime key sets another); a caller's own bound comes on top. Matching is
 * linear in the input whatever the pattern. No exception crosses the C border: running out of
 * memory inside RE2 or the standard library ends the process, as xalloc does.
 */

/* The C headers hold what ISO C++ lacks (flexible array members, compound literals). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include "dataplane/base/regex.h"
#pragma GCC diagnostic pop

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace
{

constexpr int64_t MAX_MEM_BYTES = 8 << 20;

re2::StringPiece piece(struct str s)
{
    return re2::StringPiece(s.ptr, s.len);
}

RE2::Options options()
{
    RE2::Options o;

    o.set_log_errors(false);
    o.set_max_mem(MAX_MEM_BYTES);
    return o;
}

} // namespace

struct regex {
    RE2 re;

    explicit regex(struct str pattern) : re(piece(pattern), options())
    {
    }
};

struct regex_set {
    RE2::Set set;

    regex_set() : set(options(), RE2::ANCHOR_BOTH)
    {
    }
};

int regex_new(struct str pattern, uint32_t max_program_size, struct regex **ret_regex,
              struct error *reterr)
{
    auto r = std::make_unique<regex>(pattern);

    if (!r->re.ok()) {
        bool is_too_large = r->re.error_code() == RE2::ErrorPatternTooLarge;

        return error_set(reterr, is_too_large ? E_LIMIT : E_INVALID, "%s", r->re.error().c_str());
    }
    if (max_program_size > 0 && r->re.ProgramSize() > static_cast<int64_t>(max_program_size)) {
        return error_set(reterr, E_LIMIT,
                         "regex '%.*s' RE2 program size of %d > max program size of %u",
                         STR_ARG(pattern), r->re.ProgramSize(), max_program_size);
    }
    *ret_regex = r.release();
    return 0;
}

void regex_free(struct regex *r)
{
    delete r;
}

bool regex_full_match(const struct regex *r, struct str s)
{
    return r->re.Match(piece(s), 0, s.len, RE2::ANCHOR_BOTH, nullptr, 0);
}

bool regex_partial_match(const struct regex *r, struct str s)
{
    return r->re.Match(piece(s), 0, s.len, RE2::UNANCHORED, nullptr, 0);
}

bool regex_find_groups(const struct regex *r, struct str s, struct str *ret_groups, size_t n)
{
    enum { MAX_GROUPS = 4 };
    re2::StringPiece groups[MAX_GROUPS + 1];
    size_t known = static_cast<size_t>(r->re.NumberOfCapturingGroups());

    if (n > MAX_GROUPS) {
        n = MAX_GROUPS;
    }
    if (!r->re.Match(piece(s), 0, s.len, RE2::UNANCHORED, groups,
                     static_cast<int>((known < n ? known : n) + 1))) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        ret_groups[i] = str_n(groups[i + 1].data(), groups[i + 1].size());
    }
    return true;
}

struct str regex_replace_all(const struct regex *r, struct str s, struct str substitution,
                             struct arena *a)
{
    std::string text(s.ptr != nullptr ? s.ptr : "", s.len);

    RE2::GlobalReplace(&text, r->re, piece(substitution));
    return arena_str(a, str_n(text.data(), text.size()));
}

bool regex_check_rewrite(const struct regex *r, struct str substitution)
{
    std::string why;

    return r->re.CheckRewriteString(piece(substitution), &why);
}

int regex_set_new(const struct str *patterns, size_t n, struct regex_set **ret_set)
{
    auto s = std::make_unique<regex_set>();

    for (size_t i = 0; i < n; i++) {
        if (s->set.Add(piece(patterns[i]), nullptr) < 0) {
            return E_INVALID;
        }
    }
    if (!s->set.Compile()) { /* matching a set that did not compile is undefined */
        return E_LIMIT;
    }
    *ret_set = s.release();
    return 0;
}

void regex_set_free(struct regex_set *s)
{
    delete s;
}

/* False when the automaton gave up. `ret_hits` is this thread's, reused so that matching takes no
 * memory for it once warm. */
static bool set_match(const struct regex_set *s, struct str input,
                      const std::vector<int> **ret_hits)
{
    thread_local std::vector<int> hits;
    RE2::Set::ErrorInfo info;

    hits.clear();
    *ret_hits = &hits;
    return s->set.Match(piece(input), &hits, &info) || info.kind == RE2::Set::kNoError;
}

int regex_set_first(const struct regex_set *s, struct str input)
{
    const std::vector<int> *hits;

    if (!set_match(s, input, &hits)) {
        return -2;
    }
    return hits->empty() ? -1 : *std::min_element(hits->begin(), hits->end());
}

int regex_set_all(const struct regex_set *s, struct str input, int *out, size_t max)
{
    const std::vector<int> *hits;
    std::vector<int> sorted;
    size_t n;

    if (!set_match(s, input, &hits)) {
        return -2;
    }
    sorted = *hits;
    std::sort(sorted.begin(), sorted.end());
    n = std::min(max, sorted.size());
    std::copy_n(sorted.begin(), n, out);
    return static_cast<int>(n);
}
