// tests/js/ollama.js - the package `ollama`, with the examples of its README.
'use strict';
const { Ollama } = require('ollama');
const { z } = require('zod');
const { assert, url, both, fake, real, say, user, idle, CALL, WEATHER } = require('./harness');

const client = new Ollama({ host: url });
const SHORT = { temperature: 0, num_predict: 4 };
const LONG = process.env.CHASKI_ENGINE === 'fake' ? 'fake:delay=20 fake:words=5000' : 'Count for ever.';
const TOOLS = [{ type: 'function', function: { name: 'get_weather', description: 'The weather.', parameters: WEATHER } }];

async function collect(stream) {
    const parts = [];
    for await (const part of stream) parts.push(part);
    return parts;
}
const refused = (promise, status, text) =>
    assert.rejects(promise, (e) => {
        assert.equal(e.name, 'ResponseError');
        assert.equal(e.status_code, status);
        assert.match(e.error, text);
        return true;
    });

both('chat, whole and streamed', async () => {
    const r = await client.chat({ model: 'm', messages: user('Hi'), options: SHORT });
    assert.equal(r.message.role, 'assistant');
    assert.ok(r.done && r.done_reason === 'length' && r.eval_count === 4 && r.total_duration > 0);
    assert.ok(!Number.isNaN(Date.parse(r.created_at)));
    const parts = await collect(await client.chat({ model: 'm', messages: user('Hi'), options: SHORT, stream: true }));
    assert.equal(parts.map((p) => p.message.content).join(''), r.message.content);
    assert.equal(parts.at(-1).eval_count, 4);
});

both('generate, whole and streamed', async () => {
    const r = await client.generate({ model: 'm', prompt: 'Hi', options: SHORT });
    assert.ok(r.response && r.done && Array.isArray(r.context));
    const parts = await collect(await client.generate({ model: 'm', prompt: 'Hi', options: SHORT, stream: true }));
    assert.equal(parts.map((p) => p.response).join(''), r.response);
});

both('log probabilities', async () => {
    const r = await client.generate({ model: 'm', prompt: 'Hi', options: SHORT, logprobs: true, top_logprobs: 2 });
    assert.equal(r.logprobs.length, 4);
    assert.ok(r.logprobs.every((x) => x.logprob <= 0 && x.top_logprobs.length === 2));
});

both('abort of all streams, and of one', async () => {
    const own = new Ollama({ host: url });
    const ask = { model: 'm', messages: user(LONG), stream: true, options: { num_predict: 5000 } };
    const one = await own.chat({ ...ask });
    await assert.rejects(async () => {
        for await (const _ of one) own.abort();
    }, { name: 'AbortError' });
    assert.ok(await idle());
    const two = await own.generate({ model: 'm', prompt: LONG, stream: true, options: { num_predict: 5000 } });
    await assert.rejects(async () => {
        for await (const _ of two) two.abort();
    }, { name: 'AbortError' });
    assert.ok(await idle());
});

both('embed and embeddings', async () => {
    const r = await client.embed({ model: 'm', input: ['a stone', 'a river'], truncate: true });
    assert.equal(r.embeddings.length, 2);
    const norm = r.embeddings[0].reduce((sum, x) => sum + x * x, 0);
    assert.ok(Math.abs(norm - 1) < 1e-4);
    assert.equal((await client.embed({ model: 'm', input: 'a stone', dimensions: 4 })).embeddings[0].length, 4);
    assert.ok((await client.embeddings({ model: 'm', prompt: 'a stone' })).embedding.length > 0);
});

both('list, show, ps, version', async () => {
    assert.ok((await client.list()).models.some((m) => m.name === 'm:latest' && m.details.format === 'gguf'));
    const show = await client.show({ model: 'm', verbose: true });
    assert.ok(show.capabilities.includes('completion'));
    assert.equal(show.model_info['general.architecture'], 'llama');
    await client.generate({ model: 'm', prompt: '', keep_alive: '10m' });
    const [loaded] = (await client.ps()).models.filter((m) => m.name === 'm:latest');
    assert.ok(Date.parse(loaded.expires_at) > Date.now());
    await client.generate({ model: 'm', prompt: '', keep_alive: 0 });
    assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
});

both('create, copy, delete', async () => {
    const { digest } = (await client.list()).models.find((m) => m.name === 'm:latest');
    const layers = (await client.show({ model: 'm' })).modelfile.match(/sha256[-:][0-9a-f]{64}/)[0];
    assert.ok(digest);
    const r = await client.create({ model: 'js-file', files: { 'x.gguf': layers.replace('-', ':') } });
    assert.equal(r.status, 'success');
    const steps = await collect(
        await client.create({
            model: 'js-from', from: 'js-file', system: 'You are Mario.', parameters: { temperature: 1, stop: ['a', 'b'] },
            messages: user('Hi'), license: 'MIT', template: '{{ .System }} {{ .Prompt }}', stream: true,
        }),
    );
    assert.equal(steps.at(-1).status, 'success');
    const shown = await client.show({ model: 'js-from' });
    assert.equal(shown.system, 'You are Mario.');
    assert.match(shown.parameters, /stop +"b"/);
    await client.copy({ source: 'js-from', destination: 'js-copy' });
    for (const model of ['js-file', 'js-from', 'js-copy']) await client.delete({ model });
    await refused(client.delete({ model: 'js-copy' }), 404, /js-copy.*not found/);
});

both('errors', async () => {
    await refused(client.chat({ model: 'nope', messages: user('x') }), 404, /^model 'nope' not found$/);
    await refused(client.chat({ model: 'nope', messages: user('x'), stream: true }), 404, /nope/);
    await refused(client.generate({ model: 'm', prompt: 'x', think: true }), 400, /does not support thinking/);
    await refused(client.generate({ model: 'm', prompt: 'x', images: [new Uint8Array([1, 2, 3])] }), 400, /image|vision/);
});

fake('an error in the stream', async () => {
    const stream = await client.generate({ model: 'm', prompt: 'fake:fail=2', stream: true });
    await assert.rejects(collect(stream), /on demand/);
});

fake('the README\'s loop of tool calls', async () => {
    const messages = say(CALL);
    const r = await client.chat({ model: 'hermes', messages, tools: TOOLS });
    messages.push(r.message);
    for (const call of r.message.tool_calls) {
        assert.deepEqual(call.function.arguments, { city: 'Rome', days: 2 });
        messages.push({ role: 'tool', content: 'fake:say=2\nwet in ' + call.function.arguments.city,
                        tool_name: call.function.name });
    }
    assert.equal((await client.chat({ model: 'hermes', messages, tools: TOOLS })).message.content, 'wet in Rome');
    const parts = await collect(await client.chat({ model: 'hermes', messages: say('So. ' + CALL, 1), tools: TOOLS,
                                                    stream: true }));
    const calls = parts.flatMap((p) => p.message.tool_calls ?? []);
    assert.deepEqual(calls.map((c) => c.function.name), ['get_weather']);
    assert.equal(parts.map((p) => p.message.content).join(''), 'So.');
});

fake('the README\'s thinking, whole and streamed', async () => {
    const messages = say('<think>\nTen and seven.</think>\n\n17');
    const r = await client.chat({ model: 'hermes', messages, think: true });
    assert.deepEqual([r.message.thinking, r.message.content], ['Ten and seven.', '17']);
    const parts = await collect(await client.chat({ model: 'hermes', messages, think: true, stream: true }));
    assert.equal(parts.map((p) => p.message.thinking ?? '').join(''), 'Ten and seven.');
    assert.equal(parts.map((p) => p.message.content).join(''), '17');
    const plain = await client.chat({ model: 'hermes', messages: say('17'), think: 'high' });
    assert.equal(plain.message.content, '17');
});

real('structured output by a class of zod', async () => {
    const Friend = z.object({
        name: z.string().max(20).describe('The name of the friend'),
        age: z.number().int(),
        isAvailable: z.boolean(),
        mood: z.enum(['good', 'bad']).nullable(),
    });
    const Friends = z.object({ friends: z.array(Friend).min(1).max(2) });
    const r = await client.chat({
        model: 'm', messages: user('Ollama is 22 and busy. Alonso is 23 and free. Answer as JSON.'),
        format: z.toJSONSchema(Friends), options: { temperature: 0, num_predict: 200 },
    });
    const got = Friends.parse(JSON.parse(r.message.content));
    assert.ok(got.friends.length >= 1);
});

real('a schema that cannot be', async () => {
    await refused(client.generate({ model: 'm', prompt: 'x', format: { type: 'strange' } }), 400, /strange at #/);
});

real('a call that has to come', async () => {
    const r = await client.chat({
        model: 'r-hermes', messages: user('Weather in Rome?'), tools: TOOLS, tool_choice: 'required', think: false,
        parallel_tool_calls: false, options: { temperature: 0, num_predict: 160 },
    });
    if (r.done_reason === 'length') return;
    const [call] = r.message.tool_calls;
    assert.ok(call.function.arguments.days >= 1 && call.function.arguments.city.length <= 20);
});
