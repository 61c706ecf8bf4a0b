/** Against a running service, `ENCODEC_URL`, and servers that misbehave. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo } from 'node:net';
import { after, test } from 'node:test';

import { ConnectionFailedError, EncodecClient, ProblemError } from '../src/index.js';
import { waitAfter } from '../src/retries.js';

const url = process.env['ENCODEC_URL'] ?? 'http://127.0.0.1:8000';
const client = new EncodecClient(url);

/** A 16-bit WAV of a tone. */
function wav(seconds: number): Uint8Array<ArrayBuffer> {
  const samples = Math.round(seconds * 24_000);
  const view = new DataView(new ArrayBuffer(44 + samples * 2));
  const text = (at: number, value: string): void =>
    [...value].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, 'RIFF');
  view.setUint32(4, 36 + samples * 2, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, 24_000, true);
  view.setUint32(28, 48_000, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, 'data');
  view.setUint32(40, samples * 2, true);
  for (let i = 0; i < samples; i++) view.setInt16(44 + i * 2, 9000 * Math.sin(i / 9), true);
  return new Uint8Array(view.buffer);
}

async function plain(path: string, body: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const response = await fetch(url + path, { method: 'POST', body });
  assert.equal(response.status, 200);
  return new Uint8Array(await response.arrayBuffer());
}

/** A server that gives `answers` one after another, and how often it was asked. */
async function faulty(answers: RequestListener[]): Promise<{ url: string; asked: () => number }> {
  let asked = 0;
  const server = createServer((request, response) => {
    request.resume().on('end', () => answers[asked++]?.(request, response));
  });
  after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked: () => asked };
}

const busy: RequestListener = (_, response) => {
  response.writeHead(429, { 'Content-Type': 'application/problem+json', 'Retry-After': '0' });
  response.end(JSON.stringify({ status: 429, code: 'busy', title: 'full', detail: 'x' }));
};
const reset: RequestListener = (request) => request.socket.destroy();
const cut: RequestListener = (request, response) => {
  response.writeHead(200, { 'Content-Length': '5' });
  response.write('wh', () => setTimeout(() => request.socket.destroy(), 50));
};
const whole: RequestListener = (_, response) => void response.end('whole');

test('every call gives what the service gives', async () => {
  const audio = wav(1.3);
  const answer = await client.compress(audio, { format: 1, bandwidth: 3 });
  assert.equal(answer.facts.model, 'encodec_24khz');
  assert.equal(answer.facts.bandwidth, 3);
  assert.equal(answer.facts.duration, 1.3);
  assert.equal(answer.facts.filename, 'audio.ecdc');
  const ecdc = await answer.bytes();
  assert.equal(answer.facts.compressedBytes, ecdc.length);
  assert.deepEqual(ecdc, await plain('/compress?format=1&bandwidth=3', audio));
  const lower = await client.transcode(ecdc, { bandwidth: 1.5 });
  assert.equal(lower.facts.bandwidth, 1.5);
  await lower.cancel();
  const decoded = await (await client.decompress(new Blob([ecdc]))).bytes();
  assert.deepEqual(decoded, await plain('/decompress', ecdc));
  const part = await client.decompress(ecdc, { start: 0.5, end: 1, output: 's16' });
  assert.deepEqual(await part.bytes(), decoded.subarray(44 + 24_000, 44 + 48_000));
  const back = await client.roundtrip(audio, { format: 1, bandwidth: 3 });
  assert.deepEqual(await back.bytes(), decoded);
  assert.equal((await client.inspect(ecdc)).intact, true);
  assert.equal((await client.codes(audio, { bandwidth: 3 })).segments[0]?.codes.length, 4);
  const npz = await client.codesNpz(audio);
  assert.equal(npz.contentType, 'application/x-npz');
  assert.equal((await npz.blob()).type, 'application/x-npz');
  assert.ok((await client.models()).some((model) => model.name === 'encodec_24khz'));
  assert.equal(await client.ready(), true);
});

test('a stream is sent as it comes', async () => {
  const audio = wav(2);
  const pieces = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < audio.length; at += 10_000) {
        controller.enqueue(audio.subarray(at, at + 10_000));
      }
      controller.close();
    },
  });
  assert.deepEqual(await (await client.compress(pieces)).bytes(), await plain('/compress', audio));
});

test('audio comes while it is decoded, and progress tells how far', async () => {
  const ecdc = await plain('/compress', wav(20));
  const told: [number, number | null][] = [];
  const answer = await client.decompress(ecdc, { progress: (...now) => told.push(now) });
  let pieces = 0;
  for await (const piece of answer.stream) pieces += piece.length > 0 ? 1 : 0;
  assert.ok(pieces > 2);
  assert.deepEqual(told.at(-1), [44 + 20 * 48_000, 44 + 20 * 48_000]);
});

test('what cannot be a call is told before one is made', async () => {
  assert.throws(() => new EncodecClient('no url'), TypeError);
  const files: Uint8Array<ArrayBuffer>[] = [];
  const { url: where, asked } = await faulty([whole]);
  await assert.rejects(new EncodecClient(where).compress(files[0]!), TypeError);
  assert.equal(asked(), 0);
});

test('deleting a job is not tried again', async () => {
  const { url: where, asked } = await faulty([reset, whole]);
  await assert.rejects(new EncodecClient(where).deleteJob('x'), ConnectionFailedError);
  assert.equal(asked(), 1);
});

test('a key may have any letters', async () => {
  const sent: (string | undefined)[] = [];
  const { url: where } = await faulty([
    (request, response) => {
      sent.push(request.headers.authorization);
      response.end('{"models": []}');
    },
  ]);
  await new EncodecClient(where, { apiKey: 'ключ' }).models();
  assert.deepEqual(sent, [`Bearer ${Buffer.from('ключ').toString('latin1')}`]);
});

test('the name of a job stays within its path', async () => {
  const paths: (string | undefined)[] = [];
  const { url: where } = await faulty([
    (request, response) => {
      paths.push(request.url);
      response.end('{"state": "done"}');
    },
  ]);
  await new EncodecClient(where).job('../models?x=1');
  assert.deepEqual(paths, ['/jobs/..%2Fmodels%3Fx%3D1']);
});

test('a problem is an error with all that the service says', async () => {
  await assert.rejects(client.compress(new Uint8Array([1, 2, 3])), (error: ProblemError) => {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.status, 400);
    assert.equal(error.code, 'undecodable_audio');
    assert.ok(error.requestId);
    return true;
  });
  await assert.rejects(client.decompress(wav(1), { start: -1 }), (error: ProblemError) => {
    assert.equal(error.errors[0]?.name, 'start');
    return true;
  });
});

for (const [name, fault] of Object.entries({ busy, reset })) {
  test(`a call is tried again: ${name}`, async () => {
    const server = await faulty([fault, whole]);
    const answer = await new EncodecClient(server.url).decompress(new Uint8Array(9));
    assert.equal(new TextDecoder().decode(await answer.bytes()), 'whole');
  });
}

test('an answer that breaks off is an error', async () => {
  const server = await faulty([cut]);
  const answer = await new EncodecClient(server.url).decompress(new Uint8Array(9));
  await assert.rejects(answer.bytes(), ConnectionFailedError);
});

test('a stream is not sent again', async () => {
  const server = await faulty([busy]);
  const source = new Blob(['x']).stream();
  await assert.rejects(new EncodecClient(server.url).decompress(source), ProblemError);
  assert.equal(server.asked(), 1);
});

test('a call can be aborted, also while it waits', async () => {
  const server = await faulty([
    (_, response) => {
      response.writeHead(503, { 'Retry-After': '30' });
      response.end();
    },
  ]);
  const signal = AbortSignal.timeout(300);
  await assert.rejects(
    new EncodecClient(server.url).inspect(new Uint8Array(9), { signal }),
    (error: DOMException) => error.name === 'TimeoutError',
  );
  await assert.rejects(
    client.compress(wav(1), { signal: AbortSignal.abort() }),
    (error: DOMException) => error.name === 'AbortError',
  );
});

test('a service that is not there', async () => {
  const gone = new EncodecClient('http://127.0.0.1:1', { retries: { times: 1 } });
  assert.equal(await gone.ready(), false);
  await assert.rejects(gone.models(), ConnectionFailedError);
});

test('how long a client waits', () => {
  const retries = { times: 2, longestWait: 10 };
  const problem = (status: number, after: number | null = null): ProblemError =>
    new ProblemError(status, {}, null, after);
  assert.equal(waitAfter(problem(429, 7), 2, retries), 7);
  assert.equal(waitAfter(problem(429, 7), 3, retries), null);
  assert.equal(waitAfter(problem(503, 11), 1, retries), null);
  assert.equal(waitAfter(problem(408), 1, retries), 0);
  assert.equal(waitAfter(problem(504), 1, retries), 2);
  assert.equal(waitAfter(problem(400), 1, retries), null);
  assert.equal(waitAfter(new ConnectionFailedError(''), 2, retries), 1);
});
