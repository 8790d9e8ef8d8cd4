/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/word_queue.h"

#include "base/check.h"

void word_queue_init(struct word_queue *q, struct loop *to)
{
    *q = (struct word_queue){.to = to};
    check(pthread_mutex_init(&q->lock, NULL) == 0);
}

void word_queue_free(struct word_queue *q)
{
    for (size_t i = 0; i < q->words.n; i++)
        word_free(&q->words.at[i]);
    vec_free(&q->words);
    pthread_mutex_destroy(&q->lock);
}

/* All of one type go. */
static void drop(struct word_queue *q, enum word_type type)
{
    size_t kept = 0;
    for (size_t i = 0; i < q->words.n; i++) {
        if (q->words.at[i].type == type)
            word_free(&q->words.at[i]);
        else
            q->words.at[kept++] = q->words.at[i];
    }
    q->words.n = kept;
}

/* In front of everything: whatever else waits was said knowing at most this map. */
static void put_whole(struct word_queue *q, const struct map *whole)
{
    struct word w = {.type = WORD_MAP, .map = mem_get(sizeof(*w.map))};
    map_init(w.map);
    map_copy(w.map, whole);
    drop(q, WORD_ENTRY);
    drop(q, WORD_MAP);
    (void)vec_add(&q->words);
    memmove(q->words.at + 1, q->words.at, (q->words.n - 1) * sizeof(w));
    q->words.at[0] = w;
    q->entries_n = 0;
    q->whole = whole->index;
}

/* False: what w says is said already. */
static bool is_to_go(struct word_queue *q, const struct word *w, const struct map *whole)
{
    switch (w->type) {
    case WORD_ENTRY:
        if (w->entry.index <= q->whole)
            return false;
        if (q->entries_n < WORD_ENTRIES_MAX) {
            q->entries_n++;
            return true;
        }
        put_whole(q, whole);
        return false;
    case WORD_MAP:
        drop(q, WORD_ENTRY);
        drop(q, WORD_MAP);
        q->entries_n = 0;
        q->whole = 0;
        return true;
    case WORD_VIEW:
    case WORD_APPLIED:
    case WORD_REPORT: drop(q, w->type); return true;
    case WORD_PROPOSE: return q->proposals_n < WORD_PROPOSALS_MAX && ++q->proposals_n > 0;
    case WORD_ANSWER:
    case WORD_CLOSE:
    case WORD_ASK:
    case WORD_CLOSED: break;
    }
    return true;
}

void word_put(struct word_queue *q, struct word *w, const struct map *whole)
{
    pthread_mutex_lock(&q->lock);
    bool first = q->words.n == 0;
    if (is_to_go(q, w, whole)) {
        *vec_add(&q->words) = *w;
        *w = (struct word){0};
    }
    pthread_mutex_unlock(&q->lock);
    word_free(w);
    if (first) /* the other thread empties the queue whole: one call is enough */
        loop_call(q->to);
}

void words_take(struct word_queue *q, struct words *to)
{
    vec_clear(to);
    pthread_mutex_lock(&q->lock);
    struct words taken = q->words;
    q->words = *to;
    q->entries_n = q->proposals_n = 0;
    pthread_mutex_unlock(&q->lock);
    *to = taken;
}
