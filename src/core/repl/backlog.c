/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/repl/backlog.h"

#include "base/check.h"
#include "base/mem.h"

struct head {
    struct position at;
    uint64_t before_epoch, before;
    /* bytes of the record, behind the head; the next head is at the next multiple
     * of its alignment */
    uint64_t n;
};

enum { SHARE = 4 }; /* a record of more than one part in so many would leave no room for others */
enum { FIRST_PLACE = 64 }; /* not 0 */

void backlog_init(struct backlog *b, uint64_t size)
{
    *b = (struct backlog){.asked = size,
                          .size = size - size % FIRST_PLACE,
                          .oldest = FIRST_PLACE,
                          .end = FIRST_PLACE};
    if (b->size > 0)
        b->ring = mem_get((size_t)b->size);
}

void backlog_free(struct backlog *b)
{
    mem_free(b->ring);
    *b = (struct backlog){0};
}

void backlog_resize(struct backlog *b, uint64_t size)
{
    uint64_t end = b->end;
    backlog_free(b);
    backlog_init(b, size);
    b->oldest = b->end = end; /* what was kept has a place before it */
}

static struct head *head_at(const struct backlog *b, uint64_t place)
{
    return (struct head *)(void *)(b->ring + place % b->size);
}

static uint64_t room_of(uint64_t n)
{
    uint64_t room = sizeof(struct head) + n, odd = room % _Alignof(struct head);
    return odd == 0 ? room : room + _Alignof(struct head) - odd;
}

/* The place behind this one's record: at the ring's start, where the rest is too short
 * for a head. */
static uint64_t place_after(const struct backlog *b, uint64_t place)
{
    uint64_t rest = b->size - place % b->size;
    if (rest < sizeof(struct head))
        return place + rest;
    const struct head *h = head_at(b, place);
    if (h->at.seq == 0) /* a filler: the record behind it did not fit in the rest */
        return place + rest;
    return place + room_of(h->n);
}

uint64_t backlog_put(struct backlog *b, const struct backlog_record *r)
{
    uint64_t n = r->parts != NULL ? r->parts->n : r->bytes.n, room = room_of(n);
    check(r->at.seq > 0);
    if (room > b->size / SHARE)
        return 0;
    uint64_t rest = b->size - b->end % b->size;
    uint64_t place = room > rest ? b->end + rest : b->end;
    while (b->oldest < b->end && b->oldest + b->size < place + room)
        b->oldest = place_after(b, b->oldest);
    if (place != b->end && rest >= sizeof(struct head))
        *head_at(b, b->end) = (struct head){.at = {0, 0}};
    *head_at(b, place) =
        (struct head){.at = r->at, .before_epoch = r->before_epoch, .before = r->before, .n = n};
    char *to = b->ring + place % b->size + sizeof(struct head);
    if (r->parts != NULL)
        (void)chain_copy(r->parts, to, (size_t)n);
    else
        memcpy(to, r->bytes.p, (size_t)n);
    b->end = place + room;
    if (b->oldest + b->size < b->end) /* it was empty */
        b->oldest = place;
    return place;
}

bool backlog_get(const struct backlog *b, uint64_t place, struct backlog_record *r)
{
    if (place < b->oldest || place >= b->end || place == 0)
        return false;
    const struct head *h = head_at(b, place);
    *r = (struct backlog_record){.at = h->at,
                                 .before_epoch = h->before_epoch,
                                 .before = h->before,
                                 .bytes = slice_of((const char *)(h + 1), (size_t)h->n)};
    return true;
}
