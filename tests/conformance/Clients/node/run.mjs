// Runs every case, one after another, and prints one line of JSON for each: {"name", "error"}, the error null where all went well.
import { cases } from './kit.mjs';
import './chat.mjs';
import './completions.mjs';
import './embeddings.mjs';
import './errors.mjs';
import './models.mjs';
import './responses.mjs';
import './streams.mjs';

const boundMs = 60_000;

for (const { name, run } of cases) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Not done within ${boundMs} ms.`)), boundMs);
  });
  let error = null;
  try {
    await Promise.race([run(), late]);
  } catch (caught) {
    error = caught?.stack ?? String(caught);
  }
  clearTimeout(timer);
  console.log(JSON.stringify({ name, error }));
}

// Sockets of a case that ran into its bound may still be open.
process.exit(0);
