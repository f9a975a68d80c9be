// @ts-self-types="./federated.d.ts"
// Takes part in federated training over HTTP: asks a server, and answers what docs/federated.md says of a person's
// items. The packets are those of federated/client.py. Nothing here runs, or is loaded, unless a page asks for it.
const VERSION = 1,
  HEADER = 48,
  LARGEST = 127, // of a value before it is shifted
  WHOLE = 65536, // in which parts of a best figure are counted
  MOST_BYTES = 1 << 26, // of a question
  MOST_COLUMNS = 1024, // that are solved for
  KINDS = ["count", "signs", "rows", "solve", "rank"],
  HERE = ["127.0.0.1", "[::1]", "localhost"],
  TRY_AGAIN = [408, 425, 429, 500, 502, 503, 504];

export class TrainingError extends Error {
  name = "TrainingError";
}
const fail = (sentence) => {
  throw new TrainingError(sentence);
};
const range = (n) => Array.from({ length: n }, (_, k) => k);

// -- packets

/** Reads a question. Throws TrainingError for what is none, or takes more than a page can do. */
export function readQuestion(packet) {
  const bytes = new Uint8Array(packet.buffer ?? packet, packet.byteOffset, packet.byteLength),
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER || String.fromCharCode(...bytes.subarray(0, 4)) != "SRFq")
    fail("Expected a question of a federated server, found other bytes");
  const kind = KINDS[bytes[5]];
  if (bytes[4] != VERSION || !kind)
    fail(`The question is of version ${bytes[4]} and kind ${bytes[5]}, which this page does not know`);
  const width = view.getUint32(12, true),
    nItems = Number(view.getBigUint64(16, true)),
    hasRows = kind == "rows" || kind == "solve",
    sizes = [
      hasRows || kind == "signs" ? 4 * nItems : 0,
      hasRows ? nItems * width : 0,
      kind == "solve" ? 4 * width ** 2 : 0,
    ];
  if (kind == "solve" && width > MOST_COLUMNS)
    fail(`The pass "solve" of ${width} columns is too heavy for a page: at most ${MOST_COLUMNS} are solved for here`);
  const end = HEADER + sizes[0] + sizes[1] + sizes[2];
  if (kind != "rank" && bytes.length != end) fail(`The question has ${bytes.length} bytes, expected ${end}`);
  const cut = (first, size) => bytes.slice(first, first + size).buffer;
  return {
    kind,
    width,
    nItems,
    lands: bytes[6] == 1,
    most: bytes[7],
    tag: view.getUint32(8, true),
    grid: view.getInt32(24, true),
    seed: view.getBigUint64(28, true),
    listLength: view.getUint32(36, true),
    ridge: view.getFloat64(40, true),
    scales: new Float32Array(cut(HEADER, sizes[0])),
    rows: new Int8Array(cut(HEADER + sizes[0], sizes[1])),
    base: new Float32Array(cut(HEADER + sizes[0] + sizes[1], sizes[2])),
    model: kind == "rank" ? bytes.slice(HEADER) : null,
  };
}

/**
 * Answers a question with a person's items: numbers in the catalogue, the latest last. `heldOut` are others that are
 * kept back, to measure lists by; `token` is the answer's number, a bigint; `open` opens a model file, as Recommender.open does.
 */
export async function answer(question, { items, heldOut = [], token, open }) {
  const inOrder = items.filter((item) => item < question.nItems),
    own = [...inOrder].sort((a, b) => a - b);
  if (question.kind == "rank")
    return written(question, own, token, 0, await measured(question, inOrder, heldOut, open));
  const made = own.length && question.width ? ANSWERS[question.kind](question, own) : new Float64Array(question.width);
  if (!made.every(Number.isFinite)) fail("The question cannot be answered: it holds numbers that are not finite");
  const { shift, values } = onGrid(made, question.grid, question.most);
  return written(question, own, token, shift, values);
}

// What is computed of the items, by the kind of the question; nobody else's numbers come into it.
const ANSWERS = {
  signs({ seed, width, scales }, items) {
    const total = new Float64Array(width);
    for (const item of items) {
      const bits = shake128(seed, BigInt(item), Math.ceil(width / 8));
      for (let k = 0; k < width; k++) total[k] += (bits[k >> 3] >> (7 - (k & 7))) & 1 ? scales[item] : -scales[item];
    }
    return total.map((x) => x / items.length);
  },
  rows: (question, items) => sumOf(rowsOf(question, items), question.width).map((x) => x / items.length),
  solve(question, items) {
    const { width, base, ridge } = question,
      rows = rowsOf(question, items),
      matrix = Float64Array.from(base);
    for (const row of rows)
      for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) matrix[i * width + j] += row[i] * row[j];
    for (let i = 0; i < width; i++) matrix[i * width + i] += ridge * Math.sqrt(items.length);
    return solved(matrix, sumOf(rows, width));
  },
};

const rowsOf = ({ rows, scales, width }, items) =>
  items.map((item) => Float64Array.from(rows.subarray(item * width, (item + 1) * width), (x) => x * scales[item]));

const sumOf = (rows, width) => {
  const total = new Float64Array(width);
  for (const row of rows) for (let k = 0; k < width; k++) total[k] += row[k];
  return total;
};

// Solves equations by elimination, with the largest number of a column as its pivot.
function solved(a, x) {
  const n = x.length;
  for (let k = 0; k < n; k++) {
    let top = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(a[i * n + k]) > Math.abs(a[top * n + k])) top = i;
    if (top != k) {
      for (let j = k; j < n; j++) [a[k * n + j], a[top * n + j]] = [a[top * n + j], a[k * n + j]];
      [x[k], x[top]] = [x[top], x[k]];
    }
    if (!a[k * n + k]) fail("The question cannot be answered: its equations have no single solution");
    for (let i = k + 1; i < n; i++) {
      const factor = a[i * n + k] / a[k * n + k];
      if (!factor) continue;
      for (let j = k + 1; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
      x[i] -= factor * x[k];
    }
  }
  for (let k = n; k--;) {
    for (let j = k + 1; j < n; j++) x[k] -= a[k * n + j] * x[j];
    x[k] /= a[k * n + k];
  }
  return x;
}

// Measures the person's own list: 1, its recall and its NDCG in parts of WHOLE; or zeros.
async function measured({ nItems, listLength, model }, items, heldOut, open) {
  const wanted = new Set(heldOut.filter((item) => item < nItems && !items.includes(item)));
  if (!items.length || !wanted.size) return new Uint32Array(3);
  const found = (await open(model)).recommendForItems(items, { n: listLength }).items,
    gain = (place) => 1 / Math.log2(place + 2),
    total = (places) => places.reduce((sum, place) => sum + gain(place), 0),
    hits = range(found.length).filter((place) => wanted.has(found[place])),
    ndcg = total(hits) / total(range(Math.min(wanted.size, listLength)));
  return Uint32Array.of(1, even((WHOLE * hits.length) / wanted.size), even(WHOLE * ndcg));
}

// Rounds to the nearest whole number, halves to the even one.
const even = (x) => {
  const near = Math.round(x);
  return Math.abs(x % 1) == 0.5 && near % 2 ? near - 1 : near;
};

/** Rounds values to int8 on the grid 2 ** grid, and finds the shift that they need. */
export function onGrid(values, grid, most) {
  const scaled = values.map((x) => x * 2 ** -grid),
    largest = scaled.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
  let shift = 0;
  while (shift < most && largest > LARGEST * 2 ** shift) shift++;
  const cut = (x) => Math.max(-LARGEST, Math.min(LARGEST, even(x * 2 ** -shift)));
  return { shift, values: Int8Array.from(scaled, cut) };
}

function written({ tag, lands }, items, token, shift, values) {
  const listed = [];
  const add = (number) => {
    for (; number >= 128; number = Math.floor(number / 128)) listed.push((number % 128) | 128);
    listed.push(number);
  };
  if (lands) {
    add(items.length);
    items.forEach((item, k) => add(item - (k ? items[k - 1] + 1 : 0)));
  }
  const numbers = new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    packet = new Uint8Array(14 + listed.length + numbers.length + 4),
    view = new DataView(packet.buffer);
  packet[0] = VERSION;
  view.setUint32(1, tag, true);
  view.setBigUint64(5, token, true);
  packet[13] = shift;
  packet.set(listed, 14);
  packet.set(numbers, 14 + listed.length);
  view.setUint32(packet.length - 4, crc32(packet.subarray(0, -4)), true);
  return packet;
}

function crc32(bytes) {
  let check = ~0;
  for (const byte of bytes) {
    check ^= byte;
    for (let bit = 0; bit < 8; bit++) check = (check >>> 1) ^ (check & 1 ? 0xedb88320 : 0);
  }
  return ~check >>> 0;
}

// -- SHAKE-128 (FIPS 202) of 16 bytes, as 25 lanes of 64 bits

const LANE = (1n << 64n) - 1n,
  RATE = 21; // lanes of a block
const turned = (x, by) => ((x << by) | (x >> (64n - by))) & LANE;
// Constants of the rounds, by the shift register of the standard.
const ROUNDS = (() => {
  let state = 1;
  const bit = () => {
    const out = state & 1;
    state = (state << 1) ^ (state & 0x80 ? 0x171 : 0);
    return out;
  };
  return range(24).map(() => {
    let constant = 0n;
    for (let j = 0; j < 7; j++) if (bit()) constant |= 1n << BigInt(2 ** j - 1);
    return constant;
  });
})();

function permute(a) {
  for (const constant of ROUNDS) {
    const columns = range(5).map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
    for (let k = 0; k < 25; k++) a[k] ^= columns[(k + 4) % 5] ^ turned(columns[(k + 1) % 5], 1n);
    let [x, y] = [1, 0],
      lane = a[1];
    for (let t = 0; t < 24; t++) {
      [x, y] = [y, (2 * x + 3 * y) % 5];
      const place = x + 5 * y,
        kept = a[place];
      a[place] = turned(lane, BigInt((((t + 1) * (t + 2)) / 2) % 64));
      lane = kept;
    }
    for (let row = 0; row < 25; row += 5) {
      const old = a.slice(row, row + 5);
      for (let k = 0; k < 5; k++) a[row + k] = old[k] ^ (~old[(k + 1) % 5] & LANE & old[(k + 2) % 5]);
    }
    a[0] ^= constant;
  }
}

/** The first bytes of SHAKE-128 of two numbers of 64 bits. */
export function shake128(one, other, size) {
  const lanes = Array(25).fill(0n);
  [lanes[0], lanes[1], lanes[2], lanes[RATE - 1]] = [one, other, 0x1fn, 1n << 63n];
  const made = new Uint8Array(8 * RATE * Math.ceil(size / 8 / RATE)),
    view = new DataView(made.buffer);
  for (let block = 0; block < made.length; block += 8 * RATE) {
    permute(lanes);
    for (let k = 0; k < RATE; k++) view.setBigUint64(block + 8 * k, lanes[k], true);
  }
  return made.subarray(0, size);
}

// -- over HTTP

/** Makes numbers from a secret of the device: each is the same for the same text, and says nothing of the secret. */
export async function numbersFrom(secret) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return async (text) =>
    new DataView(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text))).getBigUint64(0, true);
}

/** Keeps back a part of the items, drawn by the secret; one is always left to learn from: [kept, held out]. */
export async function keptBack(items, part, numberOf) {
  const size = Math.max(Math.min(Math.floor(part * items.length + 0.5), items.length - 1), 0),
    drawn = await Promise.all(items.map(async (item) => [await numberOf(`kept back ${item}`), item]));
  const order = [...drawn].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item),
    out = new Set(order.slice(0, size));
  return [items.filter((item) => !out.has(item)), items.filter((item) => out.has(item))];
}

/**
 * Takes part in a training until it is over, or `signal` is aborted; returns how many answers were counted. `ids` tells
 * the ids of the person's items whenever a question is answered, and `told` is called with what was sent.
 */
export async function takePart({ address, token, ids, secret, open, told = () => {}, signal, patience = {} }) {
  const { tries = 10, longest = 60 } = patience,
    base = `${address}`.replace(/\/+$/, ""),
    { protocol, hostname } = new URL(base);
  if (protocol != "https:" && !(protocol == "http:" && HERE.includes(hostname)))
    fail(`${base} has no TLS, so that whoever carries the code could take it`);

  const wait = (seconds) =>
    new Promise((done, failed) => {
      const stop = () => {
        clearTimeout(timer);
        failed(signal.reason);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener("abort", stop);
          done();
        },
        1000 * Math.min(seconds, longest),
      );
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    });
  const saidIn = (reply) => {
    const said = reply?.headers.get("Retry-After") ?? "";
    return (/^\d+$/.test(said) ? +said : 1) * (1 + Math.random() / 2);
  };
  // Asks until there is a reply that says something.
  const ask = async (path, body) => {
    for (let failures = 1; ; failures++) {
      let reply;
      try {
        reply = await fetch(base + path, {
          method: body ? "POST" : "GET",
          body,
          headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/octet-stream" }) },
          redirect: "error",
          credentials: "omit",
          cache: "no-store",
          referrerPolicy: "no-referrer",
          signal,
        });
        if (!TRY_AGAIN.includes(reply.status)) return await sound(reply);
      } catch (error) {
        if (error instanceof TrainingError || signal?.aborted) throw error;
      }
      if (failures >= tries) fail(`${base} could not be reached in ${tries} tries`);
      await wait(Math.max(saidIn(reply), Math.min(2 ** (failures - 1), longest) * (0.5 + Math.random() / 2)));
    }
  };

  const catalogue = (await ask("/v1/items")).json;
  if (!Array.isArray(catalogue)) fail(`${base} has sent no catalogue: is it a server of sparserec?`);
  const numbers = new Map(catalogue.map((id, number) => [id, number])),
    numberOf = await numbersFrom(secret);
  for (let counted = 0; ;) {
    const reply = await ask("/v1/question");
    if (reply.status == 410) return counted;
    if (reply.status == 204) {
      await wait(saidIn(reply));
      continue;
    }
    const part = Number(reply.headers.get("Sparserec-Validation") ?? 0);
    if (!(part >= 0 && part < 1)) fail("The server says no part of items to keep back");
    const question = readQuestion(reply.bytes),
      known = new Set(ids().map((id) => numbers.get(`${id}`)));
    known.delete(undefined);
    const [items, heldOut] = await keptBack([...known], part, numberOf),
      packet = await answer(question, { items, heldOut, token: await numberOf(`pass ${question.tag}`), open });
    const counts = (await ask("/v1/answer", packet)).status == 204;
    counted += counts;
    const listed = question.lands ? items.map((item) => catalogue[item]) : [];
    told({ kind: question.kind, items: listed, values: question.width, bytes: packet.length, counts });
  }
}

// Reads a reply that a client can go on with: status, headers, and what was sent.
async function sound(reply) {
  const { status, headers } = reply;
  if (Number(headers.get("Content-Length")) > MOST_BYTES)
    fail(`The pass is too heavy for a page: its question has more than ${MOST_BYTES >> 20} MB`);
  const bytes = new Uint8Array(await reply.arrayBuffer()),
    isJSON = headers.get("Content-Type")?.startsWith("application/json");
  let json;
  try {
    json = isJSON ? JSON.parse(new TextDecoder().decode(bytes)) : null;
  } catch {
    json = null;
  }
  if (reply.ok || status == 409 || status == 410) return { status, headers, bytes, json };
  if (status == 401) fail("The server does not know this code");
  return fail(
    `The server has refused a request with status ${status}: ${json?.error ?? "it is no server of sparserec"}`,
  );
}
