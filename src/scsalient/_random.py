"""Random numbers that depend on a seed and on what they are for."""

from __future__ import annotations

from numpy.random import Generator, SeedSequence, default_rng


def seed_of(seed: int, purpose: str) -> SeedSequence:
    """Seed of one purpose.

    Two purposes share no numbers, and neither shares any with ``default_rng(seed)``, by which data
    may be simulated, or roles drawn, with the same seed.
    """
    return SeedSequence([seed, *purpose.encode()])


def generator(seed: int, purpose: str) -> Generator:
    """Generator of one purpose, as in :func:`seed_of`."""
    return default_rng(seed_of(seed, purpose))
