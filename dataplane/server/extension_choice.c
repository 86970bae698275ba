/* The registry without what is disabled. Main thread. */

#include "dataplane/server/extension_choice.h"

#include "dataplane/base/log.h"

static bool is_named(const struct extension *e, struct str category, struct str name)
{
    return str_eq(category, str_c(extension_category_name(e->category))) &&
           str_eq(name, str_c(e->name));
}

static bool is_disabled(const struct extension *e, const char *disabled)
{
    struct str rest = str_c(disabled);
    struct str entry;

    while (rest.len > 0 && str_split(&rest, ',', &entry)) {
        size_t slash = str_find_char(entry, '/');

        if (slash != STR_NPOS &&
            is_named(e, str_sub(entry, 0, slash), str_sub(entry, slash + 1, entry.len))) {
            return true;
        }
    }
    return false;
}

static void warn_of_unknown(const struct extension_registry *all, const char *disabled)
{
    struct str rest = str_c(disabled);
    struct str entry;

    while (rest.len > 0 && str_split(&rest, ',', &entry)) {
        size_t slash = str_find_char(entry, '/');
        bool is_known = false;

        if (slash == STR_NPOS) {
            log_warn(LOG_C_CONFIG, "failed to disable invalid extension name '%.*s'",
                     STR_ARG(entry));
            continue;
        }
        for (size_t i = 0; i < all->count; i++) {
            is_known |= is_named(all->extensions[i], str_sub(entry, 0, slash),
                                 str_sub(entry, slash + 1, entry.len));
        }
        if (!is_known) {
            log_warn(LOG_C_CONFIG, "failed to disable unknown extension '%.*s'", STR_ARG(entry));
        }
    }
}

struct extension_registry extension_choice(const struct extension_registry *all,
                                           const char *disabled, struct arena *a)
{
    const struct extension **chosen = ARENA_ARRAY(a, const struct extension *, all->count + 1);
    struct extension_registry out = {.extensions = chosen};

    warn_of_unknown(all, disabled);
    for (size_t i = 0; i < all->count; i++) {
        if (!is_disabled(all->extensions[i], disabled)) {
            chosen[out.count++] = all->extensions[i];
        }
    }
    return out;
}
