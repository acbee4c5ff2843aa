"""Declared experiments: was traffic split as declared?

A group is an experiment of one item. Its impressions are held against the expected shares of its
creatives, equal ones unless others are declared; where they do not fit, nothing is known of how
traffic was split, and its pairs are left out unless asked for.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field

from creativepair.errors import InputError
from creativepair.evidence import (
    CreativeKey,
    ExposureLog,
    Flags,
    GroupKey,
    Ints,
    compute_sample_ratio_p,
)
from creativepair.records import Id, Record

# Shares are taken for rounded to three decimals: each may be off by half of the last one.
_ROUNDING = 0.0005
_SHOWN_PROBLEMS = 20


class ExpectedShare(Record):
    """The share of an experiment's impressions that one of its creatives was to get, 0 to 1."""

    # Files with types may hold ids as numbers.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    item_id: Id
    experiment_id: Id
    creative_id: Id
    share: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class FlaggedGroup:
    """A declared experiment of an item whose impressions are not split as declared.

    Attributes:
        item_id, experiment_id: which.
        p_value: of the chi-square test against the expected shares.
    """

    item_id: str
    experiment_id: str
    p_value: float


def arrange_shares(
    shares: Sequence[ExpectedShare], log: ExposureLog, place: Mapping[CreativeKey, int]
) -> dict[GroupKey, dict[int, float]]:
    """Return the declared shares by group and creative; those of a group sum to 1.

    A creative that was to get impressions and got none belongs to its group: it is what the check
    is for.

    Args:
        shares: in any order.
        log: the exposures.
        place: number of each creative.

    Raises:
        InputError: when a group is not in the logs, a creative is unknown, stands there twice or
            has no share, or the shares of a group do not sum to 1.
    """
    groups: dict[GroupKey, dict[str, float]] = defaultdict(dict)
    problems = []
    # Sorted, so that sums run in the same order, to the last digit, whatever the input's.
    for row in sorted(shares, key=lambda row: (row.item_id, row.experiment_id, row.creative_id)):
        group = groups[row.item_id, row.experiment_id]
        if row.creative_id in group:
            problems.append(f"{_name(row)} has two shares")
        elif (row.item_id, row.creative_id) not in place:
            problems.append(f"{_name(row)}: the item has no creative {row.creative_id!r}")
        group[row.creative_id] = row.share
    if not problems:  # or one unknown creative would be told in three ways
        for key, group in groups.items():
            problems += _check_group(key, group, log, place)
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if problems[_SHOWN_PROBLEMS:] else ""
        raise InputError(
            f"expected shares do not fit the logs: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}",
            hint="Give one share for each creative of each experiment that you declare.",
        )
    return {
        (item_id, experiment_id): {
            place[item_id, creative_id]: share / sum(group.values())
            for creative_id, share in group.items()
        }
        for (item_id, experiment_id), group in groups.items()
    }


def flag_groups(
    log: ExposureLog, shares: Mapping[GroupKey, Mapping[int, float]], min_p: float
) -> dict[GroupKey, FlaggedGroup]:
    """Return the declared experiments that fail their check, in the order of their keys.

    Args:
        log: the exposures.
        shares: as `arrange_shares` gives them; groups without any are held against equal ones.
        min_p: p-value under which a group fails.
    """
    flagged = {}
    for name in sorted(log.groups):
        shown = log.groups[name]
        if expected := shares.get(name):
            counts = [shown.get(creative, 0) for creative in expected]
            p_value = compute_sample_ratio_p(counts, list(expected.values()))
        else:
            p_value = compute_sample_ratio_p(list(shown.values()))
        if p_value < min_p:
            flagged[name] = FlaggedGroup(*name, p_value)
    return flagged


def find_in_groups(log: ExposureLog, a: Ints, b: Ints, groups: Collection[GroupKey]) -> Flags:
    """Return whether both creatives of a pair are in one of the groups, [num_pairs].

    Args:
        log: the exposures.
        a, b: numbers of the creatives of each pair, [num_pairs].
        groups: keys of some groups of the log.
    """
    groups_of: dict[int, set[GroupKey]] = defaultdict(set)
    for name in groups:
        for creative in log.groups[name]:
            groups_of[creative].add(name)
    is_member = np.zeros(len(log.impressions), dtype=bool)
    is_member[list(groups_of)] = True
    found = is_member[a] & is_member[b]
    for row in np.flatnonzero(found).tolist():
        found[row] = bool(groups_of[int(a[row])] & groups_of[int(b[row])])
    return found


def _check_group(
    key: GroupKey, group: Mapping[str, float], log: ExposureLog, place: Mapping[CreativeKey, int]
) -> list[str]:
    name = "/".join(key)
    if key not in log.groups:
        return [f"{name} is no experiment of the logs"]
    problems = []
    declared = {place[key[0], creative_id] for creative_id in group}
    if missing := log.groups[key].keys() - declared:
        ids = sorted(creative_id for (_, creative_id), i in place.items() if i in missing)
        problems.append(f"{name} has no share for {', '.join(ids)}")
    total = sum(group.values())
    if not total or abs(total - 1) > _ROUNDING * len(group) + 1e-9:
        problems.append(f"the shares of {name} sum to {total:.6g}, not 1")
    return problems


def _name(row: ExpectedShare) -> str:
    return f"{row.item_id}/{row.experiment_id}/{row.creative_id}"
