/** Live streams against a running service, `ENCODEC_URL`. Node 20 has `WebSocket` behind a flag. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConnectionFailedError, LiveClient, ProblemError, type LiveMessage } from '../src/index.js';

const url = process.env['ENCODEC_URL'] ?? 'http://127.0.0.1:8000';
const live = new LiveClient(url);
const options = { skip: typeof WebSocket === 'undefined' && 'this Node has no WebSocket', timeout: 60_000 };

/** A tone, f32 at 24 kHz, in pieces that come one by one. */
async function* tone(seconds: number): AsyncGenerator<Float32Array<ArrayBuffer>> {
  for (let at = 0; at < seconds * 24_000; at += 1200) {
    yield Float32Array.from({ length: 1200 }, (_, i) => 0.3 * Math.sin((at + i) / 9));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('a stream there and back', options, async () => {
  const told: LiveMessage[] = [];
  const file = await whole(live.compress(tone(2), { input: 'f32', told: (message) => told.push(message) }));
  assert.equal(told[0]?.type, 'ready');
  assert.equal(told.at(-1)?.['complete'], true);
  assert.equal(file.subarray(0, 4).toString(), 'ECDC');
  const audio = await whole(live.decompress([file], { output: 's16' }));
  assert.equal(audio.length, 2 * 2 * 24_000);
});

test('a speaker is heard', options, async () => {
  const name = `typescript-${process.pid}`;
  let waits = (): void => {};
  const waiting = new Promise<void>((resolve) => (waits = resolve));
  const heard = whole(live.listen(name, { told: () => waits() }));
  await waiting;
  await live.speak(name, tone(1), { input: 'f32' });
  assert.deepEqual(await heard, await whole(live.compress(tone(1), { input: 'f32' })));
});

test('problems, sources that fail, and aborting are errors', options, async () => {
  await assert.rejects(whole(live.compress(tone(1), { chunk: 0 })), (error: ProblemError) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.status, error.code, error.errors[0]?.name], [422, 'bad_parameter', 'chunk']);
    return true;
  });
  async function* failing(): AsyncGenerator<Float32Array<ArrayBuffer>> {
    yield* tone(1);
    throw new RangeError('the microphone is gone');
  }
  await assert.rejects(whole(live.compress(failing(), { input: 'f32' })), RangeError);
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(), 300);
  const aborted = whole(live.listen('nobody', { signal: leaving.signal }));
  await assert.rejects(aborted, (error: DOMException) => error.name === 'AbortError');
  await assert.rejects(whole(new LiveClient('http://127.0.0.1:1').listen('x')), ConnectionFailedError);
});

test('a loop can be left', options, async () => {
  for await (const _ of live.compress(tone(60), { input: 'f32' })) break;
});
