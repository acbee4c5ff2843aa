"""The `quality` command. Heavy imports are inside it, so that help answers at once."""

from typing import TYPE_CHECKING, Any

from app.options import AsJson, WorkspacePath
from app.output import emit

if TYPE_CHECKING:
    from annotators.quality.annotator import AnnotatorQuality
    from annotators.quality.report import QualityReport
    from creativepair.estimates import Estimate

_COLUMNS = (
    "annotator", "judged", "accuracy", "gold", "left - right", "same again", "changed",
    "… to the draft", "median s",
)  # fmt: skip


def quality(workspace: WorkspacePath = None, as_json: AsJson = False) -> None:
    """Measure agreement, each annotator, and what showing a draft or CTR does."""
    from app.bootstrap import open_studio
    from app.commands.quality import measure_workspace

    report = measure_workspace(open_studio(workspace))
    emit(_to_json(report), as_json=as_json, lines=_to_lines(report))


def _to_json(report: "QualityReport") -> dict[str, Any]:
    from dataclasses import asdict

    from annotators.quality.report import explain_gaps

    return {
        "protocol": report.protocol,
        "judgements": report.num_judgements,
        "agreement": asdict(report.agreement),
        "agreement_of_votes": asdict(report.agreement_of_votes),
        "annotators": [asdict(who) for who in report.annotators],
        "bias": [
            {"arm": one.arm, "shown": one.shown, **asdict(one.bias), "num_blind": one.num_blind}
            for one in report.bias
        ],
        "changes": asdict(report.changes),
        "chains": asdict(report.chains),
        "consensus": {
            "pairs": len(report.consensus.prob_a),
            "expected_wrong": report.consensus.expected_wrong,
        },
        "screening": asdict(report.screening),
        "unknown": explain_gaps(report),
    }


def _to_lines(report: "QualityReport") -> str:
    from annotators.quality.report import explain_gaps, say_consensus

    agreement, votes = report.agreement, report.agreement_of_votes
    lines = [
        f"{report.num_judgements:,} judgements under protocol {report.protocol}; 95 % intervals",
        "",
        f"agreement of blind verdicts on {agreement.raw.n:,} pairs (of votes alone on "
        f"{votes.raw.n:,})",
    ]
    for name, all_answers, only_votes in (
        ("raw", agreement.raw, votes.raw),
        ("alpha", agreement.alpha, votes.alpha),
        ("AC1", agreement.ac1, votes.ac1),
    ):
        lines.append(f"  {name:<6} {_words(all_answers):<22} {_words(only_votes)}")
    if said := say_consensus(report):
        lines += ["", said]
    if report.annotators:
        lines += ["", *_align([_COLUMNS, *map(_annotator_row, report.annotators)])]
    changes, chains = report.changes, report.chains
    lines += [
        "",
        *_align(
            [
                ("blind votes changed", _words(changes.changed)),
                ("… to a draft against them", _words(changes.to_draft)),
                ("… from a draft for them", _words(changes.from_draft)),
                ("… to CTR against them", _words(changes.to_ctr)),
                ("… from CTR for them", _words(changes.from_ctr)),
                ("drafted findings changed", _words(chains.findings)),
                ("edit distance of chains", _words(chains.text)),
                *(
                    (f"bias: {one.shown} shown in {one.arm}", _words(one.bias))
                    for one in report.bias
                ),
            ]
        ),
    ]
    signs = report.screening.signs
    if signs:
        lines += ["", *(f"ask {sign.annotator_id}: {sign.words}" for sign in signs)]
        lines.append(report.screening.note)
    gaps = explain_gaps(report)
    return "\n".join([*lines, *([""] if gaps else []), *gaps])


def _annotator_row(who: "AnnotatorQuality") -> tuple[str, ...]:
    estimates = (
        who.accuracy, who.gold, who.side_bias, who.consistency, who.changed, who.to_draft,
    )  # fmt: skip
    pace = "–" if who.pace.median_s is None else f"{who.pace.median_s:.1f}"
    return who.annotator_id, f"{who.num_judged:,}", *map(_words, estimates), pace


def _words(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
