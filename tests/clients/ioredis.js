// SPDX-License-Identifier: BSD-3-Clause
'use strict';
// ioredis: HELLO 3 with a fallback, CLIENT SETINFO, then INFO until loading:0; and its RESP2 mode.

const Redis = require('ioredis');
const assert = require('node:assert');
const { target, claim, maySkip, need, restartServer, until, refused, run } = require('./tap.js');

const key = (name) => `{io}${name}`;

function connect(options = {}) {
    const all = { maxRetriesPerRequest: 20, ...options };
    if (target.mode === 'cluster')
        return new Redis.Cluster([{ host: target.host, port: target.port }], { redisOptions: all });
    return new Redis({ host: target.host, port: target.port, ...all });
}

// body with a client that is closed afterwards, whatever happens
async function withClient(options, body) {
    const c = connect(options);
    c.on('error', () => {});
    try {
        return await body(c);
    } finally {
        c.disconnect();
    }
}

for (const protocol of [2, 3]) {
    const about = `RESP${protocol}: `;
    const options = { protocol };

    claim(`${about}the handshake ends in the state ready, in the protocol asked for`, () =>
        withClient({ ...options, connectionName: 'io-test' }, async (c) => {
            assert.equal(await c.ping(), 'PONG');
            assert.equal(c.status, 'ready');
            if (target.mode === 'cluster') return;
            const me = await c.client('INFO');
            assert.match(me, / name=io-test /);
            if (target.mode !== 'proxy') assert.match(me, new RegExp(` resp=${protocol}( |\n|$)`));
        }));

    claim(`${about}library name and version are kept by CLIENT SETINFO`, () =>
        withClient(options, async (c) => {
            maySkip('client');
            await c.ping();
            await until(async () => / lib-name=ioredis.* lib-ver=6\./.test(await c.client('INFO')),
                'no lib-name in CLIENT INFO');
        }));

    claim(`${about}strings, numbers, nulls and several keys are read as JavaScript expects`, () =>
        withClient(options, async (c) => {
            const [a, b, none] = ['a', 'b', 'none'].map(key);
            await c.del(a, b, none);
            assert.equal(await c.set(a, '1', 'EX', 100), 'OK');
            assert.equal(await c.set(a, '2', 'NX'), null);
            assert.equal(await c.set(a, '3', 'GET'), '1');
            assert.equal(await c.incrby(a, 39), 42);
            assert.equal(await c.incrbyfloat(a, '0.5'), '42.5');
            assert.equal(await c.mset({ [a]: 'x', [b]: 'y' }), 'OK');
            assert.deepEqual(await c.mget(a, b, none), ['x', 'y', null]);
            assert.equal(await c.get(none), null);
            assert.equal(await c.exists(a, b, none), 2);
            assert.equal(await c.pexpire(a, 500000), 1);
            assert(await c.pttl(a) > 400000);
            assert.equal(await c.getdel(b), 'y');
            await refused('value is not an integer or out of range', c.incr(a));
            await refused('wrong number of arguments', c.call('GET', a, b));
        }));

    claim(`${about}a pipeline of 5,000 answers in order, errors in their places`, () =>
        withClient(options, async (c) => {
            const k = key('pipe');
            await c.set(k, '0');
            const p = c.pipeline();
            for (let i = 0; i < 5000; i++) p.incr(k);
            p.call('NOSUCH', k).get(k);
            const got = await p.exec();
            assert.equal(got.length, 5002);
            for (let i = 0; i < 5000; i++) assert.deepEqual(got[i], [null, i + 1]);
            assert.match(got[5000][0].message, /unknown command/);
            assert.deepEqual(got[5001], [null, '5000']);
        }));

    claim(`${about}multi executes all, tells errors one by one, and aborts on a bad command`, () =>
        withClient(options, async (c) => {
            const k = key('multi');
            assert.deepEqual(await c.multi().set(k, '1').incr(k).get(k).exec(),
                [[null, 'OK'], [null, 2], [null, '2']]);
            const got = await c.multi().set(k, 'word').incr(k).get(k).exec();
            assert.match(got[1][0].message, /not an integer/);
            assert.deepEqual(got[2], [null, 'word']);
            await refused('EXECABORT', c.multi().set(k, '5').call('GET', k, 'more').exec());
            assert.equal(await c.get(k), 'word');
        }));

    claim(`${about}a watched key that changed makes exec answer null`, () =>
        withClient(options, async (c) => {
            maySkip('watch');
            await withClient(options, async (other) => {
                const k = key('watch');
                await c.set(k, '1');
                await c.watch(k);
                await other.set(k, '2');
                assert.equal(await c.multi().set(k, '3').exec(), null);
                await c.watch(k);
                assert.deepEqual(await c.multi().set(k, '4').exec(), [[null, 'OK']]);
            });
        }));

    claim(`${about}buffers hold any byte, in keys and in values, up to 16 MB`, () =>
        withClient(options, async (c) => {
            const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
            const name = Buffer.concat([Buffer.from('{io}'), every, Buffer.from('\r\n$-1\r\n')]);
            assert.equal(await c.set(name, every), 'OK');
            assert((await c.getBuffer(name)).equals(every));
            const big = Buffer.alloc(16 << 20, every);
            assert.equal(await c.set(name, big), 'OK');
            assert((await c.getBuffer(name)).equals(big));
            assert.equal(await c.strlen(name), 16 << 20);
            assert.equal(await c.del(name), 1);
        }));

    claim(`${about}scanStream finds every key`, () =>
        withClient(options, async (c) => {
            maySkip('stream');
            const keys = Array.from({ length: 3000 }, (_, i) => key(`scan:${i}`));
            await c.mset(Object.fromEntries(keys.map((k) => [k, '1'])));
            const found = new Set();
            for await (const some of c.scanStream({ match: '{io}scan:*', count: 100 }))
                some.forEach((k) => found.add(k));
            assert.equal(found.size, 3000);
            assert.equal(await c.unlink(keys), 3000);
        }));

    claim(`${about}INFO, CONFIG GET, COMMAND, CLIENT LIST, SLOWLOG and MEMORY answer their shapes`, () =>
        withClient(options, async (c) => {
            maySkip('server');
            assert.match(await c.info(), /\r\nloading:0\r\n/);
            const policy = await c.config('GET', 'maxmemory-policy');
            assert.deepEqual(Array.isArray(policy) ? policy : Object.entries(policy).flat(),
                ['maxmemory-policy', 'noeviction']);
            const [get] = await c.command('INFO', 'get');
            assert.deepEqual(get.slice(0, 2), ['get', 2]);
            assert.match(await c.client('LIST'), /^id=\d+ addr=/);
            assert(Array.isArray(await c.slowlog('GET')));
            assert((await c.command('COUNT')) > 100);
            await c.set(key('m'), '1');
            assert((await c.memory('USAGE', key('m'))) > 0);
        }));
}

claim('a URL brings user, password and database; a wrong password is refused', async () => {
    const url = need(target.authUrl, 'VONG_AUTH_URL', 'there is no second server with a password');
    const c = new Redis(url);
    assert.equal(await c.set('io-url', '1'), 'OK');
    assert.match(await c.client('INFO'), / db=2 /);
    assert.equal(await c.del('io-url'), 1);
    c.disconnect();
    const wrong = new Redis(url.replace('@', 'x@'), { retryStrategy: null, maxRetriesPerRequest: 0 });
    const said = [];
    wrong.on('error', (e) => said.push(e.message));
    await assert.rejects(wrong.get('io-url'));
    wrong.disconnect();
    assert(said.concat('').join('\n').includes('WRONGPASS'), said.join('\n'));
});

claim('SELECT is repeated after a reconnection, and databases are apart', () =>
    withClient({ db: 5 }, async (c) => {
        maySkip('databases');
        await withClient({}, async (zero) => {
            await c.set('io-five', '5');
            assert.equal(await zero.get('io-five'), null);
            await zero.client('KILL', 'ID', String(await c.client('ID')));
            assert.equal(await c.get('io-five'), '5');
            assert.equal(await c.del('io-five'), 1);
        });
    }));

claim('two hundred concurrent requests share one connection through autopipelining', () =>
    withClient({ enableAutoPipelining: true }, async (c) => {
        const k = key('auto');
        await c.del(k);
        const got = await Promise.all(Array.from({ length: 200 }, () => c.incr(k)));
        assert.deepEqual(got, Array.from({ length: 200 }, (_, i) => i + 1));
    }));

claim('after a restart of the server the client is ready again, and finds what it wrote', () =>
    withClient({ retryStrategy: () => 50 }, async (c) => {
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
