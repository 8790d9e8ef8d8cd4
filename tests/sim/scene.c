/* SPDX-License-Identifier: BSD-3-Clause */

/* Lines of a cluster's scenario; T: 10ms, 3s; N, M: a node; SET: nodes, with blanks between:
 *
 *     nodes N [NAME=VALUE ...]   so many, with these settings of the cluster, appendfsync=always or seed=N; the
 *                                rest begins when every slot is served, or at once with the word `forming`
 *     join | found               one more node, which joins node 1, or is a cluster of its own
 *     client C[@N]: WORDS        a client's command; it connects to N, or to the node of its number. A word
 *                                NAME@N is a key of a slot whose primary was N when it was first named; slot:NAME@N
 *                                is that slot, id@N is N's name; *N is a word of N MiB
 *     hang up C                  the client closes its connection
 *     run T                      time passes
 *     wait whole [T]             ... until all that run know one map and every slot is served (T: 30s)
 *     cut SET | SET              neither is heard by the other; cut SET > SET: the first is not heard by the second
 *     heal                       no cuts any more
 *     line T                     a MiB takes so long from one node to another
 *     kill N | power cut N | start N | shut down N
 *     load N T                   N's next start takes so long to read its log
 *     wipe N                     N, which is down, gets new disks
 *     stop N [data | control]    SIGSTOP, or one plane hangs; continue N
 *     disk N slow T [both] | full | room | fail sync | fail write      of its log; and of the controller's
 *     wall N T                   N's wall clock jumps ahead
 *     drift N PPM                its clock gains so much from now on
 *     alter N NAME@M             the key's value in N's memory is another one, and nobody was told */
#include "tests/sim/scene.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "core/map/map_setting.h"
#include "node/cluster.h"
#include "resp/resp_write.h"
#include "tests/sim/hosts.h"
#include "tests/sim/sim_model.h"

enum { SCENE_CLIENTS = 8, SCENE_KEYS = 32, FORM_US = 30 * 1000 * 1000, BEGIN_US = 5 * 1000 * 1000, PACKET_US = 500, DISK_US = 1000 };

struct scene_client {
    struct scene *scene;
    unsigned number;
    size_t conn; /* SIZE_MAX: none */
    uint32_t at;
    bool open;
    struct answer_reader *reader;
    struct chain unsent; /* until it is connected */
};

struct scene_key { /* NAME@N, and the key it stands for */
    char name[64], key[96];
    unsigned slot;
};

struct seen { /* of a host, when it was last looked at */
    bool leads, leased;
    struct mono lease; /* its end, by its own clock */
};

struct scene {
    struct hosts world; /* first */
    struct buf *to;     /* NULL: nothing is told yet */
    struct buf *answer;
    struct map map;     /* the newest that was told of */
    VEC(struct node_id) names[HOSTS_MAX]; /* a host's, also before its disks were wiped */
    struct mono begun;
    bool there;         /* `nodes` was said */
    struct scene_client clients[SCENE_CLIENTS];
    struct scene_key keys[SCENE_KEYS];
    size_t keys_n;
    struct seen seen[HOSTS_MAX];
    char mistake[200];
};

/* --------------------------------------------------------------------------- telling */

/* What `who` (0: nobody) shows at this moment of the world. */
__attribute__((format(printf, 4, 5))) static void tell_at(struct scene *s, struct mono at, unsigned who,
                                                          const char *format, ...)
{
    char text[2000];
    va_list args;
    if (s->to == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text_add(s->to, "[%6lld] ", (long long)((at.us - s->begun.us) / 1000));
    if (who > 0)
        text_add(s->to, "%u > ", who);
    text_add(s->to, "%s\n", text);
}

#define TELL(s, who, ...) tell_at(s, (s)->world.planes.now, who, __VA_ARGS__)

/* The number of the host that is called so; 0: there is none. */
static unsigned number_of(const struct scene *s, const struct node_id *id)
{
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        for (size_t k = 0; k < s->names[i].n; k++)
            if (node_id_equal(&s->names[i].at[k], id))
                return i + 1;
    return 0;
}

static void learn_names(struct scene *s)
{
    for (unsigned i = 0; i < s->world.planes.n; i++) {
        const struct control *c = s->world.planes.at[i].control;
        if (c != NULL && number_of(s, control_id(c)) == 0)
            *vec_add(&s->names[i]) = *control_id(c);
    }
}

static unsigned place_number(const struct scene *s, const struct map *m, uint16_t place)
{
    return place < m->nodes.n && m->nodes.at[place].used ? number_of(s, &m->nodes.at[place].id) : 0;
}

static const char *serving_text(const struct scene *s, const struct map *m, const struct map_slot *slot, char to[80])
{
    int n = slot->primary == MAP_NOBODY ? snprintf(to, 80, "no primary, isr {")
                                        : snprintf(to, 80, "primary %u, isr {", place_number(s, m, slot->primary));
    for (unsigned i = 0; i < slot->isr_n; i++)
        n += snprintf(to + n, 80 - (size_t)n, i > 0 ? " %u" : "%u", place_number(s, m, slot->isr[i]));
    snprintf(to + n, 80 - (size_t)n, "}");
    return to;
}

static bool same_serving(const struct map_slot *a, const struct map_slot *b)
{
    return a->primary == b->primary && a->isr_n == b->isr_n &&
           memcmp(a->isr, b->isr, a->isr_n * sizeof(a->isr[0])) == 0;
}

/* In a new epoch, or with others in sync. */
static bool is_changed(const struct scene *s, const struct map *m, unsigned slot)
{
    return m->slots[slot].epoch != s->map.slots[slot].epoch || !same_serving(&m->slots[slot], &s->map.slots[slot]);
}

/* Great shares in tenths: which slots are whose is the ring's matter. */
static const char *share_text(unsigned n, char to[40])
{
    if (n == SLOTS)
        snprintf(to, 40, "all slots");
    else if (n < SLOTS / 20)
        snprintf(to, 40, "%u slot%s", n, n == 1 ? "" : "s");
    else
        snprintf(to, 40, "0.%u of all slots", (n * 10 + SLOTS / 2) / SLOTS);
    return to;
}

static void tell_slots(struct scene *s, const struct map *m, unsigned who)
{
    char text[80], share[40];
    bool *told = mem_zero(SLOTS);
    for (unsigned first = 0; first < SLOTS; first++) {
        unsigned n = 0;
        if (told[first] || !is_changed(s, m, first))
            continue;
        for (unsigned i = first; i < SLOTS; i++) {
            bool like = is_changed(s, m, i) && same_serving(&m->slots[i], &m->slots[first]);
            told[i] |= like;
            n += like;
        }
        TELL(s, who, "%s: %s", share_text(n, share), serving_text(s, m, &m->slots[first], text));
    }
    for (size_t i = 0; i < s->keys_n; i++) {
        const struct map_slot *slot = &m->slots[s->keys[i].slot];
        if (is_changed(s, m, s->keys[i].slot))
            TELL(s, who, "%s: epoch %llu, %s", s->keys[i].name, (unsigned long long)slot->epoch,
                 serving_text(s, m, slot, text));
    }
    mem_free(told);
}

static void tell_node(struct scene *s, const struct map *m, uint16_t place, unsigned who)
{
    static const char *const healths[] = {[MAP_UP] = "well", [MAP_SUSPECT] = "SUSPECT", [MAP_DOWN] = "DOWN"};
    static const struct map_node nothing;
    const struct map_node *new = place < m->nodes.n ? &m->nodes.at[place] : &nothing;
    const struct map_node *old = place < s->map.nodes.n ? &s->map.nodes.at[place] : &nothing;
    bool same = new->used && old->used && node_id_equal(&new->id, &old->id);
    if (old->used && !same)
        TELL(s, who, "node %u is no member any more", number_of(s, &old->id));
    if (new->used && !same)
        TELL(s, who, "node %u is a member", number_of(s, &new->id));
    if (same && new->incarnation != old->incarnation)
        TELL(s, who, "node %u was started again", number_of(s, &new->id));
    if (same && new->health != old->health)
        TELL(s, who, "node %u is %s", number_of(s, &new->id), healths[new->health]);
    if (same && new->leaving && !old->leaving)
        TELL(s, who, "node %u is to leave", number_of(s, &new->id));
}

static void tell_map(struct scene *s, const struct map *m, unsigned who)
{
    size_t places = m->nodes.n > s->map.nodes.n ? m->nodes.n : s->map.nodes.n;
    for (uint16_t i = 0; i < places; i++)
        tell_node(s, m, i, who);
    for (size_t i = 0; i < MAP_SETTINGS && s->map.index > 0; i++) {
        const struct map_setting *row = &map_setting_rows[i];
        if (map_setting_value(&m->settings, row) != map_setting_value(&s->map.settings, row))
            TELL(s, who, "%s is %u", row->name, map_setting_value(&m->settings, row));
    }
    if (m->slots_ver != s->map.slots_ver)
        tell_slots(s, m, who);
    map_copy(&s->map, m);
}

static void look_at_host(struct scene *s, unsigned i)
{
    struct host *h = &s->world.host[i];
    struct seen *seen = &s->seen[i];
    if (h->node == NULL) {
        *seen = (struct seen){0};
        return;
    }
    bool leased = hosts_leased(h), leads = control_leads(h->plane->control);
    if (leased && !seen->leased)
        TELL(s, i + 1, "has a lease");
    if (!leased && seen->leased) /* which it had until then, even if nothing happened at that moment */
        tell_at(s, mono_earlier(s->world.planes.now, (struct mono){seen->lease.us - h->plane->skew_us}), i + 1,
                "its lease is over");
    if (leads != seen->leads)
        TELL(s, i + 1, leads ? "leads" : "leads no more");
    *seen = (struct seen){leads, leased, h->plane->lease};
}

/* Of a node that is alone in a cluster of its own nothing is told but itself. */
static bool is_of_all(const struct scene *s, const struct map *m)
{
    return s->map.index == 0 || cluster_id_equal(&m->cluster, &s->map.cluster);
}

static void look(struct hosts *w)
{
    struct scene *s = (struct scene *)w;
    learn_names(s);
    for (unsigned i = 0; i < w->planes.n; i++) {
        const struct map *m = w->host[i].node != NULL ? control_map(w->planes.at[i].control) : NULL;
        if (m != NULL && m->index > s->map.index && is_of_all(s, m))
            tell_map(s, m, i + 1);
    }
    for (unsigned i = 0; i < w->planes.n; i++)
        look_at_host(s, i);
}

/* --------------------------------------------------------------------------- clients */

static void client_forget(struct scene_client *c)
{
    c->conn = SIZE_MAX;
    c->open = false;
    answer_reader_free(c->reader);
    c->reader = NULL;
    chain_free(&c->unsent, NULL);
}

static void client_dialed(void *client, bool good)
{
    static const struct answer_limits limits = {.bytes_max = HOST_TEXT_BYTES, .elements_max = SLOTS};
    struct scene_client *c = client;
    if (!good) {
        TELL(c->scene, 0, "client %u does not reach %u", c->number, c->at);
        client_forget(c);
        return;
    }
    c->open = true;
    c->reader = answer_reader_new(&limits);
    planes_send(&c->scene->world.planes, c->conn, true, &c->unsent);
}

static void client_bytes(void *client, struct slice in)
{
    struct scene_client *c = client;
    struct answer *a;
    check(answer_feed(c->reader, in) == ERR_OK);
    while (answer_next(c->reader, &a) == ERR_OK && a != NULL) {
        struct buf text;
        buf_init(&text, HOST_TEXT_BYTES);
        text_answer(&text, a);
        TELL(c->scene, c->at, "client %u %.*s", c->number, (int)text.n, text.p);
        buf_free(&text);
        answer_free(a);
    }
}

static void client_closed(void *client)
{
    struct scene_client *c = client;
    TELL(c->scene, c->at, "client %u hung up", c->number);
    client_forget(c);
}

static bool nothing_due(struct hosts *w, struct heap_node *n)
{
    (void)w;
    (void)n;
    return false;
}

static const struct guests_ops ops = {.dialed = client_dialed, .bytes = client_bytes, .closed = client_closed,
                                      .due = nothing_due, .look = look};

/* ---------------------------------------------------------------------- reading words */

__attribute__((format(printf, 2, 3))) static bool mistake(struct scene *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->mistake, sizeof(s->mistake), format, args);
    va_end(args);
    return false;
}

static bool word_is(const struct words *w, size_t i, const char *text)
{
    return i < w->list.n && slice_is(w->list.at[i], text);
}

/* A node that there is. */
static struct host *host_get(struct scene *s, struct slice word)
{
    uint64_t n;
    if (!num_get_u64(word, &n) || n == 0 || n > s->world.planes.n) {
        mistake(s, "there is no node %.*s", (int)(word.n < 40 ? word.n : 40), word.p);
        return NULL;
    }
    return &s->world.host[n - 1];
}

static struct host *host_at(struct scene *s, const struct words *w, size_t i)
{
    if (i < w->list.n)
        return host_get(s, w->list.at[i]);
    mistake(s, "which node?");
    return NULL;
}

bool scene_time(const struct words *w, size_t i, int64_t *us)
{
    uint64_t v;
    if (i >= w->list.n)
        return false;
    struct slice text = w->list.at[i];
    bool ms = text.n > 2 && memcmp(text.p + text.n - 2, "ms", 2) == 0;
    if (text.n < 2 || text.p[text.n - 1] != 's' || !num_get_u64(slice_head(text, text.n - (ms ? 2 : 1)), &v) ||
        v > 1000 * 1000)
        return false;
    *us = (int64_t)v * (ms ? 1000 : 1000 * 1000);
    return true;
}

/* NAME@N, when it is named first: a key of the name's beginning whose slot N is primary of. */
static bool key_choose(struct scene *s, struct scene_key *k, struct slice name, struct slice node)
{
    struct host *h = host_get(s, node);
    if (h == NULL)
        return false;
    for (unsigned tag = 0; tag < 100000; tag++) {
        snprintf(k->key, sizeof(k->key), "{%u}%.*s", tag, (int)name.n, name.p);
        k->slot = slot_of(slice_str(k->key));
        uint16_t primary = s->map.slots[k->slot].primary;
        if (place_number(s, &s->map, primary) == h->plane->number + 1)
            return true;
    }
    return mistake(s, "node %u is no slot's primary", h->plane->number + 1);
}

/* What a client's word stands for; .p NULL: a mistake. */
static struct slice word_meant(struct scene *s, struct slice word, char id[64])
{
    static const struct slice none;
    const char *at = word.n > 0 ? memchr(word.p, '@', word.n) : NULL;
    if (at != NULL && word.n > 5 && memcmp(word.p, "slot:", 5) == 0) {
        struct slice key = word_meant(s, slice_from(word, 5), id);
        if (key.p == NULL)
            return none;
        snprintf(id, 64, "%u", slot_of(key));
        return slice_str(id);
    }
    struct slice node = at != NULL ? slice_from(word, (size_t)(at + 1 - word.p)) : none;
    if (at == NULL || at == word.p || node.n == 0)
        return word;
    if (at - word.p == 2 && memcmp(word.p, "id", 2) == 0) {
        struct host *h = host_get(s, node);
        if (h == NULL)
            return none;
        for (size_t i = 0; i < sizeof(h->plane->id_if_new.b); i++)
            snprintf(id + 2 * i, 3, "%02x", h->plane->id_if_new.b[i]);
        return slice_str(id);
    }
    for (size_t i = 0; i < s->keys_n; i++)
        if (slice_is(word, s->keys[i].name))
            return slice_str(s->keys[i].key);
    struct scene_key *k = &s->keys[s->keys_n];
    if (s->keys_n == SCENE_KEYS || word.n >= sizeof(k->name)) {
        mistake(s, "too many keys, or one that is too long");
        return none;
    }
    snprintf(k->name, sizeof(k->name), "%.*s", (int)word.n, word.p);
    if (!key_choose(s, k, word, node))
        return none;
    s->keys_n++;
    return slice_str(k->key);
}

/* ------------------------------------------------------------------------------ lines */

static bool setting(struct scene *s, struct slice word, struct map_settings *to, uint64_t *seed, bool *forming)
{
    const char *eq = memchr(word.p, '=', word.n);
    struct slice name = eq != NULL ? slice_of(word.p, (size_t)(eq - word.p)) : word;
    struct slice text = eq != NULL ? slice_from(word, name.n + 1) : (struct slice){0};
    const struct map_setting *row = map_setting_find(name);
    int64_t value;
    if (eq == NULL && slice_is(word, "forming"))
        return *forming = true;
    if (slice_is(name, "seed") && num_get_u64(text, seed))
        return true;
    if (slice_is(name, "appendfsync") && (slice_is(text, "always") || slice_is(text, "everysec"))) {
        s->world.policy = slice_is(text, "always") ? APPENDFSYNC_ALWAYS : APPENDFSYNC_EVERYSEC;
        return true;
    }
    if (row == NULL)
        return mistake(s, "'%.*s' is no setting of a cluster", (int)(name.n < 40 ? name.n : 40), name.p);
    bool all = slice_is(text, "all") || slice_is(text, "majority"); /* of write-quorum */
    value = slice_is(text, "majority") ? MAP_W_MAJORITY : MAP_W_ALL;
    if ((!all && !num_get_i64(text, &value)) || !map_setting_fits(row, value))
        return mistake(s, "%s is not in its range", row->name);
    *map_setting_at(to, row) = (uint32_t)value;
    return true;
}

/* All that run know one map, have leases and a share; every slot is served, and where it is wanted. */
static bool is_whole(struct planes *planes)
{
    struct scene *s = (struct scene *)planes;
    unsigned served = 0;
    for (size_t i = 0; i < planes->n; i++) {
        struct host *h = &s->world.host[i];
        struct bits its;
        if (h->node == NULL)
            continue;
        if (!hosts_serves(h, &its) || h->plane->frozen || h->plane->data_frozen ||
            h->node->cluster->map.index != s->map.index)
            return false;
        if (bits_n(&its) == 0)
            return false; /* its share is on its way */
        served += (unsigned)bits_n(&its);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (s->map.slots[i].want_n > 0 && s->map.slots[i].want[0] != s->map.slots[i].primary)
            return false;
    return served == SLOTS;
}

static bool wait_whole(struct scene *s, int64_t us)
{
    if (s->world.planes.wrong[0] == '\0' && !planes_until(&s->world.planes, us, is_whole))
        return mistake(s, "not every slot is served in time");
    return true;
}

static bool do_nodes(struct scene *s, const struct words *w)
{
    uint64_t n, seed = 1;
    bool forming = false;
    struct map_settings settings;
    if (s->there || w->list.n < 2 || !num_get_u64(w->list.at[1], &n) || n < 1 || n > HOSTS_MAX)
        return mistake(s, "nodes N [NAME=VALUE ...], once, at most %d", HOSTS_MAX);
    map_settings_preset(&settings);
    settings.replication_factor = 1;
    s->world.policy = APPENDFSYNC_EVERYSEC;
    for (size_t i = 2; i < w->list.n; i++)
        if (!setting(s, w->list.at[i], &settings, &seed, &forming))
            return false;
    enum appendfsync policy = s->world.policy;
    hosts_init(&s->world, seed, (unsigned)n, BREAK_NONE);
    s->there = true;
    s->world.ops = &ops;
    s->world.policy = policy;
    s->world.word_max_us = s->world.release_max_us = 1;
    s->world.disk_us = DISK_US;
    s->world.planes.delay_least_us = PACKET_US;
    s->world.planes.delay_mean_us = 0;
    s->begun = s->world.planes.now;
    s->to = forming ? s->answer : NULL;
    for (unsigned i = 0; i < n; i++) {
        struct host *h = hosts_add(&s->world, i == 0 ? -1 : 0);
        h->plane->config.settings = settings;
        host_start(h);
    }
    bool good = forming || wait_whole(s, FORM_US);
    if (!forming) /* so that it matters little how long it took to form */
        planes_run(&s->world.planes, BEGIN_US - s->world.planes.now.us % BEGIN_US);
    s->to = s->answer;
    s->begun = forming ? s->begun : s->world.planes.now;
    return good;
}

/* *N: a word of so many MiB. */
static bool put_big(struct reply *r, struct slice word)
{
    enum { MIB = 1024 * 1024, MIB_MOST = 12 };
    uint64_t n;
    if (word.n < 2 || word.p[0] != '*' || !num_get_u64(slice_from(word, 1), &n) || n == 0 || n > MIB_MOST)
        return false;
    char *big = mem_zero(n * MIB);
    reply_bulk(r, slice_of(big, n * MIB));
    mem_free(big);
    return true;
}

static bool do_client(struct scene *s, const struct words *w)
{
    uint64_t number;
    struct chain out = {0};
    struct reply r = {.out = &out, .protocol = 2};
    struct slice name = w->list.n > 2 ? w->list.at[1] : (struct slice){0};
    const char *at = name.n > 0 ? memchr(name.p, '@', name.n) : NULL;
    size_t digits = at != NULL ? (size_t)(at - name.p) : name.n - (name.n > 0);
    if (name.n < 2 || name.p[name.n - 1] != ':' || !num_get_u64(slice_head(name, digits), &number) ||
        number >= SCENE_CLIENTS)
        return mistake(s, "client C: WORDS or client C@N: WORDS, C below %d", SCENE_CLIENTS);
    struct scene_client *c = &s->clients[number];
    struct slice node = at != NULL ? slice_of(at + 1, name.n - digits - 2) : slice_head(name, digits);
    struct host *h = c->conn == SIZE_MAX || at != NULL ? host_get(s, node) : &s->world.host[c->at - 1];
    if (h == NULL)
        return false;
    if (c->conn != SIZE_MAX && h->plane->number + 1 != c->at)
        return mistake(s, "client %u is connected to %u: hang up first", c->number, c->at);
    reply_array(&r, w->list.n - 2);
    for (size_t i = 2; i < w->list.n; i++) {
        char id[64];
        if (put_big(&r, w->list.at[i]))
            continue;
        struct slice word = word_meant(s, w->list.at[i], id);
        if (word.p == NULL) {
            chain_free(&out, NULL);
            return false;
        }
        reply_bulk(&r, word);
    }
    if (c->open) {
        planes_send(&s->world.planes, c->conn, true, &out);
        return true;
    }
    chain_append(&c->unsent, &out);
    if (c->conn == SIZE_MAX) {
        c->at = h->plane->number + 1;
        c->conn = planes_dial(&s->world.planes, PLANES_CLIENTS, h->plane->number, true, c);
    }
    return true;
}

static bool do_hang_up(struct scene *s, const struct words *w)
{
    uint64_t n;
    if (w->list.n != 3 || !num_get_u64(w->list.at[2], &n) || n >= SCENE_CLIENTS || s->clients[n].conn == SIZE_MAX)
        return mistake(s, "hang up C, of a client that is connected");
    planes_close(&s->world.planes, s->clients[n].conn, true);
    client_forget(&s->clients[n]);
    return true;
}

/* cut 1 | 2 3, cut 1 > 2 */
static bool do_cut(struct scene *s, const struct words *w)
{
    size_t middle = 1;
    while (middle < w->list.n && !word_is(w, middle, "|") && !word_is(w, middle, ">"))
        middle++;
    if (middle == 1 || middle + 1 >= w->list.n)
        return mistake(s, "cut SET | SET or cut SET > SET");
    for (size_t i = 1; i < middle; i++)
        for (size_t k = middle + 1; k < w->list.n; k++) {
            struct host *a = host_at(s, w, i), *b = host_at(s, w, k);
            if (a == NULL || b == NULL)
                return false;
            planes_cut(&s->world.planes, a->plane->number, b->plane->number, true);
            if (word_is(w, middle, "|"))
                planes_cut(&s->world.planes, b->plane->number, a->plane->number, true);
        }
    return true;
}

static bool do_heal(struct scene *s)
{
    struct planes *p = &s->world.planes;
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->n; k++)
            if (p->cut[i][k])
                planes_cut(p, i, k, false);
    return true;
}

/* What is done to a node that must run, or must not. */
static bool do_life(struct scene *s, const struct words *w, const char *what, size_t at)
{
    struct host *h = host_at(s, w, at);
    bool start = strcmp(what, "start") == 0, wipe = strcmp(what, "wipe") == 0;
    if (h == NULL)
        return false;
    if ((h->node == NULL) != (start || wipe))
        return mistake(s, "node %u %s", h->plane->number + 1, h->node == NULL ? "is down" : "runs");
    if (start)
        host_start(h);
    else if (wipe)
        host_wipe(h);
    else if (strcmp(what, "shut down") == 0)
        host_stop(h);
    else
        host_kill(h, strcmp(what, "power cut") == 0);
    return true;
}

static bool do_stop(struct scene *s, const struct words *w, bool stop)
{
    struct host *h = host_at(s, w, 1);
    bool data = word_is(w, 2, "data"), control = word_is(w, 2, "control");
    if (h == NULL)
        return false;
    if (h->node == NULL || w->list.n > 3 || (w->list.n == 3 && (!stop || !(data || control))))
        return mistake(s, "stop N [data | control] or continue N, of a node that runs");
    host_freeze(h, stop && !control, stop && !data);
    return true;
}

static bool do_disk(struct scene *s, const struct words *w)
{
    struct host *h = host_at(s, w, 1);
    if (h == NULL)
        return false;
    if (word_is(w, 2, "full"))
        h->disk.room = 0;
    else if (word_is(w, 2, "room"))
        h->disk.room = SIZE_MAX;
    else if (word_is(w, 2, "fail") && word_is(w, 3, "sync"))
        h->disk.fail_sync = true;
    else if (word_is(w, 2, "fail") && word_is(w, 3, "write"))
        h->disk.fail_write = true;
    else if (!word_is(w, 2, "slow") || !scene_time(w, 3, &h->disk.slow_us))
        return mistake(s, "disk N slow T [both], full, room, fail sync or fail write");
    if (word_is(w, 4, "both"))
        h->plane->disk.slow_us = h->disk.slow_us;
    return true;
}

static bool do_clock(struct scene *s, const struct words *w)
{
    struct host *h = host_at(s, w, 1);
    int64_t us;
    uint64_t ppm;
    if (h == NULL)
        return false;
    if (word_is(w, 0, "drift") && w->list.n == 3 && num_get_u64(w->list.at[2], &ppm) && ppm <= 1000000) {
        plane_clock(h->plane);
        h->plane->rate_ppm = (int32_t)ppm;
        return true;
    }
    if (!word_is(w, 0, "wall") || !scene_time(w, 2, &us) || h->node == NULL)
        return mistake(s, "wall N T, of a node that runs, or drift N PPM");
    h->wall_ms += us / 1000;
    plane_clock_apart(&s->world.planes, h->plane);
    return true;
}

static bool do_load(struct scene *s, const struct words *w)
{
    struct host *h = host_at(s, w, 1);
    if (h == NULL)
        return false;
    return scene_time(w, 2, &h->load_us) || mistake(s, "load N T");
}

static bool do_alter(struct scene *s, const struct words *w)
{
    struct host *h = host_at(s, w, 1);
    char id[64];
    struct slice name = h != NULL && w->list.n == 3 ? word_meant(s, w->list.at[2], id) : (struct slice){0};
    if (name.p == NULL || h->node == NULL)
        return mistake(s, "alter N NAME@M, of a node that runs");
    if (!host_alter(h, name))
        return mistake(s, "it has no such key");
    return true;
}

static bool do_new(struct scene *s, int join)
{
    if (s->world.planes.n == HOSTS_MAX)
        return mistake(s, "at most %d nodes", HOSTS_MAX);
    host_start(hosts_add(&s->world, join));
    return true;
}

static bool do_time(struct scene *s, const struct words *w)
{
    int64_t us = FORM_US;
    if (word_is(w, 0, "wait") && word_is(w, 1, "whole") && (w->list.n == 2 || scene_time(w, 2, &us)))
        return wait_whole(s, us);
    if (!word_is(w, 0, "run") || !scene_time(w, 1, &us))
        return mistake(s, "run T, as 10ms or 3s, or wait whole [T]");
    planes_run(&s->world.planes, us);
    return true;
}

bool scene_line(struct scene *s, const struct words *w)
{
    struct slice what = w->list.at[0];
    if (slice_is(what, "nodes"))
        return do_nodes(s, w);
    if (!s->there)
        return mistake(s, "a cluster's scenario begins with nodes N");
    if (slice_is(what, "client"))
        return do_client(s, w);
    if (slice_is(what, "run") || slice_is(what, "wait"))
        return do_time(s, w);
    if (slice_is(what, "cut"))
        return do_cut(s, w);
    if (slice_is(what, "heal"))
        return do_heal(s);
    if (slice_is(what, "line"))
        return scene_time(w, 1, &s->world.planes.mib_us) || mistake(s, "line T");
    if (slice_is(what, "kill") || slice_is(what, "start") || slice_is(what, "wipe"))
        return do_life(s, w, what.p[0] == 'k' ? "kill" : what.p[0] == 's' ? "start" : "wipe", 1);
    if (slice_is(what, "power") && word_is(w, 1, "cut"))
        return do_life(s, w, "power cut", 2);
    if (slice_is(what, "shut") && word_is(w, 1, "down"))
        return do_life(s, w, "shut down", 2);
    if (slice_is(what, "stop") || slice_is(what, "continue"))
        return do_stop(s, w, slice_is(what, "stop"));
    if (slice_is(what, "join") || slice_is(what, "found"))
        return do_new(s, slice_is(what, "join") ? 0 : -1);
    if (slice_is(what, "load"))
        return do_load(s, w);
    if (slice_is(what, "disk"))
        return do_disk(s, w);
    if (slice_is(what, "wall") || slice_is(what, "drift"))
        return do_clock(s, w);
    if (slice_is(what, "alter"))
        return do_alter(s, w);
    if (slice_is(what, "hang") && word_is(w, 1, "up"))
        return do_hang_up(s, w);
    return mistake(s, "'%.*s' is no word of a cluster's scenario", (int)(what.n < 40 ? what.n : 40), what.p);
}

/* -------------------------------------------------------------------- birth and death */

struct scene *scene_new(struct buf *to)
{
    struct scene *s = mem_zero(sizeof(*s));
    s->answer = to;
    map_init(&s->map);
    for (unsigned i = 0; i < SCENE_CLIENTS; i++)
        s->clients[i] = (struct scene_client){.scene = s, .number = i, .conn = SIZE_MAX};
    return s;
}

void scene_free(struct scene *s)
{
    s->to = NULL;
    if (s->there)
        hosts_free(&s->world);
    for (unsigned i = 0; i < SCENE_CLIENTS; i++)
        client_forget(&s->clients[i]);
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        vec_free(&s->names[i]);
    map_free(&s->map);
    mem_free(s);
}

const char *scene_mistake(const struct scene *s)
{
    return s->mistake;
}

const char *scene_wrong(const struct scene *s)
{
    return s->world.planes.wrong[0] != '\0' ? s->world.planes.wrong : NULL;
}
