"""Building a release while the page that asked for it goes on.

A build takes minutes, and a page is run anew at every click. So it runs beside the page, one at a
time in a process; what it came to stays to be shown.
"""

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

from app.bootstrap import Studio
from creativepair.errors import StateError
from exports.builder import BuiltRelease, build_release
from exports.plan import Plan

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReleaseBuild:
    """A build that was asked for.

    Attributes:
        result: the release, or why there is none; not done while it goes on.
    """

    version: str
    started_at: datetime
    result: Future[BuiltRelease]


class ReleaseBuilds:
    """The builds of one process, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: ReleaseBuild | None = None

    @property
    def last(self) -> ReleaseBuild | None:
        """The build that was asked for last; None before the first."""
        return self._last

    def start(self, studio: Studio, version: str, plan: Plan) -> ReleaseBuild:
        """Begin to build.

        Raises:
            StateError: while another one goes on.
        """
        with self._lock:
            if self._last and not self._last.result.done():
                raise StateError(
                    f"release {self._last.version} is being built", hint="Wait until it is done."
                )
            build = ReleaseBuild(version, datetime.now(UTC), Future())
            self._last = build
        # A daemon: a build that is cut off leaves nothing behind, and a server that is stopped
        # should stop.
        threading.Thread(target=_run, args=(studio, build, plan), daemon=True).start()
        return build


def _run(studio: Studio, build: ReleaseBuild, plan: Plan) -> None:
    try:
        build.result.set_result(build_release(studio.workspace, studio.store, build.version, plan))
    except Exception as error:  # noqa: BLE001 (given on to whoever asks for the result)
        _log.warning("building release %s failed: %s", build.version, error)
        build.result.set_exception(error)
