// What the cases share: where the silos are, clients, and looking whether a silo is idle.
import OpenAI from 'openai';

export const model = 'tiny-assistant';
export const question = [{ role: 'user', content: 'What is the capital of France?' }];

/** One that anybody may ask. */
export const openSilo = process.env.GRANARY_OPEN;

/** One that takes a single request at a time, of those who have its key. */
export const busySilo = process.env.GRANARY_BUSY;
export const busyKey = process.env.GRANARY_BUSY_KEY;

/** Cases in the order in which they were declared: { name, run }. */
export const cases = [];

/** Declares a case; the test project finds its name in the line of the call. */
export function test(name, run) {
  cases.push({ name, run });
}

/** Without retries: what a server says once is what a case is about. */
export function clientOf(silo = openSilo, options = {}) {
  return new OpenAI({ baseURL: `${silo}/v1`, apiKey: silo === busySilo ? busyKey : 'none', maxRetries: 0, timeout: 30_000, ...options });
}

/** The sum of a metric over its labels. */
export async function metric(name, silo = openSilo) {
  const text = await (await fetch(`${silo}/metrics`)).text();
  const samples = text.split('\n').filter((line) => line.startsWith(`${name}{`));
  if (samples.length === 0) throw new Error(`${silo} shows no ${name}.`);
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** Waits until no sequence runs or waits and no KV block is held; the case's bound ends a wait in vain. */
export async function idle(silo = openSilo) {
  while (
    (await metric('vllm:num_requests_running', silo)) +
    (await metric('vllm:num_requests_waiting', silo)) +
    (await metric('vllm:kv_cache_usage_perc', silo)) > 0
  );
}

/** What a promise is rejected with, or an error that it was not. */
export async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('The call succeeded; it should have been refused.');
}
