/* Which certificates there are: /certs and gauges. Main thread. */

#include "dataplane/tls/inventory.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/json.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/tls/ocsp.h"
#include "dataplane/tls/san.h"
#include "dataplane/tls/tls_internal.h"
#include "dataplane/tls/x509_text.h"

#define NS_PER_S 1000000000

/* As Envoy's: the hash of a name that inline certificates do not have. */
#define UNNAMED_CERT "unnamed_cert_e3b0c442"
#define UNNAMED_CA "unnamed_ca_cert_e3b0c442"

/* --- walking -------------------------------------------------------------------------------- */

/* One certificate of a context. */
struct holding {
    const X509 *x509;
    struct str path;                      /* where it was read */
    struct str gauge;                     /* its name in stats */
    const struct tls_certificate *served; /* NULL: a CA */
    bool shares_gauge;                    /* the one that ends first is shown */
};

typedef void holding_fn(void *user, const struct holding *h);

static void visit_cas(const struct tls_trust *trust, struct str path, struct str gauge,
                      holding_fn *visit, void *user)
{
    for (size_t i = 0; trust != NULL && trust->cas != NULL && i < sk_X509_num(trust->cas); i++) {
        visit(user, &(struct holding){.x509 = sk_X509_value(trust->cas, i),
                                      .path = path,
                                      .gauge = gauge,
                                      .shares_gauge = true});
    }
}

/* The CAs of the SPIFFE validator, which Envoy numbers. */
static void visit_trust_domains(const struct tls_validation *v, holding_fn *visit, void *user)
{
    size_t n = 0;

    for (size_t d = 0; d < v->trust_domain_count; d++) {
        const struct tls_trust_domain *domain = &v->trust_domains[d];
        STACK_OF(X509) *cas = domain->bundle->cas;
        struct strbuf path;

        strbuf_init(&path);
        strbuf_addf(&path, "%.*s: %.*s", STR_ARG(domain->name), STR_ARG(domain->bundle->ca_name));
        for (size_t i = 0; cas != NULL && i < sk_X509_num(cas); i++) {
            struct strbuf gauge;

            strbuf_init(&gauge);
            strbuf_addf(&gauge, "unnamed_ca_cert_%zu", n++);
            visit(user, &(struct holding){.x509 = sk_X509_value(cas, i),
                                          .path = strbuf_str(&path),
                                          .gauge = strbuf_str(&gauge)});
            strbuf_done(&gauge);
        }
        strbuf_done(&path);
    }
}

static void visit_trusted(const struct tls_context *c, const struct loop *main, holding_fn *visit,
                          void *user)
{
    const struct secret_config *secret = tls_secret(main, c->common->validation_slot);
    const struct tls_validation *parts[2];
    const struct tls_trust *ca;

    tls_validation_parts(c->common, secret, parts);
    ca = tls_validation_ca(parts);
    if (ca != NULL) {
        visit_cas(ca, ca->ca_name, secret != NULL ? secret->name : STR(UNNAMED_CA), visit, user);
    }
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i] != NULL) {
            visit_trust_domains(parts[i], visit, user);
        }
    }
}

static void visit_one_served(const struct tls_certificate *served, struct str gauge,
                             holding_fn *visit, void *user)
{
    visit(user,
          &(struct holding){
              .x509 = served->leaf, .path = served->chain_name, .gauge = gauge, .served = served});
}

static void visit_served(const struct tls_context *c, const struct loop *main, holding_fn *visit,
                         void *user)
{
    const struct tls_common *common = c->common;

    for (size_t i = 0; i < common->certificate_count; i++) {
        visit_one_served(common->certificates[i], STR(UNNAMED_CERT), visit, user);
    }
    for (size_t i = 0; i < common->certificate_slot_count; i++) {
        const struct secret_config *secret = tls_secret(main, common->certificate_slots[i]);

        if (secret != NULL && secret->certificate != NULL) {
            visit_one_served(secret->certificate, secret->name, visit, user);
        }
    }
}

/* --- whom a context believes ---------------------------------------------------------------- */

const char *tls_context_credulity(const struct tls_context *c, const struct loop *main)
{
    const struct tls_validation *parts[2];

    if (c->common->validation_slot != SLOT_NONE &&
        tls_secret(main, c->common->validation_slot) == NULL) {
        return NULL;
    }
    tls_validation_parts(c->common, tls_secret(main, c->common->validation_slot), parts);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i] != NULL && parts[i]->accepts_untrusted) {
            return "peers are accepted whose certificate is not to be trusted (ACCEPT_UNTRUSTED)";
        }
    }
    if (tls_validation_is_active(parts)) {
        return NULL;
    }
    if (c->client != NULL) {
        return "any certificate is accepted from the server: no CA, hash or name is configured";
    }
    return c->server->require_client_certificate
               ? "a client certificate is required but not looked at: no CA, hash or name is "
                 "configured"
               : NULL;
}

/* --- gauges --------------------------------------------------------------------------------- */

static const struct stat_def gauge_defs[] = {{"expiration_unix_time_seconds", STAT_GAUGE}};
static const struct stat_schema gauge_schema = {
    .defs = gauge_defs, .count = ARRAY_LEN(gauge_defs), .shown_untouched = true};

struct tls_gauge {
    struct tls_gauge *next;
    struct stat_scope *scope;
    char name[];
};

void tls_gauges_init(struct tls_gauges *g, const struct tls_context_params *p)
{
    const struct stat_scope_spec *spec = &p->stat_scope;

    if (p->stats != NULL) {
        *g = (struct tls_gauges){
            .stats = p->stats,
            .prefix = xstrndup(spec->prefix.ptr, spec->prefix.len),
            .kind_len = spec->tagged_prefix.len,
            .tag = spec->tags[0].name,
        };
    }
}

void tls_gauges_done(struct tls_gauges *g)
{
    while (g->first != NULL) {
        struct tls_gauge *gauge = g->first;

        g->first = gauge->next;
        stat_scope_unref(gauge->scope);
        free(gauge);
    }
    free(g->prefix);
}

struct str tls_gauges_owner(const struct tls_gauges *g)
{
    struct str prefix = str_c(g->prefix);

    return str_sub(prefix, 0, prefix.len > 0 ? prefix.len - 1 : 0);
}

/* As Envoy tags it: a certificate's name goes up to the first dot. */
static struct stat_scope *gauge_scope(const struct tls_gauges *g, struct str name)
{
    struct str owner = tls_gauges_owner(g);
    size_t cut = str_find_char(name, '.');
    struct stat_scope *scope;
    struct strbuf prefix;
    struct strbuf tagged;

    strbuf_init(&prefix);
    strbuf_init(&tagged);
    strbuf_addf(&prefix, "%sssl.certificate.%.*s.", g->prefix, STR_ARG(name));
    strbuf_addf(&tagged, "%.*sssl.certificate.", (int)g->kind_len, g->prefix);
    if (cut != STR_NPOS) {
        strbuf_add_str(&tagged, str_sub(name, cut + 1, name.len));
        strbuf_add_char(&tagged, '.');
    }
    scope =
        stat_scope_ref(g->stats, &(struct stat_scope_spec){
                                     .prefix = strbuf_str(&prefix),
                                     .tagged_prefix = strbuf_str(&tagged),
                                     .tags = {{STR("envoy.tls_certificate"), str_sub(name, 0, cut)},
                                              {g->tag, str_sub(owner, g->kind_len, owner.len)}},
                                     .tag_count = 2,
                                     .schema = &gauge_schema,
                                 });
    strbuf_done(&prefix);
    strbuf_done(&tagged);
    return scope;
}

static void gauge_set(struct tls_gauges *g, struct str name, int64_t value)
{
    struct tls_gauge *gauge = g->first;

    while (gauge != NULL && !str_eq(str_c(gauge->name), name)) {
        gauge = gauge->next;
    }
    if (gauge == NULL) {
        gauge = (struct tls_gauge *)xcalloc(1, sizeof(*gauge) + name.len + 1);
        memcpy(gauge->name, name.ptr, name.len);
        gauge->scope = gauge_scope(g, name);
        gauge->next = g->first;
        g->first = gauge;
    }
    stat_set(stat_scope_block(gauge->scope, LOOP_MAIN_INDEX), 0, (uint64_t)value);
}

/* --- what ends first ------------------------------------------------------------------------ */

struct refresh {
    const struct loop *main;
    uint64_t wall_ns;
    struct tls_expiry expiry;
    bool has_staple;
    struct tls_gauges *gauges; /* of the context at hand */
    int64_t first_ca_end_s;    /* of its CAs, which share a gauge; INT64_MAX: none yet */
};

/* Whole ones. */
static uint64_t seconds_until(uint64_t end_ns, uint64_t now_ns)
{
    return end_ns > now_ns ? (end_ns - now_ns) / NS_PER_S : 0;
}

static void refresh_staple(struct refresh *r, const struct tls_certificate *c)
{
    uint64_t left;

    if (c->ocsp_expires_s == 0) {
        return;
    }
    left = seconds_until((uint64_t)c->ocsp_expires_s * NS_PER_S, r->wall_ns);
    if (!r->has_staple || left < r->expiry.seconds_until_first_staple) {
        r->expiry.seconds_until_first_staple = left;
    }
    r->has_staple = true;
}

static void refresh_holding(void *user, const struct holding *h)
{
    struct refresh *r = user;
    uint32_t days = x509_days_left(h->x509, (int64_t)(r->wall_ns / NS_PER_S));
    int64_t end_s;

    if (days < r->expiry.days_until_first_certificate) {
        r->expiry.days_until_first_certificate = days;
    }
    if (h->served != NULL) {
        refresh_staple(r, h->served);
    }
    if (r->gauges->stats == NULL || !x509_time(X509_get0_notAfter(h->x509), &end_s)) {
        return;
    }
    if (h->shares_gauge) {
        end_s = end_s < r->first_ca_end_s ? end_s : r->first_ca_end_s;
        r->first_ca_end_s = end_s;
    }
    gauge_set(r->gauges, h->gauge, end_s);
}

static void refresh_context(void *user, struct tls_context *c)
{
    struct refresh *r = user;

    if (!tls_context_is_ready(c, r->main)) {
        return;
    }
    r->gauges = &c->gauges;
    r->first_ca_end_s = INT64_MAX;
    visit_trusted(c, r->main, refresh_holding, r);
    visit_served(c, r->main, refresh_holding, r);
}

struct tls_expiry tls_inventory_refresh(const struct loop *main, uint64_t wall_ns)
{
    struct refresh r = {
        .main = main, .wall_ns = wall_ns, .expiry = {.days_until_first_certificate = UINT32_MAX}};

    tls_context_visit(refresh_context, &r);
    return r.expiry;
}

/* --- /certs --------------------------------------------------------------------------------- */

struct page {
    struct json_writer w;
    const struct loop *main;
    int64_t now_s;
};

static void page_str(struct page *p, const char *key, struct str value)
{
    json_key(&p->w, str_c(key));
    json_str(&p->w, value);
}

static void page_time(struct page *p, const char *key, int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char text[32];

    if (gmtime_r(&t, &tm) != NULL) {
        page_str(p, key, str_n(text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm)));
    }
}

static void page_validity(struct page *p, const char *key, const ASN1_TIME *t)
{
    int64_t seconds;

    if (x509_time(t, &seconds)) {
        page_time(p, key, seconds);
    }
}

static void page_names_of(struct page *p, const GENERAL_NAMES *names, int kind, const char *key)
{
    for (size_t i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct strbuf text;

        if (name->type != kind) {
            continue;
        }
        strbuf_init(&text);
        if (x509_san_text(name, &text)) {
            json_object_begin(&p->w);
            page_str(p, key, strbuf_str(&text));
            json_object_end(&p->w);
        }
        strbuf_done(&text);
    }
}

/* Envoy tells these kinds, in this order. */
static void page_names(struct page *p, const X509 *x509)
{
    GENERAL_NAMES *names = tls_sans_of(x509);

    json_key(&p->w, STR("subject_alt_names"));
    json_array_begin(&p->w);
    page_names_of(p, names, GEN_DNS, "dns");
    page_names_of(p, names, GEN_URI, "uri");
    page_names_of(p, names, GEN_IPADD, "ip_address");
    json_array_end(&p->w);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

static void page_staple(struct page *p, const struct tls_certificate *served)
{
    struct tls_ocsp ocsp;
    struct error err;

    error_init(&err);
    if (served != NULL && served->ocsp_staple.len > 0 &&
        tls_ocsp_parse(served->ocsp_staple, &ocsp, &err) == 0) {
        json_key(&p->w, STR("ocsp_details"));
        json_object_begin(&p->w);
        page_time(p, "valid_from", ocsp.this_update_s);
        if (ocsp.has_next_update) {
            page_time(p, "expiration", ocsp.next_update_s);
        }
        json_object_end(&p->w);
    }
    error_done(&err);
}

static void page_holding(void *user, const struct holding *h)
{
    struct page *p = user;
    char days[U64_DIGITS];
    struct strbuf serial;

    strbuf_init(&serial);
    x509_serial_text(h->x509, &serial);
    json_object_begin(&p->w);
    page_str(p, "path", h->path);
    page_str(p, "serial_number", strbuf_str(&serial));
    page_names(p, h->x509);
    page_str(p, "days_until_expiration",
             str_n(days, format_u64(x509_days_left(h->x509, p->now_s), days)));
    page_validity(p, "valid_from", X509_get0_notBefore(h->x509));
    page_validity(p, "expiration_time", X509_get0_notAfter(h->x509));
    page_staple(p, h->served);
    json_object_end(&p->w);
    strbuf_done(&serial);
}

/* As Envoy: a context that waits for a secret is not there yet. `unverified` is ours. */
static void page_context(void *user, struct tls_context *c)
{
    struct page *p = user;
    const char *why = tls_context_credulity(c, p->main);

    if (!tls_context_is_ready(c, p->main)) {
        return;
    }
    json_object_begin(&p->w);
    json_key(&p->w, STR("ca_cert"));
    json_array_begin(&p->w);
    visit_trusted(c, p->main, page_holding, p);
    json_array_end(&p->w);
    json_key(&p->w, STR("cert_chain"));
    json_array_begin(&p->w);
    visit_served(c, p->main, page_holding, p);
    json_array_end(&p->w);
    if (why != NULL) {
        struct strbuf text;

        strbuf_init(&text);
        strbuf_addf(&text, "%.*s: %s", STR_ARG(tls_gauges_owner(&c->gauges)), why);
        page_str(p, "unverified", strbuf_str(&text));
        strbuf_done(&text);
    }
    json_object_end(&p->w);
}

static void certs_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    struct page p = {.main = context, .now_s = (int64_t)(clock_wall_ns() / NS_PER_S)};

    (void)rq;
    json_init(&p.w, &rs->body, true);
    rs->content_type = "application/json";
    json_object_begin(&p.w);
    json_key(&p.w, STR("certificates"));
    json_array_begin(&p.w);
    tls_context_visit(page_context, &p);
    json_array_end(&p.w);
    json_object_end(&p.w);
    strbuf_add_char(&rs->body, '\n');
}

const struct admin_endpoint tls_certs_endpoint = {
    .path = "/certs",
    .help = "print certs on machine",
    .render = certs_render,
};
