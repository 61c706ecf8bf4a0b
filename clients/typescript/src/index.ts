/** Client of encodec-service: EnCodec audio compression over HTTP. */
export { Answer, type Facts, type Progress } from './answer.js';
export {
  EncodecClient,
  type AudioOptions,
  type CallOptions,
  type ClientOptions,
  type Codes,
  type Inspection,
  type Job,
  type ModelInfo,
  type Source,
} from './client.js';
export {
  ConnectionFailedError,
  EncodecClientError,
  NoJobsError,
  ProblemError,
  type ProblemDocument,
} from './errors.js';
export {
  LiveClient,
  type ListenOptions,
  type LiveCallOptions,
  type LiveCompressOptions,
  type LiveDecompressOptions,
  type LiveMessage,
  type LiveSource,
  type SpeakOptions,
} from './live.js';
export { type Retries } from './retries.js';
export type { components, operations, paths } from './schema.js';
