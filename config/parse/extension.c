/* The extension table as configuration sees it. Main thread. Holds no table of its own. */

#include "config/parse/extension.h"

static bool descriptor_is(const ProtobufCMessageDescriptor *d, struct str type_name)
{
    return d != NULL && str_eq(str_c(d->name), type_name);
}

const struct extension *extension_find(const struct extension_registry *r,
                                       enum extension_category category, struct str type_name)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct extension *e = r->extensions[i];

        if (e->category == category && descriptor_is(e->descriptor, type_name)) {
            return e;
        }
    }
    return NULL;
}

const struct extension *extension_find_override(const struct extension_registry *r,
                                                enum extension_category category,
                                                struct str type_name)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct extension *e = r->extensions[i];

        if (e->category == category && descriptor_is(e->override_descriptor, type_name)) {
            return e;
        }
    }
    return NULL;
}
