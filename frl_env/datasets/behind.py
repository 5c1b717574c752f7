"""Work in a second thread: what is finished is put away while Python goes on with what comes next.

NumPy, Arrow, hashes and files let other threads run while they work, so that two processors are used. What is to be
ready before it is asked for comes from `frl_env.evaluation.threads.one_ahead`.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


class Behind:
    """Calls one after the other in another thread; a call waits until the one before has ended.

    On leaving the context nothing runs any more. What a call raises comes out of the next one, of `wait`, or there.
    """

    def __enter__(self) -> Self:
        """Starts with nothing to do."""
        self._thread = ThreadPoolExecutor(1)
        self._running: Future[Any] | None = None
        return self

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begins a call."""
        self.wait()
        self._running = self._thread.submit(work, *arguments)
        return self._running

    def wait(self) -> None:
        """Waits until the running call has ended; raises what it raised."""
        if self._running is not None:
            running, self._running = self._running, None
            running.result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends the thread; after an exception, that one counts."""
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.shutdown()
