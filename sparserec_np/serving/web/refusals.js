// What runtime.py says of a file that it refuses: loaded by sparserec.js when it refuses one.
import { read } from "./sparserec.js";

const comma = (number) => number.toLocaleString("en");
const show = (value) =>
  value == null
    ? "None"
    : value === true
      ? "True"
      : value === false
        ? "False"
        : typeof value == "string"
          ? `'${value}'`
          : Array.isArray(value)
            ? `[${value.map(show).join(", ")}]`
            : `${value}`;
const type = (dtype) => dtype.replace("U", "uint").replace("I", "int").replace("F", "float");
const printable = (bytes) => bytes.every((byte) => (byte > 31 && byte < 127) || byte == 10);

// What is counted, by the end of a name.
const COUNTED = [
  [/_ids$/, (count) => `ids, expected ${count}`],
  [/ages$/, (count) => `numbers, expected one for each of ${count} seen items`],
  [/weights$/, (count) => `numbers, expected ${count}, one a seen item`],
  [/values$/, (count) => `numbers for ${count} columns`],
  [/scales$/, (count) => `numbers, expected ${count}, one a dimension`],
];
const most = (numbers) => numbers.reduce((largest, x) => (x > largest ? x : largest), 0);
// How the bounds of rows break their rule, by the end of their name.
const BOUNDS = {
  lengths: (name, found, rows, end, target) =>
    found == rows + 1
      ? `${name} must add up to ${comma(end)}, the length of ${target}`
      : `${name} holds ${comma(found - 1)} numbers, expected ${comma(rows)}, one a row`,
  ends: (name, found, rows, end, target) =>
    `${name} must hold ${comma(rows)} ones, one a row, the last after ` +
    `${comma(end)} zeros, the length of ${target}`,
  other: (name, found, rows, end, target) =>
    found == rows + 1
      ? `${name} must start at 0, never fall, and end at ${comma(end)}, the length of ${target}`
      : `${name} holds ${comma(found)} numbers, expected ${comma(rows + 1)} for ${comma(rows)} rows`,
};
// Rule -> its sentence.
const SENTENCES = {
  "JSON": (field) => `${field} is not valid JSON in UTF-8`,
  "twice": (name, what) => `${name} holds the same ${what} twice`,
  "short": (size) => `${size} bytes are too short for a header length`,
  "header length": (length, most, first) =>
    `the header length is ${comma(length)}, expected 2 to ${comma(most)} (the file` +
    (printable(first.slice(0, 8))
      ? " is text, as a table of interactions is: expected a model that was trained on one)"
      : " may be cut short, or is no safetensors file)"),
  "object": (field) => `${field} must be a JSON object`,
  "printable": (key) => `__metadata__: ${show(key)} must be printable text`,
  "entry": (name) => `${show(name)}: expected an object of dtype, shape and data_offsets`,
  "dtype": (name, dtype) =>
    `${show(name)}: dtype ${show(dtype)} is not one of U8, I8, U16, I16, U32, I32, I64, F16, F32, F64`,
  "integers": (name, list, { shape }) =>
    `${show(name)}: ${list == shape ? "shape" : "data_offsets"} must be a list of non-negative integers`,
  "outside": (name, offsets, available) =>
    `${show(name)}: data_offsets ${show(offsets)} do not lie inside the file's ${comma(available)} bytes of data`,
  "fill": (name, shape, dtype, offsets) =>
    `${show(name)}: shape ${show(shape)} of ${dtype} does not fill its data_offsets ${show(offsets)}`,
  "shape": (name, shape) => `${show(name)}: no array can have the shape (${shape.join(", ")})`,
  "start": (name, first, end) =>
    `${show(name)}: data_offsets start at ${comma(first)}, expected ${comma(end)}, where the last array ends`,
  "end": (end, available) =>
    `the arrays end at byte ${comma(end)} of the data, but ${comma(available)} bytes are there`,
  "format": (format) => `metadata format is ${show(format)}, expected 'sparserec_np': this is another program's file`,
  "version": (version) =>
    `metadata format_version is ${show(version)}, but only '1' is known here: update sparserec_np`,
  "missing": (name) => `${name} is missing`,
  "model": (model) =>
    `a model ${show(model)} is none of those that are served here, mf, popularity, itemknn, fism`,
  "number": (key, text, least, most, whole) =>
    key == "mark_power"
      ? SENTENCES.mark_power(text)
      : !whole
        ? `metadata ${key} is ${show(text)}, expected a number from ${least} to ${most == 1e6 ? "1e+06" : most}`
        : key == "dim" && whole.test(text)
          ? `metadata dim is ${Number(text)}, expected 1 to 65,536`
          : `metadata ${key} is ${show(text ?? "")}, expected a number`,
  "type": (name, shape, dtype, kinds) =>
    `${name} is ${shape.length}-dimensional ${type(dtype)}, expected 1-dimensional ${kinds.replaceAll(" ", " or ")}`,
  "finite": (name) => `${name} holds NaN or infinity`,
  "scales": (name) => `${name} holds NaN, infinity or a number that values would overflow with`,
  "overflow": (name) =>
    name == "weights"
      ? "weights hold NaN or infinity, or would overflow float32: the training diverged"
      : "users.values times items.values would overflow float32: the training diverged",
  "count": (name, found, count) => {
    const [, what] = COUNTED.find(([end]) => end.test(name));
    return `${name} ${name.endsWith("ages") ? "hold" : "holds"} ${comma(found)} ${what(comma(count))}`;
  },
  "below": (holds, found, limit, what) =>
    `${holds} ${comma(what ? most(found) : found)}, expected less than ${comma(limit)}` +
    (what ? `, the number of ${what}` : ""),
  "rise": (name, numbers, limit, gaps, e) => {
    const found = gaps ? numbers[e] : most(numbers);
    if (found < limit) return `${name} must rise within a row`;
    const verb = gaps ? `lead to ${name.startsWith("seen") ? "item" : "column"}` : "holds";
    return `${name} ${verb} ${comma(found)}, expected less than ${comma(limit)}`;
  },
  "bounds": (name, ...facts) => (BOUNDS[name.split(".")[1]] ?? BOUNDS.other)(name, ...facts),
  "bytes": (name, found, rows, end, target) =>
    `${name} holds ${comma(found)} bytes, expected ` +
    `${comma(Math.ceil((rows + end) / 8))} for ${comma(rows)} rows and ${target} of ${comma(end)}`,
  "step": (name) => `${name} end within a step, expected another byte`,
  "5 bytes": () => "seen.gaps holds a number that does not end within 5 bytes",
  "places": (name, n) => `${name} must rise, from 0 or more to less than ${comma(n)}, the seen items`,
  "above 0": (name) => `${name} must hold finite numbers above 0`,
  "metrics": () => "metadata metrics must be a JSON object of finite numbers by name",
  "UTF-8": (name) => `${name}.text is not UTF-8 at the bounds that ${name}.offsets gives`,
  "zero": (name) => `${name}.text holds an id that ends in a zero character`,
  "id kind": (owner, kind) => `metadata ${owner}_id_kind is ${show(kind)}, expected 'range', 'int' or 'text'`,
  "users": (name) => `${name} is there, but a fism model stores no users: expected none`,
  "n_users": (rows) =>
    `metadata n_users is ${comma(rows)}, expected 0: a fism model makes its users of the seen items, ` +
    "and those were left out",
  "row_entries": () => "metadata row_entries is missing, which the model fism is scored with",
  "user_rows": (way) => `metadata user_rows is ${show(way)}, expected sum or ridge or neighbours`,
  "item_columns": (marked, dim, items) =>
    `metadata item_columns is ${comma(marked)} of dim ${comma(dim)}, expected one for ` +
    `each of ${comma(items)} items, behind others: a model of some items alone does not tell which column is which item's`,
  "mark_power": (power) => `metadata mark_power is ${show(power)}, expected 0 or 0.125 or 0.25 or 0.375`,
  "ages": () => "seen.ages are missing, on which the rows of users depend by metadata recency",
  "weights": (name, found, items, filled) =>
    `${name} hold ${comma(found)} numbers, expected ${comma(items)}, one an item, ` +
    `or ${comma(filled)}, one an item that has entries`,
  "no weights": () => "weights are there, but rows that are solved for need none: expected none",
  "pairs": (dim) =>
    `metadata dim is ${comma(dim)}, and rows are solved for with the products of all pairs of columns: ` +
    "expected at most 4,096",
};

/**
 * Makes the sentence: of a file by its address, or its content of so many bytes, and what broke which rule. The short
 * form of sparserec.js tells the content alone, which is then read once more.
 */
export async function sentence(source, told) {
  const file = typeof source == "number" ? `the content given (${comma(source)} bytes)` : source,
    [rule, ...facts] = Array.isArray(told) ? told : await read(told).catch((error) => error.what);
  const said = SENTENCES[rule](...facts);
  return `${file} is not a sound model file: ${said.length > 800 ? `${said.slice(0, 500)} ... ${said.slice(-250)}` : said}`;
}
