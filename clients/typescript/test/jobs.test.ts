/** Jobs, against a service that keeps some, `ENCODEC_JOBS_URL`, and one that keeps none, `ENCODEC_URL`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EncodecClient, NoJobsError, ProblemError } from '../src/index.js';

const options = { contentType: 'audio/L16; rate=24000; channels=1', format: 1 } as const;
const samples = new Uint8Array(48_000).map((_, i) => (i % 2 ? i * 7 : 0));

test('a job', { skip: !process.env['ENCODEC_JOBS_URL'] }, async () => {
  const client = new EncodecClient(process.env['ENCODEC_JOBS_URL']);
  const wanted = await (await client.compress(samples, options)).bytes();
  const job = await client.submit('compress', samples, options);
  assert.equal((await client.wait(job.id, { every: 0.05 })).state, 'done');
  const answer = await client.result(job.id);
  assert.equal(answer.facts.duration, 1);
  assert.deepEqual(await answer.bytes(), wanted);
  await client.deleteJob(job.id);
  await assert.rejects(client.job(job.id), (error: ProblemError) => error.code === 'not_found');
  await assert.rejects(
    client.submit('roundtrip', null, { source: 'https://example.org/x.wav' }),
    (error: ProblemError) => error.code === 'url_forbidden',
  );
});

test('a service without jobs', async () => {
  const client = new EncodecClient(process.env['ENCODEC_URL'] ?? 'http://127.0.0.1:8000');
  await assert.rejects(client.submit('compress', samples, options), NoJobsError);
});
