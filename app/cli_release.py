"""The `release` commands. Heavy imports are inside them, so that help answers at once."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit, progress

if TYPE_CHECKING:
    from app.commands.takedown import TakedownReport
    from exports.changes import Changes
    from exports.outlook import Outlook
    from exports.plan import Plan

release_cli = typer.Typer(help="Versioned, checksummed releases.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="Version of a release.")]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="YAML file; docs/releases.md says what it may hold.")
]
_SHOWN_CHANGES = 5


@release_cli.command("build")
def release_build(
    version: Annotated[str, typer.Argument(help="MAJOR.MINOR.PATCH, such as 0.1.0.")],
    plan: PlanFile = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Build an immutable release."""
    from app.bootstrap import open_studio
    from exports.builder import build_release

    studio = open_studio(workspace)
    built = build_release(studio.workspace, studio.store, version, _read_plan(plan))
    result = {
        "version": built.version,
        "rows": built.rows,
        "splits": dict(built.splits),
        "files": [str(file) for file in built.files],
        "path": str(built.path),
    }
    splits = ", ".join(f"{count:,} {split}" for split, count in built.splits.items())
    lines = f"Released {built.version}: {_pairs(built.rows)} ({splits})\n{built.path}"
    emit(result, as_json=as_json, lines=lines)


@release_cli.command("preview")
def release_preview(
    plan: PlanFile = None, workspace: WorkspacePath = None, as_json: AsJson = False
) -> None:
    """Say what the next release would hold, what keeps it back and which number it needs."""
    from app.bootstrap import open_studio
    from exports.outlook import preview_release

    studio = open_studio(workspace)
    outlook = preview_release(studio.workspace, studio.store, _read_plan(plan))
    wanted = outlook.next_version
    result = {
        "rows": len(outlook.selection.released),
        "splits": dict(outlook.selection.splits),
        "left_out": dict(outlook.selection.left_out),
        "refusals": [
            {"gate": r.gate, "message": r.message, "hint": r.hint, "pairs": list(r.pair_ids)}
            for r in outlook.refusals
        ],
        "follows": outlook.base.manifest.version if outlook.base else None,
        "version": wanted.version if wanted else None,
        "reasons": list(wanted.reasons) if wanted else [],
    }
    emit(result, as_json=as_json, lines=_preview_lines(outlook))


@release_cli.command("diff")
def release_diff(
    old: Annotated[str, typer.Argument(help="The earlier version.")],
    new: Annotated[str, typer.Argument(help="The later version.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with the differences here.")
    ] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """List the pairs that differ between two releases."""
    from app.bootstrap import open_studio
    from app.reports.diff_page import write_diff_page
    from exports.changes import compare, compare_plans
    from exports.earlier import read_earlier

    opened = open_studio(workspace).workspace
    before, after = read_earlier(opened, old), read_earlier(opened, new)
    changes = compare(before.released, after.released)
    result: dict[str, Any] = {
        "added": list(changes.added),
        "removed": list(changes.removed),
        "changed": [{"pair_id": p, "what": kinds} for p, kinds in changes.by_pair().items()],
    }
    plans = [each.manifest.settings.plan for each in (before, after)]
    result["plan"] = compare_plans(*plans)
    lines = _diff_lines(changes) + "".join(f"\nplan: {line}" for line in result["plan"])
    if html is not None:
        write_diff_page(html, before, after, changes)
        result["path"] = str(html.resolve())
        lines += f"\n{html.resolve()}"
    emit(result, as_json=as_json, lines=lines)


@release_cli.command("list")
def release_list(workspace: WorkspacePath = None, as_json: AsJson = False) -> None:
    """List the releases."""
    from app.bootstrap import open_studio
    from exports.listing import list_releases

    found: list[dict[str, Any]] = []
    lines = []
    for release in list_releases(open_studio(workspace).workspace):
        entry: dict[str, Any] = {
            "version": release.version,
            "path": str(release.path),
            "problem": release.problem,
            "withdrawn": str(release.withdrawal) if release.withdrawal else None,
        }
        words = release.problem
        if release.manifest:
            created, rows = release.manifest.created, release.manifest.counts.rows
            entry |= {"created": created.isoformat(), "rows": rows}
            words = f"{rows:>7,} pairs  {created:%Y-%m-%d}"
        if release.withdrawal:
            words = str(release.withdrawal)
        found.append(entry)
        lines.append(f"{release.version:>10}  {words}")
    emit({"releases": found}, as_json=as_json, lines="\n".join(lines) or "No releases yet.")


@release_cli.command("show")
def release_show(
    version: Version,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Show the manifest of a release."""
    import json

    from app.bootstrap import open_studio
    from exports.listing import find_release, read_manifest
    from exports.withdrawal import read_withdrawal

    opened = open_studio(workspace).workspace
    manifest = read_manifest(opened, version).model_dump(mode="json")
    folder = find_release(opened, version)
    withdrawal = read_withdrawal(folder)
    withdrawn = withdrawal.model_dump(mode="json") if withdrawal else None
    result = manifest | {"path": str(folder), "withdrawn": withdrawn}
    emit(result, as_json=as_json, lines=json.dumps(result, indent=2, ensure_ascii=False))


@release_cli.command("verify")
def release_verify(
    version: Annotated[
        str, typer.Argument(help="Version of a release, or the folder of a copy anywhere.")
    ],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte and every rule of a release; exit 1 when something is wrong."""
    from app.bootstrap import open_studio
    from exports.manifest import MANIFEST_FILE
    from exports.verification import verify_folder, verify_release
    from exports.versions import is_version

    copy = Path(version)
    if not is_version(version) and (copy / MANIFEST_FILE).is_file():
        verification = verify_folder(copy)
    else:
        verification = verify_release(open_studio(workspace).workspace, version)
    problems = list(verification.problems)
    emit(
        {"ok": verification.ok, "problems": problems, "withdrawn": verification.withdrawn},
        as_json=as_json,
        lines="ok" if verification.ok else "\n".join(problems),
    )
    if not verification.ok:
        raise typer.Exit(1)


@release_cli.command("export")
def release_export(
    version: Version,
    form: Annotated[str, typer.Option("--as", help="webdataset, label-studio, csv or paper.")],
    out: Annotated[Path, typer.Option("--out", help="A folder that is not there yet.")],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Write a finished release in another form."""
    from app.bootstrap import open_studio
    from exports.formats.conversion import FORMS, convert_release

    if form not in FORMS:
        raise typer.BadParameter(f"--as {form}: choose one of {', '.join(FORMS)}")
    made = convert_release(open_studio(workspace).workspace, version, form, out)
    result = {
        "version": version,
        "rows": made.rows,
        "files": [str(file) for file in made.files],
        "path": str(made.path),
    }
    emit(result, as_json=as_json, lines=f"Wrote {_pairs(made.rows)} as {form}\n{made.path}")


@release_cli.command("takedown")
def release_takedown(
    creative: Annotated[
        str | None, typer.Option("--creative", help="Id of the creative to take down.")
    ] = None,
    item: Annotated[
        str | None, typer.Option("--item", help="Its item, where several have such a creative.")
    ] = None,
    annotator: Annotated[
        str | None, typer.Option("--annotator", help="Id of the person to erase.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; stands in what is left of releases.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask first, as it does on a terminal.")
    ] = False,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Delete a creative or a person for good, and withdraw every release that holds them."""
    from app.bootstrap import open_studio
    from app.commands.takedown import erase_annotator, take_down_creative

    if (creative is None) == (annotator is None) or (item and annotator):
        raise typer.BadParameter("give either --creative (and --item), or --annotator, not both")
    studio = open_studio(workspace)

    def act(*, pretend: bool) -> "TakedownReport":
        if annotator:
            return erase_annotator(studio, annotator, reason=reason, dry_run=pretend)
        return take_down_creative(studio, creative or "", item, reason=reason, dry_run=pretend)

    if not dry_run and not yes and sys.stdin.isatty():
        typer.echo(_takedown_lines(act(pretend=True)), err=True)
        typer.confirm("Delete this for good?", abort=True, err=True)
    report = act(pretend=dry_run)
    emit(asdict(report), as_json=as_json, lines=_takedown_lines(report))


@release_cli.command("upload")
def release_upload(
    version: Version,
    target: Annotated[
        str, typer.Argument(help="Folder, s3://BUCKET/FOLDER or hf://datasets/OWNER/NAME.")
    ],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Send a release to another place; repeated, it goes on where it stopped."""
    from app.bootstrap import open_studio
    from exports.upload import upload_release

    opened = open_studio(workspace).workspace
    done = upload_release(opened, version, target, on_progress=progress("Files"))
    emit(
        asdict(done),
        as_json=as_json,
        lines=f"{done.target}: sent {done.uploaded:,} files ({done.bytes:,} bytes), "
        f"kept {done.kept:,}",
    )


def _read_plan(path: Path | None) -> "Plan":
    from exports.plan import Plan, read_plan

    return read_plan(path) if path else Plan()


def _takedown_lines(report: "TakedownReport") -> str:
    if not (report.dry_run or report.pairs or report.decisions or report.files or report.releases):
        return "It was taken down before; nothing was left to do."
    verb = "would be" if report.dry_run else "are"
    of = [f"{each['item_id']}/{each['creative_id']}" for each in report.creatives]
    if of:
        lines = [
            f"Creatives that {verb} deleted: {', '.join(of)}",
            f"{_pairs(report.pairs)} {verb} withdrawn",
        ]
    else:
        lines = [f"{report.decisions:,} stored decisions {verb} deleted, and any account"]
    lines.append(f"Releases that {verb} withdrawn: {', '.join(report.releases) or 'none'}")
    if report.models:
        lines.append(f"Models that learned from them and {verb} marked: {', '.join(report.models)}")
    lines.append("Copies elsewhere and the files it was read from are for their owners to delete.")
    return "\n".join(lines)


def _preview_lines(outlook: "Outlook") -> str:
    from exports.labels import say_left_out

    selection = outlook.selection
    splits = ", ".join(f"{count:,} {split}" for split, count in selection.splits.items())
    lines = [f"{_pairs(len(selection.released))} would be released ({splits or 'no split'})"]
    lines += [f"{n:>9,}  left out: {say_left_out(w)}" for w, n in selection.left_out.items() if n]
    if wanted := outlook.next_version:
        why = ", ".join(wanted.reasons)
        lines.append(f"It comes after {wanted.after}: {wanted.version} ({why})")
    else:
        lines.append("Any number will do; from 1.0.0 on it says what changed.")
    lines += [f"Refused: {r.message}\n  {r.hint}" for r in outlook.refusals]
    if not outlook.refusals:
        lines.append("No gate refuses it.")
    return "\n".join(lines)


def _diff_lines(changes: "Changes") -> str:
    lines = []
    for kind, pair_ids in changes.items():
        shown = ", ".join(pair_ids[:_SHOWN_CHANGES])
        more = ", …" if len(pair_ids) > _SHOWN_CHANGES else ""
        lines.append(f"{len(pair_ids):>9,}  {kind:<11} {shown}{more}".rstrip())
    return "\n".join(lines)


def _pairs(number: int) -> str:
    return "1 pair" if number == 1 else f"{number:,} pairs"
