/* SPDX-License-Identifier: BSD-3-Clause */

/* CLUSTER MEET: A, which was asked, dials B, which was named. Of two that are empty and alone B
 * joins A; else whoever is empty and alone joins the other. */
#include <stdio.h>

#include "base/check.h"
#include "control/inside.h"

static bool may_leave(const struct control *c)
{
    return c->standing == STANDING_IN && map_members_n(&c->map) == 1 && !c->pulse.has_data;
}

/* ---------------------------------------------------------------- at A */

void meet_asked(struct control *c, const struct word *w)
{
    unsigned port =
        w->ask.cluster_port != 0 ? w->ask.cluster_port : w->ask.port + CLUSTER_PORT_OFFSET;
    if (c->standing != STANDING_IN)
        control_answer(c, w->ask.token, "this node is in no cluster yet");
    else if (port > UINT16_MAX)
        control_answer(c, w->ask.token,
                       "its cluster port would be above 65535: name it as the third argument");
    else
        contact_dial(c, CONTACT_NAMED, w->ask.text, (uint16_t)port, NULL)->token = w->ask.token;
}

void meet_opened(struct control *c, struct contact *k)
{
    struct wire_meet m = {.cluster = c->map.cluster,
                          .members_n = (uint32_t)map_members_n(&c->map),
                          .has_data = c->pulse.has_data,
                          .cluster_port = c->config.at.cluster_port};
    memcpy(m.ip, c->config.at.ip, sizeof(m.ip));
    put_meet(contact_answer(c, k), &m);
}

void meet_missed(struct control *c, const struct contact *k, const char *why)
{
    char text[256];
    snprintf(text, sizeof(text), "%.100s: %.150s", k->peer, why);
    control_answer(c, k->token, text);
}

/* The data plane is asked to close; then meet_closed. */
static void leave_for(struct control *c, const char *host, uint16_t port, uint32_t caller)
{
    c->standing = STANDING_LEAVING;
    c->leaving_caller = caller;
    snprintf(c->join_to, sizeof(c->join_to), "%s", host);
    c->join_to_port = port;
    control_tell(c, (struct word){.type = WORD_CLOSE});
}

void meet_met(struct control *c, struct contact *k, const struct wire_met *m)
{
    const char *why = NULL;
    if (m->met == MET_YOU_JOIN && may_leave(c))
        leave_for(c, k->host, k->port, 0);
    else if (m->met == MET_YOU_JOIN)
        why = "this node began to hold keys meanwhile: only one that is empty and alone can join "
              "another";
    else if (m->met == MET_NEITHER)
        why = m->why;
    control_answer(c, k->token, why);
    contact_end(c, k);
}

/* ---------------------------------------------------------------- at B */

static void met(struct control *c, struct contact *k, enum met what, const char *why)
{
    struct wire_met m = {.met = what};
    snprintf(m.why, sizeof(m.why), "%s", why);
    put_met(contact_answer(c, k), &m);
}

void meet_called(struct control *c, struct contact *k, const struct wire_meet *m)
{
    char ip[IP_BYTES];
    memcpy(ip, m->ip, sizeof(ip));
    if (ip[0] == '\0')
        contact_ip(k, ip);
    if (c->standing == STANDING_IN && cluster_id_equal(&m->cluster, &c->map.cluster)) {
        met(c, k, MET_SAME, "");
    } else if (c->standing == STANDING_OUT) {
        snprintf(c->join_to, sizeof(c->join_to), "%s", ip);
        c->join_to_port = m->cluster_port;
        c->seed_due = c->now;
        met(c, k, MET_I_JOIN, "");
    } else if (may_leave(c)) {
        leave_for(c, ip, m->cluster_port, k->conn); /* answered once the data plane has closed */
    } else if (c->standing == STANDING_IN && m->members_n == 1 && !m->has_data) {
        met(c, k, MET_YOU_JOIN, "");
    } else {
        met(c, k, MET_NEITHER,
            "both are clusters already: one that joins another must be alone in its own and hold "
            "no key");
    }
}

/* The data plane has closed, or holds keys after all. */
void meet_closed(struct control *c, bool closed)
{
    if (c->standing != STANDING_LEAVING)
        return;
    struct contact *caller =
        c->leaving_caller == 0 ? NULL : contact_find(c, c->leaving_caller, false);
    if (!closed) {
        c->standing = STANDING_IN;
        c->join_to_port = 0;
        log_say(c->log, LOG_LEVEL_WARNING, "not joining %s: this node holds keys", c->join_to);
        if (caller != NULL)
            met(c, caller, MET_NEITHER, "it began to hold keys meanwhile");
        return;
    }
    log_say(c->log, LOG_LEVEL_NOTICE, "leaving its own empty cluster for that of %s:%u", c->join_to,
            (unsigned)c->join_to_port);
    if (caller != NULL)
        met(c, caller, MET_I_JOIN, "");
    keep_forget(c);
    c->standing = STANDING_OUT;
    c->seed_due = c->now;
}
