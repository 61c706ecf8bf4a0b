/** Asking for the microphone. */

import { unlessAborted } from "./api";

/** What the browser lends. Throws `DOMException` where there is none, the user says no, or `signal`
 * aborts; what it lends after that is given back at once. */
export async function askForMicrophone(audio: MediaTrackConstraints, signal?: AbortSignal): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new DOMException("Browsers lend the microphone only to https and localhost.");
  signal?.throwIfAborted();
  return unlessAborted(navigator.mediaDevices.getUserMedia({ audio }), signal, giveBack);
}

export function giveBack(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
