import assert from 'node:assert/strict';
import { clientOf, model, question, rejection, test } from './kit.mjs';

const chat = clientOf().chat.completions;

test('chat: whole answer', async () => {
  const answer = await chat.create({ model, messages: question, temperature: 0 });
  const [choice] = answer.choices;
  assert.match(choice.message.content, /Paris/);
  assert.equal(choice.message.role, 'assistant');
  assert.equal(choice.finish_reason, 'stop');
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, model);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test('chat: content parts, names and the roles system and developer', async () => {
  const parts = [{ type: 'text', text: 'What is the capital ' }, { type: 'text', text: 'of France?' }];
  for (const role of ['system', 'developer']) {
    const answer = await chat.create({
      model, max_completion_tokens: 4,
      messages: [{ role, content: 'Be brief.' }, { role: 'user', name: 'ada', content: parts }],
    });
    assert.equal(answer.usage.completion_tokens, 4);
    assert.equal(answer.choices[0].finish_reason, 'length');
  }
});

test('chat: n choices, each with its index', async () => {
  const answer = await chat.create({ model, messages: question, n: 3, temperature: 2, seed: 5, max_tokens: 12, ignore_eos: true });
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2]);
  assert.ok(new Set(answer.choices.map((choice) => choice.message.content)).size > 1, 'the choices differ');
});

test('chat: the same seed gives the same text', async () => {
  const ask = async (seed) => (await chat.create({ model, messages: question, temperature: 2, seed, max_tokens: 16, ignore_eos: true })).choices[0].message.content;
  assert.equal(await ask(7), await ask(7));
  assert.notEqual(await ask(7), await ask(8));
});

test('chat: log-probabilities', async () => {
  const answer = await chat.create({ model, messages: question, temperature: 0, logprobs: true, top_logprobs: 3, max_tokens: 5 });
  const { content } = answer.choices[0].logprobs;
  assert.equal(content.length, 5);
  assert.equal(content.map((token) => token.token).join(''), answer.choices[0].message.content);
  for (const token of content) {
    assert.equal(token.top_logprobs.length, 3);
    assert.equal(token.top_logprobs[0].token, token.token, 'greedy chooses the likeliest');
    assert.ok(token.logprob <= 0);
    assert.equal(Buffer.from(token.bytes).toString('utf8'), token.token);
  }
});

test('chat: stop, as a string and as a list', async () => {
  const whole = (await chat.create({ model, messages: question, temperature: 0 })).choices[0].message.content;
  for (const stop of ['Paris', ['nowhere', 'Paris']]) {
    const answer = await chat.create({ model, messages: question, temperature: 0, stop });
    assert.equal(answer.choices[0].message.content, whole.slice(0, whole.indexOf('Paris')));
    assert.equal(answer.choices[0].finish_reason, 'stop');
  }
});

test('chat: logit_bias pulls a token up, and pushes one down', async () => {
  const ask = async (bias) => (await chat.create({ model, messages: question, temperature: 0, logprobs: true, max_tokens: 1, logit_bias: bias })).choices[0].logprobs.content[0].token;
  const [plain, forced] = [await ask({}), await ask({ 300: 100 })];
  assert.notEqual(forced, plain);
  assert.equal(await ask({ 300: -100 }), plain);
});

test('chat: tools are taken, and a forced call is refused', async () => {
  const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];
  const answer = await chat.create({ model, messages: question, tools, tool_choice: 'auto', max_tokens: 4 });
  assert.equal(typeof answer.choices[0].message.content, 'string');
  const error = await rejection(chat.create({ model, messages: question, tools, tool_choice: 'required' }));
  assert.equal(error.status, 400);
  assert.equal(error.param, 'tool_choice');
});
