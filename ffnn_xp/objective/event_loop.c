/* Value and gradient of a statistic of a network, summed over events in tiles; `compiled.py` completes this text.

   The numbers of a tile are rows: the inputs of each layer with a row of ones below, and the derivatives of S in the
   z of each layer. First each event goes forward and back, for itself; then the products of two rows are summed. */

typedef struct {
  INT n, parameters, rows, widths[@LAYERS@ + 1], x, x_row, x_copy, weights, weights_row, weights_copy;
  struct { INT at, row, copy; } data[@COLUMNS@];
} Events; /* addresses, and distances in numbers: from a row to the next, from a replica to the next */

#define ROW (STEP * TOGETHER + PADDING)
#define TILE (STEP * TOGETHER * LANES)
#define EACH for (int t = 0; t < TOGETHER; t++)
#define AT(a, i) (a)[(i) * ROW + FIRST * TOGETHER + t]
#define EVENT (start + (FIRST * TOGETHER + t) * LANES)
#define COLUMN(c, i) m_load((const number *)e->data[c].at + copy * e->data[c].copy + (i) * e->data[c].row, EVENT, e->n)

DEVICE void affine(const number *row, INT w, const real *in, real *sums) {
  EACH sums[t] = V(row[w]);
  for (INT j = 0; j < w; j++)
    EACH sums[t] += row[j] * AT(in, j);
}

/* From derivatives in z of the layer above to those in z of this one, where its slopes are. */
DEVICE void backward(const number *A, INT w, INT h, const real *above, real *own) {
  for (INT j = 0; j < w; j++) {
    real d[TOGETHER];
    EACH d[t] = V(R(0.0));
    for (INT i = 0; i < h; i++)
      EACH d[t] += A[i * (w + 1) + j] * AT(above, i);
    EACH AT(own, j) *= d[t];
  }
}

DEVICE void products(INT h, INT c, const real *d, const real *in, total *sums) {
  PAIRS(h, c) {
    total s = d[i * ROW] * in[j * ROW];
    for (INT u = 1; u < STEP * TOGETHER; u++) s += d[i * ROW + u] * in[j * ROW + u];
    sums[i * c + j] += s;
  }
}

@FUNCTIONS@
DEVICE void sum_of_part(const Events *e, const number *theta, INT copy, INT part, INT parts, real *room, total *sums) {
  const number *const x = (const number *)e->x + copy * e->x_copy;
  const INT tiles = (e->n + TILE - 1) / TILE;
@PLACES@
  for (INT q = FIRST; q <= e->parameters; q += STEP) sums[q] = (total)V(R(0.0));
  EACH {
@ONES@
  }
  for (INT tile = tiles * part / parts; tile < tiles * (part + 1) / parts; tile++) {
    const INT start = tile * TILE;
    for (INT j = 0; j < w0; j++)
      EACH AT(in0, j) = m_load(x + j * e->x_row, EVENT, e->n);
@SWEEPS@
    SYNC;
@SUMS@
    SYNC;
  }
}
