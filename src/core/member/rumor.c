/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/member/rumor.h"

#include <stdlib.h>

#include "base/check.h"

static int id_order(const void *a, const void *b)
{
    const struct member_peer *left = a, *right = b;
    return memcmp(left->known.id.b, right->known.id.b, sizeof(left->known.id.b));
}

struct member_peer *rumors_find(struct rumors *r, const struct node_id *id)
{
    size_t low = 0, high = r->peers.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(r->peers.at[middle].known.id.b, id->b, sizeof(id->b));
        if (order == 0)
            return &r->peers.at[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Of a member that is new here, or has started anew: silence counts from now on. */
static struct member_peer begun(const struct member_known *known, struct mono now)
{
    struct member_peer p = {.known = *known, .risen = now, .heard = now};
    p.last = (struct rumor){.about = known->id, .incarnation = known->incarnation};
    p.no_lease = p.well = p.asked = p.asked_first = MONO_NEVER;
    p.suspect = now;
    return p;
}

void rumors_set(struct rumors *r, const struct member_known *known, size_t n, struct mono now)
{
    struct rumors next = {.next = r->next};
    for (size_t i = 0; i < n; i++) {
        struct member_peer *old = rumors_find(r, &known[i].id);
        struct member_peer *p = vec_add(&next.peers);
        if (old == NULL || old->known.incarnation != known[i].incarnation) {
            *p = begun(&known[i], now);
            continue;
        }
        *p = *old;
        if (old->known.health_index != known[i].health_index)
            p->suspect = now; /* this SUSPECT is known from now on, whatever came before it (17) */
        if (old->known.about_index != known[i].about_index || old->known.about != known[i].about)
            p->told = (struct mono){0};
        p->known = known[i];
    }
    vec_free(&r->peers);
    *r = next;
    if (r->peers.n > 1)
        qsort(r->peers.at, r->peers.n, sizeof(r->peers.at[0]), id_order);
}

void rumors_free(struct rumors *r)
{
    vec_free(&r->peers);
}

/* A message has room for few: what is hot is told about twice log2(N) times by everybody who
 * hears it, which reaches all of them but in rare cases; the turns reach the rest. */
static void heat(struct rumors *r, struct member_peer *p)
{
    p->hot = 2;
    for (size_t n = r->peers.n; n > 0; n /= 2)
        p->hot += 2;
}

void rumor_refused(struct rumors *r, struct member_peer *p, struct mono at)
{
    if (at.us <= p->refused.us || at.us <= p->risen.us || p->last.t == 0)
        return;
    if (p->refused.us <= p->risen.us) /* the first in this silence */
        heat(r, p);
    p->refused = at;
}

static void doubt(struct member_peer *p, const struct node_id *by, struct mono now, bool doubts)
{
    struct member_doubt *place = &p->doubts[0];
    for (size_t i = 0; i < DOUBTERS_MAX; i++) {
        if (node_id_equal(&p->doubts[i].by, by)) {
            place = &p->doubts[i];
            break;
        }
        if (p->doubts[i].at.us < place->at.us)
            place = &p->doubts[i];
    }
    if (doubts)
        *place = (struct member_doubt){*by, now};
    else if (node_id_equal(&place->by, by))
        *place = (struct member_doubt){0};
}

bool rumor_take(struct rumors *r, const struct node_id *by, const struct rumor *said,
                struct mono now, int64_t doubted_us)
{
    struct member_peer *p = rumors_find(r, &said->about);
    if (p == NULL || said->incarnation != p->known.incarnation) /* M4 */
        return false;
    doubt(p, by, now, said->age_us >= doubted_us);
    bool is_news = said->t > p->last.t;
    if (is_news) {
        if (said->has_lease != p->last.has_lease)
            heat(r, p);
        p->last = *said;
        struct mono risen = {now.us - said->age_us};
        if (risen.us > p->risen.us)
            p->risen = risen;
        if (said->has_lease)
            p->no_lease = MONO_NEVER;
        else if (p->no_lease.us == INT64_MAX)
            p->no_lease = p->risen;
    }
    if (said->refused_us != RUMOR_NEVER)
        rumor_refused(r, p, (struct mono){now.us - said->refused_us});
    return is_news;
}

struct rumor rumor_of(const struct member_peer *p, struct mono now)
{
    struct rumor said = p->last;
    said.age_us = now.us - p->risen.us;
    said.refused_us = p->refused.us > p->risen.us ? now.us - p->refused.us : RUMOR_NEVER;
    return said;
}

size_t rumors_pick(struct rumors *r, const struct node_id *self, struct rumor *to, size_t n,
                   struct mono now)
{
    size_t picked = 0, all = r->peers.n;
    for (size_t i = 0; i < all && picked < n; i++) {
        struct member_peer *p = &r->peers.at[(r->next + i) % all];
        if (p->hot == 0 || p->last.t == 0 || node_id_equal(&p->known.id, self))
            continue;
        p->hot--;
        to[picked++] = rumor_of(p, now);
    }
    size_t hot = picked, i = 0;
    for (; i < all && picked < n; i++) {
        struct member_peer *p = &r->peers.at[(r->next + i) % all];
        bool is_in = p->last.t == 0 || node_id_equal(&p->known.id, self);
        for (size_t j = 0; j < hot && !is_in; j++)
            is_in = node_id_equal(&to[j].about, &p->known.id);
        if (!is_in)
            to[picked++] = rumor_of(p, now);
    }
    r->next = all > 0 ? (r->next + i) % all : 0;
    return picked;
}

uint32_t rumor_doubters(const struct member_peer *p, struct mono now, int64_t within_us)
{
    uint32_t n = 0;
    for (size_t i = 0; i < DOUBTERS_MAX; i++)
        n += p->doubts[i].at.us > 0 && now.us - p->doubts[i].at.us <= within_us;
    return n;
}
