/** Asking for the microphone. */

/** What the browser lends. Throws `DOMException` where there is none, the user says no, or `signal`
 * aborts; what it lends after that is given back at once. */
export async function askForMicrophone(audio: MediaTrackConstraints, signal?: AbortSignal): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new DOMException("Browsers lend the microphone only to https and localhost.");
  signal?.throwIfAborted();
  const lent = navigator.mediaDevices.getUserMedia({ audio });
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => {
      reject(signal.reason as DOMException);
      lent.then(giveBack, () => {});
    });
    lent.then(resolve, reject);
  });
}

export function giveBack(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
