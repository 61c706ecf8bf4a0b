/**
 * EnCodec in the browser: `.ecdc` files to samples and back, in WebAssembly, in a Web Worker.
 *
 * The weights come once from the service (`GET /models/{id}/weights`) and stay in Cache Storage.
 * What is decoded equals what the service decodes (`/decompress`), cuts too; see README.md.
 */
export { EncodecDecoder, EncodecFile, EncodecStream } from "./client.js";
export { decodeRecording, EncodecEncoder, EncodeStream } from "./encoder.js";
export { EncodecError } from "./errors.js";
export { EncodecPlayer, type PlayerOptions } from "./player.js";
export type * from "./types.js";
