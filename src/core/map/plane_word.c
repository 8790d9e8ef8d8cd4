/* SPDX-License-Identifier: BSD-3-Clause */

#include "core/map/plane_word.h"

void word_free(struct word *w)
{
    switch (w->type) {
    case WORD_ENTRY:
    case WORD_PROPOSE: map_entry_free(w->entry.entry); break;
    case WORD_MAP:
        if (w->map != NULL)
            map_free(w->map);
        mem_free(w->map);
        break;
    case WORD_VIEW:
        if (w->view != NULL)
            mem_free(w->view->peers);
        mem_free(w->view);
        break;
    case WORD_REPORT: mem_free(w->report.slots); break;
    case WORD_ANSWER:
    case WORD_ASK:
    case WORD_APPLIED:
    case WORD_CLOSE:
    case WORD_CLOSED: break;
    }
    *w = (struct word){0};
}
