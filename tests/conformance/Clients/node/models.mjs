import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { clientOf, model, question, rejection, test } from './kit.mjs';

const client = clientOf();

test('models: the list and one of it', async () => {
  const listed = [];
  for await (const one of client.models.list()) listed.push(one);
  assert.deepEqual(listed.map((one) => one.id), [model]);
  assert.deepEqual(await client.models.retrieve(model), listed[0]);
  assert.equal(listed[0].object, 'model');
  assert.ok(Number.isInteger(listed[0].created));
});

test('models: an unknown one is a NotFoundError', async () => {
  const error = await rejection(client.models.retrieve('gpt-none'));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.code, 'model_not_found');
});

test('ids: a request brings one back, its own or a new one', async () => {
  const body = { model, messages: question, max_tokens: 1 };
  const fresh = await client.chat.completions.create(body);
  assert.ok(fresh._request_id.length > 0);
  const { data, response, request_id: id } = await client.chat.completions.create(body, { headers: { 'x-request-id': 'mine-1' } }).withResponse();
  assert.equal(id, 'mine-1');
  assert.equal(data._request_id, 'mine-1');
  assert.equal(response.headers.get('x-request-id'), 'mine-1');
});

test('headers: the raw response', async () => {
  const whole = await client.chat.completions.create({ model, messages: question, max_tokens: 1 }).asResponse();
  assert.equal(whole.status, 200);
  assert.match(whole.headers.get('content-type'), /^application\/json/);
  assert.equal((await whole.json()).object, 'chat.completion');
  const streamed = await client.chat.completions.create({ model, messages: question, max_tokens: 1, stream: true }).asResponse();
  assert.match(streamed.headers.get('content-type'), /^text\/event-stream/);
  assert.match(await streamed.text(), /data: \[DONE\]\n\n$/);
});
