import assert from 'node:assert/strict';
import { clientOf, model, test } from './kit.mjs';

const completions = clientOf().completions;
const prompt = 'The capital of France is';

test('completions: text, token ids and lists of both', async () => {
  for (const [given, count] of [[prompt, 1], [[prompt, 'A cat'], 2], [[5, 6, 7], 1], [[[5, 6, 7], [8, 9]], 2]]) {
    const answer = await completions.create({ model, prompt: given, max_tokens: 3, temperature: 0 });
    assert.equal(answer.object, 'text_completion');
    assert.deepEqual(answer.choices.map((choice) => choice.index), Array.from({ length: count }, (_, i) => i));
  }
});

test('completions: stream equals the whole', async () => {
  const body = { model, prompt, max_tokens: 10, temperature: 0 };
  const whole = await completions.create(body);
  let text = '';
  for await (const chunk of await completions.create({ ...body, stream: true })) text += chunk.choices.map((choice) => choice.text).join('');
  assert.equal(text, whole.choices[0].text);
});

test('completions: log-probabilities in the older shape', async () => {
  const answer = await completions.create({ model, prompt, max_tokens: 4, temperature: 0, logprobs: 2 });
  const { tokens, token_logprobs: values, top_logprobs: top, text_offset: offsets } = answer.choices[0].logprobs;
  assert.equal(tokens.join(''), answer.choices[0].text);
  assert.equal(values.length, tokens.length);
  tokens.forEach((token, i) => assert.equal(top[i][token], values[i]));
  assert.equal(offsets[1] - offsets[0], tokens[0].length);
});

test('completions: echo brings the prompt back before the text', async () => {
  const plain = await completions.create({ model, prompt, max_tokens: 4, temperature: 0 });
  const echoed = await completions.create({ model, prompt, max_tokens: 4, temperature: 0, echo: true });
  assert.equal(echoed.choices[0].text, prompt + plain.choices[0].text);
  const only = await completions.create({ model, prompt, max_tokens: 0, echo: true });
  assert.equal(only.choices[0].text, prompt);
});
