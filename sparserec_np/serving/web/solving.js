// Rows of users that are solved for: a part of sparserec.js, which loads it for the models that need it. Python solves
// the equations of mf by LAPACK, so that sums may differ there in their last bits; those of fism are the same bits.
const MOST_COLUMNS = 4096,
  FEWEST = 8,
  MOST = 64,
  PRODUCTS = 1 << 24;
const range = (n) => Array.from({ length: n }, (_, k) => k),
  ascending = (a, b) => a - b;

/**
 * Makes rows x of (untouched V'V + Y'Y + ridge m I) x = Y'1: V are all items, Y the touched ones, and m is the mean
 * square of V's rows, or columns. `lent` is what sparserec.js lends of the model and of its functions. `fism` says that the model makes all its users so: there items count by their shares.
 */
export function solving(lent, untouched = 0.1, ridge = 0.06, fism = false) {
  const [items, users, dim, rowEntries, touchedBy, best, rowOf, spread, dot, sum, ModelError] = lent,
    nItems = items[0].length - 1;
  let base, worth, least, places, size, fitted;

  const addProducts = (sums, n, place, [columns, values], trust) => {
    for (let a = 0; a < columns.length; a++) {
      const left = trust * values[a],
        row = place[columns[a]] * n;
      for (let b = a; b < columns.length; b++) sums[row + place[columns[b]]] += left * values[b];
    }
  };
  const numbered = (columns) => Int32Array.from(spread(columns, range(columns.length), dim));

  const diagonal = () => base.filter((_, k) => k % (size + 1) == 0);

  // Makes what all equations share, with the first.
  const prepare = () => {
    if (dim > MOST_COLUMNS) {
      throw new ModelError(
        "folding in takes the products of all pairs of columns, and the model has " +
          `${dim.toLocaleString("en")} columns: expected at most ${MOST_COLUMNS.toLocaleString("en")}`,
      );
    }
    const used = [...new Set(items[1])].sort(ascending);
    size = used.length;
    places = numbered(used);
    base = new Float64Array(size * size);
    for (let row = 0; row < nItems; row++) addProducts(base, size, places, rowOf(items, row), 1);
    worth = diagonal();
    least = (ridge * sum(worth)) / Math.max(fism ? nItems : dim, 1);
    base.forEach((x, k) => {
      base[k] = x * untouched + (k % (size + 1) ? 0 : least);
    });
    if (fism) worth = diagonal();
  };

  // Makes somebody's equations: columns, matrix, target, and the touched rows.
  const equations = (touched, shares) => {
    if (!base) prepare();
    const rows = touched.map((item) => rowOf(items, item));
    // In rows of int8 entries may be zero; fism's equations have their columns all the same.
    const filled = ([columns, values]) => [...columns].filter((_, e) => fism || values[e]);
    const kept = [...new Set(rows.flatMap(filled))].sort(ascending),
      n = kept.length;
    if (!(least > ridge * 1e-30)) return [[], new Float64Array(), new Float64Array(), rows];
    const place = numbered(kept),
      matrix = new Float64Array(n * n),
      target = new Float64Array(n);
    rows.forEach((row, k) => {
      const trust = fism ? shares[k] : 1;
      addProducts(matrix, n, place, row, trust);
      row[0].forEach((column, e) => {
        target[place[column]] += trust * row[1][e];
      });
    });
    for (let i = 0; i < n; i++) {
      const from = places[kept[i]] * size;
      for (let j = i; j < n; j++) matrix[i * n + j] += base[from + places[kept[j]]];
    }
    if (n <= rowEntries) return [kept, matrix, target, rows];
    const first = eliminate(matrix.slice(), target.slice(), least);
    const chosen = best(
      first.map((x, k) => x * x * worth[places[kept[k]]]),
      rowEntries,
    ).sort(ascending);
    const of = (from) => chosen.map((k) => from[k]);
    const part = Float64Array.from(chosen.flatMap((k) => of(matrix.subarray(k * n, k * n + n))));
    return [of(kept), part, Float64Array.from(of(target)), rows];
  };

  const row = (touched, shares) => {
    const [kept, matrix, target] = equations(touched, shares);
    return [kept, Float32Array.from(eliminate(matrix, target, least))];
  };

  const parts = (touched, shares, wanted) => {
    const [kept, matrix, , rows] = equations(touched, shares);
    const asked = Float64Array.from(kept, (column) => wanted[column]),
      solved = spread(kept, eliminate(matrix, asked, least), dim);
    return rows.map((row, k) => dot(row, solved) * (fism ? shares[k] : 1));
  };

  // Fits what brings scores of folded-in rows to the scale of stored ones, as people show whose rows are known.
  const fit = () => {
    const people = range(users[0].length - 1).filter((user) => touchedBy(user)[0].length),
      n = people.length,
      count = Math.min(Math.max(Math.floor(PRODUCTS / dim ** 2), FEWEST), MOST, n);
    const compared = range(count).map((k) => {
      const user = people[k && k == count - 1 ? n - 1 : Math.floor(k * ((n - 1) / (count - 1 || 1)))],
        [touched] = touchedBy(user),
        own = new Float64Array(dim);
      for (const item of touched) {
        const [columns, values] = rowOf(items, item);
        columns.forEach((column, e) => {
          own[column] += values[e];
        });
      }
      return [touched.length, dot(rowOf(users, user), own), dot(row(touched), own)];
    });
    const total = (numbers) => sum(Float64Array.from(numbers)),
      counts = compared.map(([items]) => items),
      usable = compared.filter(([, stored, folded]) => stored > 0 && folded > 0),
      logs = usable.map(([items]) => Math.log(items)),
      mean = total(logs) / logs.length;
    let power = 0;
    if (usable.length >= FEWEST && Math.max(...logs) > Math.min(...logs)) {
      const slope =
        total(usable.map(([, stored, folded], k) => (logs[k] - mean) * Math.log(stored / folded))) /
        total(logs.map((x) => (x - mean) ** 2));
      power = Math.min(Math.max(slope, -0.5), 0.5);
    }
    const all = total(compared.map(([items, , folded]) => folded * items ** power)),
      factor = all > 0 ? total(compared.map(([, stored]) => stored)) / all : 1;
    return factor > 1e-6 && factor < 1e6
      ? { factor, power, least: Math.min(...counts), most: Math.max(...counts) }
      : null;
  };
  const scale = (count) => {
    fitted ??= dim > MOST_COLUMNS ? null : fit();
    return fitted ? fitted.factor * Math.min(Math.max(count, fitted.least), fitted.most) ** fitted.power : 1;
  };
  return fism ? { row, parts } : { row, parts, scale };
}

// Solves equations by elimination without pivoting: `a` is symmetric, and read on its diagonal and right of it.
function eliminate(a, x, least) {
  const n = x.length;
  for (let k = 0; k < n; k++) {
    const pivot = (a[k * n + k] = Math.max(a[k * n + k], least));
    for (let i = k + 1; i < n; i++) {
      const factor = a[k * n + i] / pivot,
        to = i * n,
        from = k * n;
      for (let j = i; j < n; j++) a[to + j] -= factor * a[from + j];
      x[i] -= factor * x[k];
    }
  }
  for (let k = n; k--;) {
    x[k] /= a[k * n + k];
    for (let i = 0; i < k; i++) x[i] -= a[i * n + k] * x[k];
  }
  return x;
}
