#ifndef DATAPLANE_ADMIN_HOME_PAGE_H
#define DATAPLANE_ADMIN_HOME_PAGE_H

/* home_page.html as the build puts it into the program (embed_page.py): what stands before and
 * after the table of commands, and its content-security-policy. */

extern const char admin_home_page_head[];
extern const char admin_home_page_tail[];
extern const char admin_home_page_policy[];

#endif
