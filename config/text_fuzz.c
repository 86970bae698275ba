/*
 * Configuration text: YAML (first byte even) or JSON to nodes, to a bootstrap message, and back.
 * What was accepted, printed as /config_dump prints it, is accepted again and prints the same.
 */

#include <string.h>

#include "config/pb_json.h"
#include "config/pb_text.h"
#include "dataplane/base/check.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int parse_fn(struct str text, struct arena *a, const struct text_node **ret_root,
                     struct error *reterr);

/* NULL: refused, and then with a reason. */
static ProtobufCMessage *read_text(parse_fn *parse, struct str text, struct arena *a)
{
    static const struct pb_text_options OPTIONS = {.file = "f"};
    const struct text_node *root = NULL;
    ProtobufCMessage *m = NULL;
    struct error err;
    int r;

    error_init(&err);
    r = parse(text, a, &root, &err);
    if (r == 0) {
        r = pb_from_text(root, &envoy__config__bootstrap__v3__bootstrap__descriptor, &OPTIONS, a,
                         &m, &err);
    }
    CHECK(r == 0 || error_message(&err)[0] != '\0');
    error_done(&err);
    return r == 0 ? m : NULL;
}

static void print(const ProtobufCMessage *m, struct strbuf *out)
{
    struct json_writer w;

    strbuf_init(out);
    json_init(&w, out, false);
    pb_json(&w, m);
}

/* What the printer hides, or cuts, cannot be read back. */
static bool is_whole(struct str json)
{
    return !str_contains_nocase(json, STR("[redacted]")) &&
           !str_contains_nocase(json, STR("\"...\""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_yaml = size > 0 && data[0] % 2 == 0;
    struct str text = size > 0 ? str_n((const char *)data + 1, size - 1) : STR_NONE;
    struct strbuf once;
    struct strbuf twice;
    struct arena a;
    ProtobufCMessage *m;

    arena_init(&a, NULL);
    m = read_text(is_yaml ? yaml_parse : json_parse, text, &a);
    if (m != NULL) {
        print(m, &once);
        m = is_whole(strbuf_str(&once)) ? read_text(json_parse, strbuf_str(&once), &a) : NULL;
        if (m != NULL) { /* else an Any of a type that the subset lacks lost its fields */
            print(m, &twice);
            CHECK(str_eq(strbuf_str(&once), strbuf_str(&twice)));
            strbuf_done(&twice);
        }
        strbuf_done(&once);
    }
    arena_done(&a);
    return 0;
}
