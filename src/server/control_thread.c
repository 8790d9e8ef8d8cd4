/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "server/control_thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "io/clock.h"

enum { WATCHES_CLUSTER_DOOR = 1, WATCHES_CONTACT };
enum { ACCEPTS_PER_TURN = 64 };
/* A host that is cut off, or reads no more: the connection is broken, the system's retries are not
 * waited out, so that both meet again soon after, and what waits to be sent stays bounded. */
enum { SILENCE_MS = 3000 };
enum { LAST_WORDS_US = 3 * 1000 * 1000 }; /* a refusal is to be read; who does not read it goes */
enum {
    GIVEN_MAX = 256
}; /* connections on their way to the data thread; there are a few for each node */
/* replication 7: so far apart, and by a tenth of the time that passed, is no drift */
enum { APART_MS = 100 };

/* A connection of the control plane's, dialed or accepted. */
struct contact_line {
    struct line line;
    struct control_thread *thread;
    uint32_t number;
    bool is_link;
    struct control_give give; /* to the data thread once all is written; USE_NONE: no */
};

static struct contact_line *contact_of(struct line *l)
{
    return CONTAINER_OF(l, struct contact_line, line);
}

static struct line *line_at(struct control_thread *t, uint32_t number, bool is_link)
{
    struct lines *of = is_link ? &t->links : &t->guests;
    for (size_t i = 0; i < of->at.n; i++)
        if (contact_of(of->at.at[i])->number == number && !of->at.at[i]->dead)
            return of->at.at[i];
    return NULL;
}

static void nonce_fill(uint8_t *nonce)
{
    check(getrandom(nonce, HELLO_NONCE_BYTES, 0) ==
          HELLO_NONCE_BYTES); /* so few never fall short */
}

/* ---------------------------------------------------------------------- outs */

static struct contact_line *contact_new(struct control_thread *t, uint32_t number, bool is_link)
{
    struct contact_line *c = mem_zero(sizeof(*c));
    c->thread = t;
    c->number = number;
    c->is_link = is_link;
    return c;
}

static void take_connections(struct control_thread *t)
{
    struct control_out *o = &t->out;
    for (size_t i = 0; i < o->dial.n; i++)
        line_dial(&t->links, &contact_new(t, o->dial.at[i].link, true)->line, o->dial.at[i].host,
                  o->dial.at[i].port);
    for (size_t i = 0; i < o->send.n; i++) {
        struct line *l = line_at(t, o->send.at[i].conn, o->send.at[i].is_link);
        if (l != NULL)
            line_send(l, &o->send.at[i].bytes);
        else /* it broke, which is told in this turn */
            chain_free(&o->send.at[i].bytes, &t->graves);
    }
    for (size_t i = 0; i < o->hang_up.n; i++) {
        struct line *l = line_at(t, o->hang_up.at[i].conn, o->hang_up.at[i].is_link);
        if (l != NULL && o->hang_up.at[i].after_sent)
            line_end(l, mono_after(t->now, LAST_WORDS_US));
        else if (l != NULL)
            line_drop(l);
    }
    for (size_t i = 0; i < o->give.n; i++) {
        struct line *l = line_at(t, o->give.at[i].conn, false);
        if (l == NULL) {
            chain_free(&o->give.at[i].unread, &t->graves);
            continue;
        }
        contact_of(l)->give = o->give.at[i];
    }
}

/* Nobody waits for what this thread failed to store: the process ends here and now, as by a crash
 * (replication 28). */
static void end_at_once(void)
{
    _exit(1);
}

static void step(struct control_thread *t, struct control_event *ev)
{
    ev->now = t->now;
    ev->pulse = (struct control_pulse){
        .progress = atomic_load_explicit(&t->progress, memory_order_relaxed),
        .has_data = atomic_load(&t->has_data),
        .load = {.memory_bytes = atomic_load_explicit(&t->memory, memory_order_relaxed),
                 .ops_per_s = atomic_load_explicit(&t->ops, memory_order_relaxed)}};
    control_step(t->control, ev, &t->out);
    if (t->out.failed)
        end_at_once();
    atomic_store(&t->lease, t->out.lease.us);
    t->wake = t->out.wake;
    for (size_t i = 0; i < t->out.disk.n; i++) {
        struct disk_done ignored;
        bool at_once = storage_perform(&t->storage, &t->out.disk.at[i], &ignored);
        check(!at_once); /* this thread waits for no disk */
    }
    take_connections(t);
    for (size_t i = 0; i < t->out.words.n; i++)
        word_put(&t->down, &t->out.words.at[i], control_map(t->control));
    if (t->out.settled && !atomic_load(&t->settled)) {
        atomic_store(&t->settled, true);
        loop_call(t->data_loop);
    }
    if (t->out.stopped) {
        atomic_store(&t->over, true);
        atomic_store(&t->stopped, true);
        loop_call(t->data_loop);
    }
}

/* ---------------------------------------------------------------------- connections */

static void contact_dialed(struct line *l, enum line_dialed how)
{
    static const enum control_dialed control_says[] = {[LINE_THROUGH] = CONTROL_DIALED_OK,
                                                       [LINE_NOWHERE] = CONTROL_DIALED_NOWHERE,
                                                       [LINE_NO_SOCKET] = CONTROL_DIALED_NOWHERE,
                                                       [LINE_REFUSED] = CONTROL_DIALED_REFUSED};
    struct contact_line *c = contact_of(l);
    struct control_event ev = {.type = CONTROL_DIALED,
                               .dialed = {.link = c->number, .how = control_says[how]}};
    char local[ADDRESS_TEXT_BYTES];
    if (how == LINE_THROUGH) {
        conn_give_up_after(&l->conn, SILENCE_MS);
        address_ip_here(conn_fd(&l->conn), local);
        ev.dialed.local = slice_str(local);
        nonce_fill(ev.dialed.nonce);
    }
    step(c->thread, &ev);
}

static void contact_bytes(struct line *l, struct slice in)
{
    struct contact_line *c = contact_of(l);
    struct control_event ev = {.type = c->is_link ? CONTROL_LINK_BYTES : CONTROL_GUEST_BYTES,
                               .bytes = {.conn = c->number, .in = in}};
    if (c->give.use != USE_NONE)
        chain_put(&c->give.unread, in);
    else
        step(c->thread, &ev);
}

static void contact_closed(struct line *l)
{
    struct contact_line *c = contact_of(l);
    struct control_event ev = {.type = c->is_link ? CONTROL_LINK_CLOSED : CONTROL_GUEST_CLOSED,
                               .closed = c->number};
    if (c->give.use == USE_NONE)
        step(c->thread, &ev);
}

static void contact_free(struct line *l)
{
    struct contact_line *c = contact_of(l);
    chain_free(&c->give.unread, &c->thread->graves);
    mem_free(c);
}

static const struct line_ops contact_ops = {.dialed = contact_dialed,
                                            .bytes = contact_bytes,
                                            .closed = contact_closed,
                                            .free = contact_free};

static void welcome(struct control_thread *t, const struct guest *g)
{
    struct contact_line *c = contact_new(t, ++t->last_guest, false);
    struct control_event ev = {.type = CONTROL_GUEST,
                               .guest = {.conn = c->number, .peer = slice_str(g->peer)}};
    nonce_fill(ev.guest.nonce);
    line_take(&t->guests, &c->line, g->fd);
    conn_give_up_after(&c->line.conn, SILENCE_MS);
    step(t, &ev);
}

static void accept_some(struct control_thread *t, struct door *d)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct guest g;
        switch (door_accept(d, &g)) {
        case DOOR_NOBODY: return;
        case DOOR_GUEST: welcome(t, &g); break;
        case DOOR_FAILED:
            log_say(&t->log, LOG_LEVEL_WARNING, "Cannot accept a connection at %s: %s", d->name,
                    strerror(errno));
            clock_sleep_us(1000); /* none is left: who waits is tried again, not in a circle */
            return;
        }
    }
}

/* Who was to be given and has all that was said to it. */
static void give_some(struct control_thread *t)
{
    for (size_t i = 0; i < t->guests.at.n; i++) {
        struct contact_line *c = contact_of(t->guests.at.at[i]);
        if (c->give.use == USE_NONE || c->line.dead || c->line.out.n > 0)
            continue;
        struct given g = {.use = c->give.use,
                          .from = c->give.from,
                          .incarnation = c->give.incarnation,
                          .unread = c->give.unread};
        address_of_peer(conn_fd(&c->line.conn), g.peer);
        address_here(conn_fd(&c->line.conn), g.local);
        g.fd = line_give(&c->line);
        c->give.unread = (struct chain){0};
        pthread_mutex_lock(&t->lock);
        bool taken = t->given.n < GIVEN_MAX;
        if (taken)
            *vec_add(&t->given) = g;
        pthread_mutex_unlock(&t->lock);
        if (!taken) { /* the data thread hangs: the other side is to see it */
            close(g.fd);
            chain_free(&g.unread, &t->graves);
        }
        loop_call(t->data_loop);
    }
}

/* ---------------------------------------------------------------------- turns */

/* The machine was stopped, and its wall clock put right afterwards (replication 7). */
static void compare_clocks(struct control_thread *t)
{
    unsigned us;
    struct wall wall = clock_wall(&us);
    int64_t passed = (t->now.us - t->compared.us) / 1000;
    int64_t apart = wall.ms - t->compared_wall.ms - passed;
    t->compared = t->now;
    t->compared_wall = wall;
    if (apart < 0)
        apart = -apart;
    if (apart <= APART_MS + passed / 10)
        return;
    log_say(
        &t->log, LOG_LEVEL_WARNING,
        "the wall clock has jumped by %lld ms: the lease waits for a fresh answer of the voters",
        (long long)apart);
    step(t, &(struct control_event){.type = CONTROL_CLOCK_APART});
}

/* Who knocked at a door before it closes is let in. */
static void take_move(struct control_thread *t)
{
    struct control_move m;
    struct doors old = {0};
    pthread_mutex_lock(&t->lock);
    m = t->move;
    t->move = (struct control_move){0};
    if (m.doors.n > 0) {
        old = t->doors;
        t->doors = m.doors;
    }
    pthread_mutex_unlock(&t->lock);
    if (!m.asked)
        return;
    for (size_t i = 0; i < old.n; i++)
        accept_some(t, old.at[i]);
    doors_close_all(&old, &t->loop);
    for (size_t i = 0; i < m.doors.n; i++)
        watch_want(&t->loop, &t->doors.at[i]->watch, WATCH_READ);
    step(t, &(struct control_event){.type = CONTROL_ANNOUNCE, .at = &m.at});
}

static void take_words(struct control_thread *t)
{
    words_take(&t->up, &t->words);
    for (size_t i = 0; i < t->words.n; i++)
        step(t, &(struct control_event){.type = CONTROL_WORD, .word = &t->words.at[i]});
    vec_clear(&t->words);
    int loaded = atomic_load(&t->loaded);
    if (loaded != LOADED_NOT && !t->loaded_told) {
        t->loaded_told = true;
        step(t, &(struct control_event){.type = CONTROL_LOADED, .new_data = loaded == LOADED_NEW});
    }
    if (atomic_load(&t->stop_asked) && !t->stop_told) {
        t->stop_told = true;
        step(t, &(struct control_event){.type = CONTROL_STOP});
    }
}

static void take_ready(struct control_thread *t)
{
    struct watch *w;
    while ((w = loop_next(&t->loop)) != NULL) {
        uint8_t events = w->events;
        w->events = 0;
        if (w->kind == WATCHES_CLUSTER_DOOR)
            accept_some(t, CONTAINER_OF(w, struct door, watch));
        else
            line_ready(CONTAINER_OF(CONTAINER_OF(w, struct conn, watch), struct line, conn),
                       events);
    }
}

static void turn(struct control_thread *t)
{
    struct mono due = mono_earlier(lines_due(&t->links, t->now), lines_due(&t->guests, t->now));
    struct disk_done done;
    loop_wait(&t->loop, t->now, mono_earlier(due, t->wake));
    t->now = clock_mono();
    t->log.level = (enum log_level)atomic_load_explicit(&t->log_level, memory_order_relaxed);
    compare_clocks(t);
    while (storage_next_done(&t->storage, &done))
        step(t, &(struct control_event){.type = CONTROL_STORED, .disk = &done});
    take_words(t);
    take_move(t);
    lines_turn(&t->links, t->now);
    lines_turn(&t->guests, t->now);
    take_ready(t);
    if (mono_reached(t->now, t->wake))
        step(t, &(struct control_event){.type = CONTROL_DUE});
    lines_write(&t->links);
    lines_write(&t->guests);
    give_some(t);
    lines_bury(&t->links);
    lines_bury(&t->guests);
}

static void *control_thread_main(void *arg)
{
    struct control_thread *t = arg;
    t->now = t->compared = clock_mono();
    unsigned us;
    t->compared_wall = clock_wall(&us);
    t->control = control_new(&t->config, &t->files.identity, &t->files.loaded, &t->log, t->now);
    cluster_files_free(&t->files);
    for (size_t i = 0; i < t->doors.n; i++)
        watch_want(&t->loop, &t->doors.at[i]->watch, WATCH_READ);
    step(t, &(struct control_event){.type = CONTROL_DUE}); /* its identity is to be stored */
    while (!atomic_load(&t->over))
        turn(t);
    lines_write(&t->links); /* the last words, as far as they go */
    lines_write(&t->guests);
    return NULL;
}

/* ---------------------------------------------------------------------- start and end */

bool control_thread_doors(struct control_thread *t, struct doors_where *where, char *why,
                          size_t why_n)
{
    where->kind = WATCHES_CLUSTER_DOOR;
    return doors_open_at(&t->doors, where, why, why_n);
}

bool control_thread_move_doors(struct control_thread *t, struct control_move *m,
                               struct doors_where *where, char *why, size_t why_n)
{
    where->kind = WATCHES_CLUSTER_DOOR;
    where->beside = true;
    pthread_mutex_lock(&t->lock);
    bool waits = t->move.doors.n > 0;
    bool opened = !waits && doors_open_beside(&t->doors, &m->doors, where, why, why_n);
    if (waits)
        snprintf(why, why_n, "a former change is under way: try again in a moment");
    pthread_mutex_unlock(&t->lock);
    return opened;
}

void control_thread_move(struct control_thread *t, struct control_move *m)
{
    pthread_mutex_lock(&t->lock);
    t->move.asked = true;
    t->move.at = m->at;
    if (m->doors.n > 0)
        t->move.doors = m->doors; /* there were none: control_thread_move_doors */
    pthread_mutex_unlock(&t->lock);
    loop_call(&t->loop);
}

static void log_through(struct log *log, enum log_level level, struct slice text)
{
    struct control_thread *t = CONTAINER_OF(log, struct control_thread, log);
    t->log_to->line(t->log_to, level, text);
}

enum err control_thread_init(struct control_thread *t, struct loop *to, struct log *log)
{
    static const char *const lanes[LANES] = {
        [LANE_LOG] = "vong-raft", [LANE_BACK] = "vong-identity"};
    TRY(loop_init(&t->loop));
    t->data_loop = to;
    t->log_to = log;
    t->log = (struct log){log->level, log_through};
    atomic_store(&t->log_level, (int)log->level);
    word_queue_init(&t->up, &t->loop);
    word_queue_init(&t->down, to);
    check(pthread_mutex_init(&t->lock, NULL) == 0);
    lines_init(&t->links, &t->loop, WATCHES_CONTACT, &contact_ops, &t->graves);
    lines_init(&t->guests, &t->loop, WATCHES_CONTACT, &contact_ops, &t->graves);
    return storage_start(&t->storage, lanes, &t->loop, &t->graves);
}

bool control_thread_run(struct control_thread *t)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the data thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    t->is_running = pthread_create(&t->thread, NULL, control_thread_main, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (t->is_running)
        (void)pthread_setname_np(t->thread, "vong-control"); /* for people who look at top -H */
    return t->is_running;
}

void control_thread_loaded(struct control_thread *t, bool new_data)
{
    atomic_store(&t->loaded, new_data ? LOADED_NEW : LOADED_SAME);
    loop_call(&t->loop);
}

void control_thread_stop(struct control_thread *t)
{
    atomic_store(&t->stop_asked, true);
    loop_call(&t->loop);
}

void control_thread_take_given(struct control_thread *t, struct givens *to)
{
    pthread_mutex_lock(&t->lock);
    *to = t->given;
    t->given = (struct givens){0};
    pthread_mutex_unlock(&t->lock);
}

static void drop_given(struct control_thread *t)
{
    for (size_t i = 0; i < t->given.n; i++) {
        close(t->given.at[i].fd);
        chain_free(&t->given.at[i].unread, &t->graves);
    }
    vec_free(&t->given);
}

void control_thread_free(struct control_thread *t)
{
    if (t->is_running) {
        atomic_store(&t->over, true);
        loop_call(&t->loop);
        check(pthread_join(t->thread, NULL) == 0);
    }
    cluster_files_free(&t->files);
    if (t->data_loop == NULL)
        return; /* it has nothing yet */
    storage_stop(&t->storage);
    lines_free(&t->links);
    lines_free(&t->guests);
    if (t->control != NULL)
        control_free(t->control);
    control_out_free(&t->out);
    doors_close_all(&t->doors, &t->loop);
    doors_close_all(&t->move.doors, &t->loop);
    drop_given(t);
    word_queue_free(&t->up);
    word_queue_free(&t->down);
    vec_free(&t->words);
    pthread_mutex_destroy(&t->lock);
    graves_free(&t->graves);
    loop_free(&t->loop);
}
