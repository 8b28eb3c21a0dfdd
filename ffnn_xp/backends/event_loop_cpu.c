/* A loop over events on a CPU: a number of an event is a vector of LANES events, which the compiler's vector types
   add and multiply together. Works with gcc and clang. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX__)
#define LANES 4
#else
#define LANES 2
#endif
#define TOGETHER 4 /* vectors of a tile: as many sums are in registers */

typedef long long INT;
typedef double number;
typedef double real __attribute__((vector_size(8 * LANES)));
typedef INT mask __attribute__((vector_size(8 * LANES)));
typedef real total;

#define DEVICE static inline __attribute__((always_inline))
#define FIRST 0
#define STEP 1
#define PADDING 0
#define SYNC ((void)0)
#define R(x) (x)
#define V(x) ((x) - (real){0}) /* also of a vector, and exact */
#define LET const __auto_type
#define INF __builtin_inf()
#define PAIRS(h, c) for (INT i = 0; i < (h); i++) for (INT j = 0; j < (c); j++)

DEVICE real m_choice(mask c, real a, real b) { return (real)((c & (mask)a) | (~c & (mask)b)); }
#define m_where(c, a, b) m_choice((mask)(c), V(a), V(b))
DEVICE real m_larger(real a, real b) { return m_choice((a > b) | (a != a), a, b); }
DEVICE real m_smaller(real a, real b) { return m_choice((a < b) | (a != a), a, b); }
#define m_maximum(a, b) m_larger(V(a), V(b))
#define m_minimum(a, b) m_smaller(V(a), V(b))

#define SIGN ((mask)(-(real){0}))
#define BIT(x) ((x) + (mask){0})
DEVICE real m_abs(real x) { return (real)((mask)x & ~SIGN); }

/* exp(x) = 2^k exp(r) with x = k log 2 + r; adding SHIFT leaves k + 1023 in the last bits. */
#define LOG2_HIGH 6.93147180369123816490e-01
#define LOG2_LOW 1.90821492927058770002e-10
#define SHIFT (0x1.8p52 + 1023.0)
DEVICE mask m_reduced(real x, real *r) {
  const real shifted = x * 1.44269504088896338700 + SHIFT, k = shifted - SHIFT;
  *r = (x - k * LOG2_HIGH) - k * LOG2_LOW;
  return (mask)shifted;
}
DEVICE real m_power(mask k) { return (real)(k << 52); } /* 2^(k - 1023) */
DEVICE real m_series(real r) { /* exp(r) - 1 for |r| < 0.35 */
  real q = V(1.6059043836821613e-10);
  q = q * r + 2.0876756987868099e-09;
  q = q * r + 2.5052108385441720e-08;
  q = q * r + 2.7557319223985893e-07;
  q = q * r + 2.7557319223985888e-06;
  q = q * r + 2.4801587301587302e-05;
  q = q * r + 1.9841269841269841e-04;
  q = q * r + 1.3888888888888889e-03;
  q = q * r + 8.3333333333333332e-03;
  q = q * r + 4.1666666666666664e-02;
  q = q * r + 1.6666666666666666e-01;
  q = q * r + 0.5;
  return q * (r * r) + r;
}
DEVICE real m_between(real x, double low, double high) {
  x = m_where(x < low, low, x);
  return m_where(x > high, high, x);
}
/* Large powers are products of two, so that they neither overflow nor underflow before the result does. */
DEVICE real m_exp(real x) {
  real r;
  const mask k = (m_reduced(m_between(x, -760.0, 760.0), &r) << 12 >> 12) - 1023, half = k >> 1;
  return (m_series(r) + 1.0) * m_power(half + 1023) * m_power(k - half + 1023);
}
DEVICE real m_expm1(real x) {
  real r;
  const mask k = (m_reduced(m_between(x, -60.0, 760.0), &r) << 12 >> 12) - 1023, half = k >> 1, rest = k - half;
  const real y = m_series(r) * m_power(half + 1023) + (m_power(half + 1023) - m_power(1023 - rest));
  return m_choice(x == 0.0, x, y * m_power(rest + 1023));
}
DEVICE real m_tanh(real x) { /* -t / (t + 2) with t = exp(-2 |x|) - 1 */
  const real least = m_abs(x) * -2.0;
  real r;
  const real scale = m_power(m_reduced(m_where(least < -60.0, -60.0, least), &r));
  const real t = m_series(r) * scale + (scale - 1.0), y = t / (-2.0 - t);
  return (real)(((mask)y & ~SIGN) | ((mask)x & SIGN));
}
/* log(2^k (1 + f)) with f between sqrt(1/2) - 1 and sqrt(2) - 1; FreeBSD's e_log.c */
DEVICE real m_log(real x) {
  mask tiny = x < 0x1p-1022;
  real y = m_choice(tiny, x * 0x1p54, x);
  mask bits = (mask)y, k = ((bits - BIT(0x3fe6a09e667f3bcdLL)) >> 52);
  real f = (real)(bits - (k << 52)) - 1.0;
  real n = (real)(k + (mask)V(0x1.8p52)) - 0x1.8p52 - m_where(tiny, 54.0, 0.0);
  real s = f / (f + 2.0), z = s * s, w = z * z, half = 0.5 * f * f;
  real t1 = w * (w * (w * 1.531383769920937332e-01 + 2.222219843214978396e-01) + 3.999999999940941908e-01);
  real t2 = z * (w * (w * (w * 1.479819860511658591e-01 + 1.818357216161805012e-01) + 2.857142874366239149e-01)
                 + 6.666666666666735130e-01);
  real l = n * LOG2_HIGH - ((half - (s * (half + t1 + t2) + n * LOG2_LOW)) - f);
  l = m_where(x == 0.0, -INF, l);
  l = m_where(x < 0.0, __builtin_nan(""), l);
  return m_choice((x == INF) | (x != x), x, l);
}
DEVICE real m_log1p(real x) {
  real u = x + 1.0, lost = m_choice(x >= 1.0, 1.0 - (u - x), x - (u - 1.0));
  real y = m_log(u) + m_where((u > 0.0) & (u < INF), lost / u, 0.0);
  return m_choice(x == 0.0, x, y);
}
DEVICE real m_sign(real x) { return m_choice(x != x, x, m_where(x > 0.0, 1.0, m_where(x < 0.0, -1.0, 0.0))); }

#define EACH_LANE(name, f) DEVICE real name(real x) { for (int l = 0; l < LANES; l++) x[l] = f(x[l]); return x; }
EACH_LANE(m_sqrt, __builtin_sqrt)
EACH_LANE(m_floor, __builtin_floor)
EACH_LANE(m_sin, sin)
EACH_LANE(m_cos, cos)
EACH_LANE(m_tan, tan)
EACH_LANE(m_sinh, sinh)
EACH_LANE(m_cosh, cosh)
EACH_LANE(m_asinh, asinh)
EACH_LANE(m_acosh, acosh)
EACH_LANE(m_atan, atan)
EACH_LANE(m_atanh, atanh)
EACH_LANE(m_erf, erf)
DEVICE real m_powers(real x, real y) { for (int l = 0; l < LANES; l++) x[l] = pow(x[l], y[l]); return x; }
#define m_pow(x, y) m_powers(V(x), V(y))
#define m_both(x, y) s = V(x), first = V(y)

/* The numbers of LANES events from this one on; beyond the last event, that of the last one. */
DEVICE real m_load(const number *row, INT event, INT n) {
  real x;
  if (event + LANES <= n)
    memcpy(&x, row + event, sizeof x);
  else
    for (int l = 0; l < LANES; l++) x[l] = row[event + l < n ? event + l : n - 1];
  return x;
}
DEVICE real m_used(real x, INT event, INT n) {
  if (event + LANES > n)
    for (int l = 0; l < LANES; l++) if (event + l >= n) x[l] = 0.0;
  return x;
}

@LOOP@

/* Add the sums of the parts in their order; 0, or 1 if there is no memory. */
int value_and_gradient(const Events *e, const number *theta, INT copies, INT parts, double *out) {
  const INT p = e->parameters;
  char *const memory = malloc(sizeof(real) * (e->rows * ROW + p + 1) + 64);
  if (!memory) return 1;
  total *const sums = (total *)(((size_t)memory + 63) & ~(size_t)63);
  for (INT copy = 0; copy < copies; copy++, theta += p, out += p + 1)
    for (INT part = 0; part < parts; part++) {
      sum_of_part(e, theta, copy, part, parts, sums + p + 1, sums);
      for (INT q = 0; q <= p; q++) {
        double s = 0.0;
        for (int l = 0; l < LANES; l++) s += sums[q][l];
        out[q] = part ? out[q] + s : s;
      }
    }
  free(memory);
  return 0;
}
