/*
 * Bytes to messages. What is read must pack again to bytes that read as the same; and protobuf-c's
 * own reader must agree about those, in which nothing is left to merge. The first byte chooses the
 * message. What was read is printed as JSON, as the admin pages do.
 */

#include <stdlib.h>

#include "config/pb_arena.h"
#include "config/pb_field.h"
#include "config/pb_json.h"
#include "config/pb_unpack.h"
#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "proto/envoy/config/cluster/v3/cluster.pb-c.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const MESSAGES[] = {
    &envoy__config__bootstrap__v3__bootstrap__descriptor,
    &envoy__config__cluster__v3__cluster__descriptor,
    &envoy__config__listener__v3__listener__descriptor,
    &envoy__config__route__v3__route_configuration__descriptor,
    &google__protobuf__struct__descriptor,
};

static void check_same(const ProtobufCMessage *m, const uint8_t *bytes, size_t len)
{
    size_t again_len = protobuf_c_message_get_packed_size(m);
    uint8_t *again = xmalloc(again_len + 1);

    CHECK(protobuf_c_message_pack(m, again) == again_len);
    CHECK(again_len == len && memcmp(again, bytes, len) == 0);
    free(again);
}

/* A known number with a wire type that does not fit: protobuf-c refuses it, or reads what it can.
 */
static bool has_misfit(const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    for (size_t i = 0; i < m->n_unknown_fields; i++) {
        if (protobuf_c_message_descriptor_get_field(d, m->unknown_fields[i].tag) != NULL) {
            return true;
        }
    }
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        bool is_repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
        ProtobufCMessage *const *items;
        size_t n;

        if (f->type != PROTOBUF_C_TYPE_MESSAGE ||
            (!is_repeated && pb_is_oneof(f) && *pb_oneof_case(m, f) != f->id)) {
            continue;
        }
        items = is_repeated ? *(ProtobufCMessage *const *const *)pb_at(m, f)
                            : (ProtobufCMessage *const *)pb_at(m, f);
        n = is_repeated ? *pb_count(m, f) : *items != NULL;
        for (size_t k = 0; k < n; k++) {
            if (has_misfit(items[k])) {
                return true;
            }
        }
    }
    return false;
}

static void check_reads_back(const ProtobufCMessage *m, struct arena *a)
{
    size_t len;
    const uint8_t *bytes = pb_pack(m, a, &len);
    ProtobufCMessage *again = NULL;
    struct error err;

    error_init(&err);
    CHECK(pb_unpack(m->descriptor, bytes, len, a, &again, &err) == 0);
    check_same(again, bytes, len);
    if (!has_misfit(again)) {
        again = protobuf_c_message_unpack(m->descriptor, NULL, len, bytes);
        CHECK(again != NULL);
        check_same(again, bytes, len);
        protobuf_c_message_free_unpacked(again, NULL);
    }
    error_done(&err);
}

static void print(const ProtobufCMessage *m)
{
    struct json_writer w;
    struct strbuf out;

    strbuf_init(&out);
    json_init(&w, &out, true);
    pb_json(&w, m);
    CHECK(str_is_utf8(strbuf_str(&out)));
    strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;
    int r;

    if (size == 0) {
        return 0;
    }
    arena_init(&arena, NULL);
    error_init(&err);
    r = pb_unpack(MESSAGES[data[0] % ARRAY_LEN(MESSAGES)], data + 1, size - 1, &arena, &m, &err);
    CHECK((r == 0) == (m != NULL) && (r == 0) == !error_is_set(&err));
    if (r == 0) {
        check_reads_back(m, &arena);
        print(m);
    }
    error_done(&err);
    arena_done(&arena);
    return 0;
}
