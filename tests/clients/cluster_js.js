// SPDX-License-Identifier: BSD-3-Clause
'use strict';
// The cluster classes of ioredis and node-redis over all slots, and while members come, die and return.

const Redis = require('ioredis');
const redis = require('redis');
const assert = require('node:assert');
const { target, claim, nodes, until, refused, run } = require('./tap.js');

// One face for both libraries: strings in, what the library makes of the reply out.
async function ioredis(RESP) {
    const c = new Redis.Cluster([{ host: target.host, port: target.port }],
        { redisOptions: { protocol: RESP, maxRetriesPerRequest: 20 }, scaleReads: 'master' });
    c.on('error', () => {});
    await new Promise((go) => c.once('ready', go));
    return {
        name: 'ioredis',
        set: (k, v) => c.set(k, v),
        get: (k) => c.get(k),
        mset: (pairs) => c.mset(pairs),
        mget: (...keys) => c.mget(keys),
        rename: (a, b) => c.rename(a, b),
        multi: async (k) => (await c.multi().set(k, '1').incr(k).get(k).exec()).map(([e, r]) => e || r),
        ports: () => c.nodes('master').map((n) => n.options.port),
        close: () => c.disconnect(),
    };
}

async function nodeRedis(RESP) {
    const c = redis.createCluster({
        rootNodes: [{ socket: { host: target.host, port: target.port } }],
        defaults: { RESP, socket: { reconnectStrategy: 50 } },
    });
    c.on('error', () => {});
    await c.connect();
    return {
        name: 'node-redis',
        set: (k, v) => c.set(k, v),
        get: (k) => c.get(k),
        mset: (pairs) => c.mSet(pairs),
        mget: (...keys) => c.mGet(keys),
        rename: (a, b) => c.rename(a, b),
        multi: (k) => c.multi().set(k, '1').incr(k).get(k).exec(),
        ports: () => c.masters.map((n) => n.port),
        close: () => c.destroy(),
    };
}

async function withClient(make, RESP, body) {
    const c = await make(RESP);
    try {
        return await body(c);
    } finally {
        c.close();
    }
}

const both = (RESP, body) => withClient(ioredis, RESP, (a) => withClient(nodeRedis, RESP, (b) => body([a, b])));

// Commands that members have sent on to one another.
async function forwarded() {
    let sum = 0;
    for (const port of await nodes('ports')) {
        const c = new Redis({ host: target.host, port: Number(port) });
        sum += Number((await c.cluster('INFO')).match(/cluster_forwarded_commands:(\d+)/)[1]);
        c.disconnect();
    }
    return sum;
}

const some = (n, name) => Array.from({ length: n }, (_, i) => `${name}:${i}`);
const writeAll = (c, keys) => Promise.all(keys.map((k) => c.set(k, `of ${k}`)));

async function readAll(c, keys) {
    const got = await Promise.all(keys.map((k) => c.get(k)));
    const wrong = keys.filter((k, i) => got[i] !== `of ${k}`);
    assert.equal(wrong.length, 0, `${c.name}: ${wrong.length} of ${keys.length} differ, as ${wrong[0]}`);
}

for (const [name, make] of [['ioredis', ioredis], ['node-redis', nodeRedis]]) {
    for (const RESP of [2, 3]) {
        const about = `${name}, RESP${RESP}: `;

        claim(`${about}each of 3,000 keys over all slots goes to its own node: nothing is forwarded`, () =>
            withClient(make, RESP, async (c) => {
                assert.deepEqual(c.ports().map(String).sort(), (await nodes('ports')).sort());
                const before = await forwarded();
                const keys = some(3000, `${name}${RESP}`);
                assert.deepEqual(new Set(await writeAll(c, keys)), new Set(['OK']));
                await readAll(c, keys);
                assert.equal(await forwarded(), before);
            }));

        claim(`${about}keys of one hash tag go together, in MSET, MGET, RENAME and a transaction`, () =>
            withClient(make, RESP, async (c) => {
                for (const tag of some(20, 'tag')) {
                    const [a, b] = [`{${tag}}a`, `{${tag}}b`];
                    assert.equal(await c.mset({ [a]: '1', [b]: '2' }), 'OK');
                    assert.deepEqual(await c.mget(a, b), ['1', '2']);
                    assert.equal(await c.rename(a, b), 'OK');
                    assert.deepEqual(await c.multi(b), ['OK', 2, '2']);
                }
            }));

        claim(`${about}keys of several slots are CROSSSLOT where they cannot be split`, () =>
            withClient(make, RESP, async (c) => {
                await c.set('cross:1', '1');
                await refused('CROSSSLOT', c.rename('cross:1', 'cross:2'));
                assert.equal(await c.get('cross:1'), '1');
            }));
    }
}

claim('ioredis: autopipelining over all slots, and a pipeline of one slot, answer in order', async () => {
    const c = new Redis.Cluster([{ host: target.host, port: target.port }], { enableAutoPipelining: true });
    c.on('error', () => {});
    try {
        const keys = some(2000, 'auto');
        await Promise.all(keys.map((k) => c.set(k, k)));
        assert.deepEqual(await Promise.all(keys.map((k) => c.get(k))), keys);
        const p = c.pipeline();
        for (let i = 0; i < 1000; i++) p.incr('{auto}count');
        assert.deepEqual((await p.exec()).map(([, n]) => n), Array.from({ length: 1000 }, (_, i) => i + 1));
    } finally {
        c.disconnect();
    }
});

claim('a fourth member joins under work: no command fails, both libraries follow MOVED, all is there', () =>
    both(3, async (clients) => {
        const keys = some(2000, 'join');
        let joining = true;
        const work = clients.map(async (c) => {
            let turns = 0;
            while (joining || turns < 2) {
                await writeAll(c, keys);
                await readAll(c, keys);
                turns += 1;
            }
        });
        const joined = nodes('join').finally(() => { joining = false; });
        await Promise.all(work);
        const [port] = await joined;
        for (const c of clients) {
            let turn = 0;
            await until(async () => {
                turn += 1;
                await writeAll(c, some(500, `${c.name}:${turn}`));
                return c.ports().includes(Number(port));
            }, `${c.name} does not know the fourth member`);
            await readAll(c, keys);
        }
    }));

claim('a member is killed and returns: both libraries go on for all slots, and all is there', () =>
    both(3, async (clients) => {
        const keys = some(2000, 'kill');
        for (const c of clients) await writeAll(c, keys);
        await nodes('kill', 1);
        const tried = clients.map((c) => Promise.allSettled(keys.map((k) => c.get(k))));
        await nodes('start', 1);
        for (const [i, results] of (await Promise.all(tried)).entries()) {
            const wrong = results.find((r, n) => r.status === 'fulfilled' && r.value !== `of ${keys[n]}`);
            assert.equal(wrong, undefined, `${clients[i].name} read something else`);
        }
        for (const c of clients) {
            await until(async () => readAll(c, keys).then(() => true, (e) => {
                if (e instanceof assert.AssertionError) throw e;
                return false;
            }), `${c.name} does not reach all members again`);
            await writeAll(c, keys);
        }
    }));

run();
