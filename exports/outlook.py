"""What a release would be if it were built now, and every gate that can be looked at before."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from creativepair.protocol import Protocol, load_protocol
from creativepair.store.database import Store
from creativepair.workspace import Workspace
from exports.changes import Changes, compare, compare_plans
from exports.earlier import Base, Earlier, find_base, read_earlier
from exports.gates import Refusal, RowGates, count_pairs, find_disagreement, name_offenders
from exports.labels import LeftOut, say_left_out
from exports.plan import CONFIG_NAMES, ConfigName, Plan
from exports.selection import Reader, Selection, select_pairs
from exports.versions import NextVersion, Step, next_version

_LACKING = {
    LeftOut.NO_CONSENSUS: "too few votes or too little consensus",
    LeftOut.NO_LABEL: "no label: neither evidence nor people name a creative",
    LeftOut.NO_CHAIN: "no reasoning chain that answers with the label",
}
_HINT_LACKING = "Judge these pairs further, or let the plan leave them out (`unmet: leave_out`)."


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a release would be if it were built now.

    Attributes:
        refusals: of every gate that can be looked at before files are written.
        base: the release it would follow; None where there is none.
        changes: since that one.
        next_version: the number that they ask for; None where any number will do.
    """

    selection: Selection
    refusals: tuple[Refusal, ...]
    base: Earlier | None
    changes: Changes
    next_version: NextVersion | None


@dataclass(frozen=True, slots=True)
class Build:
    """What the steps of one build share.

    Attributes:
        base: the release it follows; None below 1.0.0 and for the first.
        after: the highest number in use from 1.0.0 on; None below 1.0.0 and for the first.
        keeps: whether pairs keep the labels and evidence that the base gives them.
    """

    workspace: Workspace
    plan: Plan
    protocol: Protocol
    base: Earlier | None
    after: str | None
    keeps: bool


def preview_release(
    workspace: Workspace, store: Store, plan: Plan | None = None, version: str | None = None
) -> Outlook:
    """Say what a release would hold and what keeps it from being built.

    Args:
        version: the number it would carry; the next one from 1.0.0 on when not given.

    Raises:
        InputError, StateError: when the plan, the number or the release it follows cannot be used
            at all.
    """
    build = prepare(workspace, plan or Plan(), find_base(workspace, version))
    with store.read() as connection:
        outlook = look_out(connection, build)[0]
    if version is None:
        return outlook
    return replace(outlook, refusals=(*outlook.refusals, *refuse_number(version, outlook)))


def prepare(workspace: Workspace, plan: Plan, base: Base) -> Build:
    """Read what a build needs beside the store.

    Args:
        base: what it comes after.

    Raises:
        NotFoundError: when there is no such release or protocol.
        StateError: when that release is damaged.
    """
    own = workspace.protocol
    wanted = plan.protocol or own.version
    return Build(
        workspace=workspace,
        plan=plan,
        protocol=own if wanted == own.version else load_protocol(wanted),
        base=read_earlier(workspace, base.follows) if base.follows else None,
        after=base.after,
        keeps=plan.released_labels == "keep" and not base.is_renewed,
    )


def look_out(connection: Connection, build: Build) -> tuple[Outlook, Reader]:
    """Choose the pairs and look at the gates; the reader goes through what was chosen."""
    plan, base = build.plan, build.base
    kept = base.released if base and build.keeps else {}
    reader = Reader(connection, plan, build.protocol, kept)
    gates = RowGates(build.protocol, build.workspace.derivatives)
    selection = select_pairs(connection, reader, plan, gates)
    refusals = [
        *_refuse_emptiness(selection),
        *gates.refusals(),
        *_refuse_lacking(selection, plan),
        *_refuse_configurations(selection, plan),
        *_refuse_other_source(build),
        *find_disagreement(selection.blind, selection.item, plan.agreement),
    ]
    changes = compare(base.released, selection.released) if base else Changes()
    following = (
        next_version(build.after, changes, _structural(build, selection)) if build.after else None
    )
    return Outlook(selection, tuple(refusals), base, changes, following), reader


def _refuse_emptiness(selection: Selection) -> Iterator[Refusal]:
    if selection.released:
        return
    left_out = selection.left_out
    candidates = sum(left_out.get(reason.value, 0) for reason in LeftOut)
    if not candidates:
        yield Refusal(
            "there are pairs",
            "no pair can be released: there are no candidates",
            "Build pairs first: creativepair pairs build",
        )
        return
    counts = ", ".join(
        f"{left_out[reason.value]:,} {say_left_out(reason.value)}"
        for reason in LeftOut
        if left_out.get(reason.value)
    )
    is_chosen = left_out.get(LeftOut.NOT_IN_PLAN.value, 0) < candidates
    yield Refusal(
        "there are pairs",
        f"no pair can be released: of {candidates:,} candidates {counts}",
        "Judge pairs first: creativepair review"
        if is_chosen
        else "Look at `pairs` in the plan: none is of such a category, or all are synthetic.",
    )


def _refuse_lacking(selection: Selection, plan: Plan) -> Iterator[Refusal]:
    if plan.unmet == "refuse":
        for reason, pair_ids in selection.lacking.items():
            what = f"{count_pairs(len(pair_ids))} {_LACKING[reason]}"
            yield Refusal(
                reason.value.replace("_", " "),
                name_offenders(what, pair_ids),
                _HINT_LACKING,
                pair_ids,
            )


def _refuse_configurations(selection: Selection, plan: Plan) -> Iterator[Refusal]:
    empty = set(plan.configurations or ()) - set(_filled(selection))
    if selection.released:
        for name in sorted(empty):
            yield Refusal(
                "configurations have rows",
                f"the configuration {name} would be empty",
                "Have chains approved or drafted first, or take it out of the plan.",
            )


def _refuse_other_source(build: Build) -> Iterator[Refusal]:
    base, plan = build.base, build.plan
    if base is None or not build.keeps:
        return
    before = base.manifest.settings.plan.label_source
    if before != plan.label_source:
        yield Refusal(
            "labels mean one thing",
            f"release {base.manifest.version} has labels by {before}, which the plan keeps, and "
            f"the plan's label_source is {plan.label_source}",
            "Write `released_labels: renew` into the plan, or keep the label source.",
        )


def refuse_number(version: str, outlook: Outlook) -> Iterator[Refusal]:
    """Hold a version against the number that the changes ask for."""
    wanted = outlook.next_version
    if wanted and version != wanted.version:
        yield Refusal(
            "the version says what changed",
            f"{version} is not the number for what changed since {wanted.after}: "
            f"{', '.join(wanted.reasons)} ({wanted.step}), so it is {wanted.version}",
            f"Give it the number {wanted.version}.",
        )


def _structural(build: Build, selection: Selection) -> tuple[tuple[Step, str], ...]:
    base = build.base
    found: list[tuple[Step, str]] = []
    if build.after and (base is None or base.manifest.version != build.after):
        found.append(("MAJOR", f"release {build.after} was withdrawn"))
    if base is None:
        return tuple(found)
    before = base.manifest.settings
    if before.plan.label_source != build.plan.label_source:
        found.append(("MAJOR", "another label source"))
    if before.protocol != build.protocol.version:
        found.append(("MAJOR", "another protocol"))
    had, has = set(base.manifest.counts.configurations), set(list_written(selection, build.plan))
    found += [("MAJOR", f"no configuration {name}") for name in sorted(had - has)]
    found += [("MINOR", f"a new configuration {name}") for name in sorted(has - had)]
    found += [("PATCH", f"plan: {line}") for line in compare_plans(before.plan, build.plan)]
    return tuple(found)


def _filled(selection: Selection) -> list[ConfigName]:
    """Return the configurations that have rows."""
    empty = {"cot": not selection.num_chains, "drafts": not selection.num_drafts}
    return [name for name in CONFIG_NAMES if not empty.get(name)]


def list_written(selection: Selection, plan: Plan) -> list[ConfigName]:
    """Return the configurations to write: those that have rows and are asked for."""
    asked = plan.configurations or CONFIG_NAMES
    return [name for name in _filled(selection) if name in asked]
