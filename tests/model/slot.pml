/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The slot protocol of docs/internals/replication.md for ONE slot and three data nodes.
 *
 * Style: one process that picks any enabled action, like a TLA+ "Next"; every action is one atomic step.
 * Guards and effects are small C functions over the state vector (`now`); the state itself is Promela.
 *
 * THE DEFAULT IS THE PROTOCOL AS THAT PAGE STATES IT; rule numbers are its. A macro  MUT_x  takes one clause away: claims.list
 * has them all, README.md says what is abstracted.
 *
 * Parameters (-D):  RF (2|3) initial isr size;  W (0 = all, else a number; majority of RF=3 is 2);
 *   ALWAYS (appendfsync always; otherwise everysec);  NR writes;  NCRASH restarts, NDOWN false suspicions, NISR isr proposals,
 *   NHO handovers, NKILL nodes that never come back, NCLEAN clean stops;  MAXE epochs, MAXV map versions;
 *   NM proposals in the network or in doubt at a time;  NVOID entries void for a passing reason (proposer SUSPECT, successor not
 *   live), NLOSE proposals lost, NNOP empty proposals (rule 12's way out of doubt);  ELMSG an ELECT takes time (else one step);
 *   LAGREM with PROGRESS: slow members are removed too;
 *   W2 write-quorum is set to this while it runs, and settled later ("Settings");
 *   MUT_OWNWAIT, MUT_CHAIN, MUT_DOWNREP: three clauses of rules 20 to 22 taken away;
 *   NOREAD (no reads);  NOLEASE (leases are not trusted at all);  OVERBUDGET (more failures than promised: for S4 only);
 *   PROGRESS (assert at quiescence that the slot is served);  WITNESS (report an acknowledgement after the failure).
 *
 * bad codes: 1 S1 acknowledged/seen write missing at a later primary   2 S2 two acknowledgers in one epoch
 *            3 S2 acknowledgement in an old epoch after a newer one    4 S3 read misses an acknowledged or seen write
 *            5 S5 silent divergence (same position, different log)     6 S4 stuck: nothing left to do and no primary
 *            9 witness (wanted)
 */
#ifndef RF
#define RF 3
#endif
#ifndef W
#define W 0
#endif
#ifndef NR
#define NR 2
#endif
#ifndef NCRASH
#define NCRASH 1
#endif
#ifndef NDOWN
#define NDOWN 1
#endif
#ifndef NISR
#define NISR 1
#endif
#ifndef NHO
#define NHO 0
#endif
#ifndef NKILL
#define NKILL 0
#endif
#ifndef MAXE
#define MAXE 3
#endif
#ifndef MAXV
#define MAXV 7
#endif
#define N 3
#define NONE 3
#define Q NR            /* longest log: one record per write */
#ifndef NCLEAN
#define NCLEAN 0
#endif
#ifndef NVOID
#define NVOID 0
#endif
#ifndef NLOSE
#define NLOSE 0
#endif
#ifndef NNOP
#define NNOP 0
#endif
#ifndef NM
#define NM 1
#endif
#if defined(MUT_CASVALUE) && !defined(MUT_NUMONLY)
#define MUT_NONUM
#endif

/* ---------- the map: a linearizable log of versions of this slot (index 1..ver) ---------- */
byte ver;
byte mE[MAXV+2];        /* epoch */
byte mP[MAXV+2];        /* primary or NONE (= electing) */
byte mI[MAXV+2];        /* isr, a bit per node */
byte mC[MAXV+2];        /* incarnation (2 bits) of every isr member */
byte mN[MAXV+2];        /* greatest proposal number n seen of this epoch's primary (rule 12); a void entry records it too */
#ifdef W2
byte mW[MAXV+2];        /* write-quorum: 0 as at first, 1 W2 is set, 2 and settled */
byte sver;              /* the newest version that changed the slot: SET and SETTLED do not */
byte sF; byte sBy; byte sV;     /* a SETTLED in flight: its proposer, its base */
#else
#define sver ver
#endif
byte kinc[N];           /* newest incarnation that the map knows */
byte dn;                 /* isr members whose report the controller does not wait for (DOWN), bits */
byte downv[N];          /* version at which this node was last deposed or registered */

/* ---------- nodes ---------- */
byte inc[N];            /* incarnation */
byte av[N];             /* map version applied, LATE and each by itself */
byte ad[N];             /* epoch of the slot in its applied map (rule 2) */
byte rc[N];             /* 1: reconciled with the primary of epoch ad (rule 23) */
byte fence[N];          /* refuses epochs <= this: it reported */
byte lease[N];          /* 1: MAY believe that its lease is valid (never expires by itself: the most permissive choice) */
byte ln[N];
byte dur[N];            /* ALWAYS: records known to be fsynced */
byte lo[N*Q];           /* log: record ids */
byte ob[N];             /* oldest incarnation whose records this one surely has: only clean stops, or runs under always, since (rule 22) */
byte dead;              /* killed for good, bits */

/* ---------- the primary's stream of each epoch: what it made is in the network for ever (delay, loss, duplicates, reorder) */
byte pst[MAXE+2]; byte pnode[MAXE+2]; byte plen[MAXE+2]; byte pbase[MAXE+2]; byte plog[(MAXE+2)*Q];
byte ack[(MAXE+2)*N*4]; /* highest seq that (node, incarnation) has acknowledged in the stream of an epoch */
byte recE[NR+1];        /* epoch of record id */
byte nrec;

/* ---------- reports and proposals in flight ---------- */
byte rpE[N]; byte rpC[N]; byte rpV[N]; byte rpL[N]; byte rpT[N]; byte rpO[N];
/* a proposal: 1 isr, 2 HANDOVER, 4 empty; number n; in flight; in doubt at its proposer; base version */
byte qT[NM]; byte qN[NM]; byte qF[NM]; byte qD[NM]; byte qBy[NM]; byte qV[NM]; byte qE[NM];
byte qI0[NM]; byte qC0[NM]; byte qI[NM]; byte qC[NM]; byte qS[NM];
byte eF; byte eV; byte eI; byte eC;     /* ELMSG: an ELECT in flight: winner + 1, base, new isr */

/* ---------- ghosts ---------- */
byte must;              /* records acknowledged or shown to a reader: bits */
byte ackBy[MAXE+2];     /* who acknowledged in an epoch: node + 4*inc + 1 */
byte ncrash, ndown, nisr, nho, nkill, nclean, nvoid, nlose, nnop;
byte bad;
byte lossy;             /* some restart lost records */
byte after;             /* first record made after the failure (WITNESS) */

c_code {
#define S now
#ifdef OVERBUDGET
#define LOSS(x)                         /* more failures than promised: only progress is judged */
#else
#define LOSS(x) now.bad = (x)
#endif
#define BIT(n) (1 << (n))
#define IN(set,n) (((set) >> (n)) & 1)
#define CI(c,n) (((c) >> (2*(n))) & 3)
#define SETCI(c,n,i) (((c) & ~(3 << (2*(n)))) | ((i) << (2*(n))))
#define LO(n,q) S.lo[(n)*Q + (q)]
#define PL(e,q) S.plog[(e)*Q + (q)]
#define ACK(e,n,i) S.ack[((e)*N + (n))*4 + (i)]
#define ALIVE(n) (!IN(S.dead, n))
#define EP S.mE[S.ver]

static int size(int set) { return IN(set,0) + IN(set,1) + IN(set,2); }
static int wis(int set, int w) { return w == 0 ? size(set) : w; }
#ifdef W2
static int wbest(int set, int v, int strict) {
  int a = wis(set, W), b = wis(set, W2), st = S.mW[v];
#ifdef MUT_WATONCE
  if (st) st = 2;
#endif
  if (st != 1) return st ? b : a;
  return (a > b) == strict ? a : b;
}
#else
#define wbest(set,v,strict) wis(set, W)
#endif
/* W(I): not settled, replies and proposals of n take the stricter one that its map knows, elections and the promise the weaker */
static int wof(int n, int set) { return wbest(set, S.av[n], 1); }
static int wel(int set) { return wbest(set, S.ver, 0); }
static int weff(int n, int set) {      /* min(W(I), |I|) */
  int k = size(set), w = wof(n, set);
  return k < w ? k : w;
}
static int weffel(int set) {
  int k = size(set), w = wel(set);
  return k < w ? k : w;
}
static int logset(int n) { int q, m = 0; for (q = 0; q < S.ln[n]; q++) m |= BIT(LO(n,q)); return m; }

/* n believes that it is the slot's primary */
static int isprim(int n) {
  int a = S.av[n];
  return ALIVE(n) && S.mP[a] == n && S.ad[n] == S.mE[a] && S.pst[S.mE[a]] && S.fence[n] < S.mE[a] && S.rc[n]
#ifndef MUT_NOINC
    && CI(S.mC[a], n) == S.inc[n]
#endif
    ;
}
static int doubt(int n) { int i, r = 0; for (i = 0; i < NM; i++) if (S.qD[i] && S.qBy[i] == n) r |= S.qT[i]; return r; }
static int incok(int c, int m) {        /* is the member named in the isr the process that runs now? */
#ifdef MUT_NOINC
  return 1;
#else
  return CI(c, m) == S.inc[m];
#endif
}
/* how many members of (set,c) hold q records, as the primary n of epoch e may know from acknowledgements */
static int held(int n, int e, int set, int c, int q) {
  int m, k = 0;
  for (m = 0; m < N; m++) {
#ifdef MUT_ANYACK
    if (!IN(set, m)) { k += m != n && ACK(e, m, S.inc[m]) >= q; continue; }     /* whoever holds it counts */
#endif
    if (!IN(set, m)) continue;
    if (m == n) {
#ifdef ALWAYS
      k += S.dur[n] >= q;
#else
      k++;
#endif
    } else {
#ifdef MUT_NOINC
      int i, ok = 0; for (i = 0; i < 4; i++) if (ACK(e,m,i) >= q) ok = 1; k += ok;
#elif defined(MUT_LATERRUN)
      int i, ok = 0; for (i = CI(c,m); i < 4; i++) if (ACK(e,m,i) >= q) ok = 1; k += ok;
#else
      k += ACK(e, m, CI(c,m)) >= q;
#endif
    }
  }
  return k;
}
/* rules 5 and 12: record q of primary n is committed */
static int holds(int n, int q) {
  int a = S.av[n], e = S.mE[a];
  int need = wof(n, S.mI[a]), i;
#ifdef MUT_ACKEARLY
  need = need > 1 ? need - 1 : 1;
#endif
  if (held(n, e, S.mI[a], S.mC[a], q) < need) return 0;
#ifndef MUT_NOJOINT
  for (i = 0; i < NM; i++) if (S.qD[i] && S.qBy[i] == n && S.qT[i] == 1) {
    if (held(n, e, S.qI[i], S.qC[i], q) < wof(n, S.qI[i])) return 0;
#ifdef MUT_JOINTONE
    break;
#endif
  }
#endif
  return 1;
}
/* everything that may have been acknowledged so far, by this primary or, as far as it can know, by its predecessors */
static int commitpoint(int n) {
  int e = S.mE[S.av[n]], q, p = S.pbase[e];
#ifdef MUT_OWNACKS
  p = 0;
#endif
  for (q = 0; q < S.ln[n]; q++) if (S.recE[LO(n,q)] == e && IN(S.must, LO(n,q)) && q + 1 > p) p = q + 1;
  return p;
}

#ifdef SYM
/* The model is symmetric in the nodes: put them in a canonical order (any permutation is sound, a good key merges more).
 * Not for trails: names would change on the way. */
static int pm[N+2];                     /* old name -> new name */
static int pbits(int b) { int n, r = 0; for (n = 0; n < N; n++) if (IN(b,n)) r |= BIT(pm[n]); return r; }
static int pinc(int c) { int n, r = 0; for (n = 0; n < N; n++) r = SETCI(r, pm[n], CI(c,n)); return r; }
static void parr(unsigned char *a, int w) {
  unsigned char t[64]; int n, i;
  for (n = 0; n < N; n++) for (i = 0; i < w; i++) t[pm[n]*w + i] = a[n*w + i];
  for (i = 0; i < N*w; i++) a[i] = t[i];
}
static int keycmp(int a, int b) {
  int q, d, e;
#define K(x) if ((d = (int)(x(a)) - (int)(x(b)))) return d
#define K1(n) (S.mP[S.ver] != n)
#define K2(n) (!IN(S.mI[S.ver], n))
#define K3(n) S.inc[n]
#define K4(n) S.ln[n]
#define K5(n) S.av[n]
#define K6(n) S.ad[n]
#define K7(n) (S.rc[n] + 2*S.lease[n] + 4*IN(S.dead,n) + 8*IN(S.dn,n) + 16*S.fence[n])
#define K8(n) S.rpE[n]
#define K9(n) (S.mP[S.av[n]] == n)
#define K10(n) (doubt(n) + 8*S.ob[n])
#define K11(n) (S.kinc[n] + 4*S.dur[n] + 32*S.downv[n])
  K(K1); K(K2); K(K3); K(K4); K(K5); K(K6); K(K7); K(K8); K(K9); K(K10); K(K11);
  for (q = 0; q < Q; q++) if ((d = LO(a,q) - LO(b,q))) return d;
  for (e = 1; e <= MAXE; e++) {
    if ((d = (S.pst[e] && S.pnode[e] == a) - (S.pst[e] && S.pnode[e] == b))) return d;
    for (q = 0; q < 4; q++) if ((d = ACK(e,a,q) - ACK(e,b,q))) return d;
  }
  for (e = 1; e <= S.ver; e++) {
    if ((d = (S.mP[e] == a) - (S.mP[e] == b))) return d;
    if ((d = IN(S.mI[e],a) - IN(S.mI[e],b))) return d;
  }
  return 0;
}
static void sym(void) {
  int o[N], i, j, t, e, v;
  for (i = 0; i < N; i++) o[i] = i;
  for (i = 1; i < N; i++) for (j = i; j > 0 && keycmp(o[j-1], o[j]) > 0; j--) { t = o[j]; o[j] = o[j-1]; o[j-1] = t; }
  for (i = 0; i < N; i++) pm[o[i]] = i;
  pm[NONE] = NONE;
  if (pm[0] == 0 && pm[1] == 1) return;
  parr(S.kinc,1); parr(S.downv,1); parr(S.inc,1); parr(S.av,1); parr(S.ad,1); parr(S.rc,1); parr(S.fence,1); parr(S.lease,1);
  parr(S.ln,1); parr(S.dur,1); parr(S.lo,Q);
  parr(S.ob,1);
#ifdef W2
  if (S.sF) S.sBy = pm[S.sBy];
#endif
  if (S.eF) { S.eF = pm[S.eF-1] + 1; S.eI = pbits(S.eI); S.eC = pinc(S.eC); }
  parr(S.rpE,1); parr(S.rpC,1); parr(S.rpV,1); parr(S.rpL,1); parr(S.rpT,1); parr(S.rpO,1);
  S.dead = pbits(S.dead); S.dn = pbits(S.dn);
  for (e = 1; e <= MAXE; e++) {
    if (S.pst[e]) S.pnode[e] = pm[S.pnode[e]];
    parr(&S.ack[e*N*4], 4);
    if (S.ackBy[e]) S.ackBy[e] = ((S.ackBy[e]-1) & ~3) + pm[(S.ackBy[e]-1) & 3] + 1;
  }
  for (v = 1; v <= S.ver; v++) if (S.mE[v]) { S.mP[v] = pm[S.mP[v]]; S.mI[v] = pbits(S.mI[v]); S.mC[v] = pinc(S.mC[v]); }
  for (i = 0; i < NM; i++) if (S.qT[i]) {
    S.qBy[i] = pm[S.qBy[i]]; S.qI0[i] = pbits(S.qI0[i]); S.qC0[i] = pinc(S.qC0[i]); S.qI[i] = pbits(S.qI[i]); S.qC[i] = pinc(S.qC[i]);
    if (S.qT[i] == 2) S.qS[i] = pm[S.qS[i]];
  }
}
#endif

static void clr(int i) {
  S.qT[i] = S.qN[i] = S.qF[i] = S.qD[i] = S.qBy[i] = S.qV[i] = S.qE[i] = S.qI0[i] = S.qC0[i] = S.qI[i] = S.qC[i] = S.qS[i] = 0;
}
#if NM > 1
static int qkey(int i) { return S.qT[i] ? S.qN[i] : 999; }
static void qswap(int i, int j) {
  int t;
#define SW(x) t = S.x[i]; S.x[i] = S.x[j]; S.x[j] = t;
  SW(qT) SW(qN) SW(qF) SW(qD) SW(qBy) SW(qV) SW(qE) SW(qI0) SW(qC0) SW(qI) SW(qC) SW(qS)
}
#endif
/* ---------- normal form: forget what nobody can use, do at once what cannot matter when ---------- */
static void norm(void) {
  int n, e, q, i, v, lowv = 99, lowe = 99;
  for (n = 0; n < N; n++) {
    /* a node that is not primary and would not become it: applying early or late is the same */
    while (S.av[n] < S.ver && S.mP[S.av[n]] != n && S.mP[S.av[n]+1] != n && S.mE[S.av[n]] == S.mE[S.av[n]+1]) S.av[n]++;
    if (!S.lease[n] && S.kinc[n] == S.inc[n]
#ifndef MUT_REVIVE
        && S.av[n] >= S.downv[n]        /* a voter echoes only heartbeats that know the last entry about X: rule 16 */
#endif
       ) S.lease[n] = 1;
    if (S.av[n] < lowv && ALIVE(n)) lowv = S.av[n];
    if (S.ad[n] < lowe && ALIVE(n)) lowe = S.ad[n];
    if (S.rpE[n] && S.rpE[n] != EP) { S.rpE[n] = S.rpC[n] = S.rpV[n] = S.rpL[n] = S.rpT[n] = S.rpO[n] = 0; }
    for (q = S.ln[n]; q < Q; q++) LO(n,q) = 0;
#ifndef ALWAYS
    S.dur[n] = 0;
#endif
  }
  for (v = 1; v < lowv && v < S.ver; v++) {
    S.mE[v] = S.mP[v] = S.mI[v] = S.mC[v] = S.mN[v] = 0;
#ifdef W2
    S.mW[v] = 0;
#endif
  }
  for (e = 1; e < lowe && e <= MAXE; e++) {
    S.pst[e] = S.pnode[e] = S.plen[e] = S.pbase[e] = 0;
    for (q = 0; q < Q; q++) PL(e,q) = 0;
    for (n = 0; n < N; n++) for (i = 0; i < 4; i++) ACK(e,n,i) = 0;
  }
  for (n = 0; n < N; n++) {
    if (S.lease[n]) S.downv[n] = 0;
    if (S.fence[n] < S.ad[n]) S.fence[n] = 0;
#ifndef MUT_STALEREP
    if (S.rpV[n] != S.ver) S.rpE[n] = S.rpC[n] = S.rpV[n] = S.rpL[n] = S.rpT[n] = S.rpO[n] = 0;
#endif
  }
  for (e = MAXE, v = 0; e >= 1; e--) { if (v) S.ackBy[e] = 0; if (S.ackBy[e]) v = 1; }
#ifndef WITNESS
  S.after = 0;
#endif
  for (i = 0; i < NM; i++) if (S.qT[i]) {
    int b = S.qBy[i], a = S.av[b];
    if (S.qE[i] != EP || S.mP[S.ver] != b) S.qF[i] = 0;         /* never valid again, and nobody asks */
#ifndef MUT_NONUM
    if (S.qN[i] <= S.mN[S.ver]
#ifdef MUT_HOCOUNT
        && S.qT[i] != 2
#endif
       ) S.qF[i] = 0;                   /* rule 12: voided by its number */
#endif
    if (S.mE[a] != S.qE[i] || S.mP[a] != b || S.mN[a] >= S.qN[i]) S.qD[i] = 0;          /* its fate is known */
    if (!S.qF[i] && !S.qD[i]) clr(i);
  }
#if NM > 1
  for (i = 1; i < NM; i++) for (v = i; v > 0 && qkey(v-1) > qkey(v); v--) qswap(v-1, v);
#endif
#ifdef W2
  if (S.sF && (S.sV < S.sver || S.mP[S.ver] != S.sBy)) S.sF = S.sBy = S.sV = 0;
#endif
  if (S.eF && S.eV != S.ver) S.eF = S.eV = S.eI = S.eC = 0;
#ifdef SYM
  sym();
#endif
}

static void newver(int e, int p, int set, int c) {
  S.ver++; S.mE[S.ver] = e; S.mP[S.ver] = p; S.mI[S.ver] = set; S.mC[S.ver] = c;
  S.mN[S.ver] = e == S.mE[S.ver-1] ? S.mN[S.ver-1] : 0;
#ifdef W2
  S.mW[S.ver] = S.mW[S.ver-1];
  S.sver = S.ver;
#endif
}
#ifdef W2
static void newquorum(int st) { int was = S.sver; newver(EP, S.mP[S.ver], S.mI[S.ver], S.mC[S.ver]); S.mW[S.ver] = st; S.sver = was; }
static int g_set(void) { return S.mW[S.ver] == 0 && S.ver < MAXV; }
static void a_set(void) { newquorum(1); }
#endif
static void begin(int n, int e) {       /* n starts to serve epoch e */
  int q;
  S.ad[n] = e; S.rc[n] = 1; S.pst[e] = 1; S.pnode[e] = n; S.pbase[e] = S.plen[e] = S.ln[n];
  for (q = 0; q < S.ln[n]; q++) PL(e,q) = LO(n,q);
}
static void init_(void) {
  int n;
  S.ver = S.sver = 1; S.mE[1] = 1; S.mP[1] = 0; S.mI[1] = RF == 3 ? 7 : 3; S.mC[1] = 0;
  for (n = 0; n < N; n++) { S.av[n] = 1; S.ad[n] = 1; S.lease[n] = 1; S.rc[n] = 1; }
  begin(0, 1);
}

/* ---------- data path ---------- */
static int g_write(int n) {             /* rule 5: refused while |isr| < W(isr); rule 26: nothing runs while a handover is pending */
  int set = S.mI[S.av[n]];
  return isprim(n) && S.nrec < NR && S.ln[n] < Q && !(doubt(n) & 2) && size(set) >= wof(n, set);
}
static void a_write(int n) {            /* rule 1 */
  int e = S.mE[S.av[n]], r = ++S.nrec;
  S.recE[r] = e; LO(n, S.ln[n]) = r; S.ln[n]++; PL(e, S.ln[n]-1) = r; S.plen[e] = S.ln[n];
}
static void ackme(int n, int e) {       /* everysec: acknowledged when appended; always: when fsynced */
  int q = S.ln[n];
#ifdef ALWAYS
  q = S.dur[n];
#endif
  if (q > ACK(e, n, S.inc[n])) ACK(e, n, S.inc[n]) = q;
}
static int g_recv(int n) {              /* rule 2: only after reconciling with this epoch's primary */
  int e = S.ad[n];
  if (!ALIVE(n) || !S.pst[e] || S.pnode[e] == n || S.ln[n] >= S.plen[e]) return 0;
#ifdef MUT_NOFENCE
#else
  if (S.fence[n] >= e) return 0;
#endif
#ifdef MUT_NORECON
  return S.rc[n] || S.recE[PL(e, S.ln[n])] == e;
#else
  return S.rc[n];
#endif
}
static void a_recv(int n) { int e = S.ad[n]; LO(n, S.ln[n]) = PL(e, S.ln[n]); S.ln[n]++; ackme(n, e); }
#ifdef MUT_LSNACK
/* a batch is acknowledged by its highest lsn although this slot's record in it was refused (fence, epoch, gap) */
static int g_lsnack(int n, int e) {
  return ALIVE(n) && S.pst[e] && S.pnode[e] != n && (S.fence[n] >= e || S.ad[n] > e || S.ad[n] < e) && ACK(e,n,S.inc[n]) < S.plen[e];
}
static void a_lsnack(int n, int e) { ACK(e,n,S.inc[n]) = S.plen[e]; }
#endif
static int g_fsync(int n) {
#ifdef ALWAYS
  return ALIVE(n) && S.dur[n] < S.ln[n];
#else
  return 0;
#endif
}
static void a_fsync(int n) { S.dur[n] = S.ln[n]; if (S.rc[n] && S.fence[n] < S.ad[n]) ackme(n, S.ad[n]); }

/* rule 23: position against the primary's epoch history; off it, a dump replaces everything */
static int g_recon(int n, int e) {
  if (!ALIVE(n) || !S.pst[e] || S.pnode[e] == n || e < S.ad[n]) return 0;
#ifndef MUT_LINKEPOCH
  if (e != S.ad[n]) return 0;           /* rule 2: the slot's epoch in its applied map */
#endif
#ifndef MUT_NOFENCE
  if (S.fence[n] >= e) return 0;
#endif
  return !(S.ad[n] == e && S.rc[n]);
}
static void a_recon(int n, int e) {
  int q = S.ln[n], i, on = 1;
#ifdef MUT_SEQHIST
  on = q <= S.plen[e];                  /* the position's epoch is not looked at */
#else
  if (q) on = q <= S.plen[e] && S.recE[PL(e,q-1)] == S.recE[LO(n,q-1)];
#endif
  S.ad[n] = e; S.rc[n] = 1;
  if (on) { for (i = 0; i < q; i++) if (PL(e,i) != LO(n,i)) S.bad = 5; }
  else {
    S.ln[n] = S.pbase[e]; for (i = 0; i < S.ln[n]; i++) LO(n,i) = PL(e,i);
    S.dur[n] = 0;
#ifdef ALWAYS
    S.dur[n] = S.ln[n];               /* the swap is atomic and on disk */
#endif
  }
  ackme(n, e);
}

/* ---------- replies ---------- */
static int mayreply(int n) {
  if (!isprim(n)) return 0;
#if !defined(MUT_NOLEASECHECK) && !defined(NOLEASE)
  if (!S.lease[n]) return 0;
#endif
  return 1;
}
static int nextack(int n) {             /* first record of its own epoch that is not acknowledged yet, as a seq; 0 none */
  int e = S.mE[S.av[n]], q;
  for (q = 0; q < S.ln[n]; q++) if (S.recE[LO(n,q)] == e && !IN(S.must, LO(n,q))) return q + 1;
  return 0;
}
static int g_ack(int n) {
  int q;
  if (!mayreply(n) || (doubt(n) & 2)) return 0;
  q = nextack(n);
  return q && holds(n, q);
}
static void a_ack(int n) {
  int q = nextack(n), e = S.mE[S.av[n]], me = n + 4 * S.inc[n] + 1, f;
#ifdef NOLEASE                          /* without leases an old primary may still confirm what was surely kept: only loss counts */
  if (e == EP)
#endif
  if (S.must & ~logset(n)) LOSS(1);
  if (S.ackBy[e] && S.ackBy[e] != me) S.bad = 2;
#ifndef NOLEASE
  for (f = e + 1; f <= MAXE; f++) if (S.ackBy[f]) S.bad = 3;
#endif
  S.ackBy[e] = me;
  S.must |= BIT(LO(n,q-1));
#ifdef WITNESS
  if (S.after && LO(n,q-1) >= S.after && S.nrec >= S.after) S.bad = 9;
#endif
}
static int g_read(int n) {              /* rules 6, 7; rule 26: no reads either while a handover is pending */
#ifdef NOREAD
  return 0;
#else
  if (!mayreply(n)) return 0;
#ifndef MUT_HOREADS
  if (doubt(n) & 2) return 0;
#endif
  if (logset(n) == S.must) return 0;      /* would show nothing new */
#ifndef MUT_DIRTYREAD
  if (S.ln[n] && !holds(n, S.ln[n])) return 0;
#endif
  return 1;
#endif
}
static void a_read(int n) { if (S.must & ~logset(n)) LOSS(4); S.must |= logset(n); }

/* ---------- nodes apply the map, one entry at a time ---------- */
static int g_apply(int n) { return ALIVE(n) && S.av[n] < S.ver; }
static void a_apply(int n) {
  int a = ++S.av[n], e = S.mE[a];
  if (e > S.ad[n]) { S.ad[n] = e; S.rc[n] = 0; }
  if (S.mP[a] == n && S.ad[n] == e && !S.pst[e] && incok(S.mC[a], n)) begin(n, e);
}

/* ---------- proposals of the primary ---------- */
static int slotfree(void) { int i; for (i = 0; i < NM; i++) if (!S.qT[i]) return i; return -1; }
static void post(int n, int t, int set, int c, int s) {        /* rule 12: (incarnation, n), n rising; all types share the count */
  int i, j = slotfree(), a = S.av[n], k = S.mN[a];
  for (i = 0; i < NM; i++) if (S.qT[i] && S.qBy[i] == n && S.qN[i] > k) k = S.qN[i];
  k += !doubt(n);                                              /* in doubt: again under the same */
  S.qT[j] = t; S.qN[j] = k; S.qF[j] = 1; S.qD[j] = 1; S.qBy[j] = n; S.qV[j] = a; S.qE[j] = S.mE[a];
#ifdef MUT_CASVALUE
  S.qI0[j] = S.mI[a]; S.qC0[j] = S.mC[a];
#endif
  S.qI[j] = set; S.qC[j] = c; S.qS[j] = s;
}
static int canpropose(int n) {
  if (!isprim(n) || slotfree() < 0 || S.av[n] < S.sver) return 0;       /* from an older version: void, like an empty one */
#ifdef MUT_NOWAYOUT
  if (doubt(n)) return 0;
#endif
  return 1;
}
static int g_rem(int n, int m) {        /* rule 14; rule 11: acknowledged records held by min(W, |new|) of the smaller isr */
  int a = S.av[n], set;
  if (n == m || S.nisr >= NISR || !canpropose(n) || !IN(S.mI[a], m)) return 0;
#ifdef PROGRESS
#ifndef LAGREM
  if (ALIVE(m) && CI(S.mC[a], m) == S.inc[m]) return 0;
#endif
#endif
  set = S.mI[a] & ~BIT(m);
#ifndef MUT_REMSMALL
  if (size(set) < wof(n, set)) return 0;   /* rule 14: exchanged, not removed */
#endif
#ifdef MUT_REMEARLY
  return 1;
#else
  return held(n, S.mE[a], set, SETCI(S.mC[a], m, 0), commitpoint(n)) >= weff(n, set);
#endif
}
static void a_rem(int n, int m) { int a = S.av[n]; post(n, 1, S.mI[a] & ~BIT(m), SETCI(S.mC[a], m, 0), 0); S.nisr++; }
static int g_add(int n, int m) {        /* rule 14; rule 11: the same condition for the larger isr */
  int a = S.av[n], e = S.mE[a], set, c;
  if (n == m || S.nisr >= NISR || !canpropose(n) || !ALIVE(m)) return 0;
  if (IN(S.mI[a], m) && CI(S.mC[a], m) == S.inc[m]) return 0;
  if (!(S.ad[m] == e && S.rc[m])) return 0;     /* it is connected and syncing */
  set = S.mI[a] | BIT(m); c = SETCI(S.mC[a], m, S.inc[m]);
#ifdef MUT_ADDLAG
  return 1;
#else
  return held(n, e, set, c, commitpoint(n)) >= weff(n, set);
#endif
}
static void a_add(int n, int m) { int a = S.av[n]; post(n, 1, S.mI[a] | BIT(m), SETCI(S.mC[a], m, S.inc[m]), 0); S.nisr++; }
static int g_exch(int n, int m) {       /* rule 14: m out and the third node in, by one entry, where m cannot simply be removed */
  int a = S.av[n], e = S.mE[a], k = 3 - n - m, set, c;
  if (S.nisr >= NISR || !canpropose(n) || !IN(S.mI[a], m) || IN(S.mI[a], k) || !ALIVE(k)) return 0;
  if (size(S.mI[a]) - 1 >= wof(n, S.mI[a] & ~BIT(m))) return 0;
  if (!(S.ad[k] == e && S.rc[k])) return 0;
#ifdef PROGRESS
  if (ALIVE(m) && CI(S.mC[a], m) == S.inc[m]) return 0;
#endif
  set = (S.mI[a] & ~BIT(m)) | BIT(k); c = SETCI(SETCI(S.mC[a], m, 0), k, S.inc[k]);
  return held(n, e, set, c, commitpoint(n)) >= weff(n, set);
}
static void a_exch(int n, int m) {
  int a = S.av[n], k = 3 - n - m;
  post(n, 1, (S.mI[a] & ~BIT(m)) | BIT(k), SETCI(SETCI(S.mC[a], m, 0), k, S.inc[k]), 0); S.nisr++;
}
static int g_ho(int n, int m) {         /* rule 26: the successor holds everything; nothing is left unanswered */
  int a = S.av[n];
  if (n == m || S.nho >= NHO || !canpropose(n) || !IN(S.mI[a], m)) return 0;
#ifndef MUT_HOLAG
  if (ACK(S.mE[a], m, CI(S.mC[a], m)) < S.ln[n]) return 0;
#endif
  return !nextack(n);
}
static void a_ho(int n, int m) { post(n, 2, S.mI[S.av[n]], S.mC[S.av[n]], m); S.nho++; }
static int g_nop(int n) { return S.nnop < NNOP && canpropose(n) && doubt(n); }  /* rule 12: the way out of doubt */
static void a_nop(int n) { post(n, 4, 0, 0, 0); S.nnop++; }

#ifdef W2
/* everything that may have been acknowledged so far is held by W2 of the isr, and of every one in doubt */
static int g_settle(int n) {
  int a = S.av[n], e = S.mE[a], i, q;
  if (S.sF || !isprim(n) || S.mW[a] != 1 || a < S.sver) return 0;
#ifndef MUT_SETTLEEARLY
  q = commitpoint(n);
  if (held(n, e, S.mI[a], S.mC[a], q) < wis(S.mI[a], W2)) return 0;
#ifndef MUT_SETTLEOLD
  for (i = 0; i < NM; i++) if (S.qD[i] && S.qBy[i] == n && S.qT[i] == 1 && held(n, e, S.qI[i], S.qC[i], q) < wis(S.qI[i], W2)) return 0;
#endif
#endif
  return 1;
}
static void a_settle(int n) { S.sF = 1; S.sBy = n; S.sV = S.av[n]; }
static int g_settled(void) { return S.sF && S.sV >= S.sver && S.mP[S.ver] == S.sBy && S.mW[S.ver] == 1 && S.ver < MAXV; }
static void a_settled(void) { newquorum(2); S.sF = S.sBy = S.sV = 0; }
#endif
static int invalid(int i) {             /* rule 13: void for the slot */
#ifdef MUT_CASVALUE
  if (S.qE[i] != EP || S.qI0[i] != S.mI[S.ver] || S.qC0[i] != S.mC[S.ver]) return 1;
#else
  if (S.qV[i] < S.sver) return 1;
#endif
  if (S.mP[S.ver] != S.qBy[i]) return 1;
#ifndef MUT_HOINC
  if (S.qT[i] == 2 && S.kinc[S.qS[i]] != CI(S.mC[S.ver], S.qS[i])) return 1;
#endif
  return S.qT[i] == 4;
}
static int g_commit(int i) { return S.qF[i] && !invalid(i) && S.ver < MAXV && (S.qT[i] != 2 || EP < MAXE); }
static int g_void(int i) {              /* committed, but void: it cannot be valid, or for a passing reason */
  return S.qF[i] && (invalid(i) || S.nvoid < NVOID);
}
static void a_void(int i) {             /* rule 12: its number is recorded all the same */
  if (!invalid(i)) S.nvoid++;
#ifdef MUT_NONUM
  S.qD[i] = 0;                          /* its proposer sees it void in the map; copies may still be under way */
  if (S.qV[i] != S.ver || S.qT[i] == 4) { if (S.qT[i] == 4) { int j; for (j = 0; j < NM; j++) if (S.qBy[j] == S.qBy[i]) S.qD[j] = 0; } S.qF[i] = 0; }
#else
  if (S.qN[i] > S.mN[S.ver]) S.mN[S.ver] = S.qN[i];
#endif
}
static void s1(void) {                  /* at the commit of ELECT or HANDOVER */
  int p = S.mP[S.ver];
  if (p != NONE && incok(S.mC[S.ver], p) && (S.must & ~logset(p))) LOSS(1);
}
static void a_commit(int i) {
  int k = S.qN[i];
  if (S.qT[i] == 1) { newver(EP, S.mP[S.ver], S.qI[i], S.qC[i]); if (k > S.mN[S.ver]) S.mN[S.ver] = k; }
  else { newver(EP + 1, S.qS[i], S.mI[S.ver],
#ifdef MUT_HOINC
    SETCI(S.mC[S.ver], S.qS[i], S.inc[S.qS[i]])   /* the entry names a node, not an incarnation */
#else
    S.mC[S.ver]
#endif
    ); s1(); }
}
static int g_lose(int i) { return S.nlose < NLOSE && S.qF[i]; }
static void a_lose(int i) { S.nlose++; S.qF[i] = 0; }
#ifdef MUT_NONUM
static int g_drop(int i) { return S.qT[i] && S.qD[i] == 0; }    /* a copy leaves the network (only needed to free the slot) */
static void a_drop(int i) { clr(i); }
#endif
#ifdef MUT_TIMEOUT
static int g_timeout(int i) { return S.qD[i] && S.qF[i]; }      /* it takes an error or a timeout for the fate */
static void a_timeout(int i) { S.qD[i] = 0; }
#endif

/* ---------- failures ---------- */
/* the promise: at most W-1 members of the isr (and of an isr already proposed) lost before re-replication */
static int same(int c, int m) { return CI(c,m) >= S.ob[m]; }    /* the member, or a restart that lost nothing */
static int budget1(int set, int c, int n) {
  int m, d = 0;
  if (!IN(set, n) || !same(c, n)) return 1;
  for (m = 0; m < N; m++) if (m != n && IN(set, m) && (!ALIVE(m) || !same(c, m) || IN(S.dn, m))) d++;
  return d + 1 <= weffel(set) - 1;
}
static int budget(int n) {
  int i;
#ifdef OVERBUDGET
  return 1;
#else
  if (!budget1(S.mI[S.ver], S.mC[S.ver], n)) return 0;
  if (S.eF && !budget1(S.eI, S.eC, n)) return 0;
  for (i = 0; i < NM; i++) if (S.qF[i] && S.qT[i] == 1 && !budget1(S.qI[i], S.qC[i], n)) return 0;
  return 1;
#endif
}
static int budgetdn(int n) {            /* calling n DOWN: with something already lost it counts like a loss */
  int m, d = 0, l = 0, set = S.mI[S.ver], c = S.mC[S.ver];
  for (m = 0; m < N; m++) if (IN(set, m)) {
    if (!ALIVE(m) || !same(c, m)) { l++; d++; }
    else if (m == n || IN(S.dn, m)) d++;
  }
#ifdef OVERBUDGET
  return 1;
#endif
  return !l || d <= weffel(set) - 1;
}
static int g_crash(int n, int l) {      /* crash and restart, keeping l records */
  if (!ALIVE(n) || S.ncrash >= NCRASH || l > S.ln[n] || S.inc[n] >= 3) return 0;
#ifdef ONLYN
  if (n != ONLYN) return 0;
#endif
#ifdef ALWAYS
  return l >= S.dur[n];
#else
  return (l == S.ln[n] && !S.lossy) || budget(n);
#endif
}
static void a_crash(int n, int l) {
  if (l < S.ln[n]) S.lossy = 1;
  S.ncrash++; S.ln[n] = l; S.inc[n]++; S.lease[n] = 0; S.rc[n] = 0;
  { int i; for (i = 0; i < NM; i++) if (S.qBy[i] == n) S.qD[i] = 0; }
#ifdef MUT_FENCELOST
  S.fence[n] = 0;
#endif
#ifndef ALWAYS
  S.ob[n] = S.inc[n];
#endif
  if (S.dur[n] > l) S.dur[n] = l;
#ifdef ALWAYS
  S.dur[n] = l;
#endif
  { int e = S.mE[S.av[n]]; if (l && S.recE[LO(n,l-1)] > e) e = S.recE[LO(n,l-1)]; S.ad[n] = e;
#if defined(MUT_NOINC) || defined(MUT_RESUME)
    /* it comes back as the primary of the same epoch */
    if (S.mP[S.av[n]] == n && S.pst[e] && S.pnode[e] == n) { int q; S.rc[n] = 1; S.plen[e] = l; if (S.pbase[e] > l) S.pbase[e] = l;
      for (q = l; q < Q; q++) PL(e,q) = 0; S.lease[n] = 1; }
#endif
  }
  S.after = S.nrec + 1;
}
static int g_stop(int n) { return NCLEAN > S.nclean && ALIVE(n) && S.inc[n] < 3; }     /* rule 22: a clean stop, then a start */
static void a_stop(int n) { int o = S.ob[n]; a_crash(n, S.ln[n]); S.ncrash--; S.nclean++; S.ob[n] = o; }
static int g_kill(int n) {
  if (!ALIVE(n) || S.nkill >= NKILL) return 0;
#ifdef ONLYN
  if (n != ONLYN) return 0;
#endif
  return budget(n);
}
static void a_kill(int n) { S.nkill++; S.dead |= BIT(n); S.after = S.nrec + 1; }

/* ---------- controller ---------- */
static int g_down(int n) {              /* SUSPECT, wait, DOWN: false suspicion or a dead node. The wait makes the lease surely over. */
  if (S.mP[S.ver] != n || S.ver >= MAXV) return 0;
  return !ALIVE(n) || (S.ndown < NDOWN && budgetdn(n));
}
static void a_down(int n) {
  if (ALIVE(n)) S.ndown++;
  newver(EP, NONE, S.mI[S.ver], S.mC[S.ver]);
  S.downv[n] = S.ver; S.dn = BIT(n);
#ifndef MUT_NOWAIT
  S.lease[n] = 0;
#endif
}
static int repgood(int n);
static int g_clear(int m) { return IN(S.dn, m) && ALIVE(m) && S.mP[S.ver] == NONE; }    /* rule 17: it is heard well */
static void a_clear(int m) { S.dn &= ~BIT(m); }
static int g_giveup(int m) {            /* while electing: another member is called DOWN, it need not be waited for */
  if (S.mP[S.ver] == NONE && !IN(S.dn, m) && !ALIVE(m) && repgood(m)) return 1;         /* it died after its report */
  return S.mP[S.ver] == NONE && IN(S.mI[S.ver], m) && !IN(S.dn, m) && ALIVE(m) && CI(S.mC[S.ver], m) == S.inc[m]
    && S.ndown < NDOWN && budgetdn(m);
}
static void a_giveup(int m) { if (ALIVE(m)) S.ndown++; S.dn |= BIT(m); }
static int g_reg(int n) { return ALIVE(n) && S.kinc[n] != S.inc[n] && S.ver < MAXV; }
static void a_reg(int n) {              /* rule 19: RESTART; counts as CLEAR */
  int p = S.mP[S.ver], c = S.mC[S.ver], ch = 0;
  S.kinc[n] = S.inc[n]; S.dn &= ~BIT(n);
#ifdef MUT_RESUME
  if (p == n) { c = SETCI(c, n, S.inc[n]); ch = 1; }    /* a primary that restarts goes on in its epoch */
#endif
#if !defined(MUT_RESUME) && !defined(MUT_NOINC)
  if (p == n) { p = NONE; ch = 1; }     /* never again the primary of the same epoch */
#endif
  if (ch) newver(EP, p, S.mI[S.ver], c);
  S.downv[n] = S.ver;
}
static int g_report(int n) {
#if defined(ALWAYS) && !defined(MUT_REPNOSYNC)
  if (S.dur[n] < S.ln[n]) return 0;     /* rule 20: what it reports is on its disk */
#endif
#ifndef MUT_REPEARLY
  if (S.mP[S.av[n]] != NONE || S.mE[S.av[n]] != EP) return 0;   /* rule 20: it has applied the entry */
#endif
  return ALIVE(n) && S.mP[S.ver] == NONE && S.ad[n] <= EP && S.inc[n] == S.kinc[n]
    && !(S.rpE[n] == EP && S.rpV[n] == S.ver && S.rpC[n] == S.inc[n]);
}
static void a_report(int n) {
  S.rpE[n] = EP; S.rpC[n] = S.inc[n]; S.rpV[n] = S.ver; S.rpL[n] = S.ln[n]; S.rpT[n] = S.ln[n] ? LO(n,S.ln[n]-1) : 0; S.rpO[n] = S.ob[n];
#if defined(MUT_FENCEAFTER)
#elif !defined(MUT_NOFENCE)
  S.fence[n] = EP;
#else
  if (S.pnode[EP] == n) S.fence[n] = EP;
#endif
}
#ifdef MUT_FENCEAFTER                   /* the position is read, the fence set later: the report leaves only then, and is old */
static int g_fence(int n) { return ALIVE(n) && S.rpE[n] == EP && S.fence[n] < EP && S.rpC[n] == S.inc[n]; }
static void a_fence(int n) { S.fence[n] = EP; }
#endif
static int repany(int n) {
#ifdef MUT_FENCEAFTER
  if (S.fence[n] < EP) return 0;
#endif
  if (S.rpE[n] != EP) return 0;
#ifndef MUT_STALEREP
  if (S.rpV[n] != S.ver) return 0;
#endif
  return 1;
}
static int counts(int c, int i, int o) {        /* does a report of incarnation i count as that of member c? */
  if (i == c) return 1;
#ifdef MUT_NOTOWN
  return 0;
#endif
#ifdef MUT_ALLOWN
  return i == c + 1;                    /* also after a crash under everysec */
#endif
#ifndef MUT_CHAIN                       /* any later one, if every run since was such */
  return i > c && o <= c;
#else
  return i == c + 1 && o <= c;          /* rule 22: the next one */
#endif
}
static int repgood(int n) {
  if (!repany(n) || !IN(S.mI[S.ver], n)) return 0;
#ifndef MUT_DOWNREP                     /* the report of a member called DOWN since is void */
  if (IN(S.dn, n)) return 0;
#endif
#ifndef MUT_NOINC
#ifndef MUT_OLDREP
  if (S.rpC[n] != S.kinc[n]) return 0;  /* rule 20: void when replaced since */
#endif
  if (!counts(CI(S.mC[S.ver], n), S.rpC[n], S.rpO[n])) return 0;
#endif
  return 1;
}
#ifndef MUT_OWNWAIT                     /* a restart that counts as the member's own does not replace it */
#define OWNWAIT(m) || counts(CI(S.mC[S.ver], m), S.kinc[m], S.ob[m])
#else
#define OWNWAIT(m)
#endif
static int waited(void) {               /* rule 21: every member has reported, or is DOWN (a dead one will be) or replaced */
  int m;
#ifndef MUT_NOTWAIT
  for (m = 0; m < N; m++)
    if (IN(S.mI[S.ver], m) && !repgood(m) && ALIVE(m) && !IN(S.dn, m) && (S.kinc[m] <= CI(S.mC[S.ver], m) OWNWAIT(m))) return 0;
#endif
  return 1;
}
static int usable(int n, int all) {
#ifndef MUT_DOWNREP                     /* a report counts only while its node is live, in rule 22 too */
  if (IN(S.dn, n)) return 0;
#endif
  return all ? repany(n) && S.rpC[n] == S.kinc[n] : repgood(n);
}
static int better(int a, int b) {       /* position of a greater than position of b */
  int ea = S.rpT[a] ? S.recE[S.rpT[a]] : 0, eb = S.rpT[b] ? S.recE[S.rpT[b]] : 0;
  return ea > eb || (ea == eb && S.rpL[a] > S.rpL[b]);
}
static int electmode(void) {            /* 0 not yet, 1 enough good reports (rule 21), 2 every member has reported, in whichever incarnation (rule 22) */
  int n, g = 0, a = 0, old = 0, need;
  if (S.mP[S.ver] != NONE || S.ver >= MAXV || EP >= MAXE) return 0;
  for (n = 0; n < N; n++) { g += repgood(n); a += IN(S.mI[S.ver], n) && usable(n, 1);
    if (IN(S.mI[S.ver], n) && CI(S.mC[S.ver], n) == S.inc[n]) old++; }
  need = size(S.mI[S.ver]) - weffel(S.mI[S.ver]) + 1;
#ifdef MUT_FEWREP
  need = need > 1 ? need - 1 : 1;
#endif
  if (g >= need && waited()) return 1;
#ifdef MUT_ALLNEW
  if (old) return 0;                    /* every member must be back under a NEW incarnation */
#endif
  if (a == size(S.mI[S.ver])) return 2;
  return 0;
}
static int g_elect(int n) {
  int md = electmode(), m;
  if (IN(S.dn, n)) return 0;            /* rule 13: the ELECT would be void */
  if (S.eF || !md || !usable(n, md == 2)) return 0;
#ifndef MUT_ANYWINS
  for (m = 0; m < N; m++) if (usable(m, md == 2) && better(m, n)) return 0;
#endif
  return 1;
}
/* Rules 21 and 22: the new isr. u = members that did not report; c = the greatest position that max(1, W - u) reporters hold. */
static void a_elect(int n) {
  int md = electmode(), m, k, kk, set = 0, c = 0, all = 0, top = 0, cp = n;
  int U = size(S.mI[S.ver]), w = wel(S.mI[S.ver]);
  for (m = 0; m < N; m++) if (usable(m, md == 2)) { all |= BIT(m); U--; }
#ifdef MUT_NOU
  U = 0;
#endif
  k = w - U > 1 ? w - U : 1;
  if (k > size(all)) k = size(all);
  for (m = 0; m < N; m++) if (IN(all, m)) {     /* c: the k-th greatest of the reported positions is cp's */
    int l, gt = 0, ge = 0;
    for (l = 0; l < N; l++) if (IN(all, l)) { gt += better(l, m); ge += !better(m, l); }
    if (gt < k && ge >= k) cp = m;
  }
  for (m = 0; m < N; m++) if (IN(all, m) && !better(cp, m)) top |= BIT(m);
  kk = w < size(all) ? w : size(all);
  set = size(top) >= kk ? all : top;
#ifdef MUT_EQUALS
  md = 2;                               /* only those at the winner's very position */
#endif
  if (md == 2) { set = 0; for (m = 0; m < N; m++) if (IN(all, m) && !better(n, m)) set |= BIT(m); }
#ifdef MUT_ALLREPORTERS
  set = all;
#endif
  for (m = 0; m < N; m++) if (IN(set, m)) c = SETCI(c, m, S.rpC[m]);
#ifdef ELMSG
  S.eF = n + 1; S.eV = S.ver; S.eI = set; S.eC = c;
#else
  newver(EP + 1, n, set, c);
  S.dn = 0;
  s1();
#endif
}
#ifdef ELMSG
static int g_elcommit(void) { return S.eF && S.ver < MAXV && EP < MAXE; }
static void a_elcommit(void) {          /* rule 13: void unless all it names are of their known incarnation and the winner is live */
  int m, ok = !IN(S.dn, S.eF - 1), p = S.eF - 1, set = S.eI, c = S.eC;
  for (m = 0; m < N; m++) if (IN(set, m) && CI(c, m) != S.kinc[m]) ok = 0;
#ifdef MUT_ELOLD
  ok = 1;
#endif
  S.eF = S.eV = S.eI = S.eC = 0;
  if (ok) { newver(EP + 1, p, set, c); S.dn = 0; s1(); }
}
#endif
#ifdef MUT_CTLREMOVE
/* the controller takes a replica that it cannot hear out of the isr by itself */
static int g_ctlrem(int m) { return S.nisr < NISR && S.ver < MAXV && S.mP[S.ver] != NONE && S.mP[S.ver] != m && IN(S.mI[S.ver], m); }
static void a_ctlrem(int m) { S.nisr++; newver(EP, S.mP[S.ver], S.mI[S.ver] & ~BIT(m), SETCI(S.mC[S.ver], m, 0)); }
#endif
static int served(void) {               /* S4 at quiescence */
  int p = S.mP[S.ver], set = S.mI[S.ver];
  if (S.ver >= MAXV || EP >= MAXE || S.nisr >= NISR) return 1;  /* ran into the bounds: says nothing */
  if (p != NONE && doubt(p) && S.nnop >= NNOP && NNOP > 0) return 1;
  return p != NONE && isprim(p) && S.lease[p] && S.av[p] == S.ver && !nextack(p) && !doubt(p) && size(set) >= wof(p, set);
}
}

#define DO(G, A, MSG)  :: atomic { c_expr { (G) } -> c_code { A; norm(); }; printf MSG; assert(bad == 0) }

#if NCLEAN > 0
#define STOPS(n) DO(g_stop(n), a_stop(n), ("node %d stops cleanly and starts again\n", n))
#else
#define STOPS(n)
#endif
#if NNOP > 0
#define NODEX(n) STOPS(n) DO(g_nop(n), a_nop(n), ("node %d proposes nothing, to get out of doubt\n", n))
#else
#define NODEX(n) STOPS(n)
#endif
#ifdef W2
#define SETTLES(n) DO(g_settle(n), a_settle(n), ("node %d proposes that write-quorum is settled\n", n))
#else
#define SETTLES(n)
#endif
#ifdef MUT_FENCEAFTER
#define FENCES(n) DO(g_fence(n), a_fence(n), ("node %d sets its fence, and its report leaves\n", n))
#else
#define FENCES(n)
#endif
#define NODE(n) \
  DO(g_write(n), a_write(n), ("node %d writes\n", n)) \
  DO(g_recv(n), a_recv(n), ("node %d appends from the stream\n", n)) \
  DO(g_fsync(n), a_fsync(n), ("node %d fsyncs\n", n)) \
  DO(g_ack(n), a_ack(n), ("node %d ACKNOWLEDGES a write\n", n)) \
  DO(g_read(n), a_read(n), ("node %d ANSWERS a read\n", n)) \
  DO(g_apply(n), a_apply(n), ("node %d applies a map entry\n", n)) \
  DO(g_down(n), a_down(n), ("controller: DOWN %d\n", n)) \
  DO(g_giveup(n), a_giveup(n), ("controller: DOWN %d (while electing)\n", n)) \
  DO(g_clear(n), a_clear(n), ("controller: CLEAR %d\n", n)) \
  DO(g_reg(n), a_reg(n), ("controller: new incarnation of %d\n", n)) \
  DO(g_report(n), a_report(n), ("node %d reports\n", n)) \
  DO(g_elect(n), a_elect(n), ("controller: ELECT %d\n", n)) \
  NODEX(n) FENCES(n) SETTLES(n) \
  DO(g_kill(n), a_kill(n), ("node %d dies for good\n", n))
#define PAIR(n,m) \
  DO(g_rem(n,m), a_rem(n,m), ("node %d proposes to remove %d\n", n, m)) \
  DO(g_add(n,m), a_add(n,m), ("node %d proposes to add %d\n", n, m)) \
  DO(g_exch(n,m), a_exch(n,m), ("node %d proposes to exchange %d for the third\n", n, m)) \
  DO(g_ho(n,m), a_ho(n,m), ("node %d proposes handover to %d\n", n, m))
#define RECON(e) \
  DO(g_recon(0,e), a_recon(0,e), ("node 0 reconciles with the primary of epoch %d\n", e)) \
  DO(g_recon(1,e), a_recon(1,e), ("node 1 reconciles with the primary of epoch %d\n", e)) \
  DO(g_recon(2,e), a_recon(2,e), ("node 2 reconciles with the primary of epoch %d\n", e))
#define CRASH(l) \
  DO(g_crash(0,l), a_crash(0,l), ("node 0 restarts with %d records\n", l)) \
  DO(g_crash(1,l), a_crash(1,l), ("node 1 restarts with %d records\n", l)) \
  DO(g_crash(2,l), a_crash(2,l), ("node 2 restarts with %d records\n", l))
#define MSG(i) \
  DO(g_commit(i), a_commit(i), ("controller: commits proposal %d\n", i)) \
  DO(g_void(i), a_void(i), ("controller: commits proposal %d, void\n", i)) \
  LOSE(i) DROP(i) TIMEOUT(i)
#if NLOSE > 0
#define LOSE(i) DO(g_lose(i), a_lose(i), ("proposal %d is lost\n", i))
#else
#define LOSE(i)
#endif
#ifdef MUT_NONUM
#define DROP(i) DO(g_drop(i), a_drop(i), ("proposal %d leaves the network\n", i))
#else
#define DROP(i)
#endif
#ifdef MUT_TIMEOUT
#define TIMEOUT(i) DO(g_timeout(i), a_timeout(i), ("proposal %d: its node takes a timeout for its fate\n", i))
#else
#define TIMEOUT(i)
#endif
#define LSNACK(e) \
  DO(g_lsnack(0,e), a_lsnack(0,e), ("node 0 acks a batch whose record it refused, epoch %d\n", e)) \
  DO(g_lsnack(1,e), a_lsnack(1,e), ("node 1 acks a batch whose record it refused, epoch %d\n", e)) \
  DO(g_lsnack(2,e), a_lsnack(2,e), ("node 2 acks a batch whose record it refused, epoch %d\n", e))

init {
  atomic { c_code { init_(); norm(); } };
  do
  NODE(0) NODE(1) NODE(2)
  PAIR(0,1) PAIR(0,2) PAIR(1,0) PAIR(1,2) PAIR(2,0) PAIR(2,1)
  RECON(1) RECON(2)
#if MAXE >= 3
  RECON(3)
#endif
#if MAXE >= 4
  RECON(4)
#endif
#if MAXE >= 5
  RECON(5)
#endif
  CRASH(0) CRASH(1)
#if NR >= 2
  CRASH(2)
#endif
#if NR >= 3
  CRASH(3)
#endif
#if NR >= 4
  CRASH(4)
#endif
  MSG(0)
#if NM > 1
  MSG(1)
#endif
#if NM > 2
  MSG(2)
#endif
#ifdef W2
  DO(g_set(), a_set(), ("controller: SET write-quorum\n"))
  DO(g_settled(), a_settled(), ("controller: SETTLED\n"))
#endif
#ifdef ELMSG
  DO(g_elcommit(), a_elcommit(), ("controller: the ELECT is committed\n"))
#endif
#ifdef MUT_LSNACK
  LSNACK(1) LSNACK(2)
#endif
#ifdef MUT_CTLREMOVE
  DO(g_ctlrem(1), a_ctlrem(1), ("controller removes 1 from the isr\n"))
  DO(g_ctlrem(2), a_ctlrem(2), ("controller removes 2 from the isr\n"))
#endif
  :: else -> break
  od;
#ifdef PROGRESS
  c_code { if (!served()) now.bad = 6; };
  assert(bad == 0)
#endif
}
