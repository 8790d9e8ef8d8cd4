/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/hello.h"

#include <stdarg.h>
#include <stdio.h>

static const struct node_id nobody;
static const struct cluster_id no_cluster;

#define X(id, word) word,
static const char *const purpose_words[] = {HELLO_PURPOSES(X)};
static const char *const refusal_words[] = {HELLO_REFUSALS(X)};
#undef X

static bool is_proxy(const struct hello_end *e)
{
    return node_id_equal(&e->id, &nobody);
}

/* ------------------------------------------------------------------- messages */

/* VONG.REFUSED <reason> <text> */
void put_refused(struct chain *to, enum hello_refusal refusal, const char *text)
{
    wire_put_head(to, WIRE_REFUSED, 2);
    wire_put_word(to, refusal_words[refusal]);
    wire_put_word(to, text);
}

enum err get_refused(struct wire_in *in, enum hello_refusal *refusal, char text[WIRE_WHY_BYTES])
{
    struct slice word, said;
    TRY(wire_get_bytes(in, 32, &word));
    TRY(wire_get_bytes(in, WIRE_WHY_BYTES - 1, &said));
    *refusal = 0;
    while (*refusal < HELLO_REFUSALS_N && !slice_equal(word, slice_str(refusal_words[*refusal])))
        ++*refusal;
    for (size_t i = 0; i < said.n; i++) /* it goes into a log */
        text[i] = said.p[i] >= ' ' && said.p[i] <= '~' ? said.p[i] : '?';
    text[said.n] = '\0';
    return wire_get_end(in);
}

/* An end: <cluster> <node> <incarnation> [<purpose>] <nonce>; an empty id is all zero. */
static void put_or_empty(struct chain *to, const uint8_t *b, size_t n, bool none)
{
    if (none)
        wire_put_word(to, "");
    else
        wire_put_hex(to, b, n);
}

static enum err get_or_empty(struct wire_in *in, uint8_t *b, size_t n)
{
    if (in->at < in->argc && in->argv[in->at].n == 0) {
        memset(b, 0, n);
        in->at++;
        return ERR_OK;
    }
    return wire_get_hex(in, b, n);
}

static void put_who(struct chain *to, const struct hello_end *e)
{
    put_or_empty(to, e->cluster.b, sizeof(e->cluster.b),
                 cluster_id_equal(&e->cluster, &no_cluster));
    put_or_empty(to, e->id.b, sizeof(e->id.b), is_proxy(e));
    wire_put_u64(to, e->incarnation);
}

static enum err get_who(struct wire_in *in, struct hello_end *e)
{
    TRY(get_or_empty(in, e->cluster.b, sizeof(e->cluster.b)));
    TRY(get_or_empty(in, e->id.b, sizeof(e->id.b)));
    struct wire_in before = *in;
    TRY(wire_get_u32(in, &e->incarnation));
    if (is_proxy(e) != (e->incarnation == 0)) {
        *in = before;
        return ERR_RANGE;
    }
    return ERR_OK;
}

enum peer_use hello_use(enum hello_purpose purpose)
{
    switch (purpose) {
    case HELLO_FORWARD2: return USE_FORWARD2;
    case HELLO_FORWARD3: return USE_FORWARD3;
    case HELLO_REPL: return USE_REPL;
    case HELLO_CONTROL:
    case HELLO_MEET:
    case HELLO_FOLLOW:
    case HELLO_PURPOSES_N: break;
    }
    return USE_NONE;
}

enum hello_purpose hello_purpose_of(enum peer_use use)
{
    check(use != USE_NONE);
    return use == USE_FORWARD2 ? HELLO_FORWARD2 : use == USE_FORWARD3 ? HELLO_FORWARD3 : HELLO_REPL;
}

/* VONG.HELLO <version> <cluster> <node> <incarnation> <purpose> <nonce> */
static void put_hello(struct chain *to, const struct hello_end *e, enum hello_purpose purpose)
{
    wire_put_head(to, WIRE_HELLO, 6);
    wire_put_u64(to, HELLO_VERSION);
    put_who(to, e);
    wire_put_word(to, purpose_words[purpose]);
    wire_put_hex(to, e->nonce, sizeof(e->nonce));
}

static enum err get_hello(struct wire_in *in, struct hello_end *e, enum hello_purpose *purpose)
{
    TRY(get_who(in, e));
    struct slice word;
    struct wire_in before = *in;
    TRY(wire_get_bytes(in, 32, &word));
    *purpose = 0;
    while (*purpose < HELLO_PURPOSES_N && !slice_equal(word, slice_str(purpose_words[*purpose])))
        ++*purpose;
    bool forwards = *purpose == HELLO_FORWARD2 || *purpose == HELLO_FORWARD3;
    if (*purpose == HELLO_PURPOSES_N || (is_proxy(e) && !forwards && *purpose != HELLO_FOLLOW)) {
        *in = before;
        return *purpose == HELLO_PURPOSES_N ? ERR_SYNTAX : ERR_RANGE;
    }
    TRY(wire_get_hex(in, e->nonce, sizeof(e->nonce)));
    return wire_get_end(in);
}

/* VONG.CHALLENGE <cluster> <node> <incarnation> <nonce> */
static void put_challenge(struct chain *to, const struct hello_end *e)
{
    wire_put_head(to, WIRE_CHALLENGE, 4);
    put_who(to, e);
    wire_put_hex(to, e->nonce, sizeof(e->nonce));
}

static enum err get_challenge(struct wire_in *in, struct hello_end *e)
{
    TRY(get_who(in, e));
    TRY(wire_get_hex(in, e->nonce, sizeof(e->nonce)));
    return wire_get_end(in);
}

/* ------------------------------------------------------------------- proofs */

/* What is proved: everything said, by whom, and who proves it; of fixed length, so read in one
 * way. */
enum { END_BYTES = 20 + 20 + 4 + HELLO_NONCE_BYTES, SAID_BYTES = 16 + 3 + 2 * END_BYTES };

static size_t end_note(char *to, const struct hello_end *e)
{
    const uint32_t i = e->incarnation;
    const uint8_t incarnation[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
                                    (uint8_t)i};
    memcpy(to, e->cluster.b, 20);
    memcpy(to + 20, e->id.b, 20);
    memcpy(to + 40, incarnation, 4);
    memcpy(to + 44, e->nonce, HELLO_NONCE_BYTES);
    return END_BYTES;
}

static void proof_of(const struct hello *h, struct slice secret, bool by_dialler,
                     uint8_t proof[PROOF_BYTES])
{
    char said[SAID_BYTES] = "vong handshake";
    size_t n = 16;
    said[n++] = HELLO_VERSION;
    said[n++] = (char)h->purpose;
    said[n++] = by_dialler ? 'd' : 'a';
    n += end_note(said + n, h->dials ? &h->me : &h->peer);
    n += end_note(said + n, h->dials ? &h->peer : &h->me);
    check(n == sizeof(said));
    proof_make(secret, slice_of(said, n), proof);
}

/* VONG.PROOF <proof>, VONG.WELCOME <proof> */
static void put_proof(struct chain *to, const struct hello *h, struct slice secret)
{
    uint8_t proof[PROOF_BYTES];
    wire_put_head(to, h->dials ? WIRE_PROOF : WIRE_WELCOME, 1);
    if (secret.n > 0)
        proof_of(h, secret, h->dials, proof);
    put_or_empty(to, proof, sizeof(proof), secret.n == 0);
}

/* NULL: it holds; else what to say. */
static const char *proof_wrong(const struct hello *h, struct slice secret, bool given,
                               const uint8_t got[PROOF_BYTES])
{
    uint8_t right[PROOF_BYTES];
    if (secret.n == 0)
        return given ? "cluster-secret is set at one end of the connection only" : NULL;
    if (!given)
        return "cluster-secret is set at one end of the connection only";
    proof_of(h, secret, !h->dials, right);
    return proof_equal(right, got) ? NULL : "cluster-secret is not the same at both ends";
}

/* ------------------------------------------------------------------- refusing */

static enum hello_verdict refuse(struct hello *h, struct chain *out, enum hello_refusal refusal,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));
static enum hello_verdict refuse(struct hello *h, struct chain *out, enum hello_refusal refusal,
                                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(h->why, sizeof(h->why), format, args);
    va_end(args);
    h->refusal = refusal;
    put_refused(out, refusal, h->why);
    return HELLO_REFUSED;
}

static void id_text(const struct node_id *id, char text[41])
{
    for (size_t i = 0; i < sizeof(id->b); i++)
        snprintf(text + 2 * i, 3, "%02x", id->b[i]);
}

static bool is_member(const struct map *m, const struct node_id *id)
{
    for (size_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used && node_id_equal(&m->nodes.at[i].id, id))
            return true;
    return false;
}

/* Does the other end belong where it says it wants to be? Before its proof. */
static enum hello_verdict judge_end(struct hello *h, struct chain *out)
{
    char id[41];
    id_text(&h->peer.id, id);
    if (!is_proxy(&h->peer) && node_id_equal(&h->peer.id, &h->me.id))
        return refuse(h, out, HELLO_MYSELF,
                      "node %s is at both ends: it dialled itself, or its directory was copied",
                      id);
    if (h->dials && !node_id_equal(&h->wanted, &nobody) && !node_id_equal(&h->wanted, &h->peer.id))
        return refuse(h, out, HELLO_OTHER, "another node was meant to be here: this is %s", id);
    if (h->purpose == HELLO_MEET)
        return HELLO_MORE;
    /* A proxy learns at its first connection which cluster it has before it. */
    const struct hello_end *dialler = h->dials ? &h->me : &h->peer;
    if (is_proxy(dialler) && cluster_id_equal(&dialler->cluster, &no_cluster))
        return HELLO_MORE;
    if (cluster_id_equal(&h->me.cluster, &no_cluster) ||
        cluster_id_equal(&h->peer.cluster, &no_cluster))
        return refuse(h, out, HELLO_BAD_CLUSTER,
                      "one of the two nodes belongs to no cluster yet: CLUSTER MEET first");
    if (!cluster_id_equal(&h->me.cluster, &h->peer.cluster))
        return refuse(h, out, HELLO_BAD_CLUSTER, "the two nodes belong to different clusters");
    return HELLO_MORE;
}

/* ------------------------------------------------------------------- steps */

static void begin(struct hello *h, const struct hello_self *self,
                  const uint8_t nonce[HELLO_NONCE_BYTES])
{
    check((self->incarnation == 0) == node_id_equal(&self->id, &nobody));
    *h = (struct hello){
        .me = {.cluster = self->cluster, .id = self->id, .incarnation = self->incarnation}};
    memcpy(h->me.nonce, nonce, HELLO_NONCE_BYTES);
}

void hello_dial(struct hello *h, const struct hello_self *self, enum hello_purpose purpose,
                const struct node_id *wanted, const uint8_t nonce[HELLO_NONCE_BYTES],
                struct chain *out)
{
    begin(h, self, nonce);
    h->dials = true;
    h->purpose = purpose;
    h->wanted = wanted != NULL ? *wanted : nobody;
    h->awaited = WIRE_CHALLENGE;
    h->reader.from = WIRE_ANSWERS;
    put_hello(out, &h->me, purpose);
}

void hello_answer(struct hello *h, const struct hello_self *self,
                  const uint8_t nonce[HELLO_NONCE_BYTES])
{
    check(self->incarnation > 0); /* nobody dials a proxy */
    begin(h, self, nonce);
    h->awaited = WIRE_HELLO;
    h->reader.from = WIRE_DIALS;
}

static enum hello_verdict malformed(struct hello *h, const struct wire_in *in, enum err e,
                                    struct chain *out)
{
    char why[WIRE_WHY_BYTES];
    wire_why(in, e, why);
    return refuse(h, out, HELLO_MALFORMED, "%s", why);
}

static enum hello_verdict on_hello(struct hello *h, struct wire_in *in, struct chain *out)
{
    uint64_t version;
    enum err e = wire_get_u64(in, &version);
    if (e != ERR_OK)
        return malformed(h, in, e, out);
    if (version != HELLO_VERSION)
        return refuse(h, out, HELLO_BAD_VERSION,
                      "version %llu of the messages between nodes is not spoken here, but %d",
                      (unsigned long long)version, HELLO_VERSION);
    e = get_hello(in, &h->peer, &h->purpose);
    if (e != ERR_OK)
        return malformed(h, in, e, out);
    if (judge_end(h, out) == HELLO_REFUSED)
        return HELLO_REFUSED;
    put_challenge(out, &h->me);
    h->awaited = WIRE_PROOF;
    return HELLO_MORE;
}

static enum hello_verdict on_challenge(struct hello *h, const struct hello_self *self,
                                       struct wire_in *in, struct chain *out)
{
    enum err e = get_challenge(in, &h->peer);
    if (e == ERR_OK && is_proxy(&h->peer))
        e = ERR_RANGE;
    if (e != ERR_OK)
        return malformed(h, in, e, out);
    if (judge_end(h, out) == HELLO_REFUSED)
        return HELLO_REFUSED;
    put_proof(out, h, self->secret);
    h->awaited = WIRE_WELCOME;
    return HELLO_MORE;
}

/* PROOF or WELCOME: the last thing we wait for. The dialler has proved first (W6). */
static enum hello_verdict on_proof(struct hello *h, const struct hello_self *self,
                                   struct wire_in *in, struct chain *out)
{
    uint8_t got[PROOF_BYTES];
    bool given = in->argv[in->at].n > 0;
    enum err e = get_or_empty(in, got, sizeof(got));
    if (e != ERR_OK)
        return malformed(h, in, e, out);
    const char *wrong = proof_wrong(h, self->secret, given, got);
    if (wrong != NULL)
        return refuse(h, out, HELLO_BAD_PROOF, "%s", wrong);
    bool is_known = self->map == NULL || self->map->index == 0 || is_proxy(&h->peer) ||
                    h->purpose == HELLO_MEET || is_member(self->map, &h->peer.id);
    if (!is_known) {
        char id[41];
        id_text(&h->peer.id, id);
        return refuse(h, out, HELLO_UNKNOWN, "node %s is no member of this cluster", id);
    }
    if (!h->dials)
        put_proof(out, h, self->secret);
    return HELLO_ACCEPTED;
}

static enum hello_verdict on_refused(struct hello *h, struct wire_in *in, struct chain *out)
{
    enum err e = get_refused(in, &h->refusal, h->why);
    if (e != ERR_OK)
        return malformed(h, in, e, out);
    h->by_peer = true;
    return HELLO_REFUSED;
}

static enum hello_verdict take(struct hello *h, const struct hello_self *self, struct wire_in *in,
                               struct chain *out)
{
    if (in->type == WIRE_REFUSED)
        return on_refused(h, in, out);
    if (in->type != h->awaited)
        return refuse(h, out, HELLO_MALFORMED, "%s where %s belongs", wire_spec(in->type)->name,
                      wire_spec(h->awaited)->name);
    if (in->type == WIRE_HELLO)
        return on_hello(h, in, out);
    if (in->type == WIRE_CHALLENGE)
        return on_challenge(h, self, in, out);
    return on_proof(h, self, in, out);
}

enum hello_verdict hello_step(struct hello *h, const struct hello_self *self, struct slice bytes,
                              size_t *used, struct chain *out)
{
    enum hello_verdict verdict = HELLO_MORE;
    *used = 0;
    while (verdict == HELLO_MORE) {
        struct wire_in in;
        size_t frame_n = 0;
        switch (wire_next(&h->reader, slice_from(bytes, *used), &in, &frame_n)) {
        case WIRE_MORE: return HELLO_MORE;
        case WIRE_BAD: return refuse(h, out, HELLO_MALFORMED, "%s", h->reader.why);
        case WIRE_FRAME: break;
        }
        *used += frame_n;
        verdict = take(h, self, &in, out);
    }
    return verdict;
}

void hello_free(struct hello *h)
{
    wire_reader_free(&h->reader);
}
