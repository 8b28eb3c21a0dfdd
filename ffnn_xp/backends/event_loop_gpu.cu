/* A loop over events on a GPU: a number of an event is a number, and each thread of a block has one event of a tile. The
   sums of a block, and the rows of a tile, lie in the block's shared memory. All sums are added in a fixed order. */

#define LANES 1
#define TOGETHER 1
typedef long long INT;
typedef @NUMBER@ number;
typedef number real;
typedef double total;

#define DEVICE static __device__ __forceinline__
#define FIRST ((INT)threadIdx.x)
#define STEP ((INT)blockDim.x)
#define PADDING 1 /* so that threads that read different rows read different banks of the memory */
#define SYNC __syncthreads()
#define LET const auto
#define R(x) ((number)(x))
#define V(x) ((real)(x))
#define INF (1.0 / 0.0)
#define PAIRS(h, c) for (INT q = FIRST, i = q / (c), j = q % (c); q < (h) * (c); q += STEP, i = q / (c), j = q % (c))

#define m_where(c, a, b) ((c) ? V(a) : V(b))
DEVICE real m_larger(real a, real b) { return a > b || a != a ? a : b; }
DEVICE real m_smaller(real a, real b) { return a < b || a != a ? a : b; }
#define m_maximum(a, b) m_larger(V(a), V(b))
#define m_minimum(a, b) m_smaller(V(a), V(b))
DEVICE real m_sign(real x) { return x > 0 ? V(1) : x < 0 ? V(-1) : x; }
#define m_pow(x, y) pow(V(x), V(y))
#define m_both(x, y) s = V(x), first = V(y)
#define m_abs(x) fabs(V(x))
#define m_exp(x) exp(V(x))
#define m_expm1(x) expm1(V(x))
#define m_log(x) log(V(x))
#define m_log1p(x) log1p(V(x))
#define m_sqrt(x) sqrt(V(x))
#define m_floor(x) floor(V(x))
#define m_sin(x) sin(V(x))
#define m_cos(x) cos(V(x))
#define m_tan(x) tan(V(x))
#define m_sinh(x) sinh(V(x))
#define m_cosh(x) cosh(V(x))
#define m_tanh(x) tanh(V(x))
#define m_asinh(x) asinh(V(x))
#define m_acosh(x) acosh(V(x))
#define m_atan(x) atan(V(x))
#define m_atanh(x) atanh(V(x))
#define m_erf(x) erf(V(x))
#define m_load(row, event, n) ((row)[(event) < (n) ? (event) : (n) - 1])
#define m_used(x, event, n) ((event) < (n) ? (x) : V(0))

@LOOP@

/* Block (part, copy) sums one part of the events for one replica. */
extern "C" __global__ void sum_parts(const Events *e, const number *theta, double *partial) {
  extern __shared__ double memory[];
  const INT part = blockIdx.x, copy = blockIdx.y, parts = gridDim.x, p = e->parameters;
  sum_of_part(e, theta + copy * p, copy, part, parts, (real *)(memory + p + 1), memory);
  SYNC;
  for (INT q = FIRST; q <= p; q += STEP) partial[(copy * parts + part) * (p + 1) + q] = memory[q];
}

/* Block (., copy) adds the parts of one replica, one after another. */
extern "C" __global__ void add_parts(const double *partial, INT parts, INT p, double *sums) {
  const INT copy = blockIdx.y, q = (INT)blockIdx.x * STEP + FIRST;
  if (q > p) return;
  double s = 0.0;
  for (INT part = 0; part < parts; part++) s += partial[(copy * parts + part) * (p + 1) + q];
  sums[copy * (p + 1) + q] = s;
}
