"""The `pairs` commands. Heavy imports are inside them, so that help answers at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit, emit_file

if TYPE_CHECKING:
    from creativepair.pairing import PairSettings

pairs_cli = typer.Typer(help="Evidence, near-duplicates and candidates.", no_args_is_help=True)


@pairs_cli.command("build")
def build(
    min_impressions: Annotated[int | None, typer.Option(help="Of each creative; 1000.")] = None,
    min_gap: Annotated[float | None, typer.Option(help="Adjusted CTR gap; 0.60.")] = None,
    min_confidence: Annotated[float | None, typer.Option(help="P of the winner; 0.95.")] = None,
    min_shared_share: Annotated[
        float | None, typer.Option(help="Share of impressions in shared strata; 0.5.")
    ] = None,
    per_item: Annotated[int | None, typer.Option(help="Candidates per item; 3.")] = None,
    phash_radius: Annotated[
        int | None, typer.Option(help="Too alike: pHash distance up to so many bits; 4.")
    ] = None,
    max_rgb_difference: Annotated[
        float | None, typer.Option(help="… and mean RGB difference, 0 to 255, under this; 3.")
    ] = None,
    include_flagged_groups: Annotated[
        bool,
        typer.Option(
            "--include-flagged-groups",
            help="Keep experiments whose traffic was not split as declared.",
        ),
    ] = False,
    min_group_p: Annotated[
        float | None, typer.Option(help="P-value under which an experiment is flagged; 0.001.")
    ] = None,
    expected_shares: Annotated[
        str | None,
        typer.Option(
            help="File of the traffic shares that experiments declare: item_id, experiment_id, "
            "creative_id, share; others are held against equal shares.",
        ),
    ] = None,
    phi: Annotated[
        float | None, typer.Option(help="Noise: factor, with --omega; fitted when not given.")
    ] = None,
    omega: Annotated[
        float | None, typer.Option(help="Noise: floor, with --phi; fitted when not given.")
    ] = None,
    kappa: Annotated[
        float | None,
        typer.Option(help="Noise: weight of strata that disagree, with --phi; else 1 beside it."),
    ] = None,
    tau: Annotated[
        float | None, typer.Option(help="Spread within all items; fitted when not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the choice within an item; 0.")] = None,
    without_logs: Annotated[bool, typer.Option(help="From images alone.")] = False,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Compute CTR evidence, exclude near-duplicates, choose candidates."""
    from app.bootstrap import open_studio
    from app.commands.build_pairs import build_workspace_pairs, read_expected_shares, summarise

    if (phi is None) != (omega is None):
        raise typer.BadParameter("give --phi and --omega together, or neither to fit both")
    if phi is None and kappa is not None:
        raise typer.BadParameter("--kappa goes with --phi and --omega")
    given = {"phi": phi, "omega": omega} | ({} if kappa is None else {"kappa": kappa})
    settings = _settings(
        min_impressions=min_impressions,
        min_gap=min_gap,
        min_confidence=min_confidence,
        min_shared_share=min_shared_share,
        per_item=per_item,
        phash_radius=phash_radius,
        max_rgb_difference=max_rgb_difference,
        include_flagged_groups=include_flagged_groups,
        min_group_p=min_group_p,
        expected_shares=read_expected_shares(expected_shares) if expected_shares else None,
        noise=None if phi is None else given,
        tau=tau,
        seed=seed,
        without_logs=without_logs,
    )
    found, num_stale = build_workspace_pairs(open_studio(workspace), settings)
    summary = summarise(found) | {"stale": num_stale}
    funnel = "\n".join(
        f"{count:>9,}  {reason}" for reason, count in summary["funnel"].items() if count
    )
    wrong, noise, spread = summary["expected_wrong"], summary["noise"], summary["tau"]
    by_category = [fit["tau"] for fit in summary["tau_by_category"].values()]
    constants = (
        f"noise: phi {noise['phi']:.2f}, omega {noise['omega']:.2f}, kappa {noise['kappa']:.2f}, "
        f"from {noise['num_pairs']:,} A/A pairs; spread within items: tau {spread['tau']:.2f}, "
        f"from {spread['num_pairs']:,} pairs"
    )
    if by_category:
        constants += (
            f", {min(by_category):.2f} to {max(by_category):.2f} in {len(by_category)} categories"
        )
    lines = f"{summary['pairs']:,} pairs\n{funnel}" + (
        "" if wrong is None else f"\n{constants}\nexpected share of wrong winners: {wrong:.1%}"
    )
    if num_stale:
        lines += f"\n{num_stale:,} judged pairs are stale: no candidates as they stand today"
    emit(summary, as_json=as_json, lines=lines)


@pairs_cli.command("list")
def list_(
    out: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Write all pairs to a file."""
    from app.bootstrap import open_studio
    from app.commands.list_pairs import list_pairs

    out = out.expanduser()
    rows = list_pairs(open_studio(workspace), out)
    emit_file(rows, out, as_json)


@pairs_cli.command("show")
def show(
    pair_id: Annotated[str, typer.Argument(help="Id of the pair.")],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Show one pair with all that is known of it."""
    import json

    from app.bootstrap import open_studio
    from app.commands.list_pairs import show_pair

    record = show_pair(open_studio(workspace), pair_id)
    emit(record, as_json=as_json, lines=json.dumps(record, indent=2, ensure_ascii=False))


@pairs_cli.command("report")
def report(
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default: in the workspace's reports/.")
    ] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Write an HTML page about the newest build: funnel, examples, gaps, noise, checks."""
    from app.bootstrap import open_studio
    from app.commands.report_pairs import report_pairs

    path = report_pairs(open_studio(workspace), out.expanduser() if out else None)
    emit({"path": str(path)}, as_json=as_json, lines=f"Wrote {path}")


def _settings(**given: Any) -> "PairSettings":  # noqa: ANN401 (checked here)
    from pydantic import ValidationError

    from creativepair.pairing import PairSettings

    try:
        return PairSettings.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-")
        raise typer.BadParameter(f"--{option}: {first['msg']}, not {first['input']}") from error
