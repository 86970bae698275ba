/* Query parameters of an admin request. Main thread. Parsing the query is the admin server's. */

#include "dataplane/base/admin_endpoint.h"

const struct str *admin_param(const struct admin_request *rq, struct str name)
{
    for (size_t i = 0; i < rq->param_count; i++) {
        if (str_eq(rq->params[i].name, name)) {
            return &rq->params[i].value;
        }
    }
    return NULL;
}
