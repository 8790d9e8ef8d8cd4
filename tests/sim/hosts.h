/* SPDX-License-Identifier: BSD-3-Clause */

/* Whole nodes, many of them, in the false world: on each host a control plane (planes.h) and, in the place
 * of its false data plane, a real one with a log on a disk of its own.
 *
 *     host      what the shell is to a node: connections, links, words, its disk, the start (host.c)
 *     callers   clients of any node, who write down what they asked and were answered (callers.c)
 *     proxies   data planes that own nothing, with relays that follow the map; callers ask through them, too (proxies.c)
 *     troubles  kills, power cuts, stops, stalls, cuts, slow disks, clocks, joins, FORGET (plights.c); some of them when
 *               they are least wanted (moments.c)
 *     checks    after each event, and of the histories at the end (hosts.c); of copies (copies.c)
 *
 * A packet that comes is taken at once; replies leave a little later (RELEASE), and a process may be
 * stopped, or die, between the two. */
#ifndef HOSTS_H
#define HOSTS_H

#include "node/node.h"
#include "relay/relay.h"
#include "resp/reply.h"
#include "tests/sim/history.h"
#include "tests/sim/planes.h"
#include "tests/sim/sim_start.h"
#include "wire/hello.h"

enum { PROXIES_MAX = 3, FIRST_PROXY = PLANES_CLIENTS - PROXIES_MAX /* their numbers */ };
enum { HOSTS_MAX = 8, CALLERS = 6, GROUPS = 24, HOST_TEXT_BYTES = 16 * 1024 * 1024 };
enum { CALL_COMMANDS = 8 };

/* ------------------------------------------------------------------------- a host */

struct hosts;
struct door { /* a connection that came to the data plane */
    struct host *host;
    uint32_t number;
    size_t conn;
    bool opened, held, gone;
    uint8_t use; /* enum peer_use */
    struct node_id from;
    uint32_t incarnation;
    struct buf in;
};

struct tie { /* a link from this node to another */
    struct host *host;
    uint32_t link;
    size_t conn;
    uint8_t use;
    struct node_id peer;
    struct hello *hello; /* while it greets */
    bool of_map;         /* a relay's: `link` is its number, and nothing else is here */
    bool forged;         /* BREAK_ACKS_EARLY: something was sent, and an ack of it comes */
    struct buf unread;
};

struct carried { /* a word between the two planes */
    struct word word;
    struct mono due;
};
struct carriage {
    VEC(struct carried) words; /* those before `taken` have come; all of them: it is empty again */
    size_t taken;
    struct heap_node due;
};

struct host {
    struct hosts *world;
    struct plane *plane;
    struct proxy *proxy; /* whose it is; NULL: a node's. Then there is no disk, and nothing of what is behind `back` */
    struct node *node; /* NULL: it is down */
    struct node_world node_world;
    struct options options;
    struct log log;
    struct node_out out;
    struct sim_disk disk; /* of the node's log; the plane's has the controller's */
    VEC(struct disk_done) done;
    struct heap_node wake, release;
    struct carriage down, up;
    VEC(struct door *) doors; /* by number; NULL: free */
    VEC(struct tie *) ties;
    VEC(uint32_t) took;
    bool stall_next;          /* it stands still between the next command and its reply */
    bool is_leaving, forgotten; /* it is to be no member any more; it is none */
    bool given_up;            /* is_leaving, and DOWN: counted as lost */
    uint64_t health_index;    /* of the newest entry about its health, */
    int64_t health_us;        /* which came then */
    int64_t wall_ms;          /* its wall clock is off by this */
    int64_t handed_us;        /* it last proposed to hand slots over */
    int64_t bad_disk_us;      /* since then its log's disk may have taken nothing */
    VEC(int64_t) lacks;       /* of each run: what it did from then on its disk may lack; INT64_MAX: it has all */
    uint32_t ended_run;       /* the newest that ended, and where it was then in each group's slot */
    struct position ended_at[GROUPS];
    int64_t unsynced_us;      /* what it did then or later was perhaps not synced when it ended */
    uint64_t fences[SLOTS];   /* as told in reports */
    uint64_t checked;         /* the applied map when node_check was last asked */
    struct heap_node back;    /* it goes on, or is started again */
    struct sim_start start;
    enum { LOADED, LOAD_READS, LOAD_SETTLES, LOAD_MENDS } loading;
    int64_t load_us;          /* so long its next start reads: clients are answered LOADING */
    unsigned moments, serves; /* what it was in the midst of when it was looked at last, a bit each; slots it served */
    struct heap_node load;    /* the end of that, or of what the control plane wrote then */
};

struct proxy {
    struct host host;
    struct relay *relay; /* NULL: it is down */
    struct relay_out out;
    struct heap_node due;
    char seeds[96];
};

/* ------------------------------------------------------------------------- callers */

enum call_what { CALL_ONE, CALL_MULTI, CALL_QUEUED, CALL_EXEC, CALL_WATCH, CALL_MGET, CALL_MSET };

struct call_sent { /* one command that is owed a reply */
    enum call_what what;
    uint32_t parts_n;
    struct { unsigned group; size_t op; } parts[HISTORY_PARTS]; /* what it is in histories; EXEC: one for all */
};

struct caller {
    struct hosts *world;
    unsigned number;
    size_t conn; /* SIZE_MAX: none */
    bool open;
    bool of_member; /* who was asked was a member then, or a proxy */
    struct answer_reader *reader;
    struct call_sent sent[16];
    size_t sent_n, answered_n;
    struct heap_node due;  /* it sends, dials, or loses patience */
    struct mono patience;
    unsigned step;         /* of a transaction that watches */
    unsigned watch_group;
    int64_t watch_value;
    uint64_t good_n;       /* answers that are no errors */
    uint64_t awaited_n;    /* so many there are to be before the run ends */
    size_t last[GROUPS];   /* place + 1 of its connection's newest op; 0: none */
};

/* ----------------------------------------------------------------------- the world */

enum plight {
    PLIGHT_KILL, PLIGHT_POWER, PLIGHT_STOP, PLIGHT_STALL, PLIGHT_STALL_DATA, PLIGHT_STALL_CONTROL, PLIGHT_CUT,
    PLIGHT_CUT_ONE_WAY, PLIGHT_LEADER, PLIGHT_SLOW, PLIGHT_WALL, PLIGHT_DRIFT, PLIGHT_JOIN, PLIGHT_FORGET,
    PLIGHT_LOADING, PLIGHT_FULL, PLIGHT_FAIL, PLIGHT_FAIL_RAFT, PLIGHT_LAG, PLIGHT_BREAK, PLIGHTS_DRAWN,
    PLIGHT_LEAVE = PLIGHTS_DRAWN, /* drawn: and no part of peace alone */
    PLIGHT_SETTINGS,              /* of one seed in four */
    PLIGHT_PROXY,                 /* where there are any */
    PLIGHT_MOMENT,                /* of every second one with copies, */
    PLIGHT_LOSS, PLIGHTS          /* and every fourth */
};
const char *plight_name(enum plight p);

/* Who stands in place of the seeds' clients: those of a scenario. */
struct guests_ops {
    void (*dialed)(void *client, bool good);
    void (*bytes)(void *client, struct slice in);
    void (*closed)(void *client);
    bool (*due)(struct hosts *w, struct heap_node *n);
    void (*look)(struct hosts *w); /* after each event */
};

struct record_seen { uint64_t key; uint32_t crc, len; int64_t us; /* when it was first seen */ };

struct in_sync { /* of a group's slot, by the newest map that anybody knows */
    unsigned n, needed; /* W of them, the weaker where it is not settled */
    bool electing;      /* it has no primary */
    uint8_t host[MAP_COPIES];
    uint32_t incarnation[MAP_COPIES];
    int64_t since[MAP_COPIES]; /* it is */
    bool elected[MAP_COPIES];  /* into it: it was no member before */
};

enum { PROPOSALS = 4 };

struct hosts {
    struct planes planes; /* first */
    const struct guests_ops *ops;
    int64_t word_max_us, release_max_us, disk_us; /* delays drawn up to; disk_us 0: drawn */
    uint64_t seed;
    enum sim_break broken;
    bool peace;            /* nodes join and leave, nothing else happens: no client may be refused anything */
    struct host host[HOSTS_MAX];
    struct proxy proxy[PROXIES_MAX];
    size_t first_n, proxies_n;
    struct caller callers[CALLERS];
    struct history histories[GROUPS];
    struct rng rng, load_rng; /* of troubles; of callers */
    enum appendfsync policy;
    bool load_on;
    int64_t values;        /* given to writes so far: each is unique */
    struct heap_node plight_due[PLIGHTS], mend_due, calm_due, tick_due, second_due;
    unsigned awaited;      /* the moment in which a host is to be hit next, a bit; 0: none */
    int64_t await_until_us, busy_until_us; /* callers think less */
    bool has[PLIGHTS];
    uint64_t fired[PLIGHTS];
    struct record_seen *records;
    size_t records_n, records_cap;
    uint64_t seen_index[HOSTS_MAX];
    struct in_sync in_sync[GROUPS];
    struct in_sync proposed[GROUPS][PROPOSALS]; /* the newest first; `since` says nothing */
    uint64_t copies_index; /* the map's that it is of */
    unsigned copies;       /* replication-factor */
    uint32_t quorum;       /* write-quorum; both as it began */
    bool settings_back;    /* they are to be so again, */
    bool altered;          /* BREAK_COPY_ALTERED: it was */
    uint64_t skipped;      /* BREAK_SETTLE_SKIPPED: settings up to this index were called settled */
    size_t part_bytes;     /* of dumps; */
    int64_t backlog_bytes; /* repl-backlog-size */
    int64_t rewrite_bytes; /* logs over that are rewritten, now and then; 0: none is */
    bool short_of_memory;  /* each node has memory for some of the keys only: so in one seed of twelve, else, */
    int64_t maxmemory;     /* 0: it has for all */
    enum maxmemory_policy maxmemory_policy;
    uint64_t evicted_n; /* by the runs that there were when trouble was over */
    uint64_t calls_n, answers_n, unsure_n, refused_n, loading_n, undecided_n, losses_n, given_up_n, stopwatch;
};

/* ---- hosts.c */
void hosts_init(struct hosts *w, uint64_t seed, unsigned n, enum sim_break broken);
void hosts_copies(struct hosts *w, unsigned copies); /* before the first host is added */
void hosts_free(struct hosts *w);
void hosts_run_seed(struct hosts *w);
struct host *hosts_add(struct hosts *w, int join); /* an empty host; -1: it founds a cluster */
void hosts_join(struct hosts *w); /* one more, and it starts */
void hosts_say(struct hosts *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t hosts_draw(struct rng *from, int64_t mean_us); /* exponential */
void hosts_record(struct hosts *w, struct host *h, const struct chain *bytes); /* of a log, on their way to the disk */
struct host *hosts_at(struct hosts *w, uint32_t number); /* a node's, or a proxy's */
int64_t hosts_recorded_us(struct hosts *w, unsigned slot, uint64_t epoch, uint64_t seq); /* INT64_MAX: never */
struct host *hosts_of(struct plane *p);
bool hosts_leased(struct host *h); /* truly, by its own clock */
bool hosts_serves(struct host *h, struct bits *to); /* the slots it may acknowledge for now (7, 26) */

/* ---- host.c */
void host_start(struct host *h);
void host_begin(struct host *h, const struct node_identity *id); /* its node; `options` are set */
void host_settled(struct plane *p);
void host_kill(struct host *h, bool power);
void host_stop(struct host *h); /* SIGTERM */
bool host_alter(struct host *h, struct slice key); /* its value, in memory alone; false: it is not there */
void host_wipe(struct host *h); /* both disks are new; it is down */
void host_freeze(struct host *h, bool data, bool control); /* false, false: it goes on */
bool host_due(struct host *h, struct heap_node *n);
void host_word(struct plane *p, struct word *w);
void host_pulse(struct plane *p, struct control_pulse *to);
void host_given(struct plane *p, size_t conn, struct control_give *g);
void host_accepted(struct hosts *w, size_t conn);
void host_dialed(struct hosts *w, size_t conn, enum control_dialed how);
void host_bytes(struct hosts *w, size_t conn, bool at_a, struct slice in);
void host_closed(struct hosts *w, size_t conn, bool at_a);
void tie_dial(struct host *h, const struct tie *t, uint16_t port); /* a link to a cluster port; t: what it is to be */
void tie_free(struct host *h, struct tie *t);

/* ---- proxies.c */
void proxies_begin(struct hosts *w);
bool proxies_have_map(struct hosts *w);
bool proxies_trouble(struct hosts *w); /* something befalls one of them; false: it is in trouble */
void proxies_calm(struct hosts *w);
void proxies_end(struct hosts *w); /* of trouble: all come back */
bool proxies_due(struct hosts *w, struct heap_node *n);
void proxy_kill(struct proxy *p);
void proxy_ended(struct proxy *p); /* by itself: it is started again */
void proxy_dialed(struct proxy *p, struct tie *t, bool through);
void proxy_bytes(struct proxy *p, struct tie *t, struct slice in);
void proxy_closed(struct proxy *p, struct tie *t);

/* ---- callers.c */
extern const struct guests_ops callers_ops;
void callers_begin(struct hosts *w);
void callers_end(struct hosts *w); /* who is not answered now never is */

/* ---- copies.c */
void copies_look(struct hosts *w, const struct map *m); /* somebody knows this map */
void copies_proposed(struct hosts *w, const struct map *m, const struct map_entry *e); /* an ISR entry, by who has this map */
void copies_left(struct host *h); /* its run ends now */
void copies_ended(struct hosts *w, struct host *h, int64_t since); /* about to; from then on its disk may lack what it did */
bool copies_are_full(struct planes *w); /* all slots have as many in sync as are wanted */
void copies_alter(struct hosts *w); /* BREAK_COPY_ALTERED */
void copies_scrubbed(struct hosts *w); /* has scrubbing found anything? */
void copies_compare(struct hosts *w);   /* nobody writes any more: they are equal */

/* ---- sim_settings.c */
bool settings_change(struct hosts *w, struct host *h); /* one is to change, at this host */
void settings_look(struct hosts *w); /* trouble is over: they are to be what they were */
void settings_skip(struct hosts *w); /* what was set is called settled, whoever knows of it and whatever is held */

/* ---- moments.c */
bool moments_await(struct hosts *w, struct host *h); /* one of them, for a while; what comes to h may bring it about */
void moments_look(struct hosts *w);

/* ---- plights.c */
void plights_begin(struct hosts *w);
void plights_end_host(struct hosts *w, struct host *h, bool power);
bool plights_lag(struct hosts *w, struct host *h);
bool plights_isolate(struct hosts *w, struct plane *p); /* NULL: false */
void plights_may_lose(struct hosts *w, struct host *h, bool power); /* it ends now, or has to */
bool plights_due(struct hosts *w, struct heap_node *n);
void plights_look(struct hosts *w); /* who cannot go on is ended */
void plights_end(struct hosts *w);

#endif
