// Principal components (Pearson 1901; Hotelling 1933), the two largest, by power iteration on the centred rows.

const TURNS = 60;

function dot(a, b) {
  let sum = 0;
  for (let at = 0; at < a.length; at += 1) sum += a[at] * b[at];
  return sum;
}

function normalize(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return length > 0 ? vector.map((value) => value / length) : vector;
}

/** The direction in which rows spread most, at right angles to others. Starts at a fixed one, so that pictures repeat. */
function direction(rows, others) {
  let found = normalize(rows[0].map((_, at) => Math.sin(1 + at * 1.7)));
  for (let turn = 0; turn < TURNS; turn += 1) {
    const next = new Float64Array(found.length);
    for (const row of rows) {
      const weight = dot(row, found);
      for (let at = 0; at < next.length; at += 1) next[at] += weight * row[at];
    }
    for (const other of others) {
      const part = dot(next, other);
      for (let at = 0; at < next.length; at += 1) next[at] -= part * other[at];
    }
    found = normalize(next);
  }
  return found;
}

/** Places vectors in the plane: `[x, y]` for each, and the share of the variance that the plane shows. */
export function project(vectors) {
  if (vectors.length === 0) return { places: [], share: 0 };
  const mean = new Float64Array(vectors[0].length);
  for (const vector of vectors) vector.forEach((value, at) => { mean[at] += value / vectors.length; });
  const rows = vectors.map((vector) => Float64Array.from(vector, (value, at) => value - mean[at]));
  const first = direction(rows, []);
  const second = direction(rows, [first]);
  const places = rows.map((row) => [dot(row, first), dot(row, second)]);
  const whole = rows.reduce((sum, row) => sum + dot(row, row), 0);
  const shown = places.reduce((sum, [x, y]) => sum + x * x + y * y, 0);
  return { places, share: whole > 0 ? shown / whole : 1 };
}
