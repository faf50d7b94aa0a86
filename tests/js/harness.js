// tests/js/harness.js - a list of tests, run in order: prints "ok NAME" or "not ok NAME" and why, for each.
//
// tests/api/test_js.py starts the server and calls `node FILE` with CHASKI_URL and CHASKI_ENGINE (`fake`: words that
// the message orders, see tests/fake_engine.c; `real`: a small model). It finds the tests by their lines `both("..`,
// `fake("..` and `real("..`, so each stands at the start of a line.
'use strict';
const assert = require('node:assert/strict');

const url = process.env.CHASKI_URL;
const engine = process.env.CHASKI_ENGINE;
const tests = [];
const both = (name, run) => tests.push([name, run]);
const fake = (name, run) => engine === 'fake' && both(name, run);
const real = (name, run) => engine === 'real' && both(name, run);

async function main() {
    for (const [name, run] of tests) {
        try {
            await run();
            console.log('ok ' + name);
        } catch (why) {
            console.log('not ok ' + name);
            console.log(String((why && why.stack) || why).replace(/^/gm, '# '));
        }
    }
    console.log('end');
}
setImmediate(main);

// An answer of the fake engine: `text`, `cut` bytes a token (0: one token).
const say = (text, cut = 3) => [{ role: 'user', content: `fake:say=${cut}\n${text}` }];
const user = (content) => [{ role: 'user', content }];
const CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}\n</tool_call>';
const WEATHER = {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 20 }, days: { type: 'integer', minimum: 1, maximum: 9 } },
    required: ['city', 'days'],
    additionalProperties: false,
};

// What a client is working at, seen from outside: true as soon as nothing is.
async function idle() {
    for (let i = 0; i < 150; i++) {
        const { models } = await (await fetch(url + '/api/ps')).json();
        if (!models.some((m) => m.active)) return true;
        await new Promise((done) => setTimeout(done, 20));
    }
    return false;
}

module.exports = { assert, url, both, fake, real, say, user, idle, CALL, WEATHER };
