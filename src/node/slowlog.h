/* SPDX-License-Identifier: BSD-3-Clause */

/* The newest commands that took longer than slowlog-log-slower-than, cut to a bounded size. */
#ifndef NODE_SLOWLOG_H
#define NODE_SLOWLOG_H

struct slowlog;

struct slowlog *slowlog_new(void);
void slowlog_free(struct slowlog *l); /* NULL: nothing */
/* By time; *to is made where it is NULL and from is not. */
void slowlog_add(struct slowlog **to, const struct slowlog *from);

#endif
