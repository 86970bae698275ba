/* Message lookup over the generated table. Any thread. */

#include "config/pb_registry.h"

#include "proto/descriptors.h"

struct str pb_type_name(struct str type_url)
{
    size_t slash = str_rfind_char(type_url, '/');

    return slash == STR_NPOS ? type_url : str_sub(type_url, slash + 1, type_url.len);
}

const ProtobufCMessageDescriptor *pb_find_message(struct str full_name)
{
    size_t low = 0;
    size_t high = proto_descriptor_count;

    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = str_cmp(str_c(proto_descriptors[mid]->name), full_name);

        if (c == 0) {
            return proto_descriptors[mid];
        }
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}
