/* SPDX-License-Identifier: BSD-3-Clause */

/* Disk operations one after the other, each asked for only once the one before has succeeded (M1).
 *
 * Whoever switches files says the whole way at once; the first failure drops what is left of it,
 * and is remembered until it is asked for. */
#ifndef PERSIST_STEPS_H
#define PERSIST_STEPS_H

#include "persist/disk.h"

struct steps {
    /* 0: ASKER_STEPS, in the background lane; ASKER_RAFT: in the log's (of its own thread) */
    enum disk_asker asker;
    struct disk_ops queue; /* at[next ..] are still to come */
    size_t next;
    bool under_way;
    uint64_t tokens;
    uint64_t open;               /* a bit per handle: an OPEN has succeeded since its last CLOSE */
    char doing[DISK_NAME_BYTES]; /* the file of the operation under way: for messages */
    uint64_t space;              /* what the last DISK_SPACE found; UINT64_MAX: it could not tell */
    /* the first failure since steps_forgive */
    int system_errno;
    const char *failed; /* "open", "write", ...; NULL: none */
    char failed_name[DISK_NAME_BYTES];
};

void steps_free(struct steps *s);

/* name: kept by copy. After a failure these are dropped, but close. */
void step_open(struct steps *s, uint32_t file, const char *name);
void step_write(struct steps *s, uint32_t file, struct chain *bytes); /* takes them */
void step_sync(struct steps *s, uint32_t file);
void step_close(struct steps *s, uint32_t file);
void step_rename(struct steps *s, const char *from, const char *to);
void step_sync_dir(struct steps *s, const char *name);
void step_unlink(struct steps *s, const char *name);
void step_truncate(struct steps *s, const char *name, uint64_t size);
void step_space(struct steps *s, const char *name);

/* Asks for the next one, if none is under way. */
void steps_run(struct steps *s, struct disk_ops *out);
void steps_done(struct steps *s, struct disk_done *done); /* of its asker */
bool steps_idle(const struct steps *s);                   /* nothing under way, nothing to come */
size_t steps_bytes(const struct steps *s);                /* waiting to be written */
/* What has not been asked for; CLOSEs of what is open stay. */
void steps_drop(struct steps *s);
void steps_forgive(struct steps *s); /* goes on after a failure */

#endif
