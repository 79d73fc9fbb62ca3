#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the polynomials of kernels/poly.h and prints their coefficients (needs numpy and mpmath).

Weighted minimax fits by the Remez exchange on a grid. Coefficients are rounded to float from the highest degree
down; after each rounding the remaining ones are fitted again, so that the rounding of one is absorbed by the next.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 50


def solve(basis, target, weight, grid):
    """Coefficients c minimising max |weight * (target - basis @ c)| on the grid, and that maximum."""
    columns = basis.shape[1]
    rows = np.unique(np.round((1 - np.cos(np.linspace(0, np.pi, columns + 1))) / 2 * (len(grid) - 1)).astype(int))
    for _ in range(60):
        a = mp.matrix(columns + 1, columns + 1)
        b = mp.matrix(columns + 1, 1)
        for i, r in enumerate(rows):
            for j in range(columns):
                a[i, j] = mp.mpf(float(basis[r, j])) * mp.mpf(float(weight[r]))
            a[i, columns] = (-1) ** i
            b[i] = target[r] * mp.mpf(float(weight[r]))
        x = mp.lu_solve(a, b)
        coefficients = np.array([x[j] for j in range(columns)])
        error = np.array([float(t) for t in (target - basis.astype(object) @ coefficients)]) * weight
        new = extremes(error, columns + 1)
        if new is None or np.array_equal(new, rows):
            break
        rows = new
    return coefficients, np.abs(error).max()


def extremes(error, count):
    """The largest error of each run of one sign, thinned to count runs that include the largest one."""
    runs = np.split(np.arange(len(error)), np.nonzero(np.diff(np.sign(error)))[0] + 1)
    peaks = [r[np.argmax(np.abs(error[r]))] for r in runs]
    while len(peaks) > count:
        peaks.pop(0 if abs(error[peaks[0]]) < abs(error[peaks[-1]]) else -1)
    return np.array(peaks) if len(peaks) == count else None


def fit(powers, variable, target, weight):
    """Float coefficients of variable**p for p in powers (ascending) and the error after rounding."""
    target = np.array([mp.mpf(t) for t in target])
    fixed = {}
    for p in reversed(powers):
        free = [q for q in powers if q not in fixed]
        basis = np.stack([variable ** q for q in free], axis=1)
        rest = target - sum((mp.mpf(float(c)) * variable.astype(object) ** q for q, c in fixed.items()), mp.mpf(0))
        c, _ = solve(basis, rest, weight, variable)
        fixed[p] = np.float32(float(c[-1]))
    value = sum(mp.mpf(float(c)) * variable.astype(object) ** q for q, c in fixed.items())
    error = np.array([float(t) for t in (target - value)]) * weight
    return [fixed[p] for p in powers], np.abs(error).max()


def show(name, coefficients, error):
    print(f"{name}: largest weighted error {error:.3g}")
    for c in coefficients:
        print(f"    {float(c).hex()}f  {c:.9g}")


def fit_exp(degree=6):
    """exp(r) = 1 + r + sum of c[i] r^i, i = 2..degree, |r| <= ln(2) / 2 and a little more; relative error."""
    limit = float(mp.log(2)) / 2 * 1.00001
    r = np.linspace(-limit, limit, 2001)
    r = r[r != 0]
    target = [mp.exp(mp.mpf(v)) - 1 - mp.mpf(v) for v in r]
    weight = np.array([float(mp.exp(-mp.mpf(v))) for v in r])
    show("exp", *fit(list(range(2, degree + 1)), r, target, weight))


def fit_exp2(degree=4):
    """2^f = 1 + sum of c[i] f^i, i = 1..degree, |f| <= 1/2 and a little more; relative error."""
    limit = 0.5 * 1.00001
    f = np.linspace(-limit, limit, 2001)
    f = f[f != 0]
    target = [mp.mpf(2) ** mp.mpf(v) - 1 for v in f]
    weight = np.array([float(mp.mpf(2) ** -mp.mpf(v)) for v in f])
    show("exp2", *fit(list(range(1, degree + 1)), f, target, weight))


def fit_exp2_fraction(degree=3):
    """255 * 2^f = m C(m), m = 1 + f, 0 <= f <= 1: C corrects the line that the bits of a float make of its fraction."""
    m = np.linspace(1, 2, 2001)
    target = [255 * mp.mpf(2) ** (mp.mpf(v) - 1) / mp.mpf(v) for v in m]
    weight = np.array([float(1 / t) for t in target])
    show("exp2 for codes", *fit(list(range(degree + 1)), m, target, weight))


def fit_gelu_for_codes(degree=4, power=2, end=3.55):
    """As fit_gelu, with U(-a) = sum of c[i] a^i free at both ends: a is clamped to end, where U is not quite 0.

    Least squares, again and again, with more weight for what is far off (Lawson's algorithm)."""
    a = np.linspace(0, 8, 2001)
    clamped = np.minimum(a, end)
    basis = np.stack([clamped ** p for p in range(degree + 1)], axis=1)
    phi = np.array([float(mp.ncdf(-mp.mpf(v))) for v in a])
    weight, share, best = 1 / np.maximum(1, a), np.ones_like(a), (np.inf, None)
    c = np.linalg.lstsq(basis * phi[:, None], phi ** (1 + 1 / power), rcond=None)[0]
    for _ in range(1000):
        u, s = basis @ c, weight * np.sqrt(share)
        slope = (power * clamped * u ** (power - 1))[:, None] * basis
        c = c + np.linalg.lstsq(slope * s[:, None], (a * phi - clamped * u ** power) * s, rcond=None)[0]
        rounded = c.astype(np.float32).astype(float)
        error = np.abs(a * phi - clamped * (basis @ rounded) ** power) * weight
        best = min(best, (error.max(), tuple(rounded)))
        share *= error / error.max() + 1e-3
        share /= share.mean()
    show("gelu for codes", [np.float32(v * (-1) ** i) for i, v in enumerate(best[1])], best[0])


def fit_gelu(name, degree, power, root):
    """Phi(-a) = T(a)^power / 2 for a >= 0, so that gelu(x) = max(x, 0) - a T(a)^power / 2 with a = |x|.

    Printed are the coefficients of U(b) = 2^(-1 / power) T(-b), so that gelu(x) = max(x, 0) + b U(b)^power, b = -|x|.

    The power makes a short polynomial follow the fast decay of Phi. T(0) = 1 and T(r) = 0, r just before root, are
    imposed: at a = root, where gelu clamps a, T is below 0 and taken as 0. Hence T(a) = (1 - a / r) (1 + a S(a)), fitted
    for S and expanded. The error is that of gelu over max(1, a).
    """
    r = root * (1 - 1e-6)
    a = (1 - np.cos(np.linspace(0, np.pi, 3002)[1:-1])) / 2 * r
    phi = [mp.ncdf(-mp.mpf(v)) for v in a]
    t = np.array([(2 * p) ** (mp.mpf(1) / power) for p in phi])
    line = np.array([1 - mp.mpf(v) / mp.mpf(r) for v in a])
    target = (t / line - 1) / np.array([mp.mpf(v) for v in a])
    of_t = np.array([float(power * p / u) for p, u in zip(phi, t)]) * a / np.maximum(1, a)
    weight = of_t * line.astype(float) * a
    basis = np.stack([a ** p for p in range(degree - 1)], axis=1)
    s, error = solve(basis, target, weight, a)
    factor = [mp.mpf(1)] + list(s)
    c = [factor[0]] + [factor[i] - factor[i - 1] / r for i in range(1, degree)] + [-factor[-1] / r]
    u = [v * (-1) ** i * mp.mpf(2) ** (mp.mpf(-1) / power) for i, v in enumerate(c)]
    show(name, [np.float32(float(v)) for v in u], error)


if __name__ == "__main__":
    fit_exp()
    fit_exp2()
    fit_exp2_fraction()
    fit_gelu("gelu", degree=8, power=8, root=8.0)
    fit_gelu("gelu for bf16", degree=5, power=8, root=6.0)
    fit_gelu_for_codes()
