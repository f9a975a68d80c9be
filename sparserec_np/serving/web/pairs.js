// Rows of users in models with pairs of items, which stand once and speak both ways: a part of sparserec.js, and the
// twin of SumsAndItems of runtime.py. Columns from `first` on stand for the items; an entry there is a pair.
const { fround, max, sqrt } = Math;

// Adds to `sums`, which makes rows and parts of the columns before `first`, what the pairs of a table of items say.
// Of a user's row there are three parts: sums, marks of the touched items, and replies to items.
export function pairing(sums, items, first, weights, power, rowOf) {
  const [bounds, columns, values] = items,
    count = weights.length;

  // A weight to the power, which is of eighths and made of roots.
  const factorOf = (weight) => {
    const fourth = fround(sqrt(fround(sqrt(max(weight, 0))))),
      eighth = fround(sqrt(fourth));
    return fround((power & 2 ? fourth : 1) * (power & 1 ? eighth : 1));
  };
  const marksOf = (touched, shares) => touched.map((item, k) => fround(shares[k] * factorOf(weights[item])));

  // What rows of items say of others, each times its mark: numbers by item.
  const repliesOf = (touched, marks) => {
    const replies = new Map();
    touched.forEach((item, k) => {
      for (let e = bounds[item]; e < bounds[item + 1]; e++) {
        const other = columns[e] - first;
        if (other >= 0) replies.set(other, fround((replies.get(other) ?? 0) + fround(marks[k] * values[e])));
      }
    });
    return replies;
  };

  // Calls back with every pair.
  const walk = (take) => {
    for (let item = 0, e = 0; item < count; item++)
      for (; e < bounds[item + 1]; e++) take(item, columns[e] - first, values[e]);
  };

  // Squares of the lengths of items' rows: a pair is in both of its items', and one that stands twice counts as two.
  const squares = new Float64Array(count);
  walk((item, other, value) => {
    squares[item] += value * value;
    if (other >= 0) squares[other] += value * value;
  });

  return {
    squares,
    row(touched, shares) {
      const [kept, summed] = sums.row(touched, shares),
        marks = marksOf(touched, shares);
      return [
        [...kept, ...touched.map((item) => first + item)],
        [...summed, ...marks],
        repliesOf(touched, marks),
      ];
    },
    parts(touched, shares, wanted, item) {
      const marks = marksOf(touched, shares);
      return sums.parts(touched, shares, wanted).map((sum, k) => {
        const [others, said] = rowOf(items, touched[k]);
        return sum + marks[k] * (wanted[first + touched[k]] + (said[others.indexOf(first + item)] ?? 0));
      });
    },
    // The row of an item as it is compared with others: with each of its pairs, whichever row stores it.
    compared(_, own) {
      const row = new Map(rowOf(items, own)[0].map((column, k) => [column, rowOf(items, own)[1][k]]));
      walk((item, other, value) => {
        if (other == own) row.set(first + item, fround((row.get(first + item) ?? 0) + value));
      });
      const found = [...row.keys()].sort((a, b) => a - b),
        others = found.filter((column) => column >= first);
      return [
        found,
        found.map((column) => row.get(column)),
        repliesOf(
          others.map((column) => column - first),
          others.map((column) => row.get(column)),
        ),
      ];
    },
  };
}
