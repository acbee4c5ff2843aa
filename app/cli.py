"""The command line. Heavy imports are inside the commands, so that help answers at once."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_evaluate import evaluate_cli
from app.cli_gold import gold_cli
from app.cli_models import models_cli
from app.cli_pairs import pairs_cli
from app.cli_quality import quality
from app.cli_release import release_cli
from app.cli_train import train_cli
from app.cli_users import users_cli
from app.options import AsJson, WorkspacePath
from app.output import emit, emit_file, note, print_error, progress
from creativepair.errors import CreativePairError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.bootstrap import Studio
    from creativepair.ingestion.rejects import Reject

cli = typer.Typer(
    name="creativepair",
    help="Turn exposure logs and ad images into a trusted, explained dataset of image pairs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
judgements_cli = typer.Typer(help="Judgements as tables.", no_args_is_help=True)
cli.add_typer(pairs_cli, name="pairs")
cli.add_typer(gold_cli, name="gold")
cli.add_typer(judgements_cli, name="judgements")
cli.add_typer(release_cli, name="release")
cli.add_typer(models_cli, name="models")
cli.add_typer(train_cli, name="train")
cli.add_typer(evaluate_cli, name="evaluate")
cli.command()(quality)
cli.add_typer(users_cli, name="users")

Host = Annotated[str, typer.Option(help="Address to serve on; without accounts loopback only.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")]

_SHOWN_REJECTS = 20
_SHOWN_FAILURES = 20


def main() -> None:
    """Run the command line; `--debug`, anywhere, shows the traceback of an error."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        cli()
    except CreativePairError as error:
        if debug:
            raise
        print_error(error)
        sys.exit(1)


@cli.command()
def init(
    path: Annotated[Path, typer.Argument(help="Folder to make.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Name shown on the desk.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of log times that name none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace."""
    from creativepair.ingestion.schemas import find_zone
    from creativepair.store import create_store
    from creativepair.workspace import MAX_NAME_CHARACTERS, Settings, create_workspace

    find_zone(timezone)  # an unknown one is refused before the folder is made
    root = path.expanduser().resolve()
    if name and len(name) > MAX_NAME_CHARACTERS:
        raise typer.BadParameter(f"--name has over {MAX_NAME_CHARACTERS} characters")
    called = name or root.name[:MAX_NAME_CHARACTERS] or "workspace"
    settings = Settings(name=called, timezone=timezone)
    workspace = create_workspace(root, settings)
    create_store(workspace.database_url)
    emit(
        {"workspace": str(workspace.root)},
        as_json=as_json,
        lines=f"Made the workspace {workspace.root}\nNext: creativepair ingest --workspace {root}",
    )


@cli.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the demo.")] = Path("demo"),
    num_pairs: Annotated[int, typer.Option("--pairs", min=1, max=5_000)] = 60,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    judged: Annotated[
        bool, typer.Option("--judged", help="Add judgements of simulated annotators.")
    ] = False,
    drafter: Annotated[str, typer.Option(help="Who drafts: evidence or pocket.")] = "evidence",
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Do not open the desk.")] = False,
    host: Host = "127.0.0.1",
    port: Port = 8501,
    as_json: AsJson = False,
) -> None:
    """Draw synthetic ads with planted CTRs, pair and draft them, open the desk."""
    from app.commands.demo import make_demo
    from app.commands.status import count_workspace

    if not no_serve:  # before minutes of drawing, not after
        from app.server import require_free_port

        require_free_port(host, port)
    bars = {what: progress(what) for what in ("Ads", "Drafts")}
    if not (folder / "creativepair.toml").exists():
        note(f"Drawing a synthetic demo of {num_pairs} pairs into {folder.resolve()} …")
    studio = make_demo(
        folder,
        num_pairs=num_pairs,
        seed=seed,
        judged=judged,
        drafter=drafter,
        on_progress=lambda what, done, total: bars[what](done, total),
    )
    counts = count_workspace(studio)
    keys = ("items", "creatives", "pairs", "drafts", "judgements")
    result: dict[str, Any] = {
        "workspace": str(studio.workspace.root),
        **{key: counts[key] for key in keys},
        "synthetic": True,
        "url": None,
    }
    summary = ", ".join(f"{counts[key]} {key}" for key in keys)
    if no_serve:
        emit(result, as_json=as_json, lines=f"{studio.workspace.root}: {summary} (synthetic)")
        return
    note(f"{summary} (synthetic)")
    _serve(studio, host, port, result, as_json)


@cli.command()
def ingest(
    items: Annotated[list[str] | None, typer.Option(help="Items: file, glob or URL.")] = None,
    creatives: Annotated[list[str] | None, typer.Option(help="Creatives.")] = None,
    exposures: Annotated[
        list[str] | None, typer.Option(help="Exposure logs; may be given several times.")
    ] = None,
    more_exposures: Annotated[
        list[str] | None, typer.Argument(help="More exposure logs.", metavar="[EXPOSURES]...")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    strata: Annotated[str | None, typer.Option(help="Log columns that are strata: a,b.")] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="A column's name in your files: new=Old.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of times that name none.")] = None,
    replace: Annotated[bool, typer.Option(help="Let new numbers and images win.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit 1 when a row was rejected.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Check everything, write nothing.")] = False,
    allow_remote: Annotated[bool, typer.Option(help="Read addresses, not only files.")] = False,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Read items, creatives with their images, and exposure logs."""
    from app.bootstrap import open_studio
    from creativepair.ingestion import IngestRequest, ingest_files

    request = IngestRequest(
        items=items or [],
        creatives=creatives or [],
        exposures=[*(exposures or []), *(more_exposures or [])],
        images=images,
        strata=None if strata is None else tuple(s.strip() for s in strata.split(",") if s.strip()),
        renames=_renames(mapping or []),
        timezone=timezone,
        replace=replace,
        dry_run=dry_run,
        allow_remote=allow_remote,
    )
    if not (request.items or request.creatives or request.exposures):
        raise InputError("nothing to read", hint="Give --items, --creatives or --exposures.")
    studio = open_studio(workspace)
    report = ingest_files(studio.workspace, studio.store, request)
    for name in report.recognised:
        note(f"{name} was read before; its rows count once")
    for name in report.copies:
        note(f"{name} has the same bytes as another file of this reading; left out")
    _note_rejects(report.rejects, report.num_rejected)
    result = {
        "items": report.items,
        "creatives": report.creatives,
        "exposures": report.exposures,
        "rejected": report.num_rejected,
        "rejects_file": str(report.rejects_file) if report.rejects_file else None,
        "recognised": list(report.recognised),
        "copies": list(report.copies),
        "strata": list(report.strata),
        "dry_run": dry_run,
    }
    num_listed = len(report.rejects)
    listed = "listed" if num_listed == report.num_rejected else f"the first {num_listed} listed"
    lines = (
        f"{'Would read' if dry_run else 'Read'} {report.items} items, "
        f"{report.creatives} creatives, {report.exposures} exposures"
        + (f" (strata: {', '.join(report.strata)})" if report.strata else "")
        + (f"; rejected {report.num_rejected} rows" if report.num_rejected else "")
        + (f", {listed} in {report.rejects_file}" if report.rejects_file else "")
    )
    emit(result, as_json=as_json, lines=lines)
    if strict and report.num_rejected:
        raise typer.Exit(1)


@cli.command()
def draft(
    drafter: Annotated[
        str,
        typer.Option(
            help="Who drafts: evidence, pocket, a model version, vllm:VERSION@URL where that is "
            "served, or a general model: openai:MODEL@URL."
        ),
    ] = "evidence",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pairs.")] = None,
    resume: Annotated[  # noqa: ARG001 (a contract: drafting always goes on where it stopped)
        bool, typer.Option(help="Go on where a run stopped; always so.")
    ] = False,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Draft a reasoning chain for every candidate that has none."""
    from app.bootstrap import open_studio
    from app.commands.draft import draft_pairs

    report = draft_pairs(
        open_studio(workspace), drafter=drafter, limit=limit, on_progress=progress("Drafts")
    )
    result = {
        "drafted": report.drafted,
        "failed": len(report.failed),
        "parse_failures": report.parse_failures,
        "incoherent": report.incoherent,
        "model_version": report.model_version,
        "failures": [{"pair_id": p, "reason": why} for p, why in report.failed.items()],
    }
    lines = f"Drafted {report.drafted} chains with {report.model_version}"
    if report.failed:
        shown = list(report.failed.items())[:_SHOWN_FAILURES]
        lines += f"\n{len(report.failed)} pairs have no draft, {report.incoherent} of them since "
        lines += "no chain agrees with the probability:"
        lines += "".join(f"\n  {pair_id}: {why}" for pair_id, why in shown)
        if len(report.failed) > len(shown):
            lines += f"\n  and {len(report.failed) - len(shown)} more; --json lists them all"
    if report.parse_failures:
        lines += f"\n{report.parse_failures} texts of the model could not be read."
    emit(result, as_json=as_json, lines=lines)


@cli.command()
def select(
    item: Annotated[str, typer.Option(help="Id of the item.")],
    top: Annotated[int | None, typer.Option(min=1, help="How many to name; all of them.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="As --drafter of draft takes them; when not given, the newest model of the "
            "workspace, else evidence."
        ),
    ] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Rank an item's creatives, each compared with each other one, and say why."""
    from dataclasses import asdict

    from app.bootstrap import open_studio
    from app.commands.select import select_creatives

    report = select_creatives(
        open_studio(workspace), item_id=item, model=model, top=top, on_progress=progress("Pairs")
    )
    lines = (
        f"Item {item}: {report.pool} pictures, each compared with each other one by "
        f"{report.model_version}"
    )
    for place, each in enumerate(report.ranking, 1):
        named = ", ".join([each.creative_id, *each.copies])
        lines += f"\n{place:>3}  {each.score:.2f}  {named}\n           {each.reason}"
    if report.unread:
        lines += f"\nOf {report.unread} pairs nothing could be read; they count as even."
    if report.cycles:
        lines += f"\n{report.cycles} of {report.triads} triples have no order among themselves: "
        lines += "near scores say little."
    emit(asdict(report), as_json=as_json, lines=lines)


@cli.command()
def review(
    host: Host = "127.0.0.1",
    port: Port = 8501,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name under which people open the desk; may be given several times."),
    ] = None,
    trusted_proxy: Annotated[
        str | None, typer.Option(help="Address of the proxy whose forwarded headers count.")
    ] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Serve the review desk: to this machine, or to those with accounts."""
    from app.bootstrap import open_studio

    studio = open_studio(workspace)
    _serve(studio, host, port, {}, as_json, allow_host or [], trusted_proxy)


@judgements_cli.command("export")
def export(
    out: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Write every finished judgement to a file."""
    from app.bootstrap import open_studio
    from app.commands.judgements import export_judgements

    out = out.expanduser()
    rows = export_judgements(open_studio(workspace), out)
    emit_file(rows, out, as_json)


@judgements_cli.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSONL.")],
    strict: Annotated[bool, typer.Option(help="Exit 1 when a row was rejected.")] = False,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Read judgements from a file; rows that are stored already are skipped."""
    from app.bootstrap import open_studio
    from app.commands.judgements import import_judgements

    summary = import_judgements(open_studio(workspace), file)
    _note_rejects(summary.rejects, len(summary.rejects))
    result = {
        "imported": summary.imported,
        "skipped": summary.skipped,
        "rejected": len(summary.rejects),
        "rejects_file": str(summary.rejects_file) if summary.rejects_file else None,
    }
    lines = (
        f"Imported {summary.imported}, skipped {summary.skipped}, rejected {len(summary.rejects)}"
    )
    emit(result, as_json=as_json, lines=lines)
    if strict and summary.rejects:
        raise typer.Exit(1)


@cli.command()
def status(workspace: WorkspacePath = None, as_json: AsJson = False) -> None:
    """Count what the workspace holds."""
    from app.bootstrap import open_studio
    from app.commands.status import count_workspace

    studio = open_studio(workspace)
    counts = count_workspace(studio)
    lines = "\n".join(f"{count:>9,}  {name}" for name, count in counts.items())
    title = studio.workspace.settings.name
    marked = " (synthetic)" if studio.workspace.settings.synthetic else ""
    result = {"workspace": str(studio.workspace.root), **counts}
    emit(result, as_json=as_json, lines=f"{title}{marked}\n{lines}")


@cli.command()
def doctor(workspace: WorkspacePath = None, as_json: AsJson = False) -> None:
    """Check the environment and the workspace, and say what to mend."""
    from dataclasses import asdict

    from app.commands.doctor import check_all

    checks = check_all(workspace)
    lines = "\n".join(f"{'ok ' if c.ok else 'BAD'}  {c.name}: {c.message}" for c in checks)
    emit({"checks": [asdict(check) for check in checks]}, as_json=as_json, lines=lines)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _serve(
    studio: "Studio",
    host: str,
    port: int,
    result: dict[str, Any],
    as_json: bool,
    allowed_hosts: "Sequence[str]" = (),
    trusted_proxy: str | None = None,
) -> None:
    from app.server import serve

    def announce(url: str) -> None:
        lines = f"The desk is open: {url}   (Ctrl+C stops it)"
        emit(result | {"url": url}, as_json=as_json, lines=lines)

    serve(
        studio,
        host=host,
        port=port,
        on_ready=announce,
        allowed_hosts=allowed_hosts,
        trusted_proxy=trusted_proxy,
    )


def _note_rejects(rejects: "Sequence[Reject]", num: int) -> None:
    for reject in rejects[:_SHOWN_REJECTS]:
        named = reject.value and reject.value not in reject.reason
        what = f"{reject.column} {reject.value!r}" if named else reject.column
        note(f"{reject.file}, row {reject.row}: {what} {reject.reason}".replace(":  ", ": "))
    if num > _SHOWN_REJECTS:
        note(f"… and {num - _SHOWN_REJECTS} more")


def _renames(mapping: list[str]) -> dict[str, str]:
    """Return our column name by the files', from `new=Old` words."""
    wrong = [entry for entry in mapping if "=" not in entry]
    if wrong:
        raise typer.BadParameter(f"--map wants new=Old, not {wrong[0]}")
    return {old: new for new, old in (entry.split("=", 1) for entry in mapping)}


if __name__ == "__main__":
    main()
