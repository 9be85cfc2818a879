"""Progress of long work: a bar of tqdm where it is installed, a line on standard error otherwise."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Counts up to a total and shows it, if it is to be shown."""

    def __init__(self, total: int, what: str, shown: bool) -> None:
        self._total = total
        self._done = 0
        self._what = what
        self._bar: Any = None
        self._line = False
        if shown:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self._line = True
            else:
                self._bar = tqdm(total=total, desc=what)

    def reach(self, done: int, total: int | None = None) -> None:
        """Shows that so much is done."""
        if total is not None and total != self._total:
            self._total = total
            if self._bar is not None:
                self._bar.total = total
        if self._bar is not None:
            self._bar.update(done - self._done)
        elif self._line:
            print(f"\r{self._what}: {done} of {self._total}", end="", file=sys.stderr, flush=True)
        self._done = done

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line:
            print(file=sys.stderr)
