/* SPDX-License-Identifier: BSD-3-Clause */

/* The leader's eye: who is silent, over, well, or new (replication 16, 17, 19). Every voter asks
 * about who is silent: a new leader, whose forerunner it may be, need not begin with that. */
#include "base/check.h"
#include "core/member/member.h"

enum { PROBES_ASKED = 3 };

/* How long since `at`, but not counting before a gap in this loop ended (M5); of MONO_NEVER: less
 * than no time. */
static int64_t since(const struct member *m, struct mono at, struct mono now)
{
    return now.us - mono_later(at, m->restarted).us;
}

static void tell(struct member *m, struct member_peer *p, enum member_news_type type,
                 uint32_t incarnation, const char *why, struct mono now)
{
    if (!m->leads || !mono_reached(now, p->told))
        return;
    p->told = mono_after(now, m->wait_t / 4);
    *vec_add(&m->news) = (struct member_news){
        .type = type, .about = p->known.id, .incarnation = incarnation, .why = why};
}

/* A heartbeat of an incarnation that is not known yet: neither heard nor echoed (15). */
void member_eye_restart(struct member *m, struct member_peer *p, uint32_t incarnation,
                        struct mono now)
{
    p->newer = now;
    tell(m, p, MEMBER_IS_NEW, incarnation, "it beats in a later incarnation", now);
}

/* Does a majority of the voters hear it, in its own words? (17) */
void member_eye_beat(struct member *m, struct member_peer *p, const struct member_msg *beat,
                     struct mono now)
{
    size_t fresh = 0;
    for (size_t i = 0; i < beat->beat.ages_n; i++)
        fresh += beat->beat.ages_us[i] != RUMOR_NEVER && beat->beat.ages_us[i] <= m->wait_t / 4;
    if (beat->beat.voters != m->voters_name || fresh <= beat->beat.ages_n / 2)
        p->well = MONO_NEVER;
    else if (p->well.us == INT64_MAX || now.us - p->heard.us > m->wait_t / 4)
        p->well = now;
}

/* A later run of it beats: this one is to end, however well it is heard (19). */
static bool is_followed(const struct member *m, const struct member_peer *p, struct mono now)
{
    return p->newer.us > 0 && now.us - p->newer.us < m->wait_t;
}

/* T/4 of it, all of it behind the SUSPECT or DOWN: else one that is heard and gets no lease
 * would be cleared at once, and suspected again. */
static bool is_well(const struct member *m, const struct member_peer *p, struct mono now)
{
    struct mono from = mono_later(p->well, p->suspect);
    return !is_followed(m, p, now) && now.us - p->heard.us <= m->wait_t / 4 &&
           since(m, from, now) >= m->wait_t / 4;
}

/* Three others are asked whether they hear it; again each T/8 while it is silent. */
static void ask_others(struct member *m, struct member_peer *p, struct mono now)
{
    if (p->asked.us != INT64_MAX && now.us - p->asked.us < m->wait_t / 8)
        return;
    p->asked = now;
    if (p->asked_first.us == INT64_MAX)
        p->asked_first = now;
    size_t all = m->rumors.peers.n, at = rng_below(&m->rng, all), asked = 0;
    for (size_t i = 0; i < all && asked < PROBES_ASKED; i++) {
        const struct member_peer *other = &m->rumors.peers.at[(at + i) % all];
        if (other == p || other->known.health != MAP_UP ||
            node_id_equal(&other->known.id, &m->self))
            continue;
        member_say(m, &other->known.id, MEMBER_PROBE)->about = p->known.id;
        asked++;
    }
}

static void look_at_silence(struct member *m, struct member_peer *p, struct mono now)
{
    bool is_refused = p->refused.us > p->risen.us;
    int64_t limit = is_refused ? m->wait_t / 4 : m->wait_t / 2;
    int64_t silent = since(m, p->risen, now);
    if (silent < limit - m->wait_t / 8) {
        p->asked = p->asked_first = MONO_NEVER;
    } else {
        ask_others(m, p, now);
        if (silent >= limit && now.us - p->asked_first.us >= m->wait_t / 8) /* M6 */
            tell(m, p, MEMBER_IS_SILENT, p->known.incarnation,
                 is_refused ? "connections to it are refused, and nobody asked has heard it"
                            : "nobody asked has heard it",
                 now);
    }
    /* While it was SUSPECT it could have none: that counts from its CLEAR. */
    struct mono without = mono_later(p->no_lease, p->suspect);
    if (since(m, without, now) >= m->wait_t / 2)
        tell(m, p, MEMBER_IS_SILENT, p->known.incarnation, "it reports that it has no lease", now);
}

/* T/2 and a tenth of that for clocks whose rates differ, from when this leader knows this
 * SUSPECT. */
static bool is_over(const struct member *m, const struct member_peer *p, struct mono now)
{
    struct mono from = mono_later(p->suspect, m->led);
    return since(m, from, now) >= m->wait_t / 2 + m->wait_t / 20;
}

void member_eye(struct member *m, struct mono now)
{
    for (size_t i = 0; i < m->rumors.peers.n; i++) {
        struct member_peer *p = &m->rumors.peers.at[i];
        if (p->known.is_pending)
            continue;
        if (p->known.health == MAP_UP)
            look_at_silence(m, p, now);
        else if (p->known.health == MAP_SUSPECT &&
                 is_over(m, p, now)) /* well or not: T/2 ago it was not cleared */
            tell(m, p, MEMBER_IS_OVER, p->known.incarnation, "its lease is over", now);
        else if (is_well(m, p, now))
            tell(m, p, MEMBER_IS_WELL, p->known.incarnation,
                 "a majority of the voters hears it again", now);
    }
}
