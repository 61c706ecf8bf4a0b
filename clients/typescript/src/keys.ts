/** How an API key travels. */

/** The key in UTF-8, a character for each byte: headers and base64 take no others. */
export function keyBytes(key: string): string {
  return String.fromCharCode(...new TextEncoder().encode(key));
}

/** The protocol that carries it where a browser sets no headers. */
export function keyProtocol(key: string): string {
  const text = btoa(keyBytes(key));
  return `encodec.key.${text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}
