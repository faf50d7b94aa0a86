// tests/js/anthropic.js - the package `@anthropic-ai/sdk`: messages, its stream helper, tools, structured output.
'use strict';
const Anthropic = require('@anthropic-ai/sdk').default;
const { zodOutputFormat } = require('@anthropic-ai/sdk/helpers/zod');
const { betaZodTool } = require('@anthropic-ai/sdk/helpers/beta/zod');
const { z } = require('zod');
const { assert, url, both, fake, real, say, user, idle, CALL, WEATHER } = require('./harness');

const client = new Anthropic({ baseURL: url, apiKey: 'x', maxRetries: 0 });
const SHORT = { model: 'm', max_tokens: 4, temperature: 0, messages: user('Hi') };
const TOOLS = [{ name: 'get_weather', description: 'The weather.', input_schema: WEATHER }];
const ARGS = { city: 'Rome', days: 2 };
const Person = z.object({ name: z.string(), age: z.number().int(), town: z.string().nullable() });

both('a message, whole and streamed', async () => {
    const r = await client.messages.create(SHORT);
    assert.equal(r.type, 'message');
    assert.equal(r.stop_reason, 'max_tokens');
    assert.equal(r.usage.output_tokens, 4);
    const types = [];
    let said = '';
    for await (const e of await client.messages.create({ ...SHORT, stream: true })) {
        types.push(e.type);
        if (e.type === 'content_block_delta') said += e.delta.text;
    }
    assert.equal(said, r.content[0].text);
    assert.deepEqual([types[0], types.at(-1)], ['message_start', 'message_stop']);
});

both('the stream helper', async () => {
    let said = '', message;
    const stream = client.messages.stream(SHORT)
        .on('text', (delta) => (said += delta))
        .on('message', (m) => (message = m));
    const r = await stream.finalMessage();
    assert.equal(r.content[0].text, said);
    assert.equal(await stream.finalText(), said);
    assert.equal(message.stop_reason, 'max_tokens');
    assert.ok(r.usage.input_tokens + r.usage.cache_read_input_tokens > 0);
});

both('abort', async () => {
    const text = process.env.CHASKI_ENGINE === 'fake' ? 'fake:delay=20 fake:words=5000' : 'Count for ever.';
    const stream = client.messages.stream({ model: 'm', max_tokens: 5000, messages: user(text) });
    stream.on('text', () => stream.abort());
    await assert.rejects(stream.done(), Anthropic.APIUserAbortError);
    assert.ok(await idle());
});

real('tokens are counted', async () => {
    const { max_tokens, temperature, ...ask } = SHORT;
    const { input_tokens } = await client.messages.countTokens({ ...ask, system: [{ type: 'text', text: 'Be kind.' }] });
    const r = await client.messages.create({ ...SHORT, system: 'Be kind.' });
    assert.equal(input_tokens, r.usage.input_tokens + r.usage.cache_read_input_tokens);
});

both('models', async () => {
    const seen = [];
    for await (const m of client.models.list({ limit: 5 })) seen.push(m);
    const { type, display_name, created_at } = seen.find((m) => m.id === 'm:latest');
    assert.deepEqual([type, display_name], ['model', 'm:latest']);
    assert.ok(Date.parse(created_at) > 0);
    assert.equal((await client.models.retrieve('m')).id, 'm');
    await assert.rejects(client.models.retrieve('nope'), (e) => e.error.error.type === 'not_found_error');
});

both('classes of errors', async () => {
    await assert.rejects(client.messages.create({ ...SHORT, model: 'nope' }), (e) => {
        assert.ok(e instanceof Anthropic.NotFoundError);
        assert.equal(e.error.error.type, 'not_found_error');
        assert.ok(e.requestID);
        return true;
    });
    for (const more of [{ messages: [] }, { temperature: 'hot' }, { max_tokens: -1 },
                        { tools: TOOLS, tool_choice: { type: 'tool', name: 'other' } },
                        { output_config: { format: { type: 'strange' } } },
                        { output_config: { format: { type: 'json_schema' } } }]) {
        await assert.rejects(client.messages.create({ ...SHORT, ...more }), Anthropic.BadRequestError, JSON.stringify(more));
    }
    await assert.rejects(client.messages.stream({ ...SHORT, model: 'nope' }).finalMessage(), Anthropic.NotFoundError);
});

fake('an error in the stream', async () => {
    const stream = client.messages.stream({ ...SHORT, max_tokens: 50, messages: user('fake:fail=2') });
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
});

fake('tools: a call, its input as it grows, the result', async () => {
    const messages = say('So. ' + CALL);
    const ask = { model: 'hermes', max_tokens: 500, tools: TOOLS, tool_choice: { type: 'auto', disable_parallel_tool_use: true } };
    const r = await client.messages.create({ ...ask, messages });
    assert.equal(r.stop_reason, 'tool_use');
    assert.deepEqual(r.content.map((b) => b.type), ['text', 'tool_use']);
    let snapshot;
    const stream = client.messages.stream({ ...ask, messages }).on('inputJson', (_, s) => (snapshot = s));
    const same = await stream.finalMessage();
    assert.deepEqual(snapshot, ARGS);
    assert.deepEqual(same.content[1].input, ARGS);
    messages.push({ role: 'assistant', content: r.content }, { role: 'user', content: [
        { type: 'tool_result', tool_use_id: r.content[1].id, content: [{ type: 'text', text: 'fake:say=2\nwet' }] }] });
    const last = await client.messages.create({ ...ask, messages });
    assert.deepEqual([last.content[0].text, last.stop_reason], ['wet', 'end_turn']);
});

fake('the tool runner calls the functions and goes on', async () => {
    for (const stream of [false, true]) {
        const seen = [];
        const tool = betaZodTool({
            name: 'get_weather', description: 'The weather.', inputSchema: z.object({ city: z.string(), days: z.number() }),
            run: (input) => {
                seen.push(input);
                return 'fake:say=2\nwet in ' + input.city;
            },
        });
        const runner = client.beta.messages.toolRunner({ model: 'hermes', max_tokens: 500, messages: say(CALL, 4),
                                                         tools: [tool], stream });
        const last = await runner.runUntilDone();
        assert.equal(last.content[0].text, 'wet in Rome');
        assert.deepEqual(seen, [ARGS]);
    }
});

fake('thinking', async () => {
    const ask = { model: 'hermes', max_tokens: 2000, messages: say('<think>\nTen and seven.</think>\n\n17'),
                  thinking: { type: 'enabled', budget_tokens: 1024 } };
    const r = await client.messages.create(ask);
    assert.deepEqual(r.content.map((b) => b.thinking ?? b.text), ['Ten and seven.', '17']);
    let thoughts = '';
    const stream = client.messages.stream(ask).on('thinking', (delta) => (thoughts += delta));
    const same = await stream.finalMessage();
    assert.equal(thoughts, 'Ten and seven.');
    assert.deepEqual(same.content, r.content);
    const next = [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: r.content }, ...say('Good.')];
    assert.equal((await client.messages.create({ ...ask, messages: next })).content[0].text, 'Good.');
});

fake('what a class of zod gets from an answer that fits', async () => {
    const text = '{"name":"Anna","age":7,"town":null}';
    const ask = { model: 'm', max_tokens: 200, messages: say(text), output_config: { format: zodOutputFormat(Person) } };
    assert.deepEqual((await client.messages.parse(ask)).parsed_output, JSON.parse(text));
    assert.deepEqual((await client.messages.stream(ask).finalMessage()).parsed_output, JSON.parse(text));
});

real('a class of zod is obeyed', async () => {
    const Short = z.object({ happy: z.boolean(), pet: z.enum(['cat', 'dog']), size: z.enum(['small', 'big']).nullable() });
    const r = await client.messages.parse({ model: 'm', max_tokens: 200, temperature: 0,
                                            messages: user('Anna is 7, happy and has a cat. Answer as JSON.'),
                                            output_config: { format: zodOutputFormat(Short) } });
    assert.equal(typeof r.parsed_output.happy, 'boolean');
});

real('a call that has to come', async () => {
    for (const tool_choice of [{ type: 'any', disable_parallel_tool_use: true }, { type: 'tool', name: 'get_weather' }]) {
        const r = await client.messages.create({ model: 'r-hermes', max_tokens: 160, temperature: 0, tools: TOOLS, tool_choice,
                                                 messages: user('Weather in Rome?'), thinking: { type: 'disabled' } });
        if (r.stop_reason === 'max_tokens') continue;
        assert.equal(r.content[0].name, 'get_weather');
        assert.ok(r.content[0].input.days >= 1);
    }
});
