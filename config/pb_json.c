/* The proto3 JSON mapping, writing side. Main thread; no state. */

#include "config/pb_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/pb_field.h"
#include "config/pb_registry.h"
#include "config/pb_unpack.h"
#include "proto/google/protobuf/any.pb-c.h"
#include "proto/google/protobuf/duration.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"
#include "proto/google/protobuf/timestamp.pb-c.h"

#define ANY_DEPTH_MAX 16 /* each level is unpacked while those around it are printed */
#define DEPTH_RESERVE 4  /* levels of JSON left for what stands in the innermost message */

struct pb_writer {
    struct json_writer *json;
    bool is_secret; /* inside of a field that must not be shown */
    int any_depth;
    const struct field_mask *mask; /* of the message that comes next; NULL: all of it */
};

static void write_message(struct pb_writer *w, const ProtobufCMessage *m);
static void write_fields(struct pb_writer *w, const ProtobufCMessage *m);

static bool write_too_deep(struct pb_writer *w)
{
    if (w->json->depth < JSON_DEPTH_MAX - DEPTH_RESERVE && w->any_depth < ANY_DEPTH_MAX) {
        return false;
    }
    json_str(w->json, STR("..."));
    return true;
}

/* --- secrets ------------------------------------------------------------------------------ */

/* Fields that the official protos annotate as sensitive, by full name, sorted. */
static const char *const SECRETS[] = {
    "envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials.private_key",
    "envoy.config.grpc_credential.v3.FileBasedMetadataConfig.secret_data",
    "envoy.config.trace.v3.ClientConfig.backend_token",
    "envoy.extensions.common.aws.v3.AssumeRoleWithWebIdentityCredentialProvider."
    "web_identity_token_data_source",
    "envoy.extensions.common.aws.v3.CredentialsFileCredentialProvider.credentials_data_source",
    "envoy.extensions.common.aws.v3.IAMRolesAnywhereCredentialProvider.private_key",
    "envoy.extensions.common.aws.v3.InlineCredentialProvider.secret_access_key",
    "envoy.extensions.common.aws.v3.InlineCredentialProvider.session_token",
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth.credentials",
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute.credentials",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuth.users",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute.users",
    "envoy.extensions.filters.http.ext_authz.v3.CheckSettings.context_extensions",
    "envoy.extensions.grpc_service.call_credentials.file_based_metadata.v3."
    "FileBasedMetadataCallCredentials.secret_data",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secret",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secrets",
    "envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider.typed_config",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.password",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.pkcs12",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys",
};

/* The part after "<message>." of the i-th secret; NULL: it is not a field of that message. */
static const char *secret_of(const ProtobufCMessageDescriptor *d, size_t i)
{
    size_t len = strlen(d->name);

    return strncmp(SECRETS[i], d->name, len) == 0 && SECRETS[i][len] == '.' ? SECRETS[i] + len + 1
                                                                            : NULL;
}

static bool has_secrets(const ProtobufCMessageDescriptor *d)
{
    for (size_t i = 0; i < ARRAY_LEN(SECRETS); i++) {
        if (secret_of(d, i) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_secret_field(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    for (size_t i = 0; i < ARRAY_LEN(SECRETS); i++) {
        const char *field = secret_of(d, i);

        if (field != NULL && strcmp(field, f->name) == 0) {
            return true;
        }
    }
    return false;
}

/* In a secret, text and bytes are replaced, numbers left out. */
static bool is_left_out(const struct pb_writer *w, ProtobufCType t)
{
    return w->is_secret && t != PROTOBUF_C_TYPE_STRING && t != PROTOBUF_C_TYPE_BYTES &&
           t != PROTOBUF_C_TYPE_MESSAGE;
}

static void write_str(struct pb_writer *w, struct str s)
{
    json_str(w->json, w->is_secret ? STR("[redacted]") : s);
}

/* --- scalars ------------------------------------------------------------------------------ */

static void write_base64(struct pb_writer *w, const uint8_t *p, size_t len)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct strbuf out;

    if (w->is_secret) {
        p = (const uint8_t *)"[redacted]";
        len = strlen("[redacted]");
    }
    strbuf_init(&out);
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);

        strbuf_add_char(&out, DIGITS[v >> 18]);
        strbuf_add_char(&out, DIGITS[v >> 12 & 63]);
        strbuf_add_char(&out, left > 1 ? DIGITS[v >> 6 & 63] : '=');
        strbuf_add_char(&out, left > 2 ? DIGITS[v & 63] : '=');
    }
    json_str(w->json, strbuf_str(&out));
    strbuf_done(&out);
}

static void write_i64_text(struct pb_writer *w, int64_t v)
{
    struct strbuf out;

    strbuf_init(&out);
    strbuf_addf(&out, "%lld", (long long)v);
    json_str(w->json, strbuf_str(&out));
    strbuf_done(&out);
}

/* The shortest text that reads back as the same float. */
static void write_float(struct pb_writer *w, float v)
{
    char text[32];
    int n = 0;

    if (isnan(v) || isinf(v)) {
        json_double(w->json, (double)v);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        n = snprintf(text, sizeof(text), "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) {
            break;
        }
    }
    json_raw(w->json, str_n(text, (size_t)n));
}

static void write_enum(struct pb_writer *w, const ProtobufCEnumDescriptor *d, int v)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(d, v);

    if (value != NULL) {
        json_str(w->json, str_c(value->name));
    } else {
        json_i64(w->json, v);
    }
}

static void write_value(struct pb_writer *w, const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        json_i64(w->json, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        json_u64(w->json, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        write_i64_text(w, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: {
        char digits[U64_DIGITS];

        json_str(w->json, str_n(digits, format_u64(*(const uint64_t *)at, digits)));
        break;
    }
    case PROTOBUF_C_TYPE_FLOAT:
        write_float(w, *(const float *)at);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        json_double(w->json, *(const double *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        json_bool(w->json, *(const protobuf_c_boolean *)at != 0);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(w, f->descriptor, *(const int *)at);
        break;
    case PROTOBUF_C_TYPE_STRING:
        write_str(w, str_c(*(char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        write_base64(w, ((const ProtobufCBinaryData *)at)->data,
                     ((const ProtobufCBinaryData *)at)->len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(w, *(ProtobufCMessage *const *)at);
        break;
    }
}

/* --- special types ------------------------------------------------------------------------ */

/* 0, 3, 6 or 9 digits. */
static void add_fraction(struct strbuf *out, int32_t nanos)
{
    if (nanos == 0) {
        return;
    }
    if (nanos % 1000000 == 0) {
        strbuf_addf(out, ".%03d", nanos / 1000000);
    } else if (nanos % 1000 == 0) {
        strbuf_addf(out, ".%06d", nanos / 1000);
    } else {
        strbuf_addf(out, ".%09d", nanos);
    }
}

/* "1s", "0.250s". What is in there may be any number: it came over the wire. */
static void write_duration(struct pb_writer *w, const Google__Protobuf__Duration *d)
{
    bool is_negative = d->seconds < 0 || d->nanos < 0;
    struct strbuf out;

    strbuf_init(&out);
    strbuf_addf(&out, "%s", is_negative ? "-" : "");
    strbuf_add_u64(&out, d->seconds < 0 ? 0 - (uint64_t)d->seconds : (uint64_t)d->seconds);
    add_fraction(&out, abs(d->nanos % 1000000000));
    strbuf_add_char(&out, 's');
    json_str(w->json, strbuf_str(&out));
    strbuf_done(&out);
}

static void write_timestamp(struct pb_writer *w, const Google__Protobuf__Timestamp *t)
{
    time_t seconds = t->seconds;
    struct strbuf out;
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < 1 - 1900 || tm.tm_year > 9999 - 1900) {
        json_null(w->json);
        return;
    }
    strbuf_init(&out);
    strbuf_addf(&out, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                tm.tm_hour, tm.tm_min, tm.tm_sec);
    add_fraction(&out, abs(t->nanos % 1000000000));
    strbuf_add_char(&out, 'Z');
    json_str(w->json, strbuf_str(&out));
    strbuf_done(&out);
}

/* --- Struct ------------------------------------------------------------------------------- */

static void write_struct(struct pb_writer *w, const Google__Protobuf__Struct *s);
static void write_list(struct pb_writer *w, const Google__Protobuf__ListValue *l);

static void write_struct_value(struct pb_writer *w, const Google__Protobuf__Value *v)
{
    switch (w->is_secret && v->kind_case < GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE &&
                    v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE
                ? GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE
                : v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        json_bool(w->json, v->bool_value != 0);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        json_double(w->json, v->number_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        write_str(w, str_c(v->string_value));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        write_struct(w, v->struct_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        write_list(w, v->list_value);
        break;
    default:
        json_null(w->json);
        break;
    }
}

static void write_list(struct pb_writer *w, const Google__Protobuf__ListValue *l)
{
    if (write_too_deep(w)) {
        return;
    }
    json_array_begin(w->json);
    for (size_t i = 0; i < l->n_values; i++) {
        write_struct_value(w, l->values[i]);
    }
    json_array_end(w->json);
}

static void write_struct(struct pb_writer *w, const Google__Protobuf__Struct *s)
{
    if (write_too_deep(w)) {
        return;
    }
    json_object_begin(w->json);
    for (size_t i = 0; i < s->n_fields; i++) {
        json_key(w->json, str_c(s->fields[i]->key));
        write_struct_value(w, s->fields[i]->value);
    }
    json_object_end(w->json);
}

/* --- Any ---------------------------------------------------------------------------------- */

/* Whether the JSON form is other than an object of the fields. */
static bool has_special_form(const char *name)
{
    return strncmp(name, "google.protobuf.", 16) == 0 && strcmp(name, "google.protobuf.Empty") != 0;
}

static void write_any(struct pb_writer *w, struct str type_url, const uint8_t *bytes, size_t len)
{
    const ProtobufCMessageDescriptor *d = pb_find_message(pb_type_name(type_url));
    struct pb_writer inner = *w;
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    if (write_too_deep(w)) {
        return;
    }
    inner.any_depth++;
    arena_init(&arena, NULL);
    error_init(&err);
    json_object_begin(w->json);
    if (type_url.len > 0) {
        json_key(w->json, STR("@type"));
        json_str(w->json, type_url);
    }
    if (d != NULL && pb_unpack(d, bytes, len, &arena, &m, &err) == 0) {
        if (has_special_form(d->name)) {
            json_key(w->json, STR("value"));
            write_message(&inner, m);
        } else {
            write_fields(&inner, m);
        }
    }
    json_object_end(w->json);
    error_done(&err);
    arena_done(&arena);
}

/* --- messages ----------------------------------------------------------------------------- */

static void write_map(struct pb_writer *w, const ProtobufCFieldDescriptor *f,
                      const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    ProtobufCMessage *const *entries = *(ProtobufCMessage *const *const *)pb_at(m, f);

    CHECK(d->fields[0].type == PROTOBUF_C_TYPE_STRING); /* the API has no other maps */
    json_object_begin(w->json);
    for (size_t i = 0; i < *pb_count(m, f); i++) {
        json_key(w->json, str_c(*(char **)pb_at(entries[i], &d->fields[0])));
        write_value(w, &d->fields[1], pb_at(entries[i], &d->fields[1]));
    }
    json_object_end(w->json);
}

static void write_repeated(struct pb_writer *w, const ProtobufCFieldDescriptor *f,
                           const ProtobufCMessage *m)
{
    const char *elements = *pb_elements(m, f);
    size_t width = pb_value_bytes(f->type);

    json_array_begin(w->json);
    for (size_t i = 0; i < *pb_count(m, f); i++) {
        write_value(w, f, elements + i * width);
    }
    json_array_end(w->json);
}

static bool scalar_is_default(const ProtobufCFieldDescriptor *f, const void *at)
{
    static const char ZEROS[16];

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return *(char *const *)at == NULL || (*(char *const *)at)[0] == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at == NULL;
    default:
        return memcmp(at, ZEROS, pb_value_bytes(f->type)) == 0;
    }
}

static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return *pb_count(m, f) > 0;
    }
    return pb_is_oneof(f) ? *pb_oneof_case(m, f) == f->id : !scalar_is_default(f, pb_at(m, f));
}

static void write_fields(struct pb_writer *w, const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    bool is_checked = has_secrets(d);

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        struct pb_writer inner = *w;
        struct field_mask mask;

        inner.is_secret = w->is_secret || (is_checked && is_secret_field(d, f));
        inner.mask = w->mask != NULL ? &mask : NULL;
        if (!is_set(m, f) || is_left_out(&inner, f->type) ||
            (w->mask != NULL && !field_mask_enter(w->mask, f->name, &mask))) {
            continue;
        }
        json_key(w->json, str_c(f->name));
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            write_value(&inner, f, pb_at(m, f));
        } else if (pb_field_is_map(f)) {
            write_map(&inner, f, m);
        } else {
            write_repeated(&inner, f, m);
        }
    }
}

static void write_object(struct pb_writer *w, const ProtobufCMessage *m)
{
    if (write_too_deep(w)) {
        return;
    }
    json_object_begin(w->json);
    write_fields(w, m);
    json_object_end(w->json);
}

static void write_special(struct pb_writer *w, const ProtobufCMessage *m)
{
    const char *name = m->descriptor->name + strlen("google.protobuf.");
    const ProtobufCFieldDescriptor *value = &m->descriptor->fields[0];

    if (strcmp(name, "Any") == 0) {
        const Google__Protobuf__Any *any = (const Google__Protobuf__Any *)m;

        write_any(w, str_c(any->type_url), any->value.data, any->value.len);
    } else if (strcmp(name, "Duration") == 0) {
        write_duration(w, (const Google__Protobuf__Duration *)m);
    } else if (strcmp(name, "Timestamp") == 0) {
        write_timestamp(w, (const Google__Protobuf__Timestamp *)m);
    } else if (strcmp(name, "Struct") == 0) {
        write_struct(w, (const Google__Protobuf__Struct *)m);
    } else if (strcmp(name, "Value") == 0) {
        write_struct_value(w, (const Google__Protobuf__Value *)m);
    } else if (strcmp(name, "ListValue") == 0) {
        write_list(w, (const Google__Protobuf__ListValue *)m);
    } else if (!str_ends(str_c(name), STR("Value"))) {
        write_object(w, m);
    } else if (is_left_out(w, value->type)) {
        json_null(w->json);
    } else {
        write_value(w, value, pb_at(m, value)); /* a wrapper */
    }
}

static void write_message(struct pb_writer *w, const ProtobufCMessage *m)
{
    if (has_special_form(m->descriptor->name)) {
        write_special(w, m);
    } else {
        write_object(w, m);
    }
}

void pb_json(struct json_writer *w, const ProtobufCMessage *m)
{
    struct pb_writer writer = {.json = w};

    write_message(&writer, m);
}

void pb_json_any(struct json_writer *w, struct str type_url, const uint8_t *bytes, size_t len,
                 const struct field_mask *mask)
{
    struct pb_writer writer = {.json = w, .mask = mask};

    write_any(&writer, type_url, bytes, len);
}

void pb_json_bytes(struct json_writer *w, const ProtobufCMessageDescriptor *d, const uint8_t *bytes,
                   size_t len, const struct field_mask *mask)
{
    struct pb_writer writer = {.json = w, .mask = mask};
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    arena_init(&arena, NULL);
    error_init(&err);
    if (pb_unpack(d, bytes, len, &arena, &m, &err) == 0) {
        write_message(&writer, m);
    } else {
        json_object_begin(w);
        json_object_end(w);
    }
    error_done(&err);
    arena_done(&arena);
}
