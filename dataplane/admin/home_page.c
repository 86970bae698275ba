/* "/": home_page.html with the table of all pages, as forms where they take parameters or change
 * something. Main thread. */

#include "dataplane/admin/home_page.h"

#include "dataplane/admin/admin.h"

static void add_escaped(struct strbuf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.ptr[i]) {
        case '&':
            strbuf_add_c(out, "&amp;");
            break;
        case '<':
            strbuf_add_c(out, "&lt;");
            break;
        case '>':
            strbuf_add_c(out, "&gt;");
            break;
        case '"':
            strbuf_add_c(out, "&quot;");
            break;
        case '\'':
            strbuf_add_c(out, "&#39;");
            break;
        default:
            strbuf_add_char(out, s.ptr[i]);
        }
    }
}

static void add_select(struct strbuf *out, const char *form, const struct admin_param_doc *p)
{
    strbuf_addf(out, "<select name='%s' form='%s' aria-label='%s'>", p->name, form, p->name);
    for (size_t i = 0; p->choices[i] != NULL; i++) {
        strbuf_addf(out, "<option value='%s'>%s</option>", p->choices[i], p->choices[i]);
    }
    strbuf_add_c(out, "</select>");
}

static void add_param(struct strbuf *out, const char *form, const struct admin_param_doc *p)
{
    strbuf_addf(out, "<tr class='option'><td><label>%s ", p->name);
    if (p->choices != NULL) {
        add_select(out, form, p);
    } else {
        strbuf_addf(out, "<input type='%s' name='%s' form='%s'>", p->is_flag ? "checkbox" : "text",
                    p->name, form);
    }
    strbuf_add_c(out, "</label></td><td class='dim'>");
    add_escaped(out, str_c(p->help));
    strbuf_add_c(out, "</td></tr>\n");
}

static void add_command(void *user, const struct admin_endpoint *e)
{
    struct strbuf *out = user;
    const char *path = e->path + 1; /* relative: the page may be behind a prefix */

    if (path[0] == '\0') {
        return;
    }
    strbuf_add_c(out, "<tr><td>");
    if (e->needs_post || e->param_count > 0) {
        strbuf_addf(out, "<form action='%s' method='%s' id='%s'><button%s>%s</button></form>", path,
                    e->needs_post ? "post" : "get", path, e->needs_post ? "" : " class='link'",
                    path);
    } else {
        strbuf_addf(out, "<a class='mono' href='%s'>%s</a>", path, path);
    }
    strbuf_add_c(out, "</td><td>");
    add_escaped(out, str_c(e->help));
    strbuf_add_c(out, "</td></tr>\n");
    for (size_t i = 0; i < e->param_count; i++) {
        add_param(out, path, &e->params[i]);
    }
}

static void home_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    (void)rq;
    rs->content_type = "text/html; charset=UTF-8";
    rs->content_policy = admin_home_page_policy;
    strbuf_add_c(&rs->body, admin_home_page_head);
    admin_visit(context, add_command, &rs->body);
    strbuf_add_c(&rs->body, admin_home_page_tail);
}

const struct admin_endpoint admin_home_endpoint = {
    .path = "/",
    .help = "Admin home page",
    .render = home_render,
};
