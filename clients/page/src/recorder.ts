/** Recording with the microphone. */

import { askForMicrophone, giveBack } from "./microphone";

/** A recording in progress. */
export interface Recording {
  /** What was recorded, once it has ended: by `stop`, or because the microphone has gone. */
  file: Promise<File>;
  stop(): void;
}

/** Ask for the microphone and record. Throws `DOMException` where there is none or the user says no. */
export async function startRecording(): Promise<Recording> {
  const stream = await askForMicrophone({ echoCancellation: false, noiseSuppression: false, autoGainControl: true });
  const recorder = new MediaRecorder(stream, { audioBitsPerSecond: 256_000 });
  const chunks: Blob[] = [];
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const file = new Promise<File>((resolve) => {
    recorder.onstop = () => {
      giveBack(stream);
      const type = recorder.mimeType.split(";")[0] ?? "";
      const suffix = type.includes("mp4") ? ".m4a" : type.includes("ogg") ? ".ogg" : ".webm";
      resolve(new File(chunks, `recording${suffix}`, { type }));
    };
  });
  recorder.start();
  const stop = () => {
    if (recorder.state !== "inactive") recorder.stop();
  };
  return { file, stop };
}
