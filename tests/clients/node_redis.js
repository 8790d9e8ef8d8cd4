// SPDX-License-Identifier: BSD-3-Clause
'use strict';
// node-redis: HELLO 3 by default and without a fallback, CLIENT SETINFO; and its RESP2 mode.

const redis = require('redis');
const assert = require('node:assert');
const { target, claim, maySkip, need, restartServer, refused, run } = require('./tap.js');

const key = (name) => `{nr}${name}`;
const bytes = { [redis.RESP_TYPES.BLOB_STRING]: Buffer };

async function connect(options = {}) {
    const { socket, ...rest } = options;
    const at = { host: target.host, port: target.port, ...socket };
    const c = target.mode === 'cluster'
        ? redis.createCluster({ rootNodes: [{ socket: at }], defaults: rest })
        : redis.createClient({ socket: at, ...rest });
    c.on('error', () => {});
    await c.connect();
    return c;
}

async function withClient(options, body) {
    const c = await connect(options);
    try {
        return await body(c);
    } finally {
        c.destroy();
    }
}

for (const RESP of [2, 3]) {
    const about = `RESP${RESP}: `;
    const options = { RESP };

    claim(`${about}the handshake succeeds, with a name, a database but in a cluster, and CLIENT SETINFO`, () => {
        maySkip('client');
        const database = target.skips.has('databases') ? 0 : 3;
        return withClient({ ...options, name: 'nr-test', database }, async (c) => {
            assert.equal(await c.ping(), 'PONG');
            const me = await c.sendCommand(['CLIENT', 'INFO']);
            assert.match(me, / name=nr-test /);
            assert.match(me, new RegExp(` db=${database} `));
            assert.match(me, new RegExp(` resp=${RESP}( |\n|$)`));
            assert.match(me, / lib-name=node-redis.* lib-ver=6\./);
            assert.equal((await c.clientInfo()).name, 'nr-test');
        });
    });

    claim(`${about}strings, numbers, nulls, doubles and several keys are read as JavaScript expects`, () =>
        withClient(options, async (c) => {
            const [a, b, none] = ['a', 'b', 'none'].map(key);
            await c.del([a, b, none]);
            assert.equal(await c.set(a, '1', { expiration: { type: 'EX', value: 100 } }), 'OK');
            assert.equal(await c.set(a, '2', { condition: 'NX' }), null);
            assert.equal(await c.set(a, '3', { GET: true }), '1');
            assert.equal(await c.incrBy(a, 39), 42);
            assert.equal(Number(await c.incrByFloat(a, 0.5)), 42.5);
            assert.equal(await c.mSet({ [a]: 'x', [b]: 'y' }), 'OK');
            assert.deepEqual(await c.mGet([a, b, none]), ['x', 'y', null]);
            assert.equal(await c.get(none), null);
            assert.equal(await c.exists([a, b, none]), 2);
            assert.equal(await c.pExpire(a, 500000), 1);
            assert(await c.pTTL(a) > 400000);
            assert.equal(await c.getDel(b), 'y');
            assert.equal(await c.lcsLen(a, b), 0);
            assert.equal(await c.append(b, 'xyz'), 3);
            assert.equal(await c.lcs(a, b), 'x');
            const idx = await c.lcsIdx(a, b);
            assert.deepEqual([idx.len, idx.matches.length], [1, 1]);
            await refused('value is not an integer or out of range', c.incr(a));
        }));

    claim(`${about}commands of one tick go as one pipeline and answer in order`, () =>
        withClient(options, async (c) => {
            const k = key('tick');
            await c.set(k, '0');
            const got = await Promise.all(Array.from({ length: 5000 }, () => c.incr(k)));
            assert.deepEqual(got, Array.from({ length: 5000 }, (_, i) => i + 1));
        }));

    claim(`${about}multi executes all, tells errors one by one, and aborts on a bad command`, () =>
        withClient(options, async (c) => {
            const k = key('multi');
            assert.deepEqual(await c.multi().set(k, '1').incr(k).get(k).exec(), ['OK', 2, '2']);
            const failed = await c.multi().set(k, 'word').incr(k).get(k).exec().then(
                () => assert.fail('no error'), (e) => e);
            assert.match(failed.replies[1].message, /not an integer/);
            assert.equal(failed.replies[2], 'word');
            const bad = c.multi().set(k, '5');
            (target.mode === 'cluster' ? bad.addCommand(k, false, ['GET', k, 'more'])
                : bad.addCommand(['GET', k, 'more']));
            await assert.rejects(bad.exec());
            assert.equal(await c.get(k), 'word');
        }));

    claim(`${about}a watched key that changed makes exec throw WatchError`, () =>
        withClient(options, async (c) => {
            maySkip('watch');
            const k = key('watch');
            await withClient(options, async (other) => {
                await c.watch(k);
                await other.set(k, '2');
                await assert.rejects(c.multi().set(k, '3').exec(), redis.WatchError);
                await c.watch(k);
                assert.deepEqual(await c.multi().set(k, '4').exec(), ['OK']);
            });
        }));

    claim(`${about}buffers hold any byte, in keys and in values, up to 16 MB`, () =>
        withClient(options, async (c) => {
            const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
            const name = Buffer.concat([Buffer.from('{nr}'), every, Buffer.from('\r\n_\r\n')]);
            const big = Buffer.alloc(16 << 20, every);
            assert.equal(await c.set(name, every), 'OK');
            assert((await c.withTypeMapping(bytes).get(name)).equals(every));
            assert.equal(await c.set(name, big), 'OK');
            assert((await c.withTypeMapping(bytes).get(name)).equals(big));
            assert.equal(await c.del(name), 1);
        }));

    claim(`${about}scanIterator finds every key`, () =>
        withClient(options, async (c) => {
            maySkip('stream');
            const keys = Array.from({ length: 3000 }, (_, i) => key(`scan:${i}`));
            await c.mSet(keys.flatMap((k) => [[k, '1']]));
            const found = new Set();
            for await (const some of c.scanIterator({ MATCH: '{nr}scan:*', COUNT: 100, TYPE: 'string' }))
                some.forEach((k) => found.add(k));
            assert.equal(found.size, 3000);
            assert.equal(await c.unlink(keys), 3000);
        }));

    claim(`${about}CONFIG, COMMAND, CLIENT, MEMORY, ROLE and LATENCY pass through their transformers`, () =>
        withClient(options, async (c) => {
            maySkip('server');
            assert.deepEqual({ ...await c.configGet('maxmemory-policy') }, { 'maxmemory-policy': 'noeviction' });
            assert.equal((await c.configGet(['timeout', 'appendfsync'])).timeout, '0');
            const [get] = await c.commandInfo(['get']);
            assert.deepEqual([get.name, get.arity], ['get', 2]);
            assert.equal((await c.command()).length, await c.commandCount());
            assert.deepEqual(await c.commandGetKeys(['MSET', 'a', '1', 'b', '2']), ['a', 'b']);
            const id = await c.clientId();
            assert((await c.clientList()).some((row) => row.id === id));
            assert.equal(typeof (await c.memoryStats())['keys.count'], 'number');
            assert.equal((await c.role()).role, 'master');
            assert.deepEqual([...await c.latencyLatest()], []);
            assert.deepEqual(await c.moduleList(), []);
            assert((await c.time()) !== undefined);
            assert.equal(await c.dbSize() >= 0, true);
            assert.match(await c.info('server'), /redis_version:7\./);
        }));
}

claim('a URL brings user, password and database; a wrong password is refused', async () => {
    const url = need(target.authUrl, 'VONG_AUTH_URL', 'there is no second server with a password');
    const c = await redis.createClient({ url }).on('error', () => {}).connect();
    assert.equal(await c.set('nr-url', '1'), 'OK');
    assert.match(await c.sendCommand(['CLIENT', 'INFO']), / db=2 /);
    assert.equal(await c.del('nr-url'), 1);
    c.destroy();
    const wrong = redis.createClient({ url: url.replace('@', 'x@'), socket: { reconnectStrategy: false } });
    wrong.on('error', () => {});
    await refused('WRONGPASS', wrong.connect());
});

claim('QUIT and an abrupt end leave no connection behind', async () => {
    maySkip('client');
    await withClient({}, async (watcher) => {
        const alive = async () =>
            (await watcher.clientList()).filter((row) => row.name === 'nr-leaves').length;
        const a = await connect({ name: 'nr-leaves' });
        const b = await connect({ name: 'nr-leaves' });
        assert.equal(await alive(), 2);
        await a.close();
        b.destroy();
        const end = Date.now() + 60000;
        while (await alive() > 0) assert(Date.now() < end, 'still listed');
    });
});

claim('after a restart of the server the client goes on, and finds what it wrote', () =>
    withClient({ socket: { reconnectStrategy: 50 } }, async (c) => {
        maySkip('restart');
        need(target.restart, 'VONG_RESTART', 'nobody can restart the server');
        assert.equal(await c.set(key('kept'), 'before'), 'OK');
        const again = new Promise((go) => c.once('reconnecting', () => c.once('ready', go)));
        restartServer();
        await again;
        assert.equal(await c.get(key('kept')), 'before');
        assert.equal(await c.set(key('kept'), 'after'), 'OK');
    }));

run();
