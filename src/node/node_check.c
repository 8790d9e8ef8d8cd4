/* SPDX-License-Identifier: BSD-3-Clause */

/* Every invariant of a node between two steps. */
#include "base/check.h"
#include "node/state.h"

static void check_gates(const struct node *n, const struct session *s)
{
    uint64_t end = s->open_end;
    struct lsn need = {0};
    check(s->out.put >= s->out.n && s->open_end <= s->out.put);
    for (size_t i = 0; i < s->gates.n; i++) { /* N1: in order */
        const struct gate *g = &s->gates.at[i];
        check(g->end > end && g->end <= s->out.put);
        check(g->need.n >= need.n && lsn_reached(n->journal.appended, g->need));
        end = g->end;
        need = g->need;
    }
    /* N2: what was written since the last turn has no gate yet, and has not been let go either. */
    check(end == s->out.put || s->flush_noted);
}

static void check_session(const struct node *n, const struct session *s)
{
    check(n->by_conn.at[s->conn] == s);
    check((s->waiting != NULL) == (s->held == HELD_WAIT) || s->held == HELD_ROUTE);
    check((s->migration != NULL) == (s->held == HELD_MIGRATE));
    check(s->held != HELD_NOT || s->due.place == 0); /* N5 */
    check_gates(n, s);
}

void node_check(const struct node *n)
{
    size_t sessions_n = 0;
    check(!n->stepping);                     /* N6 */
    check(!n->in_exec && n->effects.n == 0); /* N3: nothing is left unrecorded */
    for (const struct list *l = n->sessions.next; l != &n->sessions; l = l->next, sessions_n++)
        check_session(n, CONTAINER_OF(l, struct session, in_all));
    check(sessions_n == n->sessions_n);
    journal_check(&n->journal);
}
