/** The clips: scripts, since a page that is opened from a disk may not read other files. */

const waiting = new Map();

/** What the script of a clip calls: its versions are FLAC files in base64. */
globalThis.encodecClip = (number, files) => waiting.get(number)?.(files);

/** The AudioBuffers of a clip's versions at the places `wanted`, all decoded. */
export async function decoded(context, number, wanted) {
  const files = await read(number);
  return Promise.all(
    wanted.map((place) => {
      const bytes = Uint8Array.from(atob(files[place]), (letter) => letter.charCodeAt(0));
      return context.decodeAudioData(bytes.buffer);
    }),
  );
}

function read(number) {
  return new Promise((resolve, reject) => {
    waiting.set(number, resolve);
    const script = document.createElement("script");
    script.src = `clips/${number}.js`;
    script.onload = () => script.remove();
    script.onerror = () => reject(new Error(`clips/${number}.js cannot be read`));
    document.head.append(script);
  });
}
