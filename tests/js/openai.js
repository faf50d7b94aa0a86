// tests/js/openai.js - the package `openai`: chat, completions, embeddings, models, responses, and its helpers.
'use strict';
const OpenAI = require('openai').default;
const { zodResponseFormat, zodTextFormat, zodFunction } = require('openai/helpers/zod');
const { z } = require('zod');
const { assert, url, both, fake, real, say, user, idle, CALL, WEATHER } = require('./harness');

const client = new OpenAI({ baseURL: url + '/v1', apiKey: 'x', maxRetries: 0 });
const SHORT = { model: 'm', temperature: 0, max_tokens: 4 };
const FUNCTION = { name: 'get_weather', description: 'The weather.', parameters: WEATHER };
const TOOLS = [{ type: 'function', function: FUNCTION }];
const FLAT = [{ type: 'function', strict: true, ...FUNCTION }];
const ARGS = { city: 'Rome', days: 2 };
const Person = z.object({ name: z.string().max(20), age: z.number().int(), pets: z.array(z.enum(['cat', 'dog'])).max(2),
                          town: z.string().max(20).nullable() });

both('chat, whole and streamed', async () => {
    const r = await client.chat.completions.create({ ...SHORT, messages: user('Hi'), logprobs: true, top_logprobs: 2 });
    assert.equal(r.choices[0].finish_reason, 'length');
    assert.equal(r.usage.completion_tokens, 4);
    assert.equal(r.choices[0].logprobs.content.length, 4);
    let said = '', usage;
    const stream = await client.chat.completions.create({ ...SHORT, messages: user('Hi'), stream: true,
                                                          stream_options: { include_usage: true } });
    for await (const part of stream) {
        said += part.choices[0]?.delta?.content ?? '';
        usage = part.usage ?? usage;
    }
    assert.equal(said, r.choices[0].message.content);
    assert.deepEqual(usage.total_tokens, r.usage.total_tokens);
});

both('the stream helper', async () => {
    const seen = { content: '', chunks: 0 };
    const stream = client.chat.completions.stream({ ...SHORT, messages: user('Hi') })
        .on('content', (delta) => (seen.content += delta))
        .on('chunk', () => seen.chunks++);
    const r = await stream.finalChatCompletion();
    assert.equal(await stream.finalContent(), seen.content);
    assert.equal(r.choices[0].message.content, seen.content);
    assert.ok(seen.chunks > 1 && r.choices[0].finish_reason === 'length');
});

both('abort', async () => {
    const text = process.env.CHASKI_ENGINE === 'fake' ? 'fake:delay=20 fake:words=5000' : 'Count for ever.';
    const stream = await client.chat.completions.create({ model: 'm', messages: user(text), stream: true });
    for await (const _ of stream) stream.controller.abort();
    assert.ok(await idle());
    const responses = client.responses.stream({ model: 'm', input: text });
    responses.on('response.output_text.delta', () => responses.abort());
    await assert.rejects(responses.done(), OpenAI.APIUserAbortError);
    assert.ok(await idle());
});

both('completions', async () => {
    const r = await client.completions.create({ ...SHORT, prompt: ['Hi', 'Ho'], logprobs: 1 });
    assert.equal(r.choices.length, 2);
    assert.equal(r.choices[1].logprobs.tokens.length, 4);
    let said = '';
    for await (const part of await client.completions.create({ ...SHORT, prompt: 'Hi', stream: true })) {
        said += part.choices[0].text;
    }
    assert.equal(said, r.choices[0].text);
});

both('embeddings, as base64 (the client\'s default) and as numbers', async () => {
    const input = ['a stone', 'a river'];
    const packed = await client.embeddings.create({ model: 'm', input });
    const plain = await client.embeddings.create({ model: 'm', input, encoding_format: 'float' });
    assert.equal(packed.data.length, 2);
    assert.deepEqual(packed.data.map((d) => [...d.embedding].map(Math.fround)),
                     plain.data.map((d) => d.embedding.map(Math.fround)));
    assert.ok(plain.usage.total_tokens > 0);
    assert.equal((await client.embeddings.create({ model: 'm', input: 'x', dimensions: 3 })).data[0].embedding.length, 3);
});

both('models', async () => {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes('m:latest'));
    assert.equal((await client.models.retrieve('m:latest')).object, 'model');
    await assert.rejects(client.models.retrieve('nope'), OpenAI.NotFoundError);
});

both('responses, whole, streamed, and the helper', async () => {
    const ask = { model: 'm', input: 'Hi', temperature: 0, max_output_tokens: 4 };
    const r = await client.responses.create(ask);
    assert.equal(r.status, 'incomplete');
    assert.equal(r.incomplete_details.reason, 'max_output_tokens');
    assert.equal(r.usage.output_tokens, 4);
    let said = '';
    const types = [];
    for await (const e of await client.responses.create({ ...ask, stream: true })) {
        types.push(e.type);
        if (e.type === 'response.output_text.delta') said += e.delta;
    }
    assert.equal(said, r.output_text);
    assert.deepEqual([types[0], types.at(-1)], ['response.created', 'response.completed']);
    const stream = client.responses.stream({ ...ask, instructions: 'Be short.' });
    let again = '';
    stream.on('response.output_text.delta', (e) => (again += e.delta));
    assert.equal((await stream.finalResponse()).output_text, again);
});

both('classes of errors', async () => {
    const ask = { model: 'm', messages: user('Hi') };
    await assert.rejects(client.chat.completions.create({ ...ask, model: 'nope' }), (e) => {
        assert.ok(e instanceof OpenAI.NotFoundError);
        assert.equal(e.code, 'model_not_found');
        return true;
    });
    for (const more of [{ messages: [] }, { temperature: 'hot' }, { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
                        { tools: TOOLS, tool_choice: { type: 'function', function: { name: 'other' } } }]) {
        await assert.rejects(client.chat.completions.create({ ...ask, ...more }), OpenAI.BadRequestError);
    }
    await assert.rejects(client.chat.completions.stream({ ...ask, messages: [] }).done(), OpenAI.BadRequestError);
    await assert.rejects(client.responses.create({ model: 'nope', input: 'x' }), OpenAI.NotFoundError);
    await assert.rejects(client.embeddings.create({ model: 'm', input: [] }), OpenAI.BadRequestError);
});

fake('an error in the stream', async () => {
    const stream = await client.chat.completions.create({ model: 'm', messages: user('fake:fail=2'), stream: true });
    await assert.rejects(async () => {
        for await (const _ of stream);
    }, OpenAI.APIError);
});

fake('tool calls, whole, streamed, with a choice, and the answer', async () => {
    const messages = say(CALL);
    const r = await client.chat.completions.create({ model: 'hermes', messages, tools: TOOLS, tool_choice: 'auto' });
    const { message, finish_reason } = r.choices[0];
    assert.equal(finish_reason, 'tool_calls');
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), ARGS);
    messages.push(message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'fake:say=2\nwet' });
    const last = await client.chat.completions.create({ model: 'hermes', messages, tools: TOOLS });
    assert.equal(last.choices[0].message.content, 'wet');
    const events = [];
    const stream = client.chat.completions.stream({ model: 'hermes', messages: say('So. ' + CALL, 1), tools: TOOLS })
        .on('tool_calls.function.arguments.done', (e) => events.push(e));
    const whole = (await stream.finalChatCompletion()).choices[0];
    assert.deepEqual(events.map((e) => [e.name, JSON.parse(e.arguments)]), [['get_weather', ARGS]]);
    assert.equal(whole.message.content, 'So.');
    assert.equal(whole.finish_reason, 'tool_calls');
});

fake('runTools calls the functions and goes on', async () => {
    for (const stream of [false, true]) {
        const seen = [];
        const get_weather = (args) => {
            seen.push(args);
            return 'fake:say=2\nwet in ' + args.city;
        };
        const runner = client.chat.completions.runTools({
            model: 'hermes', messages: say(CALL, 4), stream,
            tools: [{ type: 'function', function: { ...FUNCTION, function: get_weather, parse: JSON.parse } }],
        });
        assert.equal(await runner.finalContent(), 'wet in Rome');
        assert.deepEqual(seen, [ARGS]);
        assert.deepEqual(runner.messages.map((m) => m.role), ['user', 'assistant', 'tool', 'assistant']);
    }
});

fake('a function of zod is parsed', async () => {
    const parameters = z.object({ city: z.string(), days: z.number().int() });
    const r = await client.chat.completions.parse({ model: 'hermes', messages: say(CALL),
                                                    tools: [zodFunction({ name: 'get_weather', parameters })] });
    assert.deepEqual(r.choices[0].message.tool_calls[0].function.parsed_arguments, ARGS);
});

fake('responses: calls, their outputs, thoughts', async () => {
    const input = say(CALL);
    const r = await client.responses.create({ model: 'hermes', input, tools: FLAT });
    const [call] = r.output.filter((x) => x.type === 'function_call');
    assert.deepEqual(JSON.parse(call.arguments), ARGS);
    const last = await client.responses.create({ model: 'hermes', tools: FLAT, input: [
        ...user('Hi'), ...r.output, { type: 'function_call_output', call_id: call.call_id, output: 'fake:say=2\nwet' }] });
    assert.equal(last.output_text, 'wet');
    const stream = client.responses.stream({ model: 'hermes', input: say('<think>Hm.</think>So. ' + CALL, 1), tools: FLAT,
                                             reasoning: { effort: 'low', summary: 'auto' } });
    let args = '';
    stream.on('response.function_call_arguments.delta', (e) => (args += e.delta));
    const whole = await stream.finalResponse();
    assert.deepEqual(whole.output.map((x) => x.type), ['reasoning', 'message', 'function_call']);
    assert.deepEqual(JSON.parse(args), ARGS);
    assert.equal(whole.output[0].summary[0].text, 'Hm.');
    assert.equal(whole.output_text, 'So.');
});

fake('what a class of zod gets from an answer that fits', async () => {
    const text = '{"name":"Anna","age":7,"pets":["cat"],"town":null}';
    const want = JSON.parse(text);
    const stream = client.chat.completions.stream({ model: 'm', messages: say(text),
                                                    response_format: zodResponseFormat(Person, 'person') });
    assert.deepEqual((await stream.finalChatCompletion()).choices[0].message.parsed, want);
    const r = await client.responses.parse({ model: 'm', input: say(text), text: { format: zodTextFormat(Person, 'person') } });
    assert.deepEqual(r.output_parsed, want);
});

real('a class of zod is obeyed, by chat and by responses', async () => {
    const text = 'Anna, age 7, lives in Rome with a cat. Answer as JSON.';
    const r = await client.chat.completions.parse({ model: 'm', messages: user(text), max_tokens: 200, temperature: 0,
                                                    response_format: zodResponseFormat(Person, 'person') });
    assert.equal(typeof r.choices[0].message.parsed.age, 'number');
    const o = await client.responses.parse({ model: 'm', input: text, max_output_tokens: 200, temperature: 0,
                                             text: { format: zodTextFormat(Person, 'person') } });
    assert.equal(typeof o.output_parsed.age, 'number');
});

real('a call that has to come', async () => {
    for (const tool_choice of ['required', { type: 'function', function: { name: 'get_weather' } }]) {
        const r = await client.chat.completions.create({ model: 'r-hermes', messages: user('Weather in Rome?'), tools: TOOLS,
                                                         tool_choice, parallel_tool_calls: false, max_tokens: 160,
                                                         temperature: 0, reasoning_effort: 'none' });
        const { message, finish_reason } = r.choices[0];
        if (finish_reason === 'length') continue;
        assert.equal(message.tool_calls[0].function.name, 'get_weather');
        assert.ok(JSON.parse(message.tool_calls[0].function.arguments).days >= 1);
    }
});
