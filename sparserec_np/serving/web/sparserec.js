// Serves a model file in a browser, a worker, Node or Deno: the twin of runtime.py, whose checks, lists and float32
// scores these are. docs/web.md says how to use it, docs/model-file.md what a file holds.
const { abs, ceil, fround, max, min, sqrt } = Math,
  { keys, entries, values: valuesOf } = Object;
const ARRAYS = {
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  I64: BigInt64Array,
  F16: Uint16Array,
  F32: Float32Array,
  F64: Float64Array,
};
const LEFT_OUT = "the model file was exported without the items that users have seen";
const BOUNDS = ["I32", "I64"],
  COUNTS = ["U8", "U16", "U32"],
  NONE = [];

export class ModelError extends Error {
  name = "ModelError";
}
export class UnknownIdError extends Error {
  name = "UnknownIdError";
}
export class SeenItemsMissingError extends Error {
  name = "SeenItemsMissingError";
}

// Refuses a file. What is said names the rule and the field; refusals.js, loaded then, makes runtime.py's sentence of it.
const refuse = (...what) => {
  throw Object.assign(new ModelError(what.join(" ").slice(0, 500)), { what });
};
const isObject = (value) => value && typeof value == "object" && !Array.isArray(value);
const printable = (text) => !/\p{C}|(?! )\p{Z}/u.test(text);
const range = (n) => Array.from({ length: n }, (_, k) => k);
const ascending = (a, b) => a - b;
const largest = (numbers) => numbers.reduce((most, x) => max(most, abs(x)), 0);
const expect = (name, found, count) => found == count || refuse("count", name, found, count);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// Adds up as NumPy does: eight sums side by side, and in halves where there are many numbers.
function sum(a, from = 0, n = a.length - from) {
  const half = (n >> 4) << 3,
    s = new Float64Array(8);
  if (n > 128) return sum(a, from, half) + sum(a, from + half, n - half);
  let k = 0;
  for (; k < n - (n % 8); k++) s[k % 8] += a[from + k];
  let total = s[0] + s[1] + (s[2] + s[3]) + (s[4] + s[5] + (s[6] + s[7]));
  for (; k < n; k++) total += a[from + k];
  return total;
}

// Finds where the n largest numbers are, the largest first, of equals the first; what is hidden is -Infinity.
function best(numbers, n) {
  if (n > 999)
    return range(numbers.length)
      .filter((k) => numbers[k] > -Infinity)
      .sort((a, b) => numbers[b] - numbers[a] || a - b)
      .slice(0, n);
  const found = [];
  let least = -Infinity;
  for (let k = 0; k < numbers.length; k++) {
    const number = numbers[k];
    if (!(number > least)) continue;
    let place = found.length;
    while (place && numbers[found[place - 1]] < number) place--;
    found.splice(place, 0, k);
    if (found.length > n) found.pop();
    if (found.length == n) least = numbers[found[n - 1]];
  }
  return found;
}

// -- the file

function half(bits) {
  const power = (bits >> 10) & 31,
    rest = bits & 1023,
    sign = bits >> 15 ? -1 : 1;
  return sign * (power > 30 ? (rest ? NaN : Infinity) : power ? (1 + rest / 1024) * 2 ** (power - 15) : rest / 2 ** 24);
}

// Reads strict JSON, in which no name stands twice; with `whole` numbers that are not spelt as whole ones become null.
function readJSON(text, field, whole) {
  let names = 0,
    value;
  const count = (one) => {
    if (isObject(one)) names -= keys(one).length;
    if (one && typeof one == "object") valuesOf(one).forEach(count);
  };
  try {
    JSON.parse(text);
    value = JSON.parse(
      text.replace(/("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+[.eE][\d.eE+-]*/g, (all, string, colon) => {
        if (colon) names++;
        return string || !whole ? all : null;
      }),
    );
    count(value);
  } catch {
    refuse("JSON", field);
  }
  return names ? refuse("twice", field, "name") : value;
}

// Reads the header of a file of `size` bytes, of which `bytes` are the first.
function readHeader(bytes, size) {
  if (size < 8) refuse("short", size);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true),
    most = min(size - 8, 1 << 20);
  if (length < 2 || length > most) refuse("header length", length, most, bytes.subarray(0, 8));
  const start = 8 + Number(length),
    places = Object.create(null),
    available = size - start;
  let text = "",
    end = 0;
  try {
    text = utf8.decode(bytes.subarray(8, start));
  } catch {
    /* the empty text is no JSON */
  }
  const header = readJSON(text, "the header", true);
  if (!isObject(header)) refuse("object", "the header");
  const { __metadata__: metadata = {}, ...arrays } = header;
  if (!isObject(metadata)) refuse("object", "__metadata__");
  for (const [key, value] of entries(metadata)) {
    if (typeof value != "string" || !printable(key + value)) refuse("printable", key);
  }
  for (const [name, entry] of entries(arrays)) places[name] = readEntry(name, entry, available);
  for (const [name, { first, last }] of entries(places).sort(([, a], [, b]) => a.first - b.first || a.last - b.last)) {
    if (first != end) refuse("start", name, first, end);
    end = last;
  }
  if (end != available) refuse("end", end, available);
  return { start, places, metadata: Object.assign(Object.create(null), metadata) };
}

function readEntry(name, entry, available) {
  const must = (sound, ...what) => sound || refuse(what[0], name, ...what.slice(1));
  must(printable(name) && isObject(entry) && `${keys(entry).sort()}` == "data_offsets,dtype,shape", "entry");
  const { dtype, shape, data_offsets: offsets } = entry;
  must(keys(ARRAYS).includes(dtype), "dtype", dtype, keys(ARRAYS));
  for (const field of ["shape", "data_offsets"]) {
    must(Array.isArray(entry[field]) && entry[field].every((x) => Number.isInteger(x) && x >= 0), "integers", field);
  }
  const [first, last] = offsets,
    width = ARRAYS[dtype].BYTES_PER_ELEMENT;
  must(offsets.length == 2 && first <= last && last <= available, "outside", offsets, available);
  must(shape.length < 9 && shape.reduce((n, x) => n * x, width) == last - first, "fill", shape, dtype, offsets);
  must(shape.reduce((n, x) => n * (x || 1), width) < 2 ** 63, "shape", shape);
  return { dtype, shape, first, last };
}

// -- the model

class Model {
  // `bytesOf` returns a copy of the data between two places.
  constructor({ metadata, places }, bytesOf) {
    Object.assign(this, { metadata, places, bytesOf });
    const { format, format_version, model, method, seen } = metadata;
    if (format != "sparserec_np") refuse("format", format);
    if (format_version != "1") refuse("version", format_version);
    if (!model || !method) refuse("missing", `metadata ${model ? "method" : "model"}`);
    this.whole("budget");
    if ("seed" in metadata) this.whole("seed");
    const dim = (this.dim = this.whole("dim"));
    if (dim < 1 || dim > 65536) refuse("dim", dim);
    const nUsers = (this.nUsers = this.whole("n_users")),
      nItems = (this.nItems = this.whole("n_items"));
    if (!keys(KINDS).includes(model)) refuse("model", model, keys(KINDS));
    this.stored = model != "fism";
    this.users = this.stored ? this.table("users", nUsers) : this.noUsers();
    this.items = this.table("items", nItems);
    if (dim * max(largest(this.users.values), largest(this.items.values)) ** 2 > 1e38) refuse("overflow", "values");
    this.hasSeen = seen != "left out";
    this.allSeen = this.hasSeen && seen != "in part";
    this.seenItems = NONE;
    this.seenBounds = this.hasSeen ? this.readSeen() : new Uint8Array(nUsers + 1);
    const metrics = readJSON(metadata.metrics ?? "{}", "metadata metrics"),
      n = this.seenItems.length;
    if (
      !isObject(metrics) ||
      entries(metrics).some(([name, x]) => !printable(name) || typeof x != "number" || abs(x) > 1e300)
    ) {
      refuse("metrics");
    }
    this.userIds = this.ids("user", nUsers);
    this.itemIds = this.ids("item", nItems);
    const average = ceil(this.users.values.length / max(nUsers, 1));
    this.rowEntries = min(max("row_entries" in metadata ? this.whole("row_entries") : average, 1), dim);
    this.ages = this.maybe("seen.ages", ["U8"]);
    if (this.ages) expect("seen.ages", this.ages.length, n);
    this.disliked = new Uint8Array(n);
    for (const name of ["seen.held_out", "seen.disliked"]) {
      const found = this.maybe(name, BOUNDS) ?? NONE;
      if (!found.every((x, k) => x >= 0 && x < n && (!k || x > found[k - 1]))) refuse("places", name, n);
      if (name == "seen.disliked") for (const place of found) this.disliked[place] = 1;
    }
    const weights = (this.seenWeights = this.maybe("seen.weights", ["F32"]));
    if (weights) expect("seen.weights", weights.length, n);
    if (weights?.some((x) => !(x > 0 && x < Infinity))) refuse("above 0", "seen.weights");
  }

  whole(key) {
    const text = this.metadata[key] ?? "";
    return /^\d{1,18}$/.test(text) ? +text : refuse("number", key, text);
  }

  number(key, least, most, missing) {
    const text = this.metadata[key] ?? missing;
    return /^ *[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)? *$/i.test(text) && +text >= least && +text <= most
      ? +text
      : refuse("between", key, this.metadata[key], least, most);
  }

  maybe(name, kinds) {
    return name in this.places ? this.take(name, kinds) : null;
  }

  take(name, kinds) {
    const { dtype, shape, first, last } = this.places[name] ?? refuse("missing", name);
    if (shape.length != 1 || !kinds.includes(dtype)) refuse("type", name, shape.length, dtype, kinds);
    const array = new ARRAYS[dtype](this.bytesOf(first, last));
    if (dtype == "F16") return Float32Array.from(array, half);
    return dtype == "I64" ? Array.from(array, (x) => (Number.isSafeInteger(Number(x)) ? Number(x) : x)) : array;
  }

  table(name, rows) {
    const { dim, metadata, places } = this,
      steps = `${name}.steps` in places,
      field = `${name}.${steps ? "steps" : "columns"}`;
    const columns = steps
      ? readSteps(field, this.take(field, ["U8"]), dim)
      : this.take(field, [dim > 256 ? "U16" : "U8"]);
    const bounds = this.rising(field, name, columns, rows, dim, steps);
    const stored = this.take(`${name}.values`, ["F32", "F16", "I8"]);
    if (stored.length != columns.length) refuse("values", name, stored.length, columns.length);
    if (!(largest(stored) < Infinity)) refuse("finite", `${name}.values`);
    if (!(stored instanceof Int8Array)) return { bounds, columns, values: stored };
    const scales = this.take(`${name}.scales`, ["F32"]),
      marks = "item_columns" in metadata ? this.whole("item_columns") : 0;
    const last = min(max(dim - marks, 0) + 1, dim) - 1;
    expect(`${name}.scales`, scales.length, last + 1);
    if (!(largest(scales) < 1e36)) refuse("scales", `${name}.scales`);
    return { bounds, columns, values: Float32Array.from(stored, (x, e) => x * scales[min(columns[e], last)]) };
  }

  noUsers() {
    const name = keys(this.places).find((one) => one.startsWith("users."));
    if (name) refuse("users", name);
    if (this.nUsers && this.metadata.seen == "left out") refuse("n_users", this.nUsers);
    return { bounds: NONE, columns: NONE, values: NONE };
  }

  readSeen() {
    const { nUsers, nItems, places } = this,
      gaps = "seen.gaps" in places,
      field = gaps ? "seen.gaps" : "seen.items";
    this.seenItems = gaps ? readVarints(this.take(field, ["U8"]), nItems) : this.take(field, COUNTS);
    return this.rising(field, "seen", this.seenItems, nUsers, nItems, gaps);
  }

  // Reads where rows end, and checks that numbers rise within each; gaps are added up.
  rising(field, name, numbers, rows, limit, gaps) {
    const end = numbers.length,
      bounds = this.bounds(name, rows, end, field);
    if (!gaps && largest(numbers) >= limit && end) refuse("below", `${field} holds`, largest(numbers), limit);
    for (let row = 0; row < rows; row++) {
      for (let e = bounds[row], last = -1; e < bounds[row + 1]; e++) {
        if (gaps) numbers[e] += last + 1;
        if (numbers[e] <= last) refuse("rise", field);
        if ((last = numbers[e]) >= limit)
          refuse("below", `${field} lead to ${name == "seen" ? "item" : "column"}`, last, limit);
      }
    }
    return bounds;
  }

  // Reads the bounds of rows: stored so, as lengths or as bits.
  bounds(name, rows, end, target) {
    const bits = this.maybe(`${name}.ends`, ["U8"]),
      lengths = bits ? null : this.maybe(`${name}.lengths`, COUNTS);
    if (!bits && !lengths) return checkBounds(`${name}.indptr`, this.take(`${name}.indptr`, BOUNDS), rows, end, target);
    // Nothing is made as long as a file says, before the file holds as much.
    if (lengths) expect(`${name}.lengths`, lengths.length, rows);
    else if (bits.length != ceil((rows + end) / 8)) refuse("bytes", `${name}.ends`, bits.length, rows, end, target);
    const bounds = new Float64Array(rows + 1);
    if (lengths) {
      lengths.forEach((x, row) => {
        bounds[row + 1] = bounds[row] + x;
      });
      if (bounds[rows] != end) refuse("add up", `${name}.lengths`, end, target);
      return bounds;
    }
    let row = 0;
    for (let bit = 0; bit < 8 * bits.length; bit++)
      if ((bits[bit >> 3] >> (bit & 7)) & 1) bounds[++row] = bit + 1 - row;
    if (row != rows || bounds[rows] != end) refuse("ones", `${name}.ends`, rows, end, target);
    return bounds;
  }

  ids(owner, rows) {
    const kind = this.metadata[`${owner}_id_kind`],
      name = `${owner}_ids`;
    let ids;
    if (kind == "range") ids = range(rows);
    else if (kind == "int")
      expect(name, (ids = this.take(name, ["U8", "I8", "U16", "I16", "U32", "I32", "I64"])).length, rows);
    else if (kind == "text") {
      const text = this.take(`${name}.text`, ["U8"]),
        ends = checkBounds(`${name}.offsets`, this.take(`${name}.offsets`, BOUNDS), rows, text.length, `${name}.text`);
      try {
        ids = range(rows).map((row) => utf8.decode(text.subarray(ends[row], ends[row + 1])));
      } catch {
        refuse("UTF-8", name);
      }
      if (ids.some((id) => id.endsWith("\0"))) refuse("zero", name);
    } else refuse("id kind", owner, kind);
    let known;
    const rowOf = () => (known ??= new Map(Array.from(ids, (id, row) => [`${id}`, row])));
    if (kind != "range" && rowOf().size != rows) refuse("twice", name, "id");
    // "12" finds 12, and 12 finds "12".
    const find = (id) =>
      rowOf().get(kind == "text" || !/^\s*[+-]?\d+\s*$/.test(id) ? `${id}` : `${BigInt(`${id}`.replace("+", ""))}`) ??
      -1;
    return { ids, find };
  }
}

function checkBounds(name, bounds, rows, end, target) {
  expect(name, bounds.length, rows + 1);
  if (bounds[0] != 0 || bounds[rows] != end || bounds.some((x, k) => x < bounds[k - 1]))
    refuse("bounds", name, end, target);
  return bounds;
}

function readSteps(name, data, dim) {
  const limit = 256 - max(0, ceil((dim - 256) / 255)),
    steps = [];
  for (let k = 0; k < data.length; k++) {
    let step = data[k];
    if (step >= limit) {
      if (++k == data.length) refuse("step", name);
      step = limit + 256 * (step - limit) + data[k];
    }
    if (step >= dim) refuse("below", `${name} hold`, step, dim);
    steps.push(step);
  }
  return Uint32Array.from(steps);
}

function readVarints(data, limit) {
  const numbers = [];
  let number = 0,
    place = 0;
  for (const byte of data) {
    number += (byte & 127) * 128 ** place++;
    if (place > 4 && byte > 127) break;
    if (byte > 127) continue;
    if (number >= limit) refuse("below", "seen.gaps holds", number, limit);
    numbers.push(number);
    number = place = 0;
  }
  return place ? refuse("5 bytes") : Uint32Array.from(numbers);
}

// -- rows of users, made of the items they touched

const rowOf = ({ bounds, columns, values }, row) =>
  [columns, values].map((one) => one.subarray(bounds[row], bounds[row + 1]));

function spread(columns, values, dim) {
  const row = new Float64Array(dim);
  columns.forEach((column, k) => {
    row[column] = values[k];
  });
  return row;
}

// Rows that are sums of weighted ones, and behind them, with marks, a column for each item.
function summed(model, marked) {
  const { items, nItems, rowEntries } = model,
    dim = marked ? model.dim - nItems : model.dim;
  if (marked && (model.whole("item_columns") != nItems || dim < 1))
    refuse("item_columns", model.whole("item_columns"), model.dim, nItems);
  model.recency = model.number("recency", 0, 4, "0");
  if (model.recency && (model.ages?.length ?? 0) != model.seenItems.length) refuse("ages");
  const codes = model.maybe("weights.codes", ["U8"]),
    levels = codes && model.take("weights.levels", ["F32"]);
  if (codes?.length && largest(codes) >= levels.length)
    refuse("below", "weights.codes hold", largest(codes), levels.length, "weights.levels");
  let weights = codes ? Float32Array.from(codes, (code) => levels[code]) : model.take("weights", ["F32", "F16"]);
  const filled = range(nItems).filter((row) => items.bounds[row] < items.bounds[row + 1]);
  if (weights.length != nItems) {
    if (weights.length != filled.length)
      refuse("weights", codes ? "weights.codes" : "weights", weights.length, nItems, filled.length);
    weights = Float32Array.from(spread(filled, weights, nItems));
  }
  if (!(model.dim * ((1 + nItems * largest(weights)) * largest(items.values)) ** 2 < 1e38))
    refuse("overflow", "weights");
  model.popular = new Float64Array(nItems);
  for (const row of filled) if (weights[row]) model.popular[row] = 1 / abs(weights[row]);
  const row = (touched, shares) => {
    const sums = new Float32Array(dim);
    touched.forEach((item, k) => {
      const [columns, values] = rowOf(items, item),
        factor = fround(shares[k] * weights[item]);
      columns.forEach((column, e) => {
        if (column < dim) sums[column] += fround(factor * values[e]);
      });
    });
    const kept = best(
      sums.map((x) => abs(x) || -Infinity),
      rowEntries,
    ).sort(ascending);
    return marked
      ? [
          [...kept, ...touched.map((item) => dim + item)],
          [...kept.map((c) => sums[c]), ...shares],
        ]
      : [kept, kept.map((c) => sums[c])];
  };
  const parts = (touched, shares, wanted) => {
    const kept = new Set(row(touched, shares)[0]);
    return touched.map((item, k) => {
      const [columns, values] = rowOf(items, item);
      let product = 0;
      columns.forEach((column, e) => {
        if (column < dim) product += values[e] * (kept.has(column) ? wanted[column] : 0);
      });
      return fround(shares[k] * weights[item]) * product + (marked ? shares[k] * wanted[dim + item] : 0);
    });
  };
  return { row, parts };
}

// Rows of itemknn: 1 in the columns of the touched items.
function counted({ dim, nItems }) {
  const check = () => dim == nItems || refuse("an itemknn model of some items alone folds nobody in");
  return {
    row: (touched) => check() && [touched, touched.map(() => 1)],
    parts: (touched, shares, wanted) => check() && touched.map((item, k) => shares[k] * wanted[item]),
  };
}

// What makes users' rows, by the model: `row` of touched items and how much each counts, and `parts` of its product
// with a wanted row. Rows that are solved for are those of solving.js, loaded where a model has them.
const solved =
  (...settings) =>
  (model) => ({ solved: [model, ...settings] });
const KINDS = {
  mf: solved(0.1, 0.06),
  popularity: solved(0.1, 0.06),
  itemknn: counted,
  fism(model) {
    const { metadata, dim } = model,
      way = metadata.user_rows ?? "sum";
    if (!("row_entries" in metadata)) refuse("row_entries");
    if (way == "sum" || way == "neighbours") return summed(model, way != "sum");
    if (way != "ridge") refuse("user_rows", way);
    if (keys(model.places).some((name) => /^weights(\.codes|\.levels)?$/.test(name))) refuse("no weights");
    if (dim > 4096) refuse("pairs", dim);
    const made = solved(
      model.number("untouched_weight", 0, 1e6, ""),
      model.number("ridge", 1e-3, 1e6, ""),
      true,
    )(model);
    model.recency = model.number("recency", 0, 4, "0");
    return made;
  },
};

export class Recommender {
  // Opens the model file at an address, or its content.
  static async open(source) {
    const named = typeof source == "string" || source instanceof URL;
    let content = source;
    if (named) {
      const answer = await fetch(source);
      if (!answer.ok) throw new Error(`${source}: ${answer.status} ${answer.statusText}`);
      content = await answer.arrayBuffer();
    }
    const bytes =
      content instanceof ArrayBuffer
        ? new Uint8Array(content)
        : new Uint8Array(content.buffer, content.byteOffset, content.byteLength);
    try {
      const header = readHeader(bytes, bytes.length),
        at = header.start;
      const model = new Model(header, (first, last) => bytes.slice(at + first, at + last).buffer),
        way = KINDS[model.metadata.model](model);
      return new Recommender(model, way.solved ? (await import("./solving.js")).solving(...way.solved) : way);
    } catch (error) {
      if (!error.what) throw error;
      const { sentence } = await import("./refusals.js");
      throw new ModelError(sentence(named ? source : bytes.length, error.what));
    }
  }

  constructor(model, way) {
    const { items, nItems, itemIds, metadata, seenItems, disliked, dim } = model,
      { columns, bounds, values } = items;
    // The items' entries once more, by column.
    const starts = new Uint32Array(dim + 1),
      rows = new Uint32Array(columns.length),
      entries = new Float32Array(columns.length);
    for (const column of columns) starts[column + 1]++;
    starts.forEach((n, k) => {
      if (k) starts[k] += starts[k - 1];
    });
    const free = starts.slice();
    for (let row = 0; row < nItems; row++) {
      for (let e = bounds[row]; e < bounds[row + 1]; e++) {
        const place = free[columns[e]]++;
        rows[place] = row;
        entries[place] = values[e];
      }
    }
    Object.assign(this, {
      model,
      way,
      starts,
      rows,
      entries,
      metadata,
      itemIds: itemIds.ids,
      userIds: model.userIds.ids,
    });
    this.levels = range(256).map((age) => fround((age + 1) ** -(model.recency ?? 0)));
    const counts = (this.degrees = new Float64Array(nItems));
    seenItems.forEach((item, place) => {
      counts[item] += 1 - disliked[place];
    });
    this.popular = model.popular && !model.allSeen ? model.popular : counts;
  }

  // Rows of all items, those first that most users touched.
  get popularItems() {
    const { popular } = this;
    return (this.order ??= range(popular.length).sort((a, b) => popular[b] - popular[a] || a - b));
  }

  // Lists the best items for a user: { items, scores, personal }.
  recommend(user, options = {}) {
    const { model } = this,
      { n, filterSeen, among, excluded, onUnknown } = this.wish(options),
      row = this.user(user, onUnknown);
    if (row < 0) return this.general(n, [excluded], among, onUnknown);
    const [first, last] = model.seenBounds.slice(row, row + 2),
      known = this.knows(row);
    const scores = known ? this.scoresOf(this.rowOf(row)) : this.ranked();
    if (filterSeen && !model.hasSeen && !options.exclude)
      throw new SeenItemsMissingError(`${LEFT_OUT}: give them to exclude, or set filterSeen to false`);
    const hidden = model.seenItems.slice(first, last).filter((_, k) => filterSeen || model.disliked[first + k]);
    return this.list(scores, n, [hidden, excluded], among, known);
  }

  // Lists the best items for somebody who touched others, the latest last.
  recommendForItems(liked, options = {}) {
    const { n, filterSeen, among, excluded, onUnknown } = this.wish(options),
      [rows, shares] = this.touched(liked, onUnknown);
    const hidden = [filterSeen ? rows : NONE, excluded];
    if (!rows.length && onUnknown != "raise") return this.general(n, hidden, among, onUnknown);
    const scores = this.scoresOf(this.fold(rows, shares)),
      scale = fround(this.way.scale?.(rows.length, this) ?? 1),
      most = fround(3e38);
    if (scale != 1)
      scores.forEach((x, k) => {
        scores[k] = max(-most, min(most, x * scale));
      });
    return this.list(scores, n, hidden, among);
  }

  // Lists the items whose rows are nearest to one by cosine.
  similarItems(item, { n = 10, onUnknown = "raise" } = {}) {
    const { model, rows, entries, degrees } = this,
      own = this.item(item, onUnknown);
    this.count(n);
    if (own < 0) return this.list(NONE, n, NONE, null, false);
    const squares = new Float64Array(model.nItems),
      scores = this.scoresOf(rowOf(model.items, own));
    rows.forEach((row, e) => {
      squares[row] += entries[e] * entries[e];
    });
    const lengths = Float32Array.from(squares, sqrt);
    scores.forEach((x, k) => {
      const length = fround(lengths[k] * lengths[own]);
      scores[k] = length > 0 && (!model.allSeen || (degrees[k] && degrees[own])) ? x / length : -Infinity;
    });
    return this.list(scores, n, [[own]]);
  }

  // Scores items for a user, seen or not, as lists do.
  score(user, items) {
    const row = this.user(user),
      places = items.map((item) => this.item(item));
    const scores = this.knows(row) ? this.scoresOf(this.rowOf(row)) : [];
    return places.map((place) => scores[place] ?? 0);
  }

  // Says which of the items that a user touched speak for an item: { items, scores, score, exact }.
  explain(user, item, options) {
    const { model, way } = this,
      row = this.user(user),
      wanted = this.item(item);
    if (!model.hasSeen) throw new SeenItemsMissingError(`${LEFT_OUT}, so nothing tells what speaks for an item`);
    return this.explained(
      ...(way.scale || !model.stored ? this.touchedBy(row) : rowOf(model.users, row).map((one) => [...one])),
      wanted,
      options,
    );
  }

  // The same of somebody who touched items, the latest last.
  explainForItems(liked, item, options) {
    return this.explained(...this.touched(liked), this.item(item), options);
  }

  // -- inside

  explained(touched, shares, wanted, { n = 10 } = {}) {
    const { model, way } = this,
      scale = way.scale && touched.length ? way.scale(touched.length, this) : 1;
    const parts = touched.length
      ? way.parts(touched, shares, spread(...rowOf(model.items, wanted), model.dim)).map((x) => x * scale)
      : NONE;
    if (n) this.count(n);
    const order = best(parts, n ?? Infinity);
    return {
      items: order.map((k) => this.itemIds[touched[k]]),
      scores: order.map((k) => parts[k]),
      score: sum(parts),
      exact: !way.scale,
    };
  }

  count(n) {
    if (!(Number.isInteger(n) && n > 0)) throw new RangeError(`n must be at least 1, not ${n}`);
  }

  wish({ n = 10, items, exclude = [], filterSeen = true, onUnknown = "raise" }) {
    this.count(n);
    if (!["raise", "popular", "skip"].includes(onUnknown))
      throw new RangeError("onUnknown must be raise, popular or skip");
    return {
      n,
      filterSeen,
      onUnknown,
      among: items?.map((item) => this.item(item, onUnknown)),
      excluded: exclude.map(this.model.itemIds.find),
    };
  }

  find(ids, noun, id, onUnknown) {
    const row = ids.find(id);
    if (row < 0 && onUnknown == "raise") throw new UnknownIdError(`unknown ${noun} ${id}`);
    return row;
  }

  item(id, onUnknown = "raise") {
    return this.find(this.model.itemIds, "item", id, onUnknown);
  }

  user(id, onUnknown = "raise") {
    const { hasSeen, stored, userIds } = this.model;
    if (!hasSeen && !stored)
      throw new SeenItemsMissingError(
        `${LEFT_OUT}, its users are made of nothing else: give somebody's items to recommendForItems`,
      );
    return this.find(userIds, "user", id, onUnknown);
  }

  // What a user touched, dislikes left out: item rows, and how much each counts.
  touchedBy(user) {
    const { seenBounds, seenItems, disliked, ages, seenWeights } = this.model,
      places = [];
    for (let place = seenBounds[user]; place < seenBounds[user + 1]; place++) if (!disliked[place]) places.push(place);
    const weights = places.map((place) => seenWeights?.[place] ?? 1),
      mean = fround((weights[0] + sum(weights, 1)) / weights.length);
    return [
      places.map((place) => seenItems[place]),
      places.map((place, k) => fround(this.levels[ages?.[place] ?? 0] * fround(weights[k] / mean))),
    ];
  }

  // The same of a list of ids, the latest last: rows ascend, and of an item told twice the later counts.
  touched(liked, onUnknown) {
    const order = new Set();
    for (const id of liked) {
      const row = this.item(id, onUnknown);
      order.delete(row);
      order.add(row);
    }
    order.delete(-1);
    const ages = new Map([...order].reverse().map((row, age) => [row, min(age, 255)])),
      rows = [...order].sort(ascending);
    return [rows, rows.map((row) => this.levels[ages.get(row)])];
  }

  fold(rows, shares) {
    if (!rows.length) throw new RangeError("nobody is folded in from no items");
    return this.way.row(rows, shares);
  }

  rowOf(user) {
    return this.model.stored ? rowOf(this.model.users, user) : this.way.row(...this.touchedBy(user));
  }

  knows(user) {
    return (
      this.touchedBy(user)[0].length > 0 ||
      (!this.model.allSeen && this.model.stored && rowOf(this.model.users, user)[1].some((x) => x))
    );
  }

  // Scores all items for a row, in the runtime's order: columns ascending, each product and each sum in float32.
  scoresOf([columns, values]) {
    const { starts, rows, entries } = this,
      scores = new Float32Array(this.model.nItems);
    columns.forEach((column, k) => {
      const factor = values[k];
      for (let e = starts[column]; e < starts[column + 1]; e++) scores[rows[e]] += fround(factor * entries[e]);
    });
    return scores;
  }

  ranked() {
    const scores = new Float64Array(this.model.nItems);
    this.popularItems.forEach((item, place) => {
      scores[item] = -place;
    });
    return scores;
  }

  general(n, hidden, among, onUnknown) {
    return this.list(onUnknown == "skip" ? [] : this.ranked(), n, hidden, among, false);
  }

  list(scores, n, hidden, among, personal = true) {
    for (const rows of hidden) for (const row of rows) scores[row] = -Infinity;
    if (among) {
      const kept = new Set(among);
      scores = scores.map((x, row) => (kept.has(row) ? x : -Infinity));
    }
    const order = best(scores, n);
    return {
      items: order.map((row) => this.itemIds[row]),
      scores: order.map((row) => (personal ? scores[row] : 0)),
      personal,
    };
  }
}

export { ascending, best, range, rowOf, spread, sum };
