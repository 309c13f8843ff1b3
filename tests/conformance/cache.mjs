// The suite http-cache-tests (cache-tests.fyi), its origin and its client in one process.
//
// Says on standard output at which port its origin listens, waits on standard input for the address of the cache before
// it, runs every test, and writes what each came to into the file that was named.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { writeFile } from "node:fs/promises";
import fetch from "node-fetch";

const say = console.log;
console.log = console.error; // the suite tells what it does there

const suite = "http-cache-tests";
const [{ runTests, getResults }, { default: tests }] = await Promise.all([
  import(`${suite}/client/runner.mjs`),
  import(`${suite}/tests/index.mjs`),
]);
const answers = Object.fromEntries(
  await Promise.all(
    ["config", "test", "state"].map(async (word) => [word, (await import(`${suite}/server/handle-${word}.mjs`)).default]),
  ),
);

const origin = createServer((request, response) => {
  const [, word, ...rest] = new URL(request.url, "http://origin").pathname.split("/");
  if (!Object.hasOwn(answers, word)) return response.writeHead(404).end();
  answers[word](rest, request, response);
});
await new Promise((resolve) => origin.listen(0, "127.0.0.1", resolve));
say(JSON.stringify({ port: origin.address().port }));

const lines = createInterface({ input: process.stdin });
const { base, only, outcomes, at_once } = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);
lines.close();

const suites = tests.map((one) => ({
  ...one,
  tests: one.tests.filter((test) => !test.browser_only && (!only || only.includes(test.id))),
}));
if (only) for (const one of suites) for (const test of one.tests) test.dump = true;
await runTests(suites, fetch, false, base, at_once);

const results = getResults();
const found = suites.flatMap((one) =>
  one.tests.map((test) => ({
    id: test.id,
    suite: one.id,
    name: test.name,
    kind: test.kind ?? "required",
    depends_on: test.depends_on ?? [],
    passed: results[test.id] === true,
    why: results[test.id] === true ? "" : results[test.id].join(": "),
  })),
);
await writeFile(outcomes, JSON.stringify(found));
process.exit(0);
