// SPDX-License-Identifier: BSD-3-Clause
'use strict';
// Claims in JavaScript: claim(title, async function) registers a test, run() tells the results as TAP.
// What is tested comes from the environment (README.md).

const { exec, execSync } = require('node:child_process');
const { promisify } = require('node:util');
const assert = require('node:assert');

const target = {
    host: process.env.VONG_HOST || '127.0.0.1',
    port: Number(process.env.VONG_PORT || 6379),
    mode: process.env.VONG_MODE || 'alone',
    authUrl: process.env.VONG_AUTH_URL || '',
    restart: process.env.VONG_RESTART || '',
    nodes: process.env.VONG_NODES || '',
    skips: new Map((process.env.VONG_SKIPS || '').split('\n').filter((line) => line)
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])),
};

const claims = [];

class Skip extends Error {}

const claim = (title, body) => claims.push({ title, body });

// Skips the claim where the table (skips) has this cause.
function maySkip(cause) {
    if (target.skips.has(cause)) throw new Skip(target.skips.get(cause));
}

function need(value, name, what) {
    if (!value) throw new Skip(`${name} is not set: ${what}`);
    return value;
}

function restartServer() {
    const command = need(target.restart, 'VONG_RESTART', 'nobody can restart the server');
    execSync(command, { stdio: 'ignore', timeout: 400000 });
}

// Does this to the cluster under test (clients.sh: nodes()), while clients go on: what it said.
async function nodes(...words) {
    const command = need(target.nodes, 'VONG_NODES', 'nobody can change the cluster');
    const { stdout } = await promisify(exec)(`${command} ${words.join(' ')}`, { timeout: 400000 });
    return stdout.split('\n').filter((line) => line);
}

function inTime(promise, ms = 420000) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function until(condition, what, ms = 60000) {
    const end = Date.now() + ms;
    for (;;) {
        const got = await condition();
        if (got) return got;
        assert(Date.now() < end, what);
        await new Promise((go) => setTimeout(go, 10));
    }
}

// The promise fails, and its message has the words.
async function refused(words, promise) {
    let got;
    try {
        got = await promise;
    } catch (e) {
        assert(String(e.message).includes(words), `"${e.message}" does not say "${words}"`);
        return;
    }
    assert.fail(`${got} instead of an error: ${words}`);
}

async function run() {
    let n = 0;
    for (const { title, body } of claims) {
        n += 1;
        try {
            await inTime(body());
            console.log(`ok ${n} - ${title}`);
        } catch (e) {
            if (e instanceof Skip) {
                console.log(`ok ${n} - ${title} # SKIP ${e.message}`);
            } else {
                console.log(`not ok ${n} - ${title}`);
                for (const line of String(e.stack).slice(0, 3000).split('\n')) console.log(`# ${line}`);
            }
        }
    }
    console.log(`1..${claims.length}`);
    process.exit(0);   // connections that a failed claim left open keep nobody waiting
}

module.exports = { target, claim, maySkip, need, nodes, restartServer, until, refused, run };
