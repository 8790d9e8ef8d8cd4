/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "server/recovering.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "control/recover.h"
#include "io/file.h"
#include "server/cluster_files.h"
#include "server/storage.h"

static int refuse(const char *what)
{
    fprintf(stderr, "vong-server: %s\n", what);
    return 1;
}

static void tell_member(const struct map *m, const struct node_id *id, const char *note)
{
    char hex[2 * sizeof(id->b)];
    uint16_t place = map_find(m, id);
    num_put_hex_bytes(hex, id->b, sizeof(id->b));
    printf("  %.*s %s:%u%s\n", (int)sizeof(hex), hex,
           place == MAP_NOBODY ? "?" : m->nodes.at[place].at.ip,
           place == MAP_NOBODY ? 0U : (unsigned)m->nodes.at[place].at.port, note);
}

static void tell(const struct recover *r, const struct identity *id)
{
    printf("The controllers' log here ends with entry %llu of term %llu: %zu members.\n"
           "Those who vote, as it says:\n",
           (unsigned long long)r->last, (unsigned long long)r->last_term, map_members_n(&r->map));
    for (size_t i = 0; i < r->voters.n; i++)
        tell_member(&r->map, &r->voters.at[i].node,
                    node_id_equal(&r->voters.at[i].node, &id->node) ? " (this directory's)" : "");
}

/* Here and now: nothing else runs in this process. */
static int recover(struct recover *r)
{
    struct storage storage;
    struct disk_ops ops = {0};
    struct disk_done done;
    struct data_id voter;
    char what[RECOVER_WHAT_BYTES];
    int code = 0, system_errno;
    check(getrandom(voter.b, sizeof(voter.b), 0) == (ssize_t)sizeof(voter.b));
    storage_init(&storage, NULL);
    recover_begin(r, &voter);
    recover_step(r, NULL, &ops);
    for (size_t i = 0; i < ops.n; i++) {
        ops.at[i].at_once = true;
        check(storage_perform(&storage, &ops.at[i], &done));
        recover_step(r, &done, &ops);
    }
    mem_free(ops.at);
    if (recover_failed(r, what, &system_errno) != NULL) {
        fprintf(stderr, "vong-server: %s: %s. Make it possible, and run this again\n", what,
                strerror(system_errno));
        code = 1;
    }
    check(code != 0 || r->stage == RECOVER_DONE);
    return code;
}

static int look_and_recover(const struct options *o, struct cluster_files *f, bool recovers)
{
    struct recover r;
    char why[WIRE_WHY_BYTES] = "the log is damaged";
    enum err err = recover_look(&r, &f->identity, &f->loaded, o->cluster_config_file, why);
    int code = 0;
    if (err != ERR_OK)
        code = refuse(why);
    else
        tell(&r, &f->identity);
    if (code == 0 && recovers)
        code = recover(&r);
    if (code == 0 && recovers)
        printf(
            "This node is the only voter from its next start on; the cluster goes on at map %llu.\n"
            "Never start another of those voters before this node runs and is reached by it.\n",
            (unsigned long long)r.map.index);
    recover_free(&r);
    return code;
}

int recovering_run(const struct options *o, bool recovers)
{
    char why[1100];
    int lock;
    struct cluster_files files = {0};
    if (!o->cluster_enabled)
        return refuse("there is a controllers' log only with cluster-enabled yes");
    if (chdir(o->dir) != 0) {
        snprintf(why, sizeof(why), "cannot change to directory %s: %s", o->dir, strerror(errno));
        return refuse(why);
    }
    enum err err = file_lock("vong-server.lock", &lock);
    if (err == ERR_LIMIT)
        return refuse("a vong-server runs in this directory: stop it first");
    if (err != ERR_OK)
        return refuse("vong-server.lock in the directory cannot be locked: is it writable?");
    bool good = cluster_files_read(&files, o->cluster_config_file, why, sizeof(why));
    int code = good ? look_and_recover(o, &files, recovers) : refuse(why);
    cluster_files_free(&files);
    return code;
}
