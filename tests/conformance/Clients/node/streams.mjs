import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';
import { clientOf, idle, metric, model, question, rejection, test } from './kit.mjs';

const chat = clientOf().chat.completions;
const endless = { model, messages: question, stream: true, ignore_eos: true, n: 8 };

test('stream: for await gives the whole answer', async () => {
  const whole = await chat.create({ model, messages: question, temperature: 0 });
  const stream = await chat.create({ model, messages: question, temperature: 0, stream: true, stream_options: { include_usage: true } });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);

  const choices = chunks.flatMap((chunk) => chunk.choices);
  assert.equal(choices[0].delta.role, 'assistant');
  assert.equal(choices.map((choice) => choice.delta.content ?? '').join(''), whole.choices[0].message.content);
  assert.deepEqual(choices.map((choice) => choice.finish_reason).filter((reason) => reason !== null), ['stop']);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
});

test('stream: n choices equal those of a whole answer', async () => {
  const body = { model, messages: question, n: 3, seed: 5, temperature: 1, max_tokens: 12 };
  const whole = await chat.create(body);
  const texts = ['', '', ''];
  for await (const chunk of await chat.create({ ...body, stream: true })) {
    for (const choice of chunk.choices) texts[choice.index] += choice.delta.content ?? '';
  }
  assert.deepEqual(texts, whole.choices.map((choice) => choice.message.content));
});

test('stream: log-probabilities come with their tokens', async () => {
  const body = { model, messages: question, temperature: 0, logprobs: true, top_logprobs: 2, max_tokens: 6 };
  const whole = await chat.create(body);
  const tokens = [];
  for await (const chunk of await chat.create({ ...body, stream: true })) tokens.push(...(chunk.choices[0].logprobs?.content ?? []));
  assert.deepEqual(tokens, whole.choices[0].logprobs.content);
});

test('stream helper: events, snapshots and the final completion', async () => {
  const stream = chat.stream({ model, messages: question, temperature: 0, stream_options: { include_usage: true } });
  let text = '';
  let snapshot = '';
  let done;
  stream.on('content.delta', (event) => { text += event.delta; snapshot = event.snapshot; });
  stream.on('content.done', (event) => { done = event.content; });

  const final = await stream.finalChatCompletion();
  assert.match(text, /Paris/);
  assert.equal(snapshot, text);
  assert.equal(done, text);
  assert.equal(await stream.finalContent(), text);
  assert.equal(final.choices[0].finish_reason, 'stop');
  assert.equal(final.choices[0].message.content, text);
  const usage = await stream.totalUsage();
  assert.ok(usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

test('stream helper: log-probabilities as events', async () => {
  const stream = chat.stream({ model, messages: question, temperature: 0, logprobs: true, top_logprobs: 1, max_tokens: 4 });
  const tokens = [];
  stream.on('logprobs.content.delta', (event) => tokens.push(...event.content));
  const final = await stream.finalChatCompletion();
  assert.equal(tokens.length, 4);
  assert.equal(tokens.map((token) => token.token).join(''), final.choices[0].message.content);
});

test('stream helper: sent on and read again', async () => {
  const sent = chat.stream({ model, messages: question, temperature: 0 });
  const read = ChatCompletionStream.fromReadableStream(sent.toReadableStream());
  assert.match(await read.finalContent(), /Paris/);
});

test('abort: the controller of a stream frees its sequences', async () => {
  await idle();
  const stream = await chat.create(endless);
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    assert.ok((await metric('vllm:num_requests_running')) > 0);
    stream.controller.abort();
    break; // What had arrived before would still come.
  }
  await idle();
});

test('abort: leaving the loop frees its sequences', async () => {
  await idle();
  for await (const chunk of await chat.create(endless)) {
    assert.ok(chunk.id);
    break;
  }
  await idle();
});

test('abort: the stream helper reports it', async () => {
  await idle();
  const stream = chat.stream({ ...endless, stream: undefined });
  stream.once('chunk', () => stream.abort());
  assert.ok((await rejection(stream.finalChatCompletion())) instanceof OpenAI.APIUserAbortError);
  assert.equal(stream.aborted, true);
  await idle();
});

test('abort: a signal ends a whole answer', async () => {
  await idle();
  const leave = new AbortController();
  const asked = rejection(chat.create({ ...endless, stream: false }, { signal: leave.signal }));
  while ((await metric('vllm:num_requests_running')) === 0);
  leave.abort();
  assert.ok((await asked) instanceof OpenAI.APIUserAbortError);
  await idle();
});
