/* This machine's address. Main thread, at start. */

#include "dataplane/server/local_ip.h"

#include <ifaddrs.h>
#include <string.h>

#include "dataplane/base/address.h"

struct str local_ip(struct arena *a, bool is_v6)
{
    struct ifaddrs *list = NULL;
    struct str ip = is_v6 ? STR("::1") : STR("127.0.0.1");

    if (getifaddrs(&list) != 0) {
        return ip;
    }
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        char text[ADDRESS_TEXT_MAX];
        struct address address = {.len = is_v6 ? sizeof(address.in6) : sizeof(address.in)};

        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != (is_v6 ? AF_INET6 : AF_INET)) {
            continue;
        }
        memcpy(&address.un, i->ifa_addr, address.len);
        if (!address_is_loopback(&address)) {
            ip = arena_str(a, str_n(text, address_format_ip(&address, text)));
            break;
        }
    }
    freeifaddrs(list);
    return ip;
}
