"""Routes of the desk beside Streamlit's own: steps, decisions, pictures, health.

A decision is one POST and one write transaction: it stores the decision and reads the next step.
The answer leaves after the commit, so what the desk shows as done is on the disk.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from annotators import decisions
from annotators.decisions import FinalAction, Timing, to_verdict
from annotators.presentation import StepView, show_step
from annotators.progress import ProgressMeter
from annotators.queue import require_lease
from annotators.state import InHand
from app.bootstrap import Studio
from app.commands.adjudicate import adjudicate, show_case
from app.guard import STORE_HINT
from app.people import identify
from creativepair.errors import CreativePairError, InputError, NotFoundError, StateError, StoreError
from creativepair.images import DERIVATIVE_MEDIA_TYPE
from creativepair.records import LONGEST_NOTE, HumanVerdict, ReasonCode, Words
from creativepair.store.guidelines import newest_guideline
from creativepair.store.judgements import Autosave
from creativepair.store.problems import ProblemKind, ProblemReport, add_report
from creativepair.store.sharing import share_writes

_STATUS = {StoreError: 503, NotFoundError: 404, StateError: 409, InputError: 422}
_log = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EditBody(_Body):
    """One edited, kept or rejected finding, as typed."""

    question: Key
    verdict: Literal["left", "right", "tie", "yes", "no"] | None
    typed: Words = Field(max_length=decisions.LONGEST_RATIONALE)
    action: Literal["keep", "edit", "reject"]

    def to_autosave(self) -> Autosave:
        """Return the edit as the store keeps it."""
        return Autosave(self.question, self.verdict, self.typed, self.action)


class _DecisionBody(_Body):
    lease: Key
    decision: Key
    seen_ms: float = Field(ge=0, le=1e9)
    active_ms: float = Field(ge=0, le=1e9)

    def timing(self, now: datetime) -> Timing:
        """Return the browser's durations beside the server's clock."""
        return Timing(now, self.seen_ms / 1000, min(self.active_ms, self.seen_ms) / 1000)


class BlindBody(_DecisionBody):
    """A blind verdict."""

    verdict: Literal["left", "right", "cannot_tell", "broken"]
    reason: Words | None = Field(default=None, max_length=1_000)


class FinalBody(_DecisionBody):
    """A final verdict with the edits of the findings."""

    action: FinalAction
    edits: tuple[EditBody, ...] = Field(default=(), max_length=100)


class UndoBody(_Body):
    """Which final to reopen."""

    decision: Key


class LeaseBody(_Body):
    """Which lease to put aside or to keep."""

    lease: Key


class ReportBody(_Body):
    """What is wrong with a pair in hand; `report` is made once for what is sent."""

    lease: Key
    report: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{8,64}$")]
    kind: ProblemKind
    note: Words = Field(default="", max_length=2_000)


class AutosaveBody(_Body):
    """Unfinished edits of a lease."""

    lease: Key
    edits: tuple[EditBody, ...] = Field(max_length=100)


class AdjudicationBody(_Body):
    """A reviewer's settlement of the case that was shown."""

    pair: Key
    decision: Key
    verdict: Literal["left", "right", "cannot_tell", "broken"]
    reason: ReasonCode
    note: Words = Field(default="", max_length=LONGEST_NOTE)
    seen_ms: float = Field(ge=0, le=1e9)


BodyModel = TypeVar("BodyModel", bound=_Body)


def desk_routes(studio: Studio) -> list[Route]:
    """Return the routes that serve one workspace to whoever the guard lets in."""
    desk = _Desk(studio)
    return [
        Route("/healthz", _health),
        Route("/creative/{sha256}", desk.picture),
        Route("/desk/step", desk.step),
        Route("/desk/blind", desk.blind, methods=["POST"]),
        Route("/desk/final", desk.final, methods=["POST"]),
        Route("/desk/undo", desk.undo, methods=["POST"]),
        Route("/desk/skip", desk.skip, methods=["POST"]),
        Route("/desk/autosave", desk.autosave, methods=["POST"]),
        Route("/desk/alive", desk.alive, methods=["POST"]),
        Route("/adjudication/case", desk.case),
        Route("/adjudication/decide", desk.adjudicate, methods=["POST"]),
        Route("/desk/guidelines", desk.guidelines),
        Route("/desk/report", desk.report, methods=["POST"]),
    ]


class ShortCut:
    """ASGI middleware: serves our own routes without what stands before Streamlit's.

    Each of those costs a decision time and does nothing for it: sessions of `st.login`, packing of
    large answers, checks of file paths.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[Route]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that is for one of the routes; pass on all else."""
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                await route.handle(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


class _Desk:
    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._workspace = studio.workspace
        self._pictures = studio.workspace.derivatives
        self._meter = ProgressMeter()
        self._writes = share_writes(studio.store)

    async def picture(self, request: Request) -> Response:
        """Serve a derivative by its content hash; originals keep their metadata and stay in."""
        sha256 = request.path_params["sha256"]
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        if not _SHA256.fullmatch(sha256) or not await run_in_threadpool(
            self._pictures.exists, sha256
        ):
            return error_response(NotFoundError("no such picture", hint="Reload the page."))
        path = self._pictures.local_path(sha256)
        if path:
            return FileResponse(path, headers=headers, media_type=DERIVATIVE_MEDIA_TYPE)
        data = await run_in_threadpool(self._pictures.get, sha256)
        return Response(data, headers=headers, media_type=DERIVATIVE_MEDIA_TYPE)

    async def step(self, request: Request) -> Response:
        """Answer with the step in hand."""
        return await self._answer(request, lambda _connection: None)

    async def blind(self, request: Request) -> Response:
        """Store a blind verdict."""
        annotator_id = identify(request).user_id

        def write(connection: Connection, body: BlindBody) -> InHand | None:
            now = datetime.now(UTC)
            lease = require_lease(connection, annotator_id, body.lease)
            return decisions.decide_blind(
                connection,
                self._workspace,
                annotator_id,
                lease_id=body.lease,
                decision=body.decision,
                verdict=cast(HumanVerdict, to_verdict(body.verdict, lease.left_is)),
                reason=body.reason,
                timing=body.timing(now),
            )

        return await self._write(request, BlindBody, write)

    async def final(self, request: Request) -> Response:
        """Store a final verdict."""
        annotator_id = identify(request).user_id

        def write(connection: Connection, body: FinalBody) -> None:
            decisions.decide_final(
                connection,
                self._workspace,
                annotator_id,
                lease_id=body.lease,
                decision=body.decision,
                action=body.action,
                edits=[edit.to_autosave() for edit in body.edits],
                timing=body.timing(datetime.now(UTC)),
            )

        return await self._write(request, FinalBody, write)

    async def undo(self, request: Request) -> Response:
        """Reopen a final."""
        annotator_id = identify(request).user_id

        def write(connection: Connection, body: UndoBody) -> None:
            decisions.undo(
                connection,
                self._workspace,
                annotator_id,
                final_decision=body.decision,
                now=datetime.now(UTC),
            )

        return await self._write(request, UndoBody, write)

    async def skip(self, request: Request) -> Response:
        """Put a pair aside."""
        annotator_id = identify(request).user_id

        def write(connection: Connection, body: LeaseBody) -> None:
            decisions.skip(connection, annotator_id, lease_id=body.lease, now=datetime.now(UTC))

        return await self._write(request, LeaseBody, write)

    async def alive(self, request: Request) -> Response:
        """Keep a lease: its annotator is at work."""
        annotator_id = identify(request).user_id

        def keep(connection: Connection, body: LeaseBody) -> Response:
            decisions.keep_alive(
                connection,
                self._workspace,
                annotator_id,
                lease_id=body.lease,
                now=datetime.now(UTC),
            )
            return JSONResponse({"held": body.lease})

        return await self._store(request, LeaseBody, keep)

    async def autosave(self, request: Request) -> Response:
        """Keep unfinished edits; answer with the words as they will be stored."""
        annotator_id = identify(request).user_id

        def save(connection: Connection, body: AutosaveBody) -> Response:
            stored = decisions.autosave(
                connection,
                annotator_id,
                lease_id=body.lease,
                edits=[edit.to_autosave() for edit in body.edits],
                now=datetime.now(UTC),
            )
            return JSONResponse({"stored": stored})

        return await self._store(request, AutosaveBody, save)

    async def case(self, request: Request) -> Response:
        """Answer with the pair that waits first for a reviewer."""
        reviewer_id = identify(request).user_id
        try:
            return await run_in_threadpool(self._show_case, reviewer_id)
        except CreativePairError as error:
            return _refuse(request, error)

    async def adjudicate(self, request: Request) -> Response:
        """Store a settlement; answer with the next case."""
        reviewer_id = identify(request).user_id

        def settle(body: AdjudicationBody) -> Response:
            adjudicate(
                self._studio,
                reviewer_id,
                pair_id=body.pair,
                decision=body.decision,
                verdict=body.verdict,
                reason_code=body.reason,
                note=body.note,
                seen_s=body.seen_ms / 1000,
            )
            return self._show_case(reviewer_id)

        try:
            body = await _read_body(request, AdjudicationBody)
            return await run_in_threadpool(settle, body)
        except CreativePairError as error:
            return _refuse(request, error)

    def _show_case(self, reviewer_id: str) -> Response:
        body = show_case(self._studio, reviewer_id).model_dump_json()
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def guidelines(self, request: Request) -> Response:
        """Answer with the guidelines in force; no part of a step, so that steps stay small."""

        def read() -> Response:
            with self._studio.store.read() as connection:
                newest = newest_guideline(connection)
            return JSONResponse(
                {"version": newest.version, "text": newest.text},
                headers={"Cache-Control": "no-store"},
            )

        try:
            return await run_in_threadpool(read)
        except CreativePairError as error:
            return _refuse(request, error)

    async def report(self, request: Request) -> Response:
        """Store what is wrong with a pair; it stays in hand."""
        annotator_id = identify(request).user_id

        def add(connection: Connection, body: ReportBody) -> Response:
            lease = require_lease(connection, annotator_id, body.lease)
            add_report(
                connection,
                ProblemReport(
                    body.report,
                    lease.pair_id,
                    annotator_id,
                    body.kind,
                    body.note.strip(),
                    datetime.now(UTC),
                ),
            )
            return JSONResponse({"reported": body.report})

        return await self._store(request, ReportBody, add)

    async def _store(
        self,
        request: Request,
        model: type[BodyModel],
        write: Callable[[Connection, BodyModel], Response],
    ) -> Response:
        """Write, and answer with what that returns."""
        try:
            body = await _read_body(request, model)
            return await asyncio.wrap_future(
                self._writes.submit(lambda connection: write(connection, body))
            )
        except CreativePairError as error:
            return _refuse(request, error)

    async def _write(
        self,
        request: Request,
        model: type[BodyModel],
        write: Callable[[Connection, BodyModel], InHand | None],
    ) -> Response:
        try:
            body = await _read_body(request, model)
        except CreativePairError as error:
            return _refuse(request, error)
        return await self._answer(request, lambda connection: write(connection, body))

    async def _answer(
        self, request: Request, write: Callable[[Connection], InHand | None]
    ) -> Response:
        """Write, and answer with the next step, read in the same transaction."""
        person = identify(request)

        def run(connection: Connection) -> StepView:
            in_hand = write(connection)
            return show_step(
                connection,
                self._workspace,
                person.user_id,
                person.role,
                self._meter,
                now=datetime.now(UTC),
                in_hand=in_hand,
            )

        try:
            view = await asyncio.wrap_future(self._writes.submit(run))
        except CreativePairError as error:
            return _refuse(request, error)
        body = view.model_dump_json()
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def error_response(error: CreativePairError) -> JSONResponse:
    """Return an error as `{code, message, hint}`."""
    status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 500)
    # The error's own hint is for those who run the desk; they read it in the log.
    hint = STORE_HINT if isinstance(error, StoreError) else error.hint
    body = {"code": error.code, "message": error.message, "hint": hint}
    return JSONResponse(body, status_code=status)


def _refuse(request: Request, error: CreativePairError) -> JSONResponse:
    """Return an error; one that asks for what is not there, or not theirs, is logged."""
    if isinstance(error, NotFoundError | StateError):
        who = identify(request).user_id
        _log.warning("refused %s to %s: %s. %s", request.url.path, who, error.message, error.hint)
    return error_response(error)


async def _read_body(request: Request, model: type[BodyModel]) -> BodyModel:
    # pydantic's own parser also refuses what `json` lets through or breaks on: half of a
    # surrogate pair, which no store can hold, and nesting without end.
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the request"
        raise InputError(f"{where}: {first['msg']}", hint="Reload the page.") from error
