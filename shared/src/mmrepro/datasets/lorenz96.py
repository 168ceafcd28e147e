"""The Lorenz-96 system: a chaotic multivariate series that can be generated anywhere, bit by bit the same.

``dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F`` on a ring of V variates (Lorenz, "Predictability: a problem partly
solved", ECMWF 1996). With ``F = 8`` it is chaotic: small errors double in about 0.4 time units, and neighbouring
variates drive each other, so a forecast gains from looking at all of them.
"""

from __future__ import annotations

import numpy as np


def lorenz96(
    steps: int = 20_000,
    variates: int = 8,
    seed: int = 0,
    *,
    forcing: float = 8.0,
    dt: float = 0.01,
    steps_per_sample: int = 2,
    spin_up: int = 2000,
) -> np.ndarray:
    """Return (steps, variates) float64, the states of the system every ``dt * steps_per_sample`` time units.

    Integrated with Runge-Kutta 4 at the fixed step ``dt``; the first ``spin_up`` integration steps are discarded. Only
    additions, subtractions and multiplications of float64 are used, element by element, so the same arguments give the
    same bytes on every platform with IEEE arithmetic.

    Raises:
        ValueError: fewer than 4 variates (the ring needs them), or no steps.
    """
    if variates < 4:
        raise ValueError(f"variates={variates}: the ring needs at least 4")
    if steps < 1 or steps_per_sample < 1 or spin_up < 0:
        raise ValueError(f"steps={steps}, steps_per_sample={steps_per_sample}, spin_up={spin_up}: must be positive")
    ring = np.arange(variates)
    after, before, second_before = (ring + 1) % variates, ring - 1, ring - 2

    def slope(x: np.ndarray) -> np.ndarray:
        return (x[after] - x[second_before]) * x[before] - x + forcing

    def step(x: np.ndarray) -> np.ndarray:
        k1 = slope(x)
        k2 = slope(x + 0.5 * dt * k1)
        k3 = slope(x + 0.5 * dt * k2)
        k4 = slope(x + dt * k3)
        return x + (k1 + 2.0 * k2 + 2.0 * k3 + k4) * (dt * (1.0 / 6.0))

    # PCG64's uniform numbers are integers times a power of two: no library function takes part
    state = forcing + np.random.Generator(np.random.PCG64(seed)).random(variates)
    for _ in range(spin_up):
        state = step(state)
    series = np.empty((steps, variates))
    for row in series:
        row[:] = state
        for _ in range(steps_per_sample):
            state = step(state)
    return series
