"""The dataset card: `README.md` of a release, written from what its manifest says."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from exports.configurations import CONFIGURATIONS
from exports.counts import FINDINGS
from exports.labels import say_left_out
from exports.manifest import Agreement, BlindAgreement, Counts, Description, Measured
from exports.plan import ConfigName
from exports.plots import FOLDER, draw_bars

CARD_FILE = "README.md"
_HOLDS: dict[ConfigName, str] = {
    "default": "a pair: two images, title and queries, the labels, the evidence, the chain",
    "cot": "a pair in one of its two orders: prompt and the chain to write, for SFT",
    "prompts": "a pair in one of its two orders: prompt and right digit, for GRPO",
    "preference": "a pair in one of its two orders, for DPO: where a person overturned or "
    "corrected a draft that chain over the draft, elsewhere the right answer over the wrong one",
    "annotations": "a finished judgement, under a pseudonym",
    "drafts": "a chain that a machine drafted",
}
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_card(name: str, release: Description) -> str:
    """Return the text of the card.

    Args:
        name: of the workspace.
    """
    name = "".join(c for c in " ".join(name.split()) if c.isprintable())
    counts = release.counts
    sections = (
        _front_matter(name, release),
        f"# {name}, release {release.version}",
        *_warnings(counts),
        "Pairs of ad images of the same item, each with the answer to: which image is a user more "
        "likely to click? Every pair was judged; a reasoning chain, where one stands, says "
        "why.",
        "## What is in it",
        _contents(release),
        "## Configurations",
        _configurations(release),
        "## How the labels came about",
        _labels(release),
        "## How people judged",
        _judging(counts),
        "## Reasoning chains",
        _chains(release),
        "## Limits",
        _limits(release),
        *_owners_words(release),
    )
    return "\n\n".join(sections) + "\n"


def read_card(folder: Path) -> str:
    """Return the card of a release without its front matter, which speaks of the release's files.

    Raises:
        OSError, UnicodeDecodeError: when it cannot be read.
    """
    return _FRONT_MATTER.sub("", (folder / CARD_FILE).read_text(encoding="utf-8")).lstrip()


def draw_plots(release: Description) -> dict[str, str]:
    """Return the plots of the card by their path in the release."""
    counts = release.counts
    plots = {
        "impressions": (
            "Images by how often they were shown",
            {name: {"images": number} for name, number in counts.impressions.items()},
            ["images"],
        ),
        "gaps": (
            "Pairs by how much more the winner was clicked",
            {name: {"pairs": number} for name, number in counts.gaps.items()},
            ["pairs"],
        ),
        "findings": ("Findings of the chains by question", counts.findings, list(FINDINGS)),
    }
    return {
        _plot_path(name): draw_bars(title, rows, series)
        for name, (title, rows, series) in plots.items()
        if rows
    }


def _plot_path(name: str) -> str:
    return f"{FOLDER}/{name}.svg"


def _show_plot(name: str, words: str, numbers: Mapping[str, object]) -> str:
    return f"\n\n![{words}]({_plot_path(name)})" if numbers else ""


def _front_matter(name: str, release: Description) -> str:
    # JSON strings are YAML strings, whatever they hold.
    tags = ["creativepair", "ad-creatives", "image-pairs", *["synthetic"] * release.synthetic]
    lines = [
        "---",
        f"license: {release.settings.plan.card.license}",
        f"pretty_name: {json.dumps(name, ensure_ascii=False)}",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "size_categories:",
        f"- {_size_category(release.counts.rows)}",
        "configs:",
    ]
    for name, splits in release.counts.configurations.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in splits:
            folder = CONFIGURATIONS[name].folder
            lines += [f"  - split: {split}", f"    path: {folder}/{split}-*.parquet"]
    return "\n".join([*lines, "---"])


def _size_category(num_rows: int) -> str:
    return next((name for limit, name in _SIZES if num_rows < limit), "n>1M")


def _warnings(counts: Counts) -> list[str]:
    warnings = []
    if counts.synthetic_rows:
        warnings.append(
            f"**Synthetic creatives.** {_part(counts.synthetic_rows, counts.rows)} pairs show "
            "images that a program drew, with click rates that it made up. They are for trying out "
            "the tools and say nothing about real ads or real people."
        )
    simulated = counts.judgement_sources.get("simulated", 0)
    if simulated:
        warnings.append(
            f"**Simulated judgements.** {_part(simulated, counts.finals)} final judgements were "
            "made by a simulation, not by people."
        )
    return warnings


def _contents(release: Description) -> str:
    counts = release.counts
    table = "\n".join(f"| {split} | {count:,} |" for split, count in counts.splits.items())
    shares = ", ".join(
        f"{split} {share:.0%}" for split, share in release.settings.plan.splits.shares.items()
    )
    return (
        f"{counts.rows:,} pairs of {counts.items:,} items, {counts.images:,} different images.\n\n"
        f"| split | pairs |\n|---|---|\n{table}\n\n"
        f"Splits are drawn by groups of items ({shares} of the groups): items that share an image, "
        f"or have images within {release.settings.split_radius_bits} bits of perceptual hash, "
        "stay together, and no item is in two splits. What was released once stays in its split; "
        "a pair that would bridge two is left out.\n\n"
        f"Left out of this release: {_listing(_in_words(release.left_out))}."
    )


def _configurations(release: Description) -> str:
    rows = "\n".join(
        f"| `{name}` | {_HOLDS[name]} | {sum(splits.values()):,} |"
        for name, splits in release.counts.configurations.items()
    )
    return (
        f"| configuration | a row is | rows |\n|---|---|---|\n{rows}\n\n"
        "In prompts and chains `1` is the image shown first; `order` says which that is. Every "
        "pair stands in both orders, so that no model learns a side."
    )


def _labels(release: Description) -> str:
    counts, plan = release.counts, release.settings.plan
    rule = {
        "ctr": "`label` is the winner by click-through rate (`label_ctr`) where the exposure logs "
        "name one; people can exclude such a pair, they cannot flip it. Elsewhere it is the "
        "consensus of the people who judged the pair.",
        "human": "`label` is the consensus of the people who judged the pair, or what a reviewer "
        "settled; the winner by click-through rate stands beside it as `label_ctr`.",
    }[plan.label_source]
    follows = release.lineage.follows
    kept = (
        f" Pairs that release {follows.version} holds keep its labels and evidence."
        if follows and follows.kept
        else ""
    )
    text = (
        f"{rule} Other labels stand beside it in their own columns.{kept}\n\n"
        f"- Label from: {_listing(counts.label_sources)}.\n"
        f"- Answer: {_listing(counts.labels)}. Which creative is A follows from a hash of its id.\n"
        f"- Traffic randomised between the two: {_listing(counts.randomised)}. Where it was not, "
        "a difference in clicks may come from who saw the ad."
    )
    if counts.expected_wrong is not None:
        text += (
            f"\n- Expected share of wrong winners among labels by click-through rate: "
            f"{counts.expected_wrong:.1%}, by the evidence model's own account."
        )
    text += _show_plot("impressions", "How often images were shown", counts.impressions)
    return text + _show_plot("gaps", "How much more winners were clicked", counts.gaps)


def _judging(counts: Counts) -> str:
    agreement = counts.agreement
    return (
        f"- Final judgements: {counts.finals:,}; annotators: {counts.annotators:,}; "
        f"judgements per pair: {counts.finals / counts.rows:.2f}.\n"
        f"- Where they came from: {_listing(counts.judgement_sources)}.\n"
        f"- What was seen before the verdict (arm): {_listing(counts.arms)}.\n\n"
        "| labels compared | pairs that agree |\n|---|---|\n"
        f"| blind and click-through rate | {_agreed(agreement['blind_ctr'])} |\n"
        f"| final and click-through rate | {_agreed(agreement['final_ctr'])} |\n"
        f"| blind and final | {_agreed(agreement['blind_final'])} |\n\n"
        f"{_blind_agreement(counts.blind_agreement)}\n\n"
        "A blind verdict is given before anything else is shown. A final may follow the reveal of "
        "a drafted chain and of the evidence: finals that agree with them are not independent."
    )


def _chains(release: Description) -> str:
    counts = release.counts
    plot = _show_plot("findings", "Findings of the chains by question", counts.findings)
    drafters = {f"{d.drafter} ({d.model_version})": d.num_drafts for d in release.lineage.drafters}
    return (
        f"Chains follow protocol {release.settings.protocol} and are released only where their "
        f"answer is the label. Status: {_listing(counts.chain_status)}."
        f"{_without_chain(counts)}\n\n"
        f"Drafts in the workspace, by who wrote them: {_listing(drafters)}. An approved chain is "
        f"a machine's text that a person let stand.{plot}"
    )


def _without_chain(counts: Counts) -> str:
    none = counts.chain_status.get("none", 0)
    if not none:
        return ""
    against = counts.chains_against_label
    return (
        f" Of the pairs without one, {against:,} have a chain that argues for the other image; "
        f"nobody let one stand on the other {none - against:,}."
    )


def _blind_agreement(agreement: BlindAgreement) -> str:
    if not agreement.pairs:
        return "No pair was judged blind by two people, so their agreement is not known."
    named = (
        ("share of agreeing answers", agreement.raw),
        ("Krippendorff's alpha", agreement.alpha),
        ("Gwet's AC1", agreement.ac1),
    )
    rows = "\n".join(f"| {name} | {_measured(one)} |" for name, one in named)
    return (
        f"| agreement of blind verdicts on {agreement.pairs:,} pairs | value, 95 % interval |\n"
        f"|---|---|\n{rows}"
    )


def _measured(one: Measured) -> str:
    if one.value is None:
        return "not known"
    interval = "" if one.low is None else f" ({one.low:.2f} to {one.high:.2f})"
    return f"{one.value:.2f}{interval}"


def _limits(release: Description) -> str:
    counts = release.counts
    limits = [
        "Clicks are not purchases, and what won here need not win elsewhere or later.",
        "Pairs of one item share images and are not independent: count items, not pairs.",
    ]
    if set(counts.splits) != {"train", "validation", "test"}:
        limits.append("The release is too small to fill every split.")
    if not counts.label_sources.get("ctr"):
        limits.append("No label rests on exposure logs.")
    if release.settings.plan.card.license == "unknown":
        limits.append("The licence of the images is not known to this tool; ask their owner.")
    return "\n".join(f"- {limit}" for limit in limits)


def _owners_words(release: Description) -> list[str]:
    """Return what the owner of the data says, each under its heading."""
    card = release.settings.plan.card
    said = {
        "About the data": card.description,
        "Contact": card.contact,
        "How to cite": card.citation,
    }
    return [part for title, text in said.items() if text for part in (f"## {title}", text.strip())]


def _in_words(left_out: Mapping[str, int]) -> dict[str, int]:
    return {say_left_out(reason): number for reason, number in left_out.items()}


def _listing(entries: Mapping[str, int]) -> str:
    listed = (f"{name.replace('_', ' ')} {count:,}" for name, count in entries.items() if count)
    return ", ".join(listed) or "none"


def _part(part: int, whole: int) -> str:
    return f"All {whole:,}" if part == whole else f"{part:,} of {whole:,}"


def _agreed(agreement: Agreement) -> str:
    if not agreement.of:
        return "no pair has both"
    return f"{agreement.agree:,} of {agreement.of:,} ({agreement.agree / agreement.of:.1%})"
