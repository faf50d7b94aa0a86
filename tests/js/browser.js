// tests/js/browser.js - what a page at http://localhost:3000 does: asks before it sends, and reads the answer as it comes.
//
// fetch() of node has no rules of origins of its own, so the test looks at the headers as a browser would.
'use strict';
const http = require('node:http');
const { assert, url, both } = require('./harness');

const ORIGIN = 'http://localhost:3000';

// fetch() forbids to set Origin and Access-Control-Request-*, which only the browser itself may.
function ask(method, path, headers, body) {
    return new Promise((done, fail) => {
        const request = http.request(url + path, { method, headers: { ...headers, Origin: ORIGIN } }, (r) => {
            const parts = [];
            r.on('data', (x) => parts.push(x));
            r.on('end', () => done({ status: r.statusCode, headers: r.headers, parts }));
            r.on('error', fail);
        });
        request.on('error', fail);
        request.end(body);
    });
}
const list = (text) => (text ?? '').toLowerCase().split(/\s*,\s*/);
const mayRead = (r) => [ORIGIN, '*'].includes(r.headers['access-control-allow-origin']);

both('a preflight lets each client send what it sends', async () => {
    const sent = {
        'POST /api/chat': 'content-type, user-agent',
        'DELETE /api/delete': 'content-type',
        'POST /v1/chat/completions': 'authorization, content-type, user-agent, x-stainless-arch, x-stainless-lang, ' +
            'x-stainless-os, x-stainless-package-version, x-stainless-retry-count, x-stainless-runtime, ' +
            'x-stainless-runtime-version, x-stainless-timeout, openai-organization, openai-project',
        'POST /v1/messages': 'anthropic-beta, anthropic-dangerous-direct-browser-access, anthropic-version, content-type, ' +
            'x-api-key, x-stainless-helper, x-stainless-helper-method, x-stainless-timeout',
    };
    for (const [route, names] of Object.entries(sent)) {
        const [method, path] = route.split(' ');
        const r = await ask('OPTIONS', path, { 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': names });
        assert.ok(r.status === 204 || r.status === 200, route);
        assert.ok(mayRead(r), route);
        assert.ok(list(r.headers['access-control-allow-methods']).includes(method.toLowerCase()), route);
        const allowed = list(r.headers['access-control-allow-headers']);
        for (const name of list(names)) assert.ok(allowed.includes(name), `${route}: ${name}`);
    }
});

both('another origin is refused', async () => {
    const r = await fetch(url + '/api/tags', { headers: { Origin: 'http://evil.example' } });
    assert.equal(r.headers.get('access-control-allow-origin'), null);
});

both('a page may read answers and errors', async () => {
    const chat = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4, stream: true });
    for (const path of ['/api/chat', '/v1/chat/completions', '/v1/messages']) {
        const r = await ask('POST', path, { 'Content-Type': 'application/json' }, chat);
        assert.equal(r.status, 200, path);
        assert.ok(mayRead(r), path);
        const bad = await ask('POST', path, { 'Content-Type': 'application/json' }, '{"model":"nope","messages":[]}');
        assert.ok(bad.status >= 400 && mayRead(bad), path);
    }
    assert.ok(mayRead(await ask('GET', '/nowhere', {})));
});

both('a stream is read piece by piece', async () => {
    const r = await fetch(url + '/api/generate', {
        method: 'POST', body: JSON.stringify({ model: 'm', prompt: 'Hi', options: { num_predict: 6 } }),
        headers: { 'Content-Type': 'application/json' },
    });
    const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (let x; !(x = await reader.read()).done;) text += x.value;
    const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.ok(lines.length > 2 && lines.at(-1).done && lines.at(-1).eval_count === 6);
});
