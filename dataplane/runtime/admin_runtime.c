/* The admin pages /runtime and /runtime_modify. Main thread. */

#include <stdlib.h>

#include "dataplane/base/json.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/runtime/layers_internal.h"

static int entry_cmp(const void *a, const void *b)
{
    return str_cmp((*(const struct map_entry *const *)a)->key,
                   (*(const struct map_entry *const *)b)->key);
}

/* By key (Envoy: in any order); the caller frees. */
static const struct map_entry **sorted_values(const struct runtime *r)
{
    const struct map_entry **list = xcalloc(r->values.count + 1, sizeof(*list));
    size_t n = 0;

    map_for_each (e, &r->values) {
        list[n++] = e;
    }
    qsort(list, n, sizeof(*list), entry_cmp);
    return list;
}

static void render_entry(struct json_writer *w, const struct runtime *r, const struct map_entry *e)
{
    const struct runtime_value *v = e->value;

    json_key(w, e->key);
    json_object_begin(w);
    json_key(w, STR("layer_values"));
    json_array_begin(w);
    for (size_t i = 0; i < r->layer_count; i++) {
        json_str(w, runtime_layer_text(&r->layers[i], e->key));
    }
    json_array_end(w);
    json_key(w, STR("final_value"));
    json_str(w, v->text);
    json_object_end(w);
}

static void runtime_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    const struct runtime *r = runtime_layers_current(context);
    const struct map_entry **values = sorted_values(r);
    struct json_writer w;

    (void)rq;
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    json_key(&w, STR("layers"));
    json_array_begin(&w);
    for (size_t i = 0; i < r->layer_count; i++) {
        json_str(&w, r->layers[i].name);
    }
    json_array_end(&w);
    json_key(&w, STR("entries"));
    json_object_begin(&w);
    for (size_t i = 0; i < r->values.count; i++) {
        render_entry(&w, r, values[i]);
    }
    json_object_end(&w);
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
    free(values);
}

static void modify_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    struct runtime_layers *l = context;

    if (rq->param_count == 0) {
        rs->status = 400;
        strbuf_add_c(&rs->body, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"
                                "       or send the parameters as form values\n"
                                "use an empty value to remove a previously added override");
        return;
    }
    if (!runtime_layers_has_admin(l)) {
        rs->status = 503;
        strbuf_add_c(&rs->body, "No admin layer specified");
        return;
    }
    runtime_layers_override(l, rq->params, rq->param_count);
    strbuf_add_c(&rs->body, "OK\n");
}

const struct admin_endpoint admin_runtime_endpoint = {
    .path = "/runtime",
    .help = "print runtime values",
    .render = runtime_render,
};

const struct admin_endpoint admin_runtime_modify_endpoint = {
    .path = "/runtime_modify",
    .help = "Adds or modifies runtime values as passed in query parameters. To delete a previously "
            "added key, use an empty string as the value. Note that deletion only applies to "
            "overrides added via this endpoint; values loaded from disk can be modified via "
            "override but not deleted. E.g. ?key1=value1&key2=value2...",
    .needs_post = true,
    .render = modify_render,
};
