// One origin for tests and trials: a folder of files under /page/, and behind it the service.
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { basename, join } from "node:path";

const TYPES = { js: "text/javascript", wasm: "application/wasm", html: "text/html" };

/** Files of `folders` by their names alone, the first that has one; returns origin and `close`. */
export async function serve(folders, service) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, service);
    if (pathname.startsWith("/page/")) {
      for (const folder of folders) {
        try {
          const body = readFileSync(join(folder, basename(pathname)));
          response.setHeader("Content-Type", TYPES[pathname.split(".").pop()]);
          return response.end(body);
        } catch {}
      }
      return response.writeHead(404).end();
    }
    const { method, headers } = request;
    const onward = httpRequest(new URL(request.url, service), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    return request.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, close: () => server.close() };
}
