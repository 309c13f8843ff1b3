// Calls of @huggingface/hub, from a JSON job on standard input to a file of JSON outcomes (the library itself writes to
// standard output). Every address that was fetched stands beside the outcomes.

import { createHash } from "node:crypto";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import * as hub from "@huggingface/hub";

const fetched = [];

async function remembered(input, init) {
  fetched.push(`${init?.method ?? "GET"} ${input instanceof Request ? input.url : input}`);
  const answer = await fetch(input, init);
  if (answer.redirected) fetched.push(`TO ${answer.url}`);
  return answer;
}

function described(content) {
  return { size: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}

async function files(folder) {
  const found = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    found[relative(folder, path)] = described(await readFile(path));
  }
  return found;
}

async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

const OPS = {
  info: (how) => hub.fileDownloadInfo(how),
  download: async (how) => {
    const blob = await hub.downloadFile(how);
    return blob && described(Buffer.from(await blob.arrayBuffer()));
  },
  slice: async ({ start, stop, ...how }) => {
    const blob = await hub.downloadFile(how);
    return described(Buffer.from(await blob.slice(start, stop).arrayBuffer()));
  },
  exists: (how) => hub.fileExists(how),
  list: async (how) => (await all(hub.listFiles(how))).map((one) => one.path),
  paths: (how) => hub.pathsInfo(how),
  model: ({ name, ...how }) => hub.modelInfo({ name, additionalFields: ["sha"], ...how }),
  commits: async (how) => (await all(hub.listCommits(how))).map((one) => one.oid),
  cached: async (how) => described(await readFile(await hub.downloadFileToCacheDir(how))),
  snapshot: async (how) => {
    const folder = await hub.snapshotDownload(how);
    return { folder, files: await files(folder) };
  },
};

async function outcome({ op, ...how }, shared) {
  try {
    return { op, ok: (await OPS[op]({ ...shared, ...how, fetch: remembered })) ?? null };
  } catch (error) {
    return { op, error: [error.constructor.name, "Error"], text: String(error.message) };
  }
}

const job = JSON.parse(await readFile("/dev/stdin", "utf8"));
const shared = { hubUrl: job.endpoint, ...(job.token ? { accessToken: job.token } : {}) };
const outcomes = [];
for (const call of job.calls) outcomes.push(await outcome(call, shared));
await writeFile(job.outcomes, JSON.stringify({ outcomes, fetched }));
