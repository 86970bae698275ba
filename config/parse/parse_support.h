#ifndef CONFIG_PARSE_PARSE_SUPPORT_H
#define CONFIG_PARSE_PARSE_SUPPORT_H

/* For tests: a parse context with slots, and stand-ins for the extensions that live above config/.
 */

#include "config/parse/context.h"
#include "dataplane/base/map.h"

struct parse_fixture {
    struct parse_context ctx;
    struct slot_resolver slots;
    struct map names; /* "kind name" -> slot + 1 */
    struct arena names_arena;
    struct arena scratch; /* messages */
    struct error err;
    struct part *part;
    struct str known_cluster; /* what `has` answers yes for */
};

/* A part of `bytes` and kind; `known_cluster` is the one that exists in a static bootstrap. */
void parse_fixture_init(struct parse_fixture *f, size_t bytes, enum part_kind kind,
                        const char *name);
void parse_fixture_done(struct parse_fixture *f);
/* The slot's name; empty when there is no such slot. */
struct str parse_fixture_slot_name(const struct parse_fixture *f, enum part_kind kind,
                                   uint32_t slot);
/* A message from YAML or JSON, checked for unsupported fields (parse_check_tree). */
int parse_fixture_message(struct parse_fixture *f, const ProtobufCMessageDescriptor *d,
                          struct str text, const ProtobufCMessage **ret) MUST_CHECK;

/* Stand-ins: connection manager (terminal), uuid request id as a network filter that is not, router
 * (terminal), stdout logger, raw sockets, policies and cluster types that parse to defaults. */
extern const struct extension_registry parse_test_registry;

#endif
