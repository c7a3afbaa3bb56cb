import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { clientOf, idle, model, rejection, test } from './kit.mjs';

const { responses } = clientOf();
const input = 'What is the capital of France?';

test('responses: create, go on from, retrieve and delete', async () => {
  const first = await responses.create({ model, input, temperature: 0 });
  assert.match(first.output_text, /Paris/);
  assert.equal(first.status, 'completed');
  assert.equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens);

  const second = await responses.create({ model, input: 'And of Italy?', previous_response_id: first.id, max_output_tokens: 4 });
  assert.equal(second.previous_response_id, first.id);
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);

  assert.equal((await responses.retrieve(first.id)).output_text, first.output_text);
  await responses.delete(first.id);
  assert.ok((await rejection(responses.retrieve(first.id))) instanceof OpenAI.NotFoundError);
  const error = await rejection(responses.create({ model, input, previous_response_id: first.id }));
  assert.equal(error.param, 'previous_response_id');
});

test('responses: for await gives the events', async () => {
  const types = [];
  let text = '';
  for await (const event of await responses.create({ model, input, temperature: 0, stream: true })) {
    types.push(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(types[0], 'response.created');
  assert.equal(types.at(-1), 'response.completed');
  assert.match(text, /Paris/);
});

test('responses: the stream helper gives the final response', async () => {
  const stream = responses.stream({ model, input, temperature: 0 });
  let text = '';
  stream.on('response.output_text.delta', (event) => { text += event.delta; });
  const final = await stream.finalResponse();
  assert.match(text, /Paris/);
  assert.equal(final.output_text, text);
});

test('responses: an aborted stream frees its sequence', async () => {
  await idle();
  const stream = await responses.create({ model, input, stream: true, ignore_eos: true });
  for await (const event of stream) {
    if (event.type !== 'response.output_text.delta') continue;
    stream.controller.abort();
    break;
  }
  await idle();
});
