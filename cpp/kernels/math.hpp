// Elementary functions of a vector: exp, log, tanh and their kin. With FMA the same bits on every instruction set: fixed
// polynomials in a fixed order, no C library, no branch on a lane. Which file has which, and where the mathematics is
// from, stands at the head of each. To add one: write it there from the parts of math_parts.hpp and measure it below.
#pragma once

#include "kernels/math_exponential.hpp"
#include "kernels/math_gates.hpp"
#include "kernels/math_logarithm.hpp"
#include "kernels/math_normal.hpp"
#include "kernels/math_trigonometric.hpp"

// The largest error found, in units in the last place, where the result is a normal number (every seventh float, and 10^7
// doubles against long double; 10^6 to 2 10^6 against quadruple precision for Φ, φ and the gelus):
//
//                 with FMA          without                            with FMA          without
//               float  double    float  double                       float  double    float  double
//   exp          0.92   0.85      1.20   1.13          sigmoid        2.49   2.45      2.49   2.45
//   expm1        1.24   1.15      1.24   1.16          softplus       1.74   1.71      2.08   2.08
//   log          0.93   0.89      0.93   0.89          log_cosh       2.03   1.90      2.03   1.95
//   log1p        0.97   0.89      1.00   0.89          silu           2.33   2.24      2.41   2.28
//   tanh         1.70   1.46      2.58   2.39          mish           2.56   2.50      3.53   3.30
//   sin, cos     0.57   1.55      0.57   1.55          gelu           3.07   3.01      3.57   3.83
//   normal_cdf   2.62   2.60      3.11   3.41          gelu_tanh      2.25   1.98      2.45   1.98
//   normal_pdf   0.89   0.88      1.12   1.11
//
// NaN gives NaN, and the limits at 0, -1 and ±infinity are exact. The odd functions, silu, gelu and mish keep the sign of
// -0. A result below the smallest normal number may be wrong by as much as that number, and may be 0. All holds with
// denormals flushed to 0 as well, a denormal argument then being 0. sin and cos hold for |x| < 2^30.
