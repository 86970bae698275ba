/*
 * ClientHello: the records, the message, the few extensions that matter here. Hostile bytes: every
 * length is checked against what is there. Owns nothing.
 */

#include "dataplane/tls/client_hello.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/md5.h>
#include <openssl/sha.h>

#include "dataplane/base/xalloc.h"

#define RECORD_HEADER_BYTES 5
#define RECORD_TYPE_HANDSHAKE 22
#define RECORD_MAX_BYTES 16384
#define MESSAGE_HEADER_BYTES 4
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_MAX_BYTES 16384
#define SESSION_ID_MAX_BYTES 32
#define SERVER_NAME_MAX_BYTES 255

#define EXT_SERVER_NAME 0
#define EXT_SUPPORTED_GROUPS 10
#define EXT_POINT_FORMATS 11
#define EXT_SIGNATURE_ALGORITHMS 13
#define EXT_ALPN 16
#define EXT_SUPPORTED_VERSIONS 43

#define TLS_1_0 0x0301
#define TLS_1_3 0x0304

/* --- reading ------------------------------------------------------------------------------ */

static bool take_bytes(struct str *from, size_t len, struct str *ret)
{
    if (from->len < len) {
        return false;
    }
    *ret = str_sub(*from, 0, len);
    *from = str_sub(*from, len, from->len);
    return true;
}

/* A big-endian number of 1 or 2 bytes. */
static bool take_number(struct str *from, size_t len, uint16_t *ret)
{
    struct str s;

    if (!take_bytes(from, len, &s)) {
        return false;
    }
    *ret = (uint8_t)s.ptr[0];
    if (len == 2) {
        *ret = (uint16_t)(*ret << 8 | (uint8_t)s.ptr[1]);
    }
    return true;
}

/* Bytes behind their length of 1 or 2 bytes. */
static bool take_vector(struct str *from, size_t length_bytes, struct str *ret)
{
    uint16_t len;

    return take_number(from, length_bytes, &len) && take_bytes(from, len, ret);
}

static bool next_extension(struct str *extensions, uint16_t *ret_type, struct str *ret_body)
{
    return take_number(extensions, 2, ret_type) && take_vector(extensions, 2, ret_body);
}

static bool find_extension(const struct client_hello *h, uint16_t type, struct str *ret_body)
{
    struct str rest = h->extensions;
    uint16_t t;

    while (next_extension(&rest, &t, ret_body)) {
        if (t == type) {
            return true;
        }
    }
    return false;
}

/* --- the message -------------------------------------------------------------------------- */

static int compare_types(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

#define EXTENSIONS_MAX 256 /* clients send some twenty */

/* Whole, and none twice. */
static bool extensions_are_sound(struct str rest)
{
    uint16_t types[EXTENSIONS_MAX];
    size_t count = 0;
    struct str body;

    while (rest.len > 0) {
        if (count == EXTENSIONS_MAX || !next_extension(&rest, &types[count], &body)) {
            return false;
        }
        count++;
    }
    qsort(types, count, sizeof(types[0]), compare_types);
    for (size_t i = 1; i < count; i++) {
        if (types[i] == types[i - 1]) {
            return false;
        }
    }
    return true;
}

static bool read_server_name(struct client_hello *h)
{
    struct str body;
    struct str list;
    struct str name;
    uint16_t kind;

    if (!find_extension(h, EXT_SERVER_NAME, &body)) {
        return true;
    }
    if (!take_vector(&body, 2, &list) || body.len > 0 || !take_number(&list, 1, &kind) ||
        !take_vector(&list, 2, &name) || list.len > 0) {
        return false;
    }
    if (kind != 0 || name.len == 0 || name.len > SERVER_NAME_MAX_BYTES ||
        str_find_char(name, '\0') != STR_NPOS) {
        return false;
    }
    h->server_name = name;
    return true;
}

bool client_hello_next_protocol(struct str *alpn, struct str *ret_protocol)
{
    return alpn->len > 0 && take_vector(alpn, 1, ret_protocol);
}

/* A broken list is as none: the handshake will say what is wrong with it. */
static void read_alpn(struct client_hello *h)
{
    struct str body;
    struct str list;
    struct str rest;
    struct str protocol;

    if (!find_extension(h, EXT_ALPN, &body) || !take_vector(&body, 2, &list) || body.len > 0) {
        return;
    }
    rest = list;
    while (rest.len > 0) {
        if (!take_vector(&rest, 1, &protocol) || protocol.len == 0) {
            return;
        }
    }
    h->alpn = list;
}

/* The body of the handshake message. */
static bool read_message(struct str m, struct client_hello *h)
{
    struct str random;
    struct str session_id;
    struct str compression;

    if (!take_number(&m, 2, &h->version) || !take_bytes(&m, 32, &random) ||
        !take_vector(&m, 1, &session_id) || session_id.len > SESSION_ID_MAX_BYTES ||
        !take_vector(&m, 2, &h->cipher_suites) || h->cipher_suites.len < 2 ||
        h->cipher_suites.len % 2 != 0 || !take_vector(&m, 1, &compression) ||
        compression.len == 0) {
        return false;
    }
    h->extensions = STR_NONE;
    if (m.len > 0 && (!take_vector(&m, 2, &h->extensions) || m.len > 0)) {
        return false;
    }
    if (!extensions_are_sound(h->extensions) || !read_server_name(h)) {
        return false;
    }
    read_alpn(h);
    return true;
}

/* --- the records -------------------------------------------------------------------------- */

/* The handshake bytes of records, without their headers. */
struct record_walk {
    struct str rest;
    struct str first;  /* of the message, when one record has all of it */
    size_t total;      /* handshake bytes so far */
    size_t wanted;     /* of the message with its header; 0: not known yet */
    uint8_t header[4]; /* type and length of the message */
};

/* One record header and body. The body may be cut off by the end of what has come: `ret_body` is
 * what is there. */
static enum client_hello_verdict next_record(struct record_walk *w, struct str *ret_body)
{
    struct str header = w->rest;
    uint16_t type;
    uint16_t version;
    uint16_t len;

    if (!take_number(&header, 1, &type) || !take_number(&header, 2, &version) ||
        !take_number(&header, 2, &len)) {
        return CLIENT_HELLO_PARTIAL;
    }
    if (type != RECORD_TYPE_HANDSHAKE || version >> 8 != 3 || len > RECORD_MAX_BYTES) {
        return CLIENT_HELLO_NOT_TLS;
    }
    *ret_body = str_sub(header, 0, len);
    w->rest = str_sub(header, len, header.len);
    return ret_body->len < len ? CLIENT_HELLO_PARTIAL : CLIENT_HELLO_FOUND;
}

/* Takes note of what the first four bytes say. False: it is no ClientHello. */
static bool note_header(struct record_walk *w, struct str body)
{
    for (size_t i = 0; i < body.len && w->total + i < MESSAGE_HEADER_BYTES; i++) {
        w->header[w->total + i] = (uint8_t)body.ptr[i];
    }
    if (w->total + body.len >= MESSAGE_HEADER_BYTES) {
        w->wanted = MESSAGE_HEADER_BYTES +
                    ((size_t)w->header[1] << 16 | (size_t)w->header[2] << 8 | w->header[3]);
    }
    w->total += body.len;
    return (w->total == 0 || w->header[0] == MESSAGE_CLIENT_HELLO) &&
           w->wanted <= MESSAGE_MAX_BYTES + MESSAGE_HEADER_BYTES;
}

/* Once more over records that are known to be whole. */
static struct str gather_message(struct str bytes, size_t len, struct arena *a)
{
    struct record_walk w = {.rest = bytes};
    char *message = arena_alloc(a, len);
    size_t at = 0;
    struct str body;

    while (at < len && next_record(&w, &body) == CLIENT_HELLO_FOUND) {
        size_t n = body.len < len - at ? body.len : len - at;

        memcpy(message + at, body.ptr, n);
        at += n;
    }
    return str_n(message, at);
}

enum client_hello_verdict client_hello_parse(struct str bytes, struct arena *a,
                                             struct client_hello *ret, size_t *ret_size)
{
    struct record_walk w = {.rest = bytes};
    struct client_hello h = {0};
    struct str message;
    struct str body;

    do {
        enum client_hello_verdict v = next_record(&w, &body);

        *ret_size = bytes.len - w.rest.len;
        if (v == CLIENT_HELLO_NOT_TLS) {
            *ret_size += RECORD_HEADER_BYTES;
        }
        if (v != CLIENT_HELLO_FOUND) {
            return v;
        }
        if (w.total == 0) {
            w.first = body;
        }
        if (!note_header(&w, body)) {
            return CLIENT_HELLO_NOT_TLS;
        }
    } while (w.wanted == 0 || w.total < w.wanted);
    if (w.total > w.wanted) {
        return CLIENT_HELLO_NOT_TLS; /* nothing may follow it before an answer */
    }
    message = w.first.len >= w.wanted ? str_sub(w.first, 0, w.wanted)
                                      : gather_message(bytes, w.wanted, a);
    if (!read_message(str_sub(message, MESSAGE_HEADER_BYTES, message.len), &h)) {
        return CLIENT_HELLO_NOT_TLS;
    }
    *ret = h;
    return CLIENT_HELLO_FOUND;
}

/* --- fingerprints ------------------------------------------------------------------------- */

/* RFC 8701: noise that clients send so that nobody relies on what they send. */
static bool is_grease(uint16_t id)
{
    return (id & 0x0f0f) == 0x0a0a && id >> 8 == (id & 0xff);
}

static void hex_of(const uint8_t *bytes, size_t len, char *out)
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = DIGITS[bytes[i] >> 4];
        out[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
}

/* "a-b-c" of the numbers of `width` bytes. */
static void add_numbers(struct strbuf *b, struct str from, size_t width, bool drops_grease)
{
    const char *separator = "";
    uint16_t id;

    while (take_number(&from, width, &id)) {
        if (!drops_grease || !is_grease(id)) {
            strbuf_add_c(b, separator);
            strbuf_add_u64(b, id);
            separator = "-";
        }
    }
}

static void add_extension_types(struct strbuf *b, struct str extensions)
{
    const char *separator = "";
    struct str body;
    uint16_t type;

    while (next_extension(&extensions, &type, &body)) {
        if (!is_grease(type)) {
            strbuf_add_c(b, separator);
            strbuf_add_u64(b, type);
            separator = "-";
        }
    }
}

/* The list inside of an extension, without regard to what its length says, as Envoy. */
static struct str list_of(const struct client_hello *h, uint16_t type, size_t length_bytes)
{
    struct str body;

    return find_extension(h, type, &body) ? str_sub(body, length_bytes, body.len) : STR_NONE;
}

void client_hello_ja3(const struct client_hello *h, char out[CLIENT_HELLO_JA3_LEN])
{
    uint8_t digest[MD5_DIGEST_LENGTH];
    struct strbuf b;

    strbuf_init(&b);
    strbuf_add_u64(&b, h->version);
    strbuf_add_char(&b, ',');
    add_numbers(&b, h->cipher_suites, 2, true);
    strbuf_add_char(&b, ',');
    add_extension_types(&b, h->extensions);
    strbuf_add_char(&b, ',');
    add_numbers(&b, list_of(h, EXT_SUPPORTED_GROUPS, 2), 2, false); /* as Envoy, with its GREASE */
    strbuf_add_char(&b, ',');
    add_numbers(&b, list_of(h, EXT_POINT_FORMATS, 1), 1, false);
    MD5((const uint8_t *)b.ptr, b.len, digest);
    strbuf_done(&b);
    hex_of(digest, sizeof(digest), out);
}

#define JA4_HASH_LEN 12

static void ja4_version(const struct client_hello *h, char out[2])
{
    uint16_t highest = 0;
    struct str versions;
    struct str body;
    uint16_t v;

    out[0] = out[1] = '0';
    if (find_extension(h, EXT_SUPPORTED_VERSIONS, &body)) {
        if (!take_vector(&body, 1, &versions)) {
            return;
        }
        while (take_number(&versions, 2, &v)) {
            highest = !is_grease(v) && v > highest ? v : highest;
        }
    }
    highest = highest == 0 ? h->version : highest;
    if (highest >= TLS_1_0 && highest <= TLS_1_3) {
        out[0] = '1';
        out[1] = (char)('0' + highest - TLS_1_0);
    }
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* First and last character of the first protocol; of one that cannot be printed, the outer half
 * bytes. */
static void ja4_alpn(const struct client_hello *h, char out[2])
{
    struct str list = list_of(h, EXT_ALPN, 2);
    struct str p;
    char first;
    char last;
    char hex[2];

    out[0] = out[1] = '0';
    if (!take_vector(&list, 1, &p) || p.len == 0) {
        return;
    }
    out[0] = first = p.ptr[0];
    out[1] = last = p.ptr[p.len - 1];
    if (!is_alnum(first) || !is_alnum(last)) {
        hex_of((const uint8_t *)&first, 1, hex);
        out[0] = hex[0];
        hex_of((const uint8_t *)&last, 1, hex);
        out[1] = hex[1];
    }
}

/* Four hex digits each, behind commas. */
static void add_hex_list(struct strbuf *b, const uint16_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[2] = {(uint8_t)(ids[i] >> 8), (uint8_t)ids[i]};

        if (i > 0) {
            strbuf_add_char(b, ',');
        }
        hex_of(bytes, 2, strbuf_reserve(b, 4));
        b->len += 4;
        b->ptr[b->len] = '\0';
    }
}

static void ja4_hash(const struct strbuf *b, bool is_empty, char out[JA4_HASH_LEN])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    memset(out, '0', JA4_HASH_LEN);
    if (!is_empty) {
        SHA256((const uint8_t *)b->ptr, b->len, digest);
        hex_of(digest, JA4_HASH_LEN / 2, out);
    }
}

/* Sorted; returns how many there are, which is also what the fingerprint counts. */
static size_t ja4_ciphers(const struct client_hello *h, char out[JA4_HASH_LEN])
{
    uint16_t *ids = xcalloc(h->cipher_suites.len / 2, sizeof(*ids));
    struct str rest = h->cipher_suites;
    struct strbuf b;
    size_t count = 0;
    uint16_t id;

    while (take_number(&rest, 2, &id)) {
        if (!is_grease(id)) {
            ids[count++] = id;
        }
    }
    qsort(ids, count, sizeof(*ids), compare_types);
    strbuf_init(&b);
    add_hex_list(&b, ids, count);
    ja4_hash(&b, count == 0, out);
    strbuf_done(&b);
    free(ids);
    return count;
}

/* Types sorted, without SNI and ALPN, then signature algorithms as they came. Returns how many
 * extensions there are with those two. */
static size_t ja4_extensions(const struct client_hello *h, char out[JA4_HASH_LEN])
{
    uint16_t types[EXTENSIONS_MAX];
    struct str rest = h->extensions;
    struct str algorithms = list_of(h, EXT_SIGNATURE_ALGORITHMS, 2);
    struct str body;
    struct strbuf b;
    size_t all = 0;
    size_t count = 0;
    uint16_t type;

    while (count < EXTENSIONS_MAX && next_extension(&rest, &type, &body)) {
        if (!is_grease(type)) {
            all++;
            if (type != EXT_SERVER_NAME && type != EXT_ALPN) {
                types[count++] = type;
            }
        }
    }
    qsort(types, count, sizeof(types[0]), compare_types);
    strbuf_init(&b);
    add_hex_list(&b, types, count);
    for (char separator = '_'; take_number(&algorithms, 2, &type); separator = ',') {
        strbuf_add_char(&b, separator);
        add_hex_list(&b, &type, 1);
    }
    ja4_hash(&b, count == 0, out);
    strbuf_done(&b);
    return all;
}

static void two_digits(size_t n, char out[2])
{
    n = n > 99 ? 99 : n;
    out[0] = (char)('0' + n / 10);
    out[1] = (char)('0' + n % 10);
}

void client_hello_ja4(const struct client_hello *h, char out[CLIENT_HELLO_JA4_LEN])
{
    struct str body;

    out[0] = 't';
    ja4_version(h, out + 1);
    out[3] = find_extension(h, EXT_SERVER_NAME, &body) ? 'd' : 'i';
    out[10] = '_';
    two_digits(ja4_ciphers(h, out + 11), out + 4);
    out[23] = '_';
    two_digits(ja4_extensions(h, out + 24), out + 6);
    ja4_alpn(h, out + 8);
}
