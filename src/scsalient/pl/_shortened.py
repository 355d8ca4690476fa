"""Text cut short."""

from __future__ import annotations


def shortened(text: str, n_letters: int) -> str:
    """Cut a text short in the middle, since names of a kind differ at their ends.

    Parameters
    ----------
    text
        A label.
    n_letters
        Letters to leave at most, at least 2.
    """
    if len(text) <= n_letters:
        return text
    n_start = (n_letters - 1) // 2
    return f"{text[:n_start]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - n_letters + 1 + n_start :]}"
