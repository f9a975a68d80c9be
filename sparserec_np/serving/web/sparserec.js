// @ts-self-types="./sparserec.d.ts"
// Serves a model file in a browser, a worker, Node or Deno: the twin of runtime.py, whose checks, lists and float32
// scores these are. docs/web.md says how to use it, docs/model-file.md what a file holds.
const { abs, ceil, fround, max, min, sqrt } = Math,
  { keys, entries } = Object;
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
const BOUNDS = "I32 I64",
  COUNTS = "U8 U16 U32",
  REAL = /^ *[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)? *$/i,
  ON_UNKNOWN = ["raise", "popular", "skip"],
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

// Refuses a file, unless a rule holds. What is told names the rule and the facts, of which refusals.js, loaded then, makes
// runtime.py's sentence. The short form keeps the rules alone; refusals.js then asks this form for the facts.
const refusal = (what) => Object.assign(new ModelError(what[0]), { what });
const must = (sound, ...what) => {
  if (!sound) throw refusal(what);
};
const isObject = (value) => value instanceof Object && !Array.isArray(value);
const printable = (text) => !/\p{C}|(?! )\p{Z}/u.test(text);
const range = (n) => [...Array(n | 0).keys()]; // none for NaN
const ascending = (a, b) => a - b;
const largest = (numbers) => numbers.reduce((most, x) => max(most, abs(x)), 0);
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
  const found = [];
  let least = -Infinity;
  const cut = () => {
    found.sort((a, b) => numbers[b] - numbers[a]).splice(n);
    least = numbers[found[n - 1]] ?? least;
  };
  for (let k = 0; k < numbers.length; k++) if (numbers[k] > least && found.push(k) > 2 * n + 99) cut();
  cut();
  return found;
}

const rowOf = ([bounds, columns, values], row) =>
  [columns, values].map((one) => [...one.slice(bounds[row], bounds[row + 1])]);

function spread(columns, values, dim) {
  const row = new Float64Array(dim);
  columns.forEach((column, k) => {
    row[column] = values[k];
  });
  return row;
}

const dot = ([columns, values], row) => columns.reduce((total, column, e) => total + values[e] * row[column], 0);

// -- the file

// Reads a number of float16; what is not finite becomes NaN.
function half(bits) {
  const power = (bits >> 10) & 31;
  return (bits >> 15 ? -1 : 1) * (power > 30 ? NaN : ((bits & 1023) + (power && 1024)) * 2 ** (max(power, 1) - 25));
}

// Reads strict JSON, in which no name stands twice; with `whole` numbers that are not spelt as whole ones become null.
function readJSON(textOf, field, whole) {
  let names = 1,
    value;
  try {
    const text = textOf();
    JSON.parse(text);
    value = JSON.parse(
      text.replace(/("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+[.eE][\d.eE+-]*/g, (all, string, colon) => {
        if (colon) names++;
        return string || !whole ? all : null;
      }),
      function (_, one) {
        names -= !Array.isArray(this);
        return one;
      },
    );
  } catch {
    must(false, "JSON", field);
  }
  must(!names, "twice", field, "name");
  return value;
}

function readSteps(data, dim, name) {
  const limit = 256 - max(0, ceil((dim - 256) / 255)),
    steps = [];
  for (let k = 0; k < data.length; k++) {
    let step = data[k];
    if (step >= limit) {
      must(++k < data.length, "step", name);
      step = limit + 256 * (step - limit) + data[k];
    }
    must(step < dim, "below", `${name} hold`, step, dim);
    steps.push(step);
  }
  return steps;
}

function readVarints(data, limit) {
  const numbers = [];
  let number = 0,
    place = 0;
  for (const byte of data) {
    number += (byte & 127) * 128 ** place++;
    if (byte < 128) {
      must(number < limit, "below", "seen.gaps holds", number, limit);
      numbers.push(number);
      number = place = 0;
    }
    must(place < 5, "5 bytes");
  }
  must(!place, "5 bytes");
  return numbers;
}

// Reads a model of a file's content, and checks all of it.
async function read(bytes) {
  const size = bytes.length,
    longest = min(size - 8, 1 << 20);
  must(size > 7, "short", size);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  must(length > 1 && length <= longest, "header length", length, longest, bytes);
  const start = 8 + Number(length),
    available = size - start,
    header = readJSON(() => utf8.decode(bytes.slice(8, start)), "the header", true);
  must(isObject(header), "object", "the header");
  const { __metadata__: metadata = {}, ...places } = header;
  must(isObject(metadata), "object", "__metadata__");
  for (const key in metadata)
    must(typeof metadata[key] == "string" && printable(key + metadata[key]), "printable", key);

  const spans = entries(places).map(([name, entry]) => {
    must(printable(name) && `${keys(entry ?? 0).sort()}` == "data_offsets,dtype,shape", "entry", name);
    const { dtype, shape, data_offsets: offsets } = entry;
    must(keys(ARRAYS).includes(dtype), "dtype", name, dtype);
    for (const list of [shape, offsets])
      must(Array.isArray(list) && list.every((x) => Number.isInteger(x) && x >= 0), "integers", name, list, entry);
    const [first, last] = offsets;
    must(offsets.length == 2 && first <= last && last <= available, "outside", name, offsets, available);
    const volume = (least) => shape.reduce((n, x) => n * max(x, least), ARRAYS[dtype].BYTES_PER_ELEMENT);
    must(shape.length < 9 && volume(0) == last - first, "fill", name, shape, dtype, offsets);
    must(volume(1) < 2 ** 63, "shape", name, shape);
    return [first, last, name];
  });
  let end = 0;
  for (const [first, last, name] of spans.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    must(first == end, "start", name, first, end);
    end = last;
  }
  must(end == available, "end", end, available);

  // An array by its name, of one of some types, and of so many numbers where a count is told.
  const has = (name) => name in places;
  const take = (name, types, count) => {
    must(has(name), "missing", name);
    const {
        dtype,
        shape,
        data_offsets: [first, last],
      } = places[name],
      array = new ARRAYS[dtype](bytes.slice(start + first, start + last).buffer);
    must(shape.length == 1 && types.split(" ").includes(dtype), "type", name, shape, dtype, types);
    must(array.length == (count ?? array.length), "count", name, array.length, count);
    return dtype == "F16"
      ? Float32Array.from(array, half)
      : dtype == "I64"
        ? [...array].map((x) => (BigInt.asIntN(54, x) == x ? Number(x) : x))
        : array;
  };
  const maybe = (name, ...what) => (has(name) ? take(name, ...what) : null);
  // A number in the metadata: a whole one, or of another form.
  const number = (key, missing, least = 0, most = 1e18, form = /^\d{1,18}$/) => {
    const text = metadata[key] ?? missing;
    must(
      form.test(text) && text >= least && text <= most,
      "number",
      key,
      metadata[key],
      least,
      most,
      form != REAL && form,
    );
    return +text;
  };

  // Reads and checks the bounds of rows: the first is 0, the last the end of what they are bounds of.
  const checkBounds = (name, rows, end, target, bounds = take(name, BOUNDS)) => {
    must(
      bounds.length == rows + 1 && bounds[0] == 0 && bounds[rows] == end && !bounds.some((x, k) => x < bounds[k - 1]),
      "bounds",
      name,
      bounds.length,
      rows,
      end,
      target,
    );
    return bounds;
  };
  // The same, stored as such, as lengths or as bits.
  const readBounds = (name, rows, end, target) => {
    const bits = maybe(`${name}.ends`, "U8"),
      lengths = !bits && maybe(`${name}.lengths`, COUNTS),
      bounds = [0];
    if (!bits && !lengths) return checkBounds(`${name}.indptr`, rows, end, target);
    if (lengths) for (const x of lengths) bounds.push(bounds.at(-1) + x);
    else {
      must(bits.length == ceil((rows + end) / 8), "bytes", `${name}.ends`, bits.length, rows, end, target);
      for (let bit = 0; bit < 8 * bits.length; bit++)
        if ((bits[bit >> 3] >> (bit & 7)) & 1) bounds.push(bit + 1 - bounds.length);
    }
    return checkBounds(`${name}.${bits ? "ends" : "lengths"}`, rows, end, target, bounds);
  };
  // How many of the last columns stand for items, in a model of pairs.
  const itemColumns = () => (metadata.user_rows == "neighbours" ? number("item_columns") : 0);
  // The same, and checks that numbers rise within each row; gaps are added up.
  const rising = (name, numbers, rows, limit, gaps, field) => {
    const bounds = readBounds(name, rows, numbers.length, field);
    for (let row = 0; row < rows; row++)
      for (let e = bounds[row], last = -1; e < bounds[row + 1]; last = numbers[e++]) {
        if (gaps) numbers[e] += last + 1;
        must(numbers[e] > last && numbers[e] < limit, "rise", field, numbers, limit, gaps, e);
      }
    return bounds;
  };
  const table = (name, rows) => {
    const steps = has(`${name}.steps`),
      field = `${name}.${steps ? "steps" : "columns"}`,
      columns = steps ? readSteps(take(field, "U8"), dim, field) : take(field, dim > 256 ? "U16" : "U8"),
      bounds = rising(name, columns, rows, dim, steps, field);
    let values = take(`${name}.values`, "F32 F16 I8", columns.length);
    must(largest(values) < Infinity, "finite", `${name}.values`);
    if (values instanceof Int8Array) {
      const count = min(max(dim - itemColumns(), 0) + 1, dim),
        scales = take(`${name}.scales`, "F32", count);
      must(largest(scales) < 1e36, "scales", `${name}.scales`);
      values = Float32Array.from(values, (x, e) => x * scales[min(columns[e], count - 1)]);
    }
    return [bounds, columns, values];
  };
  const ids = (owner, rows) => {
    const kind = metadata[`${owner}_id_kind`],
      name = `${owner}_ids`;
    let ids;
    if (kind == "range") ids = range(rows);
    else if (kind == "int") ids = take(name, "U8 I8 U16 I16 U32 I32 I64", rows);
    else {
      must(kind == "text", "id kind", owner, kind);
      const text = take(`${name}.text`, "U8"),
        ends = checkBounds(`${name}.offsets`, rows, text.length, `${name}.text`);
      try {
        ids = range(rows).map((row) => utf8.decode(text.slice(ends[row], ends[row + 1])));
      } catch {
        must(false, "UTF-8", name);
      }
      must(!ids.some((id) => id.endsWith("\0")), "zero", name);
    }
    let known;
    const rowsOf = () => (known ??= new Map([...ids].map((id, row) => [`${id}`, row])));
    must(kind == "range" || rowsOf().size == rows, "twice", name, "id");
    // Integers are known in every spelling.
    const find = (id, onUnknown = "raise") => {
      const row = rowsOf().get(`${kind != "text" && /^\s*[+-]?\d+\s*$/.test(id) ? BigInt(id) : id}`) ?? -1;
      if (row < 0 && onUnknown == "raise") throw new UnknownIdError(`unknown ${owner} ${id}`);
      return row;
    };
    return [ids, find];
  };

  const { format, format_version, model, method, seen } = metadata;
  must(format == "sparserec_np", "format", format);
  must(format_version == "1", "version", format_version);
  must(model && method, "missing", `metadata ${model ? "method" : "model"}`);
  number("budget");
  number("seed", 0);
  const dim = number("dim", "", 1, 65536);
  const nUsers = number("n_users"),
    nItems = number("n_items"),
    stored = model != "fism",
    hasSeen = seen != "left out",
    allSeen = hasSeen && seen != "in part";
  must(["mf", "popularity", "itemknn", "fism"].includes(model), "model", model);
  if (!stored) {
    for (const name in places) must(!name.startsWith("users."), "users", name);
    must(hasSeen || !nUsers, "n_users", nUsers);
  }
  const users = stored ? table("users", nUsers) : [NONE, NONE, NONE],
    items = table("items", nItems);
  const [bounds, columns, values] = items,
    most = largest(values);
  must(dim * max(largest(users[2]), most) ** 2 <= 1e38, "overflow", "values");
  let seenItems = NONE,
    seenBounds = NONE;
  if (hasSeen) {
    const gaps = has("seen.gaps"),
      field = gaps ? "seen.gaps" : "seen.items";
    seenItems = gaps ? readVarints(take(field, "U8"), nItems) : take(field, COUNTS);
    seenBounds = rising("seen", seenItems, nUsers, nItems, gaps, field);
  }
  const metrics = readJSON(() => metadata.metrics ?? "{}", "metadata metrics"),
    n = seenItems.length;
  must(
    isObject(metrics) &&
      entries(metrics).every(([name, x]) => printable(name) && typeof x == "number" && abs(x) <= 1e300),
    "metrics",
  );
  const [userIds, findUser] = ids("user", nUsers),
    [itemIds, itemOf] = ids("item", nItems),
    rowEntries = min(max(number("row_entries", ceil(users[2].length / max(nUsers, 1))), 1), dim),
    ages = maybe("seen.ages", "U8", n),
    seenWeights = maybe("seen.weights", "F32", n);
  const [, dislikes] = ["seen.held_out", "seen.disliked"].map((name) => {
    const found = maybe(name, BOUNDS) ?? NONE;
    must(
      found.every((x, k) => x >= 0 && x < n && !(x <= found[k - 1])),
      "places",
      name,
      n,
    );
    return found;
  });
  const disliked = new Set(dislikes);
  must(!seenWeights?.some((x) => !(x > 0 && x < Infinity)), "above 0", "seen.weights");

  // -- rows of users, made of the items they touched: `row` of touched items and how much each counts, and `parts` of its
  // product with a wanted row

  let recency = 0,
    popular;
  const readRecency = () => (recency = number("recency", 0, 0, 4, REAL));

  // Rows that are sums of weighted ones, of the columns before those of items, if these have any.
  const summed = async (paired) => {
    const own = paired ? dim - nItems : dim;
    let power;
    if (paired) {
      must(itemColumns() == nItems && own > 0, "item_columns", metadata.item_columns, dim, nItems);
      power = 8 * number("mark_power", "", 0, 0.375, REAL);
      must(power % 1 == 0, "mark_power", metadata.mark_power);
    }
    must(!readRecency() || ages || !n, "ages");
    const codes = maybe("weights.codes", "U8"),
      levels = codes ? take("weights.levels", "F32") : NONE;
    must(
      !codes?.some((code) => code >= levels.length),
      "below",
      "weights.codes hold",
      codes,
      levels.length,
      "weights.levels",
    );
    let weights = codes ? [...codes].map((code) => levels[code]) : take("weights", "F32 F16");
    const others = new Set(paired ? columns.map((column) => column - own) : []), // a row's own columns are no items
      filled = range(nItems).filter((row) => bounds[row] < bounds[row + 1] || others.has(row));
    if (weights.length != nItems) {
      must(
        weights.length == filled.length,
        "weights",
        codes ? "weights.codes" : "weights",
        weights.length,
        nItems,
        filled.length,
      );
      weights = spread(filled, weights, nItems);
    }
    must(dim * (nItems * (2 + largest(weights)) * (1 + most)) ** 2 < 5e37, "overflow", "weights");
    popular = Float64Array.from(
      weights,
      (weight, row) => (paired || bounds[row] < bounds[row + 1]) && weight && 1 / abs(weight),
    );
    const row = (touched, shares) => {
      const sums = new Float32Array(own);
      touched.forEach((item, k) => {
        const [columns, values] = rowOf(items, item),
          factor = fround(shares[k] * weights[item]);
        columns.forEach((column, e) => {
          sums[column] += fround(factor * values[e]);
        });
      });
      const kept = best(
        sums.map((x) => abs(x) || -Infinity),
        rowEntries,
      ).sort(ascending);
      return [kept, kept.map((column) => sums[column])];
    };
    const sums = {
      row,
      parts(touched, shares, wanted) {
        const [kept] = row(touched, shares),
          shown = spread(
            kept,
            kept.map((column) => wanted[column]),
            dim,
          );
        return touched.map((item, k) => fround(shares[k] * weights[item]) * dot(rowOf(items, item), shown));
      },
    };
    // Pairs of items, in a module that is loaded where a model has them.
    return paired ? (await import("./pairs.js")).pairing(sums, items, own, weights, power, rowOf) : sums;
  };
  // Rows that are solved for, by a module that is loaded where a model has them.
  const solved = async (...settings) =>
    (await import("./solving.js")).solving(
      [items, users, dim, rowEntries, touchedBy, best, rowOf, spread, dot, sum, ModelError],
      ...settings,
    );
  // Rows of itemknn: 1 in the columns of the touched items.
  const counted = {
    row: (touched) => [touched, touched.map(() => 1)],
    parts: (touched, shares, wanted) => touched.map((item, k) => shares[k] * wanted[item]),
  };
  const fism = () => {
    const way = metadata.user_rows ?? "sum";
    must("row_entries" in metadata, "row_entries");
    if (way == "sum" || way == "neighbours") return summed(way != "sum");
    must(way == "ridge", "user_rows", way);
    must(!["weights", "weights.codes", "weights.levels"].some(has), "no weights");
    must(dim <= 4096, "pairs", dim);
    readRecency();
    return solved(number("untouched_weight", "", 0, 1e6, REAL), number("ridge", "", 1e-3, 1e6, REAL), true);
  };

  // What a user touched, dislikes left out: item rows, and how much each counts.
  const level = (age) => fround((age + 1) ** -recency);
  const placesOf = (user) => range(seenBounds[user + 1] - seenBounds[user]).map((k) => k + seenBounds[user]);
  const touchedBy = (user) => {
    const places = placesOf(user).filter((place) => !disliked.has(place)),
      weights = places.map((place) => seenWeights?.[place] ?? 1),
      mean = fround((weights[0] + sum(weights, 1)) / weights.length);
    return [
      places.map((place) => seenItems[place]),
      places.map((place, k) => fround(level(ages?.[place] ?? 0) * fround(weights[k] / mean))),
    ];
  };
  const way = await (stored ? (model == "itemknn" ? counted : solved()) : fism());

  // -- answers

  const needsSeen = (unless) => {
    if (!hasSeen && !unless)
      throw new SeenItemsMissingError(
        "exported without seen items: give exclude or filterSeen: false",
      );
  };
  const counts = new Float64Array(nItems);
  seenItems.forEach((item, place) => {
    counts[item] += 1 - disliked.has(place);
  });
  if (!popular || allSeen) popular = counts;
  let order;
  const popularItems = () => (order ??= best(popular, nItems));

  const userOf = (id, onUnknown) => {
    needsSeen(stored);
    return findUser(id, onUnknown);
  };
  const wish = ({ n = 10, items, exclude = [], filterSeen = true, onUnknown = "raise" }) => {
    if (!(Number.isInteger(n) && n > 0)) throw new RangeError("n must be 1 or more");
    if (!ON_UNKNOWN.includes(onUnknown)) throw new RangeError(`onUnknown must be ${ON_UNKNOWN}`);
    return {
      n,
      filterSeen,
      onUnknown,
      among: items && new Set(items.map((item) => itemOf(item, onUnknown))),
      excluded: exclude.map((id) => itemOf(id, "skip")),
    };
  };

  // Item rows of a list of ids, the latest last, and how much each counts: rows ascend, and of an item told twice the
  // later counts.
  const touchedOf = (liked, onUnknown) => {
    const latest = [...new Set([...liked].map((id) => itemOf(id, onUnknown)).reverse())].filter((row) => row >= 0),
      rows = latest.slice().sort(ascending);
    return [rows, rows.map((row) => level(min(latest.indexOf(row), 255)))];
  };
  const folding = () => {
    if (model == "itemknn" && dim != nItems) throw new ModelError("some items fold nobody in");
    return way;
  };

  const userRow = (user) => (stored ? rowOf(users, user) : way.row(...touchedBy(user)));
  const knows = (user) => touchedBy(user)[0].length > 0 || (!allSeen && stored && rowOf(users, user)[1].some((x) => x));

  // Entries by column: an item's row and a value, one after the other.
  const byColumn = range(dim).map(() => []);
  for (let item = 0, e = 0; item < nItems; item++)
    for (; e < bounds[item + 1]; e++) byColumn[columns[e]].push(item, values[e]);
  // Scores all items for a row, in the runtime's order: columns ascending, each product and each sum in float32.
  // Replies come last.
  const scoresOf = ([columns, values, replies = NONE]) => {
    const scores = new Float32Array(nItems);
    columns.forEach((column, k) => {
      const list = byColumn[column],
        factor = values[k];
      for (let place = 0; place < list.length;) scores[list[place++]] += fround(factor * list[place++]);
    });
    replies.forEach((x, item) => {
      scores[item] += x;
    });
    return scores;
  };
  const scoresFor = (user) => knows(user) && scoresOf(userRow(user));
  const ranked = () =>
    spread(
      popularItems(),
      popularItems().map((_, place) => -place),
      nItems,
    );
  // Makes a list of scores, or else one that is the same for everybody, or of nothing for somebody unknown.
  const list = (found, { n, among, excluded, onUnknown }, hidden, unknown = true) => {
    let scores = found || (unknown && onUnknown == "skip" ? [] : ranked());
    for (const row of [...hidden, ...excluded]) scores[row] = -Infinity;
    if (among) scores = scores.map((x, row) => (among.has(row) ? x : -Infinity));
    const order = best(scores, n);
    return {
      items: order.map((row) => itemIds[row]),
      scores: order.map((row) => (found ? scores[row] : 0)),
      personal: !!found,
    };
  };

  const scaleOf = (touched) => way.scale?.(touched.length) ?? 1;
  const explained = (touched, shares, item, { n = 10 } = {}) => {
    const scale = scaleOf(touched),
      parts = touched.length
        ? folding()
            .parts(touched, shares, spread(...rowOf(items, item), dim), item)
            .map((x) => x * scale)
        : NONE;
    const order = best(parts, wish({ n: n ?? parts.length + 1 }).n);
    return {
      items: order.map((k) => itemIds[touched[k]]),
      scores: order.map((k) => parts[k]),
      score: sum(parts),
      exact: !way.scale,
    };
  };

  return {
    __proto__: Recommender.prototype,
    metadata,
    itemIds,
    userIds,
    get popularItems() {
      return popularItems();
    },
    recommend(user, options = {}) {
      const wished = wish(options),
        row = userOf(user, wished.onUnknown),
        scores = scoresFor(row);
      needsSeen(row < 0 || !wished.filterSeen || options.exclude);
      const hidden = placesOf(row).filter((place) => wished.filterSeen || disliked.has(place));
      return list(
        scores,
        wished,
        hidden.map((place) => seenItems[place]),
        row < 0,
      );
    },
    recommendForItems(liked, options = {}) {
      const wished = wish(options),
        [rows, shares] = touchedOf(liked, wished.onUnknown),
        scale = fround(scaleOf(rows));
      if (!rows.length && wished.onUnknown == "raise") throw new RangeError("no items to fold in");
      let scores = rows.length && scoresOf(folding().row(rows, shares));
      if (scores && scale != 1) scores = scores.map((x) => max(-3e38, min(3e38, x * scale)));
      return list(scores, wished, wished.filterSeen ? rows : NONE);
    },
    similarItems(item, { n = 10, onUnknown = "raise" } = {}) {
      const own = itemOf(item, onUnknown),
        squares = new Float64Array(nItems);
      for (let item = 0, e = 0; item < nItems; item++)
        for (; e < bounds[item + 1]; e++) squares[item] += values[e] * values[e];
      const lengths = Float32Array.from(way.squares ?? squares, sqrt);
      const scores =
        own >= 0 &&
        scoresOf((way.compared ?? rowOf)(items, own)).map((x, k) => {
          const length = fround(lengths[k] * lengths[own]);
          return length > 0 && (!allSeen || (counts[k] && counts[own])) ? x / length : -Infinity;
        });
      return list(scores, wish({ n, onUnknown: "skip" }), [own]);
    },
    score(user, items) {
      const row = userOf(user),
        scores = scoresFor(row);
      return items.map((item) => scores[itemOf(item)] ?? 0);
    },
    explain(user, item, options) {
      const row = userOf(user),
        wanted = itemOf(item);
      needsSeen();
      return explained(...(way.scale || !stored ? touchedBy(row) : rowOf(users, row)), wanted, options);
    },
    explainForItems(liked, item, options) {
      return explained(...touchedOf(liked), itemOf(item), options);
    },
  };
}

export class Recommender {
  // Opens the model file at an address, or its content.
  static async open(source) {
    const named = source.byteLength == null;
    let content = source;
    if (named) {
      const answer = await fetch(source);
      if (!answer.ok) throw new Error(`${source}: ${answer.status}`);
      content = await answer.arrayBuffer();
    }
    const bytes = new Uint8Array(content.buffer ?? content, content.byteOffset, content.byteLength);
    try {
      return await read(bytes);
    } catch (error) {
      throw error instanceof ModelError
        ? new ModelError(
            await (await import("./refusals.js")).sentence(named ? source : bytes.length, error.what ?? bytes),
          )
        : error;
    }
  }
}

export { read, sum };
