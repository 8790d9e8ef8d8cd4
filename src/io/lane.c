/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/lane.h"

#include <signal.h>

#include "base/check.h"

static struct job *first_of(struct list *l)
{
    if (list_empty(l))
        return NULL;
    struct list *first = l->next;
    list_drop(first);
    return CONTAINER_OF(first, struct job, in);
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        struct job *j = first_of(&l->queue);
        if (j == NULL && l->stop)
            break;
        if (j == NULL) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        j->run(j);
        pthread_mutex_lock(&l->lock);
        bool first = list_empty(&l->done);
        list_push(&l->done, &j->in);
        if (first) /* the owner empties the list whole: one call is enough */
            loop_call(l->loop);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum err lane_start(struct lane *l, const char *name, size_t max, struct loop *loop)
{
    *l = (struct lane){.max = max, .loop = loop};
    list_init(&l->queue);
    list_init(&l->done);
    check(pthread_mutex_init(&l->lock, NULL) == 0);
    check(pthread_cond_init(&l->work, NULL) == 0);
    sigset_t all, before;
    sigfillset(&all); /* signals are the data thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&l->thread, NULL, lane_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return ERR_LIMIT;
    (void)pthread_setname_np(l->thread, name); /* for people who look at top -H */
    return ERR_OK;
}

bool lane_give(struct lane *l, struct job *j)
{
    if (l->given >= l->max)
        return false;
    l->given++;
    list_init(&j->in);
    pthread_mutex_lock(&l->lock);
    list_push(&l->queue, &j->in);
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    return true;
}

struct job *lane_take(struct lane *l)
{
    if (l->given == 0)
        return NULL;
    pthread_mutex_lock(&l->lock);
    struct job *j = first_of(&l->done);
    pthread_mutex_unlock(&l->lock);
    if (j != NULL)
        l->given--;
    return j;
}

void lane_stop(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    check(pthread_join(l->thread, NULL) == 0);
}
