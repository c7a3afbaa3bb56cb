import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { busySilo, clientOf, idle, metric, model, openSilo, question, rejection, test } from './kit.mjs';

const chat = clientOf().chat.completions;

test('errors: a wrong value is a BadRequestError naming the field', async () => {
  for (const stream of [false, true]) {
    const error = await rejection(chat.create({ model, messages: question, temperature: 7, stream }));
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.status, 400);
    assert.equal(error.param, 'temperature');
    assert.equal(error.type, 'invalid_request_error');
    assert.match(error.message, /temperature is 7/);
    assert.ok(error.requestID.length > 0);
  }
});

test('errors: an unknown model is a NotFoundError', async () => {
  const error = await rejection(chat.create({ model: 'gpt-none', messages: question }));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.param, 'model');
  assert.equal(error.code, 'model_not_found');
});

test('errors: an unknown path is a NotFoundError', async () => {
  const error = await rejection(clientOf().post('/nothing/here', { body: {} }));
  assert.ok(error instanceof OpenAI.NotFoundError);
});

test('errors: too long a conversation is a BadRequestError', async () => {
  const error = await rejection(chat.create({ model, messages: [{ role: 'user', content: 'word '.repeat(3000) }] }));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.code, 'context_length_exceeded');
  assert.equal(error.param, 'messages');
});

test('errors: a full silo is a RateLimitError with Retry-After, and a retry gets through', async () => {
  const body = { model, messages: question, max_tokens: 4 };
  const first = await clientOf(busySilo).chat.completions.create({ ...body, max_tokens: undefined, ignore_eos: true, stream: true });
  const error = await rejection(clientOf(busySilo).chat.completions.create(body));
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.equal(error.code, 'too_many_requests');
  assert.ok(Number(error.headers.get('retry-after')) >= 1);

  first.controller.abort();
  const answer = await clientOf(busySilo, { maxRetries: 5 }).chat.completions.create(body);
  assert.equal(answer.usage.completion_tokens, 4);
});

test('errors: a silo that is not there is an APIConnectionError', async () => {
  const error = await rejection(clientOf('http://127.0.0.1:1').chat.completions.create({ model, messages: question }));
  assert.ok(error instanceof OpenAI.APIConnectionError);
});

test('errors: the client\'s timeout ends the sequences as well', async () => {
  await idle();
  const error = await rejection(clientOf(openSilo, { timeout: 300 }).chat.completions.create({ model, messages: question, n: 32, ignore_eos: true }));
  assert.ok(error instanceof OpenAI.APIConnectionTimeoutError);
  await idle();
  assert.equal(await metric('vllm:num_requests_running'), 0);
});

test('errors: a wrong key is an AuthenticationError', async () => {
  for (const apiKey of ['sk-wrong', ' ']) {
    const error = await rejection(clientOf(busySilo, { apiKey }).models.list());
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.status, 401);
    assert.equal(error.code, 'invalid_api_key');
  }
  assert.equal((await clientOf(busySilo).models.list()).data.length, 1);
});
