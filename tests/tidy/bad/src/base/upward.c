/* No licence above, and an include that points up. */
#include <ev.h>
#include <hiredis/read.h>
#include <jemalloc/jemalloc.h>
#include <openssl/hmac.h>
#include <time.h>

#include "store/store.h"

/* TODO: later */
