/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rules 15 to 18 of docs/internals/replication.md alone: heartbeats, echoes, SUSPECT on the voters' disks, the wait, DOWN, CLEAR.
 * slot.pml takes from here that "after DOWN X, X's lease is surely over until X has applied that DOWN and voters echo it again".
 * One global clock in ticks (bounded drift is the 10 % of rule 17 and is left out); a lease is L ticks long.
 * The controller's log is a prefix order: [new voter sets,] SUSPECT X [, DOWN X, CLEAR X]. A voter holds the first lg[v] entries, on disk.
 *   -DCLEARS   DOWN and CLEAR are entries too, and X's heartbeats name the map version it has applied; without it DOWN ends the run
 *   -DCFG      the voter set changes 0,1,2 -> 0,1,2,3 -> 1,2,3 before SUSPECT (one voter at a time, as in Raft)
 *   -DSETT=n   cluster-node-timeout changes while it runs: leases are L ticks long before, n after. SET and SETTLED are entries that the
 *              leader appends when it likes, before, between or behind SUSPECT and DOWN, which is an entry too
 *   -DMUT_ATONCE   (with SETT) SET takes effect where it is applied, for leases and for the wait
 *   -DMUT_UNTOLD   (with SETT) SETTLED is appended before X is known to have applied SET
 *   -DMUT_ANYSET   (with CFG) a voter echoes whatever voter set the heartbeat names
 *   -DMUT_OLDMAP   (with CLEARS) a voter echoes a heartbeat whose map version is before the CLEAR
 *   -DMUT_DOWNECHO (with CLEARS) a voter echoes although the newest entry about X is DOWN, once X has applied it
 *   -DMUT_FORGET   SUSPECT is forgotten over a voter's restart
 *   -DMUT_APPLY    a voter stops echoing only when it knows that SUSPECT is committed
 *   -DMUT_EARLY    the wait runs from the append of SUSPECT, not from its commit
 *   -DMUT_RECEIPT  the lease is counted from the echo's arrival, not from the heartbeat's sending
 */
#ifndef L
#define L 2
#endif
#ifndef MAXT
#define MAXT 5
#endif
#define NO 255
byte t;
byte lg[4];             /* log entries on disk at voter v */
bool fg[4];             /* MUT_FORGET: it has forgotten SUSPECT */
byte hb[4] = NO, hc[4]; /* heartbeat under way to v: X's time, X's voter set */
byte ec[4] = NO;        /* echo under way from v */
byte got[4] = NO;       /* newest time echoed by v that X has */
byte xc;                /* voter set that X uses: 0, 1, 2 */
byte cm;                /* entries committed */
byte since = NO;        /* when the wait of rule 17 began */
bool down;
#ifdef CFG
#define NC 2
#else
#define NC 0
#endif
#define SUS (NC + 1)    /* log position of SUSPECT */
#ifdef CLEARS
#define LAST (NC + 3)   /* DOWN, CLEAR */
byte xv;                /* entries that X has applied: late */
byte hm[4];             /* map version of the heartbeat under way */
#else
#ifdef SETT
#define LAST 4
byte xv;                /* entries that X has applied: late */
byte pset, psettled, psus, pdown;  /* where the leader's log has them; 0: nowhere yet */
#define LOW (L < SETT -> L : SETT)
#define HIGH (L < SETT -> SETT : L)
#define HAS(n,p) ((p) != 0 && (n) >= (p))
#ifdef MUT_ATONCE
#define LEASE (HAS(xv,pset) -> SETT : L)
#define WAIT (HAS(cm,pset) -> SETT : L)
#else
/* till it is settled leases use the smaller, waits the larger */
#define LEASE (!HAS(xv,pset) -> L : (HAS(xv,psettled) -> SETT : LOW))
#define WAIT (!HAS(cm,pset) -> L : (HAS(cm,psettled) -> SETT : HIGH))
#endif
#ifdef MUT_UNTOLD
#define TOLD true
#else
#define TOLD HAS(xv,pset)
#endif
#else
#define LAST SUS
#endif
#endif
#ifndef SETT
#define HIGH L
#define LEASE L
#endif
#define INSET(c,v) ((c) == 0 && (v) != 3 || (c) == 1 || (c) == 2 && (v) != 0)
#define MAJ(c) ((c) == 1 -> 3 : 2)
#define CFGOF(n) ((n) > NC -> NC : (n))
byte n, i, k; bool valid;
inline lease() {        /* is X's lease valid now? some majority of its voter set echoed times > t - L */
  n = 0; i = 0;
  do :: i < 4 -> if :: INSET(xc,i) && got[i] != NO && got[i] + LEASE > t -> n++ :: else fi; i++ :: else -> break od;
  valid = n >= MAJ(xc); n = 0; i = 0
}
inline forget() {       /* what can no longer carry a lease is the same as nothing */
  i = 0;
  do
  :: i < 4 ->
     if :: hb[i] != NO && hb[i] + HIGH <= t -> hb[i] = NO :: else fi;
     if :: got[i] != NO && got[i] + HIGH <= t -> got[i] = NO :: else fi;
#ifndef MUT_RECEIPT
     if :: ec[i] != NO && ec[i] + HIGH <= t -> ec[i] = NO :: else fi;
#endif
     if :: hb[i] == NO -> hc[i] = 0;
#ifdef CLEARS
       hm[i] = 0
#endif
     :: else fi;
     i++
  :: else -> break
  od
}
#ifdef SETT
#define SUSPECTED psus
#else
#define SUSPECTED SUS
#endif
inline commit() {
  do
  :: cm < LAST ->
     k = CFGOF(cm + 1); n = 0; i = 0;
     do :: i < 4 -> if :: INSET(k,i) && lg[i] > cm -> n++ :: else fi; i++ :: else -> break od;
     if :: n >= MAJ(k) -> cm++; if :: cm == SUSPECTED && since == NO -> since = t :: else fi :: else -> break fi
  :: else -> break
  od
}
#ifdef CLEARS
#define SETHM(v) hm[v] = xv
#define NOHM(v) hm[v] = 0
#define NEWHM(v) || hm[v] != xv
/* the leader (voter 2) appends DOWN only after the wait; CLEAR any time after it */
#define MAYAPPEND(v) (v != 2 || lg[v] != SUS || (since != NO && cm >= SUS && t >= since + L))
#else
#define SETHM(v) skip
#define NOHM(v) skip
#define NEWHM(v)
#ifdef SETT
#define MAYAPPEND(v) (v != 2)      /* the leader: below */
#else
#define MAYAPPEND(v) true
#endif
#endif
#define V(v) \
  :: d_step { INSET(xc,v) && (hb[v] != t || hc[v] != xc NEWHM(v)) && got[v] != t -> hb[v] = t; hc[v] = xc; SETHM(v) } \
  :: d_step { hb[v] != NO && STOP(v) && SAMESET(v) && ec[v] == NO -> ECHO(v); hb[v] = NO; hc[v] = 0; NOHM(v) } \
  :: d_step { ec[v] != NO -> got[v] = STAMP(v); ec[v] = NO } \
  :: d_step { lg[v] < LAST && MAYAPPEND(v) && (v == 2 || lg[v] < lg[2]) -> lg[v]++; APPENDED(v); commit(); skip } \
  FORGET(v)
#ifdef MUT_APPLY
bool kn[4];             /* voter v knows that SUSPECT is committed */
#define STOP(v) (!kn[v])
#else
#ifdef CLEARS
#ifdef MUT_OLDMAP
#define KNOWS(v) true
#else
#define KNOWS(v) (hm[v] >= LAST)
#endif
#ifdef MUT_DOWNECHO
#define STOP(v) (lg[v] < SUS || (lg[v] >= SUS + 1 && hm[v] >= SUS + 1))
#else
/* rule 16: the newest entry about X is a committed CLEAR, and the heartbeat's map version is at or beyond it */
#define STOP(v) (lg[v] < SUS || (lg[v] == LAST && cm == LAST && KNOWS(v)))
#endif
#else
#ifdef SETT
#define STOP(v) (!HAS(lg[v],psus))
#else
#define STOP(v) (lg[v] < SUS || fg[v])
#endif
#endif
#endif
#ifdef MUT_ANYSET
#define SAMESET(v) true
#else
#define SAMESET(v) (hc[v] == CFGOF(lg[v]))
#endif
#ifdef MUT_RECEIPT
#define ECHO(v) ec[v] = hb[v]
#else
/* An echo carries X's own time: that it arrives at once is the most X can hope for, so delays here add nothing. */
#define ECHO(v) got[v] = hb[v]
#endif
#ifdef MUT_RECEIPT
#define STAMP(v) t
#else
#define STAMP(v) ec[v]
#endif
#ifdef MUT_EARLY
#define APPENDED(v) if :: v == 2 && lg[v] == SUS && since == NO -> since = t :: else fi
#else
#define APPENDED(v) skip
#endif
#ifdef MUT_FORGET
#define FORGET(v) :: d_step { lg[v] == SUS && !fg[v] -> fg[v] = true }
#else
#ifdef MUT_APPLY
#define FORGET(v) :: d_step { cm == SUS && !kn[v] -> kn[v] = true }
#else
#define FORGET(v)
#endif
#endif
init {
  do
  V(0) V(1) V(2)
#ifdef CFG
  V(3)
  :: d_step { xc < CFGOF(cm) -> xc++ }          /* X learns of a newer voter set, late */
#endif
  :: d_step { t < MAXT -> t++; forget(); skip }
#ifdef SETT
  :: d_step { xv < cm -> xv++ }
  :: d_step { pset == 0 -> lg[2]++; pset = lg[2]; commit(); skip }
  :: d_step { HAS(cm,pset) && psettled == 0 && TOLD -> lg[2]++; psettled = lg[2]; commit(); skip }
  :: d_step { psus == 0 -> lg[2]++; psus = lg[2]; commit(); skip }
  :: d_step { pdown == 0 && since != NO && HAS(cm,psus) && t >= since + WAIT -> lg[2]++; pdown = lg[2]; commit(); skip }
  :: atomic { HAS(cm,pdown) && xv < pdown -> lease(); assert(!valid) }
#else
#ifdef CLEARS
  :: d_step { xv < cm -> xv++ }
  /* once DOWN is committed another primary may be chosen: a lease is harmless only where X has applied that DOWN */
  :: atomic { cm >= SUS + 1 && xv < SUS + 1 -> lease(); assert(!valid) }
#ifdef WITNESS
  :: atomic { cm == LAST -> lease(); assert(!valid) }
#endif
#else
  :: atomic { since != NO && cm == SUS && t >= since + L && !down -> down = true }
  :: atomic { down -> lease(); assert(!valid); break }
#endif
#endif
  :: t == MAXT -> break
  od
}
