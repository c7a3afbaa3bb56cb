import assert from 'node:assert/strict';
import { clientOf, model, rejection, test } from './kit.mjs';

const { embeddings } = clientOf();
const lengthOf = (vector) => Math.hypot(...vector);

test('embeddings: what the client asks for by itself equals what it asks for as floats', async () => {
  const input = ['The capital of France', 'A cat'];
  const own = await embeddings.create({ model, input }); // In base64, decoded by the client.
  const floats = await embeddings.create({ model, input, encoding_format: 'float' });
  assert.deepEqual(own.data.map((one) => one.index), [0, 1]);
  own.data.forEach((one, i) => {
    assert.ok(Math.abs(lengthOf(one.embedding) - 1) < 1e-4);
    one.embedding.forEach((value, at) => assert.ok(Math.abs(value - floats.data[i].embedding[at]) < 1e-6));
  });
  assert.notDeepEqual(own.data[0].embedding, own.data[1].embedding);
  assert.equal(own.usage.total_tokens, own.usage.prompt_tokens);
});

test('embeddings: base64 as it is, token ids and dimensions', async () => {
  const raw = await embeddings.create({ model, input: [5, 6, 7], encoding_format: 'base64' });
  assert.equal(typeof raw.data[0].embedding, 'string');
  const short = await embeddings.create({ model, input: [[5, 6], [7]], dimensions: 8 });
  assert.deepEqual(short.data.map((one) => one.embedding.length), [8, 8]);
  const error = await rejection(embeddings.create({ model, input: 'a', dimensions: 100000 }));
  assert.equal(error.param, 'dimensions');
});
