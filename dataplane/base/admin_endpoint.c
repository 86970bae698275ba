/* Query parameters and answers of admin pages. Main thread. Parsing the query is the admin
 * server's. */

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

static void free_pieces(struct admin_response *rs)
{
    if (rs->pieces != NULL) {
        rs->pieces->free(rs->pieces_state);
        rs->pieces = NULL;
    }
}

void admin_response_gather(struct admin_response *rs)
{
    while (rs->pieces != NULL && rs->pieces->next(rs->pieces_state, &rs->body)) {
    }
    free_pieces(rs);
}

void admin_response_done(struct admin_response *rs)
{
    free_pieces(rs);
    strbuf_done(&rs->body);
}
