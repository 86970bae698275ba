#ifndef CONFIG_MODEL_NETWORK_INPUTS_H
#define CONFIG_MODEL_NETWORK_INPUTS_H

/*
 * What matchers can know of a connection: envoy.extensions.matching.common_inputs.network.v3. Each
 * function is a matcher_input_fn over a struct network_match_data. Any thread.
 */

#include "config/model/matcher.h"

struct network_match_data {
    const struct address *destination;
    const struct address *source;
    const struct address *direct_source;
    struct str server_name;
    struct str transport_protocol;
    const struct str *application_protocols;
    size_t application_protocol_count;
};

/* As Envoy: it comes from this machine. */
bool network_source_is_local(const struct address *source, const struct address *destination);

matcher_input_fn network_input_destination_ip;
matcher_input_fn network_input_destination_port;
matcher_input_fn network_input_source_ip;
matcher_input_fn network_input_source_port;
matcher_input_fn network_input_direct_source_ip;
matcher_input_fn network_input_source_type; /* "local", or none */
matcher_input_fn network_input_server_name;
matcher_input_fn network_input_transport_protocol;
matcher_input_fn network_input_application_protocol; /* 'h2','http/1.1' */

#endif
