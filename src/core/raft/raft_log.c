/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft_log.h"

#include "base/bounds.h"
#include "base/check.h"
#include "base/mem.h"

void raft_log_init(struct raft_log *l, uint64_t index, uint64_t term)
{
    *l = (struct raft_log){.first = index + 1, .before_term = term};
}

static void entry_drop(struct raft_log *l, struct raft_entry *e)
{
    l->bytes -= e->bytes.n + RAFT_ENTRY_COST;
    mem_free((char *)e->bytes.p);
}

void raft_log_free(struct raft_log *l)
{
    raft_log_cut(l, l->first);
    mem_free(l->at);
    l->at = NULL;
    l->cap = 0;
}

uint64_t raft_log_last_term(const struct raft_log *l)
{
    return l->n > 0 ? l->at[l->n - 1].term : l->before_term;
}

bool raft_log_term(const struct raft_log *l, uint64_t index, uint64_t *term)
{
    if (index + 1 < l->first || index > raft_log_last(l))
        return false;
    *term = index + 1 == l->first ? l->before_term : l->at[index - l->first].term;
    return true;
}

bool raft_log_has(const struct raft_log *l, uint64_t index, uint64_t term)
{
    uint64_t ours;
    return raft_log_term(l, index, &ours) && ours == term;
}

const struct raft_entry *raft_log_at(const struct raft_log *l, uint64_t index)
{
    check(index >= l->first && index <= raft_log_last(l));
    return &l->at[index - l->first];
}

void raft_log_append(struct raft_log *l, uint64_t term, enum raft_entry_type type,
                     struct slice bytes)
{
    check(bytes.n <= RAFT_ENTRY_BYTES);
    check(term >= raft_log_last_term(l));
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 16;
        l->at = mem_resize(l->at, l->cap * sizeof(*l->at));
    }
    char *own = NULL;
    if (bytes.n > 0)
        own = memcpy(mem_get(bytes.n), bytes.p, bytes.n);
    l->at[l->n++] = (struct raft_entry){.term = term, .type = type, .bytes = {own, bytes.n}};
    l->bytes += bytes.n + RAFT_ENTRY_COST;
}

void raft_log_cut(struct raft_log *l, uint64_t from)
{
    check(from >= l->first);
    while (l->n > 0 && raft_log_last(l) >= from)
        entry_drop(l, &l->at[--l->n]);
}

void raft_log_drop_front(struct raft_log *l, uint64_t upto)
{
    check(upto <= raft_log_last(l));
    if (upto < l->first)
        return;
    size_t n = (size_t)(upto - l->first) + 1;
    l->before_term = l->at[n - 1].term;
    for (size_t i = 0; i < n; i++)
        entry_drop(l, &l->at[i]);
    l->n -= n;
    l->first = upto + 1;
    memmove(l->at, l->at + n, l->n * sizeof(*l->at));
}

size_t raft_log_run(const struct raft_log *l, uint64_t from, size_t max_bytes)
{
    check(from >= l->first);
    size_t bytes = 0, n = 0;
    for (uint64_t i = from; i <= raft_log_last(l); i++, n++) {
        bytes += raft_log_at(l, i)->bytes.n + RAFT_ENTRY_COST;
        if (bytes > max_bytes && n > 0)
            break;
    }
    return n;
}

bool raft_log_is_upto_date(const struct raft_log *l, uint64_t index, uint64_t term)
{
    uint64_t ours = raft_log_last_term(l);
    return term > ours || (term == ours && index >= raft_log_last(l));
}

uint64_t raft_log_hint(const struct raft_log *l, uint64_t index, uint64_t term, uint64_t *hint_term)
{
    uint64_t at = index < raft_log_last(l) ? index : raft_log_last(l);
    if (at + 1 < l->first)
        at = l->first - 1;
    while (at + 1 > l->first && l->at[at - l->first].term > term)
        at--;
    check(raft_log_term(l, at, hint_term));
    return at;
}
