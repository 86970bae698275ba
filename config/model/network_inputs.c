/* Inputs of connections. No state. */

#include "config/model/network_inputs.h"

bool network_source_is_local(const struct address *source, const struct address *destination)
{
    return !address_is_ip(source) || address_is_loopback(source) ||
           address_eq_ip(source, destination);
}

static void set_text(struct matcher_value *v, struct str text)
{
    if (text.len > 0) {
        v->state = MATCHER_VALUE_PRESENT;
        v->text = text;
    }
}

static void set_ip(struct matcher_value *v, const struct address *a)
{
    if (!address_is_ip(a)) {
        v->state = MATCHER_VALUE_UNAVAILABLE;
        return;
    }
    v->address = a;
    set_text(v, str_n(v->buffer, address_format_ip(a, v->buffer)));
}

static void set_port(struct matcher_value *v, const struct address *a)
{
    if (!address_is_ip(a)) {
        v->state = MATCHER_VALUE_UNAVAILABLE;
        return;
    }
    set_text(v, str_n(v->buffer, format_u64(address_port(a), v->buffer)));
}

void network_input_destination_ip(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_ip(v, ((const struct network_match_data *)data)->destination);
}

void network_input_destination_port(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_port(v, ((const struct network_match_data *)data)->destination);
}

void network_input_source_ip(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_ip(v, ((const struct network_match_data *)data)->source);
}

void network_input_source_port(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_port(v, ((const struct network_match_data *)data)->source);
}

void network_input_direct_source_ip(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_ip(v, ((const struct network_match_data *)data)->direct_source);
}

void network_input_source_type(const void *data, const void *config, struct matcher_value *v)
{
    const struct network_match_data *d = data;

    (void)config;
    set_text(v, network_source_is_local(d->source, d->destination) ? STR("local") : STR_NONE);
}

void network_input_server_name(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_text(v, ((const struct network_match_data *)data)->server_name);
}

void network_input_transport_protocol(const void *data, const void *config, struct matcher_value *v)
{
    (void)config;
    set_text(v, ((const struct network_match_data *)data)->transport_protocol);
}

void network_input_application_protocol(const void *data, const void *config,
                                        struct matcher_value *v)
{
    const struct network_match_data *d = data;

    (void)config;
    for (size_t i = 0; i < d->application_protocol_count; i++) {
        strbuf_add_c(&v->heap, i > 0 ? ",'" : "'");
        strbuf_add_str(&v->heap, d->application_protocols[i]);
        strbuf_add_char(&v->heap, '\'');
    }
    set_text(v, strbuf_str(&v->heap));
}
