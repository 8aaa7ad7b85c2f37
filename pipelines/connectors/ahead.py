"""Reading ahead: batches are on their way while those before them are worked on, and silence has an end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from typing import TypeVar

Item = TypeVar("Item")

#: Batches that wait: as many as come while the parts of a snapshot are written.
_AHEAD = 4


class Silence(Exception):
    """Nothing came for too long. The thread that waits for it is left to the end of the process."""


def ahead(items: Generator[Item], seconds: float) -> Generator[Item]:
    """What a thread reads ahead of who takes it. Raises `Silence` if nothing comes for so many seconds."""
    ready: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(maxsize=_AHEAD)
    wanted = threading.Event()
    wanted.set()

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    ready.put((item,))
                    if not wanted.is_set():
                        return
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (found := ready.get(timeout=seconds)) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    except queue.Empty:
        raise Silence from None
    except GeneratorExit:
        wanted.clear()
        with suppress(queue.Empty):
            while True:
                ready.get_nowait()
        thread.join(seconds)
        if thread.is_alive():
            raise Silence from None
        raise
