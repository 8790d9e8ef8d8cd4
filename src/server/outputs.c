/* SPDX-License-Identifier: BSD-3-Clause */

/* Clients' output, and what one client may cost. */
#define _GNU_SOURCE
#include "server/server.h"

enum { PROXY_PAUSE_BYTES = 256 * 1024 }; /* unread by a proxy's client: it asks for no more */
enum { PEER_OUTPUT_MAX_BYTES = 64 * 1024 * 1024 }; /* unread by another node: it asks for no more */
/* a half-closed client that waits for something: no longer */
enum { ENDED_MAX_US = 60 * 1000 * 1000 };

void client_want(struct server *s, struct client *c)
{
    bool read = !c->conn.ended && !c->bad && !c->paused && !c->closing &&
                !(c->held && c->in_n >= READ_MAX_BYTES);
    watch_want(&s->loop, &c->conn.watch,
               (uint8_t)((read ? WATCH_READ : 0) | (c->conn.refused ? WATCH_WRITE : 0)));
}

void client_write(struct server *s, struct client *c)
{
    if (c->dead)
        return;
    if (c->out != NULL && c->out->n > c->owed_most)
        c->owed_most = c->out->n;
    if (c->owed_most > s->counts.output_most)
        s->counts.output_most = c->owed_most;
    if (c->upto > 0 && !c->conn.refused) {
        size_t n = conn_write(&c->conn, c->out, c->upto, &s->graves);
        c->upto -= n;
        s->counts.writes++;
        s->counts.written_bytes += n;
        if (n > 0)
            c->active = s->now;
    }
    if (c->conn.broken || (c->closing && c->upto == 0)) {
        client_die(s, c);
        return;
    }
    client_judge_output(s, c);
    if (!c->touched)
        client_want(s, c);
}

/* Memory that this client's unread output costs: its chunks, and values that nobody else has. */
static size_t output_cost(const struct chain *out)
{
    size_t sum = 0;
    for (const struct chain_part *part = out->head; part != NULL; part = part->next)
        sum += part->alloc + (part->blob != NULL && part->blob->refs == 1 ? part->n : 0);
    return sum;
}

static void close_slow(struct server *s, struct client *c, const char *which, size_t cost)
{
    char peer[ADDRESS_TEXT_BYTES];
    address_of_peer(conn_fd(&c->conn), peer);
    log_say(
        &s->log.log, LOG_LEVEL_WARNING,
        "Closing client %s: %zu bytes of unread output are over the %s client-output-buffer-limit",
        peer, cost, which);
    s->counts.output_limit_closed++;
    client_die(s, c);
}

/* Over the soft limit nothing more is executed for a client; what counts against the limits is the
 * memory its output costs, not the length of values that the keyspace holds anyway. */
void client_judge_output(struct server *s, struct client *c)
{
    const struct option_limit *l = &s->options->client_output_buffer_limit.of[CLIENT_NORMAL];
    size_t n = c->out != NULL ? c->out->n : 0, soft = (size_t)l->soft, hard = (size_t)l->hard;
    if (c->is_peer) { /* it stands for many clients: it waits, and is not closed */
        soft = PEER_OUTPUT_MAX_BYTES;
        hard = 0;
    }
    size_t pause = soft > 0 ? soft : hard;
    if (s->seats != NULL && (pause == 0 || pause > PROXY_PAUSE_BYTES))
        pause = PROXY_PAUSE_BYTES;
    bool was_paused = c->paused;
    c->paused = pause > 0 && n > pause;
    if (!c->paused) {
        c->over_since = MONO_NEVER;
        if (was_paused)
            client_again(s, c);
        return;
    }
    size_t cost = output_cost(c->out);
    if (hard > 0 && cost > hard) {
        close_slow(s, c, "hard", cost);
        return;
    }
    if (soft == 0 || cost <= soft || c->is_peer)
        c->over_since = MONO_NEVER;
    else if (c->over_since.us == MONO_NEVER.us)
        c->over_since = s->now;
    else if (mono_reached(s->now, mono_after(c->over_since, l->soft_seconds * 1000000)))
        close_slow(s, c, "soft", cost);
}

static void cron(struct server *s, struct client *c)
{
    c->owed_most = c->out != NULL ? c->out->n : 0;
    if (c->paused)
        client_judge_output(s, c);
    int64_t idle_us = s->now.us - c->active.us;
    if (s->options->timeout > 0 && !c->is_peer && idle_us > s->options->timeout * 1000000 &&
        !c->held) {
        log_say(&s->log.log, LOG_LEVEL_VERBOSE, "Closing idle client");
        client_die(s, c);
    }
    if (c->conn.ended && c->upto == 0 && s->now.us - c->ended_at.us > ENDED_MAX_US)
        client_die(s, c);
}

/* A tenth of the clients, so that each is seen once a second. */
void clients_cron(struct server *s)
{
    if (!mono_reached(s->now, s->cron))
        return;
    s->cron = mono_after(s->now, CRON_US);
    if (s->doors_shut)
        doors_want(s, true);
    s->counts.input_most -= s->counts.input_most / 16; /* forgotten within seconds */
    s->counts.output_most -= s->counts.output_most / 16;
    size_t n = s->clients.n / 10 + 1;
    for (size_t i = 0; i < n && s->clients.n > 0; i++) {
        s->cron_at = s->cron_at + 1 < s->clients.n ? s->cron_at + 1 : 0;
        struct client *c = client_at(s, (uint32_t)s->cron_at);
        if (c != NULL)
            cron(s, c);
    }
}
