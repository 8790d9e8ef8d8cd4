/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_member.h"

/* Ages and times are microseconds. No age of ours comes near a year: what is beyond is no age. */
static const uint64_t age_max_us = (uint64_t)365 * 24 * 3600 * 1000 * 1000;

/* An age is written in whole microseconds, or as nothing: it never was. */
static void put_age(struct chain *to, int64_t us)
{
    if (us == RUMOR_NEVER)
        wire_put_word(to, "");
    else
        wire_put_u64(to, (uint64_t)us < age_max_us ? (uint64_t)us : age_max_us);
}

static enum err get_age(struct wire_in *in, bool may_be_never, int64_t *us)
{
    uint64_t v;
    if (may_be_never && in->at < in->argc && in->argv[in->at].n == 0) {
        in->at++;
        *us = RUMOR_NEVER;
        return ERR_OK;
    }
    TRY(wire_get_max(in, age_max_us, &v));
    *us = (int64_t)v;
    return ERR_OK;
}

/* A heartbeat's clock: greater than 0. */
static enum err get_t(struct wire_in *in, int64_t *t)
{
    struct wire_in before = *in;
    uint64_t v;
    TRY(wire_get_max(in, INT64_MAX, &v));
    if (v == 0) {
        *in = before;
        return ERR_RANGE;
    }
    *t = (int64_t)v;
    return ERR_OK;
}

static void put_load(struct chain *to, const struct member_load *l)
{
    wire_put_u64(to, l->memory_bytes);
    wire_put_u64(to, l->ops_per_s);
}

static enum err get_load(struct wire_in *in, struct member_load *l)
{
    TRY(wire_get_u64(in, &l->memory_bytes));
    return wire_get_u64(in, &l->ops_per_s);
}

/* A rumor: <about> <incarnation> <t> <lease> <map version> <memory> <ops> <age> <refused> */
enum { RUMOR_FIELDS = 9 };

static void put_rumor(struct chain *to, const struct rumor *r)
{
    wire_put_id(to, &r->about);
    wire_put_u64(to, r->incarnation);
    wire_put_i64(to, r->t);
    wire_put_bool(to, r->has_lease);
    wire_put_u64(to, r->map_version);
    put_load(to, &r->load);
    put_age(to, r->age_us);
    put_age(to, r->refused_us);
}

static enum err get_rumor(struct wire_in *in, struct rumor *r)
{
    TRY(wire_get_id(in, &r->about));
    TRY(wire_get_u32(in, &r->incarnation));
    TRY(get_t(in, &r->t));
    TRY(wire_get_bool(in, &r->has_lease));
    TRY(wire_get_u64(in, &r->map_version));
    TRY(get_load(in, &r->load));
    TRY(get_age(in, false, &r->age_us));
    return get_age(in, true, &r->refused_us);
}

/* VONG.BEAT <incarnation> <voters> <map version> <lease> <progress> <t> <memory> <ops> <n>
 * <age>... */
static void put_beat(struct chain *to, const struct member_msg *m)
{
    wire_put_head(to, WIRE_BEAT, 9 + m->beat.ages_n);
    wire_put_u64(to, m->beat.incarnation);
    wire_put_u64(to, m->beat.voters);
    wire_put_u64(to, m->beat.map_version);
    wire_put_bool(to, m->beat.has_lease);
    wire_put_u64(to, m->beat.progress);
    wire_put_i64(to, m->beat.t);
    put_load(to, &m->beat.load);
    wire_put_u64(to, m->beat.ages_n);
    for (size_t i = 0; i < m->beat.ages_n; i++)
        put_age(to, m->beat.ages_us[i]);
}

static enum err get_beat(struct wire_in *in, struct member_msg *m)
{
    TRY(wire_get_u32(in, &m->beat.incarnation));
    TRY(wire_get_u64(in, &m->beat.voters));
    TRY(wire_get_u64(in, &m->beat.map_version));
    TRY(wire_get_bool(in, &m->beat.has_lease));
    TRY(wire_get_u64(in, &m->beat.progress));
    TRY(get_t(in, &m->beat.t));
    TRY(get_load(in, &m->beat.load));
    TRY(wire_get_count(in, RAFT_VOTERS_MAX, 1, &m->beat.ages_n));
    for (size_t i = 0; i < m->beat.ages_n; i++)
        TRY(get_age(in, true, &m->beat.ages_us[i]));
    return wire_get_end(in);
}

/* VONG.ECHO <incarnation> <t> */
static void put_echo(struct chain *to, const struct member_msg *m)
{
    wire_put_head(to, WIRE_ECHO, 2);
    wire_put_u64(to, m->echo.incarnation);
    wire_put_i64(to, m->echo.t);
}

static enum err get_echo(struct wire_in *in, struct member_msg *m)
{
    TRY(wire_get_u32(in, &m->echo.incarnation));
    TRY(get_t(in, &m->echo.t));
    m->echo.map_version = 0;
    return wire_get_end(in);
}

/* VONG.SEEN <incarnation> <t> <map version> */
static void put_seen(struct chain *to, const struct member_msg *m)
{
    wire_put_head(to, WIRE_SEEN, 3);
    wire_put_u64(to, m->echo.incarnation);
    wire_put_i64(to, m->echo.t);
    wire_put_u64(to, m->echo.map_version);
}

static enum err get_seen(struct wire_in *in, struct member_msg *m)
{
    TRY(wire_get_u32(in, &m->echo.incarnation));
    TRY(get_t(in, &m->echo.t));
    TRY(wire_get_u64(in, &m->echo.map_version));
    return wire_get_end(in);
}

/* VONG.GOSSIP <answers> <ahead> <who> <n> <rumor>... */
static void put_gossip(struct chain *to, const struct member_msg *m)
{
    wire_put_head(to, WIRE_GOSSIP, 4 + m->gossip.n * RUMOR_FIELDS);
    wire_put_bool(to, m->gossip.answers);
    wire_put_u64(to, m->gossip.ahead);
    wire_put_id(to, &m->gossip.who);
    wire_put_u64(to, m->gossip.n);
    for (size_t i = 0; i < m->gossip.n; i++)
        put_rumor(to, &m->gossip.rumors[i]);
}

static enum err get_gossip(struct wire_in *in, struct member_msg *m)
{
    TRY(wire_get_bool(in, &m->gossip.answers));
    TRY(wire_get_u64(in, &m->gossip.ahead));
    TRY(wire_get_id(in, &m->gossip.who));
    TRY(wire_get_count(in, RUMORS_MAX, RUMOR_FIELDS, &m->gossip.n));
    for (size_t i = 0; i < m->gossip.n; i++)
        TRY(get_rumor(in, &m->gossip.rumors[i]));
    return wire_get_end(in);
}

/* VONG.PROBE <about> */
static void put_probe(struct chain *to, const struct member_msg *m)
{
    wire_put_head(to, WIRE_PROBE, 1);
    wire_put_id(to, &m->about);
}

static enum err get_probe(struct wire_in *in, struct member_msg *m)
{
    TRY(wire_get_id(in, &m->about));
    return wire_get_end(in);
}

/* VONG.PROBED <rumor> */
static void put_probed(struct chain *to, const struct member_msg *m)
{
    wire_put_head(to, WIRE_PROBED, RUMOR_FIELDS);
    put_rumor(to, &m->probed);
}

static enum err get_probed(struct wire_in *in, struct member_msg *m)
{
    TRY(get_rumor(in, &m->probed));
    return wire_get_end(in);
}

/* Which is which: the frame's type is WIRE_BEAT behind the message's MEMBER_BEAT, and so on. */
static const struct {
    void (*put)(struct chain *to, const struct member_msg *m);
    enum err (*get)(struct wire_in *in, struct member_msg *m);
} codecs[MEMBER_MSG_TYPES] = {
    [MEMBER_BEAT] = {put_beat, get_beat},    [MEMBER_ECHO] = {put_echo, get_echo},
    [MEMBER_SEEN] = {put_seen, get_seen},    [MEMBER_GOSSIP] = {put_gossip, get_gossip},
    [MEMBER_PROBE] = {put_probe, get_probe}, [MEMBER_PROBED] = {put_probed, get_probed},
};
static_assert(WIRE_PROBED - WIRE_BEAT == MEMBER_PROBED - MEMBER_BEAT,
              "the rows stand as the messages do");

void put_member(struct chain *to, const struct member_msg *m)
{
    check(m->type >= MEMBER_BEAT && m->type < MEMBER_MSG_TYPES);
    codecs[m->type].put(to, m);
}

bool wire_is_member(enum wire_type type)
{
    return type >= WIRE_BEAT && type <= WIRE_PROBED;
}

enum err get_member(struct wire_in *in, struct member_msg *m)
{
    check(wire_is_member(in->type));
    m->type = (enum member_msg_type)(in->type - WIRE_BEAT + MEMBER_BEAT);
    return codecs[m->type].get(in, m);
}
