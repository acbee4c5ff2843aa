"""The configurations of a release and the rows that a pair has in each.

- `default`: a row for each pair.
- `cot`: a row for each of the two orders of every pair whose chain stands whole; for SFT.
- `prompts`: a row for each order of every pair, with the right digit; for GRPO.
- `preference`: a row for each order of every pair; for DPO. Where a whole chain overturned a draft,
  `chosen` is that chain and `rejected` the draft; elsewhere the prompt asks for the answer at once,
  and the right answer is preferred to the wrong one. There are no nulls: TRL 1.16 looks at any one
  of `prompt`, `chosen` and `rejected` to tell whether rows are conversations.
- `annotations`: a row for each finished judgement, under pseudonyms.
- `drafts`: a row for each drafted chain.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from creativepair.chain import ORDERS, Chain, Order
from creativepair.errors import ChainError
from creativepair.prompts import Message, render_answer, render_prompt, render_target
from creativepair.protocol import Protocol
from creativepair.records import Creative
from creativepair.wording import Identity, other
from exports.parquet import IMAGE, IMAGES, TIME, Configuration, Record
from exports.plan import ConfigName
from exports.pseudonyms import Pseudonymise
from exports.rows import Row

ReadImage = Callable[[str], bytes]

_TEXTS = pa.list_(pa.field("element", pa.string()))
_PART = pa.struct([("type", pa.string()), ("text", pa.string())])
_MESSAGES = pa.list_(
    pa.field(
        "element",
        pa.struct([("role", pa.string()), ("content", pa.list_(pa.field("element", _PART)))]),
    )
)

DEFAULT = Configuration(
    "default",
    {
        "pair_id": pa.string(),
        "item_id": pa.string(),
        "image_a": IMAGE,
        "image_b": IMAGE,
        "title": pa.string(),
        "queries": _TEXTS,
        "category": pa.string(),
        "label": pa.string(),
        "label_ctr": pa.string(),
        "label_blind": pa.string(),
        "label_final": pa.string(),
        "label_adjudicated": pa.string(),
        "ctr_prob_a": pa.float64(),
        "rel_gap": pa.float64(),
        "impressions_a": pa.int64(),
        "clicks_a": pa.int64(),
        "impressions_b": pa.int64(),
        "clicks_b": pa.int64(),
        "randomised": pa.bool_(),
        "chain": pa.string(),
        "chain_status": pa.string(),
        "protocol": pa.string(),
        "synthetic": pa.bool_(),
    },
)
COT = Configuration(
    "cot",
    {
        "pair_id": pa.string(),
        "order": pa.string(),
        "prompt": _MESSAGES,
        "completion": _MESSAGES,
        "images": IMAGES,
    },
)
PROMPTS = Configuration(
    "prompts",
    {
        "pair_id": pa.string(),
        "order": pa.string(),
        "prompt": _MESSAGES,
        "images": IMAGES,
        "label": pa.string(),
    },
)
PREFERENCE = Configuration(
    "preference",
    {
        "pair_id": pa.string(),
        "order": pa.string(),
        "prompt": _MESSAGES,
        "images": IMAGES,
        "chosen": _MESSAGES,
        "rejected": _MESSAGES,
        "label": pa.string(),
    },
)
ANNOTATIONS = Configuration(
    "annotations",
    {
        "pair_id": pa.string(),
        "annotator_id": pa.string(),
        "arm": pa.string(),
        "pass": pa.int64(),
        "left_is": pa.string(),
        "blind": pa.string(),
        "final": pa.string(),
        "reason": pa.string(),
        "shown_at": TIME,
        "decided_at": TIME,
        "source": pa.string(),
    },
)
DRAFTS = Configuration(
    "drafts",
    {
        "pair_id": pa.string(),
        "draft_id": pa.string(),
        "drafter": pa.string(),
        "model_version": pa.string(),
        "item_revision": pa.int64(),
        "protocol": pa.string(),
        "answer": pa.string(),
        "prob_a": pa.float64(),
        "chain": pa.string(),
        "tokens": pa.int64(),
        "seconds": pa.float64(),
    },
)
CONFIGURATIONS: dict[ConfigName, Configuration] = {
    "default": DEFAULT,
    "cot": COT,
    "prompts": PROMPTS,
    "preference": PREFERENCE,
    "annotations": ANNOTATIONS,
    "drafts": DRAFTS,
}


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes the records of a pair; an image is read once for all of them.

    Attributes:
        read_image: gives the bytes of a derivative.
    """

    protocol: Protocol
    read_image: ReadImage
    pseudonymise: Pseudonymise

    def render(self, row: Row) -> dict[ConfigName, list[Record]]:
        """Return the records of a pair in every configuration."""
        images = self._image(row.image_a), self._image(row.image_b)
        prompt = render_prompt(row.item, self.protocol)
        chosen = self._targets(row.chain)
        rejected = self._targets(row.overturned.chain if row.overturned else None)
        asked = {
            order: {
                "pair_id": row.pair.pair_id,
                "order": order,
                "prompt": prompt,
                "images": list(images if order == "AB" else images[::-1]),
            }
            for order in ORDERS
        }
        preferred = (
            {o: {"chosen": chosen[o], "rejected": rejected[o]} for o in ORDERS}
            # A preference is a pair of chains: one of them alone is none.
            if chosen and rejected
            else self._prefer_answer(row)
        )
        labels = {order: str(order.index(row.labels.label) + 1) for order in ORDERS}
        return {
            "default": [self._default(row, *images)],
            "cot": [{**asked[order], "completion": chosen[order]} for order in chosen],
            "prompts": [{**asked[order], "label": labels[order]} for order in ORDERS],
            "preference": [
                {**asked[order], **preferred[order], "label": labels[order]} for order in ORDERS
            ],
            "annotations": list(self._annotations(row)),
            "drafts": list(_drafts(row)),
        }

    def _image(self, creative: Creative) -> Record:
        # The name states which picture it is, so that leaks between splits show in the files alone.
        return {
            "bytes": self.read_image(creative.derivative_sha256),
            "path": f"{creative.pixel_sha256}.jpg",
        }

    def _targets(self, chain: Chain | None) -> dict[Order, list[Message]]:
        """Return what a model is to write, by order; nothing for a chain with gaps."""
        if chain is None:
            return {}
        try:
            return {order: render_target(chain, self.protocol, order) for order in ORDERS}
        except ChainError:
            return {}  # a person left findings out, or wrote what the form cannot carry

    def _prefer_answer(self, row: Row) -> dict[Order, Record]:
        """Return the right answer over the wrong one, for who is asked for it at once."""
        label: Identity = row.labels.label
        prompt = render_prompt(row.item, self.protocol, mode="answer")
        return {
            order: {
                "prompt": prompt,
                "chosen": render_answer(label, order),
                "rejected": render_answer(other(label), order),
            }
            for order in ORDERS
        }

    def _default(self, row: Row, image_a: Record, image_b: Record) -> Record:
        labels, counts = row.labels, row.counts
        return {
            "pair_id": row.pair.pair_id,
            "item_id": row.pair.item_id,
            "image_a": image_a,
            "image_b": image_b,
            "title": row.item.title,
            "queries": list(row.item.queries),
            "category": row.item.category,
            "label": labels.label,
            "label_ctr": labels.ctr,
            "label_blind": labels.blind,
            "label_final": labels.final,
            "label_adjudicated": labels.adjudicated,
            "ctr_prob_a": counts.ctr_prob_a,
            "rel_gap": counts.rel_gap,
            "impressions_a": counts.impressions_a,
            "clicks_a": counts.clicks_a,
            "impressions_b": counts.impressions_b,
            "clicks_b": counts.clicks_b,
            "randomised": counts.randomised,
            "chain": row.chain.model_dump_json() if row.chain else None,
            "chain_status": row.chain_status.value,
            "protocol": self.protocol.version,
            "synthetic": row.is_synthetic,
        }

    def _annotations(self, row: Row) -> Iterator[Record]:
        for judgement in row.judgements:
            yield {
                "pair_id": judgement.pair_id,
                "annotator_id": self.pseudonymise(judgement.annotator_id),
                "arm": judgement.arm.value,
                "pass": judgement.pass_,
                "left_is": judgement.left_is,
                "blind": judgement.blind,
                "final": judgement.final,
                "reason": judgement.reason,
                "shown_at": judgement.shown_at,
                "decided_at": judgement.decided_at,
                "source": judgement.source.value,
            }


def _drafts(row: Row) -> Iterator[Record]:
    for draft in row.drafts:
        yield {
            "pair_id": draft.pair_id,
            "draft_id": draft.draft_id,
            "drafter": draft.drafter,
            "model_version": draft.model_version,
            "item_revision": draft.item_revision,
            "protocol": draft.chain.protocol,
            "answer": draft.answer,
            "prob_a": draft.prob_a,
            "chain": draft.chain.model_dump_json(),
            "tokens": draft.tokens,
            "seconds": draft.seconds,
        }
