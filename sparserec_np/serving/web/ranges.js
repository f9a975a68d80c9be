// @ts-self-types="./ranges.d.ts"
// Fetches of a model file what folding in takes: the items. Where the server answers range requests, the rows of users,
// their ids and what they have seen are not even loaded.
import { ModelError } from "./sparserec.js";

const AT_FIRST = 1 << 16,
  OF_USERS = /^(users\.|user_ids|seen\.)/;

/**
 * Makes the content of a smaller model file of the one at an address, without its users, for `Recommender.open`. Lists
 * for people who are folded in are those of `sparserec export --drop users --drop seen`.
 */
export async function fetchItems(address) {
  const { bytes, size, tag } = await fetchPart(address, 0, AT_FIRST);
  const length = bytes.length < 8 ? 0 : Number(new DataView(bytes.buffer).getBigUint64(0, true)),
    start = 8 + length;
  let header;
  try {
    const head =
      start <= bytes.length ? bytes : length < 1 << 20 ? (await fetchPart(address, 0, start, tag)).bytes : null;
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(head.subarray(8, start)));
  } catch {
    throw new ModelError(`${address} is not a sound model file: the header is not valid JSON in UTF-8`);
  }
  if (
    !Object.values(header ?? {}).every(
      (entry, k) => Object.keys(header)[k] == "__metadata__" || sound(entry, size - start),
    )
  ) {
    throw new ModelError(`${address} is not a sound model file: data_offsets do not lie inside the file`);
  }
  const whole = async () => (bytes.length == size ? bytes : (await fetchPart(address, 0, size, tag)).bytes);
  const { __metadata__: metadata = {}, ...arrays } = header ?? {},
    kept = Object.entries(arrays).filter(([name]) => !OF_USERS.test(name));
  const spans = kept
    .map(
      ([
        ,
        {
          data_offsets: [first, last],
        },
      ]) => [first, last],
    )
    .sort((a, b) => a[0] - b[0]);
  const parts =
    bytes.length == size
      ? spans.map(([first, last]) => bytes.subarray(start + first, start + last))
      : await Promise.all(spans.map(([first, last]) => fetchSpan(address, start + first, start + last, tag)));
  if (parts.some((part, k) => part?.length != spans[k][1] - spans[k][0])) return (await whole()).buffer;
  const users = Number(metadata.n_users),
    entries = arrays["users.values"]?.shape[0];
  const told = { row_entries: `${Math.max(1, Math.ceil(entries / Math.max(users, 1)))}`, ...metadata };
  Object.assign(told, { n_users: "0", user_id_kind: "range", seen: "left out" });
  return written(
    told,
    kept.sort((a, b) => a[1].data_offsets[0] - b[1].data_offsets[0]),
    parts,
    entries != null,
    metadata.dim > 256,
  );
}

function sound(entry, available) {
  const [first, last] = Array.isArray(entry?.data_offsets) ? entry.data_offsets : [];
  return (
    Number.isSafeInteger(first) &&
    Number.isSafeInteger(last) &&
    first >= 0 &&
    first <= last &&
    last <= available &&
    Array.isArray(entry.shape)
  );
}

async function fetchPart(address, first, last, tag) {
  const headers = { Range: `bytes=${first}-${last - 1}`, ...(tag && { "If-Range": tag }) };
  const answer = await fetch(address, { headers });
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  const bytes = new Uint8Array(await answer.arrayBuffer()),
    etag = answer.headers.get("ETag");
  const size = answer.status == 206 ? Number(answer.headers.get("Content-Range")?.split("/")[1]) : bytes.length;
  return { bytes, size, partial: answer.status == 206, tag: etag?.startsWith('"') ? etag : undefined };
}

// Fetches what is between two places; null where the server sends the whole file, which another may have replaced.
async function fetchSpan(address, first, last, tag) {
  if (first == last) return new Uint8Array();
  const { bytes, partial } = await fetchPart(address, first, last, tag);
  return partial ? bytes : null;
}

// Writes a model file of some arrays, and with `emptied` a table of users that has no rows.
function written(metadata, arrays, parts, emptied, wide) {
  const header = { __metadata__: metadata };
  let end = 0;
  const add = (name, dtype, shape, bytes) => {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  };
  arrays.forEach(([name, { dtype, shape }], k) => add(name, dtype, shape, parts[k].length));
  if (emptied) {
    add("users.values", "F32", [0], 0);
    add("users.columns", wide ? "U16" : "U8", [0], 0);
    add("users.lengths", "U8", [0], 0);
  }
  const text = new TextEncoder().encode(JSON.stringify(header)),
    content = new Uint8Array(8 + text.length + end);
  new DataView(content.buffer).setBigUint64(0, BigInt(text.length), true);
  content.set(text, 8);
  let place = 8 + text.length;
  for (const part of parts) {
    content.set(part, place);
    place += part.length;
  }
  return content.buffer;
}
