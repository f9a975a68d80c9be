// What runtime.py says of a file that it refuses: loaded by sparserec.js when it refuses one.
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
  [/_ids$/, (found, count) => `holds ${found} ids, expected ${count}`],
  [/ages$/, (found, count) => `hold ${found} numbers, expected one for each of ${count} seen items`],
  [/lengths$/, (found, count) => `holds ${found} numbers, expected ${count}, one a row`],
  [/scales$/, (found, count) => `holds ${found} numbers, expected ${count}, one a dimension`],
  [/weights$/, (found, count) => `holds ${found} numbers, expected ${count}, one a seen item`],
  [/./, (found, count, rows) => `holds ${found} numbers, expected ${count} for ${rows} rows`],
];
// Rule -> its sentence.
const SENTENCES = {
  "JSON": (field) => `${field} is not valid JSON in UTF-8`,
  "twice": (name, what) => `${name} holds the same ${what} twice`,
  "short": (size) => `${size} bytes are too short for a header length`,
  "header length": (length, most, first) =>
    `the header length is ${comma(length)}, expected 2 to ${comma(most)} (the file` +
    (printable(first)
      ? " is text, as a table of interactions is: expected a model that was trained on one)"
      : " may be cut short, or is no safetensors file)"),
  "object": (field) => `${field} must be a JSON object`,
  "printable": (key) => `__metadata__: ${show(key)} must be printable text`,
  "entry": (name) => `${show(name)}: expected an object of dtype, shape and data_offsets`,
  "dtype": (name, dtype, known) => `${show(name)}: dtype ${show(dtype)} is not one of ${known.join(", ")}`,
  "integers": (name, field) => `${show(name)}: ${field} must be a list of non-negative integers`,
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
  "dim": (dim) => `metadata dim is ${dim}, expected 1 to 65,536`,
  "model": (model, known) => `a model ${show(model)} is none of those that are served here, ${known.join(", ")}`,
  "number": (key, text) => `metadata ${key} is ${show(text)}, expected a number`,
  "between": (key, text, least, most) =>
    `metadata ${key} is ${show(text)}, expected a number from ${least} to ${most == 1e6 ? "1e+06" : most}`,
  "type": (name, dimensions, dtype, kinds) =>
    `${name} is ${dimensions}-dimensional ${type(dtype)}, expected 1-dimensional ${kinds.join(" or ")}`,
  "values": (name, found, columns) => `${name}.values holds ${comma(found)} numbers for ${comma(columns)} columns`,
  "finite": (name) => `${name} holds NaN or infinity`,
  "scales": (name) => `${name} holds NaN, infinity or a number that values would overflow with`,
  "overflow": (name) =>
    name == "weights"
      ? "weights hold NaN or infinity, or would overflow float32: the training diverged"
      : "users.values times items.values would overflow float32: the training diverged",
  "count": (name, found, count) => {
    const [, what] = COUNTED.find(([end]) => end.test(name));
    return `${name} ${what(comma(found), comma(count), comma(count - 1))}`;
  },
  "below": (holds, found, limit, what) =>
    `${holds} ${comma(found)}, expected less than ${comma(limit)}${what ? `, the number of ${what}` : ""}`,
  "rise": (name) => `${name} must rise within a row`,
  "bounds": (name, end, target) =>
    `${name} must start at 0, never fall, and end at ${comma(end)}, the length of ${target}`,
  "add up": (name, end, target) => `${name} must add up to ${comma(end)}, the length of ${target}`,
  "bytes": (name, found, rows, end, target) =>
    `${name} holds ${comma(found)} bytes, expected ` +
    `${comma(Math.ceil((rows + end) / 8))} for ${comma(rows)} rows and ${target} of ${comma(end)}`,
  "ones": (name, rows, end, target) =>
    `${name} must hold ${comma(rows)} ones, one a row, the last after ` +
    `${comma(end)} zeros, the length of ${target}`,
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
  "ages": () => "seen.ages are missing, on which the rows of users depend by metadata recency",
  "weights": (name, found, items, filled) =>
    `${name} hold ${comma(found)} numbers, expected ${comma(items)}, one an item, ` +
    `or ${comma(filled)}, one an item that has entries`,
  "no weights": () => "weights are there, but rows that are solved for need none: expected none",
  "pairs": (dim) =>
    `metadata dim is ${comma(dim)}, and rows are solved for with the products of all pairs of columns: ` +
    "expected at most 4,096",
};

/** Makes the sentence: of a file by its address, or its content of so many bytes, and what broke which rule. */
export function sentence(source, [rule, ...facts]) {
  const file = typeof source == "number" ? `the content given (${comma(source)} bytes)` : source;
  const said = SENTENCES[rule](...facts);
  return `${file} is not a sound model file: ${said.length > 800 ? `${said.slice(0, 500)} ... ${said.slice(-250)}` : said}`;
}
