/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/replay.h"

#include "base/hash.h"
#include "base/num.h"
#include "cmd/keys.h"
#include "node/state.h"

enum { REPLAY_AHEAD = 32 }; /* as many as a batch of requests (hot-path.md) */

enum act { ACT_COMMAND, ACT_FLUSH, ACT_SPARE_SWAP, ACT_SPARE_EMPTY, ACT_BIG };

struct step {
    const struct aof_command *command;
    const struct spec *spec;
    struct key key;
    enum act act;
    unsigned to;   /* FLUSH: from key.slot up to this one; SPARE: which */
    uint64_t size; /* BIG: of the whole value */
};

/* VONG.FLUSHSLOT slot [last slot] */
static bool is_flush(const struct node *n, const struct slice *argv, uint32_t argc,
                     struct step *step)
{
    uint64_t slot, to;
    if (!n->store.is_slotted || argc < 2 || argc > 3 ||
        !slice_equal(argv[0], SLICE("VONG.FLUSHSLOT")) || !num_get_u64(argv[1], &slot) ||
        !num_get_u64(argv[argc - 1], &to) || slot > to || to >= SLOTS)
        return false;
    step->act = ACT_FLUSH;
    step->key.slot = (unsigned)slot;
    step->to = (unsigned)to;
    return true;
}

static_assert((int)AOF_SPARES == (int)STORE_SPARES, "what a log builds aside has its table");

/* VONG.SPARE.SWAP spare slot, VONG.SPARE.EMPTY spare slot: of the log alone (aof.h) */
static bool is_spare(const struct node *n, const struct slice *argv, uint32_t argc,
                     struct step *step)
{
    uint64_t spare, slot;
    bool swaps = slice_equal(argv[0], SLICE("VONG.SPARE.SWAP"));
    if (!n->loading || argc != 3 || (!swaps && !slice_equal(argv[0], SLICE("VONG.SPARE.EMPTY"))) ||
        !num_get_u64(argv[1], &spare) || spare >= STORE_SPARES || !num_get_u64(argv[2], &slot) ||
        slot >= SLOTS)
        return false;
    step->act = swaps ? ACT_SPARE_SWAP : ACT_SPARE_EMPTY;
    step->key.slot = (unsigned)slot;
    step->to = (unsigned)spare;
    return true;
}

/* VONG.BIG key bytes value: the beginning of a value of so many bytes, to which the rest
 * is appended (dump_out.c) */
static bool is_big(const struct node *n, const struct slice *argv, uint32_t argc, struct step *step)
{
    if (!n->store.is_slotted || argc != 4 || !slice_equal(argv[0], SLICE("VONG.BIG")) ||
        !num_get_u64(argv[2], &step->size) || step->size < argv[3].n)
        return false;
    step->act = ACT_BIG;
    step->key = key_of(&n->store, argv[1]);
    return true;
}

static bool is_own_word(const struct node *n, const struct slice *argv, uint32_t argc,
                        struct step *step)
{
    return is_flush(n, argv, argc, step) || is_spare(n, argv, argc, step) ||
           is_big(n, argv, argc, step);
}

const char replay_foreign[] = "a command with keys that are not of its slot";

/* All its keys are: a peer, whatever is wrong with it, plants nothing in other slots. */
static bool is_of_slot(const struct step *step, const struct slice *argv, uint32_t argc,
                       unsigned slot)
{
    struct keys keys;
    struct key_at at = {0};
    if (step->act == ACT_FLUSH)
        return step->key.slot == slot && step->to == slot;
    if (step->act != ACT_COMMAND ||
        (step->spec->first > 0 && step->spec->first == step->spec->last))
        return step->key.slot == slot;
    if (!keys_of(step->spec, argv, argc, &keys) || keys_n(&keys) == 0)
        return false;
    while (keys_next(&keys, &at))
        if (slot_of(argv[at.at]) != slot)
            return false;
    return true;
}

/* Finds, hashes and fetches ahead; why *steps[*planned] is no command of a log, or NULL. */
static const char *plan(struct node *n, const struct aof_batch *b, size_t from, unsigned slot,
                        struct step *steps, size_t *planned)
{
    const char *why = NULL;
    size_t i = 0;
    for (; i < REPLAY_AHEAD && from + i < b->commands.n; i++) {
        const struct aof_command *c = &b->commands.at[from + i];
        const struct slice *argv = aof_argv(b, from + i);
        const struct spec *spec = spec_find(argv, c->argc);
        steps[i] = (struct step){.command = c, .spec = spec};
        if (spec == NULL && is_own_word(n, argv, c->argc, &steps[i])) {
            if (slot == REPLAY_ANY || is_of_slot(&steps[i], argv, c->argc, slot))
                continue;
            why = replay_foreign;
            break;
        }
        if (spec == NULL || !spec_arity_fits(spec, c->argc)) {
            why = "a command that this server does not know";
            break;
        }
        if (spec->handler != SPEC_DATA || !(spec->flags & CMD_WRITE)) {
            why = "a command that changes no data";
            break;
        }
        if (spec->first > 0 && (uint32_t)spec->first < c->argc) {
            steps[i].key = key_of(&n->store, argv[spec->first]);
            store_prefetch_bucket(&n->store, c->db, &steps[i].key);
        }
        if (slot != REPLAY_ANY && !is_of_slot(&steps[i], argv, c->argc, slot)) {
            why = replay_foreign;
            break;
        }
    }
    *planned = i;
    for (i = 0; i < *planned; i++)
        if (steps[i].key.s.p != NULL && steps[i].act == ACT_COMMAND)
            store_prefetch_entry(&n->store, &steps[i].key);
    return why;
}

/* There is room for all of it from the beginning: it never grows by a copy. */
static bool put_big(struct node *n, const struct slice *argv, const struct step *step)
{
    struct blob *b = blob_try((size_t)step->size);
    if (b == NULL)
        return false;
    b->n = argv[3].n;
    memcpy(b->p, argv[3].p, argv[3].n);
    if (store_put_blob(&n->store, 0, &step->key, b, WALL_NEVER) == ERR_OK)
        return true;
    blob_drop(b, NULL);
    return false;
}

static bool apply_own(struct node *n, const struct slice *argv, const struct step *step)
{
    switch (step->act) {
    case ACT_FLUSH:
        for (unsigned slot = step->key.slot; slot <= step->to; slot++)
            store_slot_flush(&n->store, slot);
        return true;
    case ACT_SPARE_SWAP: store_spare_swap(&n->store, step->to, step->key.slot); return true;
    case ACT_SPARE_EMPTY: store_spare_flush(&n->store, step->to); return true;
    case ACT_BIG: return put_big(n, argv, step);
    case ACT_COMMAND: break;
    }
    return false;
}

/* False: it failed, which an effect never does. */
static bool apply(struct node *n, const struct slice *argv, const struct step *step,
                  struct reply *reply)
{
    if (step->act != ACT_COMMAND)
        return apply_own(n, argv, step);
    struct cmd c = {.spec = step->spec,
                    .argv = argv,
                    .argc = step->command->argc,
                    .db = step->command->db,
                    .first = &step->key,
                    .now = n->wall,
                    .store = &n->store,
                    .reply = reply,
                    .effects = &n->effects,
                    .config = &n->cmd_config,
                    .stats = &n->replay_stats,
                    .rng = &n->rng,
                    .replay = true};
    cmd_exec(&c);
    return reply->errors == 0;
}

const char *replay_batch(struct node *n, const struct aof_batch *b, unsigned slot,
                         const struct aof_command **failed)
{
    struct chain replies = {0};
    struct reply reply = {.out = &replies, .protocol = 2};
    const char *why = NULL;
    n->effects.off = true;
    for (size_t done = 0; done < b->commands.n && why == NULL;) {
        struct step steps[REPLAY_AHEAD];
        size_t planned;
        why = plan(n, b, done, slot, steps, &planned);
        for (size_t i = 0; i < planned; i++, done++) {
            if (!apply(n, aof_argv(b, done), &steps[i], &reply)) {
                why = "a command that failed when it was applied";
                break;
            }
        }
        /* once for all of them: nobody reads what they say */
        chain_free(&replies, &n->store.graves);
        if (why != NULL)
            *failed = &b->commands.at[done];
    }
    n->effects.off = false;
    return why;
}
