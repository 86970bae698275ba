/* See endpoint_json.h. */

#include "config/endpoint_json.h"

#include "config/store_internal.h"

static void write_address(struct json_writer *w, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format_ip(a, text);

    json_key(w, STR("address"));
    json_object_begin(w);
    json_key(w, address_is_ip(a) ? STR("socket_address") : STR("pipe"));
    json_object_begin(w);
    json_member_str(w, address_is_ip(a) ? "address" : "path", str_n(text, len));
    if (address_is_ip(a)) {
        json_member_u64(w, "port_value", address_port(a));
    }
    json_object_end(w);
    json_object_end(w);
}

static const char *health_name(enum health_status s)
{
    switch (s) {
    case HEALTH_UNHEALTHY:
    case HEALTH_TIMEOUT:
    case HEALTH_DRAINING:
        return "UNHEALTHY";
    case HEALTH_DEGRADED:
        return "DEGRADED";
    default:
        return "HEALTHY";
    }
}

static void write_value(struct json_writer *w, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
        json_null(w);
        break;
    case VALUE_BOOL:
        json_bool(w, v->boolean);
        break;
    case VALUE_NUMBER:
        json_double(w, v->number);
        break;
    case VALUE_STRING:
        json_str(w, v->string);
        break;
    case VALUE_STRUCT:
        json_object_begin(w);
        for (size_t i = 0; i < v->count; i++) {
            json_key(w, v->fields[i].name);
            write_value(w, &v->fields[i].value);
        }
        json_object_end(w);
        break;
    case VALUE_LIST:
        json_array_begin(w);
        for (size_t i = 0; i < v->count; i++) {
            write_value(w, &v->items[i]);
        }
        json_array_end(w);
        break;
    }
}

static void write_endpoint(struct json_writer *w, const struct endpoint *e)
{
    json_object_begin(w);
    json_key(w, STR("endpoint"));
    json_object_begin(w);
    write_address(w, &e->address);
    json_key(w, STR("health_check_config"));
    json_object_begin(w);
    json_object_end(w);
    if (e->hostname.len > 0) {
        json_member_str(w, "hostname", e->hostname);
    }
    json_object_end(w);
    json_member_str(w, "health_status", str_c(health_name(e->health)));
    if (e->metadata != NULL) {
        json_key(w, STR("metadata"));
        json_object_begin(w);
        json_key(w, STR("filter_metadata"));
        write_value(w, e->metadata);
        json_object_end(w);
    }
    json_member_u64(w, "load_balancing_weight", e->weight);
    json_object_end(w);
}

static void write_locality(struct json_writer *w, const struct locality_endpoints *l)
{
    json_object_begin(w);
    json_key(w, STR("locality"));
    json_object_begin(w);
    if (l->locality.region.len > 0) {
        json_member_str(w, "region", l->locality.region);
    }
    if (l->locality.zone.len > 0) {
        json_member_str(w, "zone", l->locality.zone);
    }
    if (l->locality.sub_zone.len > 0) {
        json_member_str(w, "sub_zone", l->locality.sub_zone);
    }
    json_object_end(w);
    json_key(w, STR("lb_endpoints"));
    json_array_begin(w);
    for (size_t i = 0; i < l->endpoint_count; i++) {
        write_endpoint(w, &l->endpoints[i]);
    }
    json_array_end(w);
    json_member_u64(w, "load_balancing_weight", l->weight.is_set ? l->weight.value : 0);
    if (l->priority > 0) {
        json_member_u64(w, "priority", l->priority);
    }
    json_object_end(w);
}

void endpoint_set_write_json(struct json_writer *w, struct str name, const struct endpoint_set *set,
                             const struct field_mask *mask)
{
    struct field_mask inner;

    json_object_begin(w);
    json_member_str(w, "@type", str_c(resource_type_of(PART_ENDPOINTS)->type_url));
    if (field_mask_enter(mask, "cluster_name", &inner)) {
        json_member_str(w, "cluster_name", name);
    }
    if (set->locality_count > 0 && field_mask_enter(mask, "endpoints", &inner)) {
        json_key(w, STR("endpoints"));
        json_array_begin(w);
        for (size_t i = 0; i < set->locality_count; i++) {
            write_locality(w, &set->localities[i]);
        }
        json_array_end(w);
    }
    if (field_mask_enter(mask, "policy", &inner)) {
        json_key(w, STR("policy"));
        json_object_begin(w);
        json_member_u64(w, "overprovisioning_factor", set->overprovisioning_factor);
        json_object_end(w);
    }
    json_object_end(w);
}
