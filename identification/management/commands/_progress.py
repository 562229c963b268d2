"""A progress bar for commands, quiet where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(unit: str = "photo") -> Iterator[Callable[[int, int, str], None]]:
    """A callable (done, total, message) that draws a bar on stderr; lines every tenth where stderr is no terminal."""
    terminal = sys.stderr.isatty()
    bar = tqdm(total=0, unit=unit, disable=not terminal, leave=False, dynamic_ncols=True)
    told = -1

    def show(done: int, total: int, message: str) -> None:
        nonlocal told
        if terminal:
            bar.total = total
            bar.n = done
            bar.set_postfix_str(message[-40:], refresh=False)
            bar.refresh()
        elif total and done * 10 // total > told:
            told = done * 10 // total
            sys.stderr.write(f"  {done} of {total}\n")

    try:
        yield show
    finally:
        bar.close()
