/* SPDX-License-Identifier: BSD-3-Clause */

/* The data thread's side of a cluster: the start of the control plane's thread, what comes from it
 * and what goes to it, a turn at a time. */
#define _GNU_SOURCE
#include "server/server.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/hash.h"
#include "io/clock.h"
#include "io/file.h"
#include "server/cluster_config.h"

enum { STOP_MORE_US = 1000 * 1000 }; /* the control plane bounds its own stop; this is beyond it */

/* ---------------------------------------------------------------------- the start */

/* Two runs have the same only if the later took the lock that the earlier held, which has ended
 * then: in one boot of one machine a file that is open keeps its number (replication 19). */
static uint64_t home_of(const struct server *s)
{
    static const struct hash_key key;
    uint64_t device, inode;
    char *boot = NULL, text[128];
    size_t n = 0;
    if (!file_place(s->directory_lock, &device, &inode) ||
        file_load("/proc/sys/kernel/random/boot_id", &boot, &n) != ERR_OK)
        return 0; /* none is told: a restart waits */
    int len = snprintf(text, sizeof(text), "%.40s %llx %llx", boot, (unsigned long long)device,
                       (unsigned long long)inode);
    mem_free(boot);
    return n == 0 ? 0 : hash_keyed(&key, slice_of(text, (size_t)len));
}

bool cluster_prepare(struct server *s, char *why, size_t why_n)
{
    const struct options *o = s->options;
    struct control_thread *t = &s->control;
    struct identity *id = &t->files.identity;
    if (!cluster_configure(&t->config, o, why, why_n) ||
        !cluster_files_read(&t->files, o->cluster_config_file, why, why_n))
        return false;
    t->config.home = home_of(s);
    struct option_words bind;
    cluster_bind(o, &bind);
    struct doors_where where = {
        .bind = &bind, .port = cluster_port_of(o), .backlog = (int)o->tcp_backlog};
    bool opened = control_thread_doors(t, &where, why, why_n);
    mem_free(bind.at);
    if (!opened)
        return false;
    cluster_config_notes(o, &s->log.log);
    if (t->files.loaded.torn_bytes > 0)
        log_say(&s->log.log, LOG_LEVEL_WARNING,
                "the controllers' log ends in %llu bytes that were not written whole: cut off",
                (unsigned long long)t->files.loaded.torn_bytes);
    if (!id->is_known) /* both planes are to know it */
        check(getrandom(id->node.b, sizeof(id->node.b), 0) == (ssize_t)sizeof(id->node.b));
    id->is_known = true;
    s->self = (struct hello_self){
        .id = id->node, .incarnation = id->incarnation + 1, .secret = t->config.secret};
    return true;
}

bool cluster_run(struct server *s)
{
    return control_thread_run(&s->control);
}

static void tell_pulse(struct server *s)
{
    struct node_pulse p;
    node_pulse(s->node, &p);
    atomic_store(&s->control.has_data, p.has_data);
    atomic_store_explicit(&s->control.memory, p.memory_bytes, memory_order_relaxed);
    atomic_store_explicit(&s->control.ops, p.ops_per_s, memory_order_relaxed);
}

bool cluster_settle(struct server *s)
{
    if (!s->options->cluster_enabled)
        return true;
    tell_pulse(s); /* does it hold keys? */
    control_thread_loaded(&s->control, s->new_data);
    while (!s->stop && !atomic_load(&s->control.settled))
        server_turn(s);
    return !s->stop;
}

/* ---------------------------------------------------------------------- a move */

bool cluster_move_begin(struct server *s, const struct options *to, struct control_move *m,
                        char *why, size_t why_n)
{
    struct option_words bind, before;
    if (!cluster_endpoint(&m->at, to, why, why_n))
        return false;
    cluster_bind(to, &bind);
    cluster_bind(s->options, &before);
    struct doors_where where = {
        .bind = &bind, .port = cluster_port_of(to), .backlog = (int)to->tcp_backlog};
    bool stays = where.port == cluster_port_of(s->options) && words_equal(&bind, &before);
    bool good = stays || control_thread_move_doors(&s->control, m, &where, why, why_n);
    mem_free(bind.at);
    mem_free(before.at);
    if (!good)
        doors_close_all(&m->doors, &s->loop);
    return good;
}

void cluster_move_end(struct server *s, struct control_move *m, bool moves)
{
    if (moves)
        control_thread_move(&s->control, m);
    else
        doors_close_all(&m->doors, &s->loop);
}

/* ---------------------------------------------------------------------- a turn */

/* Which cluster this is, for the handshake of links between data planes. */
static void learn_cluster(struct server *s, const struct word *w)
{
    if (w->type == WORD_MAP)
        s->self.cluster = w->map->cluster;
    else if (w->type == WORD_ENTRY && w->entry.entry != NULL && w->entry.entry->type == MAP_FOUND)
        s->self.cluster = w->entry.entry->found.cluster;
}

static void take_words(struct server *s)
{
    words_take(&s->control.down, &s->words);
    for (size_t i = 0; i < s->words.n; i++) {
        struct word *w = &s->words.at[i];
        learn_cluster(s, w);
        server_step(s, &(struct node_event){.type = NODE_WORD, .word = w});
        word_free(w);
    }
    vec_clear(&s->words);
}

static void take_given(struct server *s)
{
    struct givens given;
    control_thread_take_given(&s->control, &given);
    for (size_t i = 0; i < given.n; i++) {
        struct given *g = &given.at[i];
        struct client *c = client_open(s, g->fd);
        c->is_peer = true;
        client_feed(s, c, &g->unread);
        server_step(s, &(struct node_event){.type = NODE_OPENED,
                                            .opened = {.conn = c->id,
                                                       .peer = slice_str(g->peer),
                                                       .local = slice_str(g->local),
                                                       .use = g->use,
                                                       .from = g->from,
                                                       .incarnation = g->incarnation,
                                                       .fd = g->fd}});
        client_want(s, c);
    }
    vec_free(&given);
}

void cluster_turn(struct server *s)
{
    take_words(s);
    if (s->seats != NULL) {
        s->seats->turn(s);
        return;
    }
    take_given(s);
    tell_pulse(s);
}

void cluster_take_out(struct server *s)
{
    for (size_t i = 0; i < s->out.words.n; i++) {
        if (s->seats != NULL)
            word_free(&s->out.words.at[i]); /* a proxy's map is told, and asks nothing */
        else
            word_put(&s->control.up, &s->out.words.at[i], NULL);
    }
}

struct mono cluster_lease(const struct server *s)
{
    return (struct mono){atomic_load(&s->control.lease)};
}

/* The node has ended: now it leaves the others, and its voice in the controller. */
void cluster_stop(struct server *s)
{
    if (!s->control.is_running)
        return;
    control_thread_stop(&s->control);
    struct mono now = clock_mono();
    struct mono until = mono_after(now, s->options->cluster_node_timeout * 1000 + STOP_MORE_US);
    for (; !atomic_load(&s->control.stopped) && !mono_reached(now, until); now = clock_mono())
        loop_wait(&s->loop, now, until);
}
