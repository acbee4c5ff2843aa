"""The pocket model: python -m model_assist.recipes.pocket OUT [key=value …].

Trains the pocket model from nothing on drawn ads: first its eyes on what a picture shows, then the
whole to say what one ad shows, then to compare two, with the chain and at once, in both orders.
Settings are in `pocket.yaml` beside this file.

What made it learn within minutes on two cores, measured:
- eyes first: with a linear layer on top of the mean of a picture's tokens, thrown away afterwards,
  and then 25 s of words, the model names the prop in 98 % of ads and the placement in 96 %; through
  words alone props took minutes, and so did placement where the layer read each token by its place;
- the eyes stay as they are once words are learned, which undid what they had learned: placement was
  read right in 96 % of ads before words came to compare two, and in 39 % soon after;
- weights drawn by fan-in (see `pocket.py` of creative4u) and matrices moved by Muon: after two
  minutes Muon read 90 % of the backgrounds right where AdamW read 65 %;
- plain attention, all images of a batch at once, phrases as tokens;
- ads that look, drawn small, as the demo draws them large. When headlines were thinner and shadows
  coarser, the model read the demo's ads with twice the loss, and the longer it learned the worse.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import permutations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel

from creativepair.chain import ORDERS, Order, render_chain
from creativepair.prompts import Message, Mode, describe_item, image_part, render_prompt, text_part
from creativepair.protocol import Protocol, load_protocol
from creativepair.records import Item
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.explanation import describe, explain, list_visible
from creativepair.synthetic.world import Ad, AdItem, World, compute_utility, draw_world
from model_assist.creative4u.pocket import PocketShape, make_model, make_processor
from model_assist.creative4u.processor import IMAGE_TOKEN, PairProcessor
from model_assist.creative4u.vision import ImageEncoder
from model_assist.recipes.muon import Muon
from model_assist.recipes.settings import read_settings

SETTINGS = Path(__file__).with_suffix(".yaml")

_MASTER_PX = 480
_DRAWN_PX = 240
_ROLES = ("user\n", "assistant\n")  # of the chat template
_DRAWN_AT_ONCE = 200
_IGNORED = -100
_WORTHS = "abcdefghijklmnop"
_TEXTS_FOR_TOKENS = 1_500
_MAX_TARGET_TOKENS = 600
_LOG_EVERY = 50
# Tables of rows, not maps between channels: Muon is not for them.
_NO_MATRICES = ("model.language_model.embed_tokens", "head")

Images = NDArray[np.uint8]


class PocketSettings(BaseModel):
    """What `pocket.yaml` may say; it explains each line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(ge=0)
    world_seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    num_items: int = Field(ge=1)
    ads_per_item: int = Field(ge=2)
    shape: PocketShape
    sight_steps: int = Field(ge=0)
    sight_batch: int = Field(ge=1)
    look_steps: int = Field(ge=0)
    look_batch: int = Field(ge=1)
    compare_steps: int = Field(ge=0)
    items_per_batch: int = Field(ge=1)
    chains_per_item: int = Field(ge=0)
    answers_per_item: int = Field(ge=0)
    twins: int = Field(ge=0)
    chain_weight: float = Field(ge=0)
    answer_weight: float = Field(ge=0)
    margin: float = Field(ge=0)
    worth: float = Field(ge=0)
    muon_lr: float = Field(gt=0)
    adam_lr: float = Field(gt=0)
    words_rate: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
    warmup_steps: int = Field(ge=1)
    decay_share: float = Field(gt=0, le=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One text with its images, as the model reads it.

    Attributes:
        prompt, target: token ids.
        images: which of the images that were encoded it shows.
        uncounted: tokens at the end of the target that teach nothing.
    """

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    images: tuple[int, ...]
    uncounted: int = 0


class DrawnAds:
    """Ads of a drawn world at the size of the model.

    Attributes:
        images: (ads, side, side, 3).
        utilities: (ads,) planted log CTR without the item's base.
        visible_utilities: (ads,) the part of it that a picture alone decides.
        worth: which sixteenth of all utilities each ad's is in, a letter.
        visible: (ads,) level of each attribute that a picture alone shows, by its name.
        of_item: the ads of each item, duplicates left out.
    """

    def __init__(self, world: World, images: Images) -> None:
        self.world = world
        self.images = images
        self.visible = _number_levels(world)
        self.utilities = np.array([compute_utility(ad.attributes) for ad in world.ads])
        edges = np.quantile(self.utilities, np.arange(1, len(_WORTHS)) / len(_WORTHS))
        self.worth = [_WORTHS[place] for place in np.searchsorted(edges, self.utilities)]
        # Whether the title's colour is met no picture shows.
        alone = [replace(ad.attributes, title_match="as_titled") for ad in world.ads]
        self.visible_utilities = np.array([compute_utility(each) for each in alone])
        self.items = {item.item_id: item for item in world.items}
        self.of_item: dict[str, list[int]] = {item.item_id: [] for item in world.items}
        for index, ad in enumerate(world.ads):
            if ad.aa_of is None:
                self.of_item[ad.item_id].append(index)


def _number_levels(world: World) -> dict[str, NDArray[np.int64]]:
    items = {item.item_id: item for item in world.items}
    shown = [list_visible(items[ad.item_id], ad.attributes) for ad in world.ads]
    return {
        name: np.unique([each[name] for each in shown], return_inverse=True)[1].astype(np.int64)
        for name in shown[0]
    }


def draw_ads(num_items: int, ads_per_item: int, side_px: int, *, seed: int) -> DrawnAds:
    """Draw a world and its ads."""
    world = draw_world(num_items, ads_per_item=ads_per_item, seed=seed)
    items = {item.item_id: item for item in world.items}
    shown = [(items[ad.item_id], ad, side_px) for ad in world.ads]
    if len(shown) <= _DRAWN_AT_ONCE:  # other processes would only take longer to start
        images = [_draw(each) for each in shown]
    else:
        # Spawned, not forked: threads of torch and a fork do not go together.
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            images = list(pool.map(_draw, shown, chunksize=_DRAWN_AT_ONCE))
    return DrawnAds(world, np.stack(images))


def _draw(shown: tuple[AdItem, Ad, int]) -> Images:
    item, ad, side_px = shown
    image = draw_ad(item, ad, side_px=_DRAWN_PX, master_px=_MASTER_PX)
    # As the processor scales what it is given.
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BICUBIC))


def as_item(item: AdItem) -> Item:
    """Return a drawn item as a record."""
    return Item(
        item_id=item.item_id,
        revision=1,
        title=item.title,
        category=item.category,
        queries=item.queries,
    )


def look_prompt(item: Item) -> list[Message]:
    """Return the question that asks what one ad shows; only this recipe asks it."""
    parts = [text_part("Say what this ad image shows:"), text_part(describe_item(item))]
    return [{"role": "user", "content": [*parts, image_part()]}]


class Texts:
    """Prompts and targets of drawn ads as tokens."""

    def __init__(
        self,
        ads: DrawnAds,
        processor: PairProcessor,
        protocol: Protocol,
        per_image: int,
        *,
        says_worth: bool = True,
    ) -> None:
        self._ads, self._processor, self._protocol = ads, processor, protocol
        self._per_image, self._says_worth = per_image, says_worth
        self._prompts: dict[tuple[str, str], tuple[int, ...]] = {}
        self._end = (processor.tokenizer.eos_token_id,)

    def look(self, index: int, *, names_colour: bool = True) -> Row:
        """Return what one ad shows.

        Args:
            names_colour: whether it names the colour before it says if that is the titled one. With
                the name it learns sooner; chains have none, so it has to learn without it too.
        """
        ad = self._ads.world.ads[index]
        said = describe(self._ads.items[ad.item_id], ad.attributes)
        if not names_colour:
            _, said = said.split("\n", maxsplit=1)
        # First its worth, which the words after it would give away.
        worth = f'worth "{self._ads.worth[index]}"\n' if self._says_worth else ""
        target = self.encode(worth + said) + self._end
        return Row(self._prompt(ad.item_id, "look"), target, (index,))

    def chain(self, first: int, second: int) -> Row:
        """Return a comparison with its chain."""
        one, two = self._ads.world.ads[first], self._ads.world.ads[second]
        text = explain_in_order(self._ads.items[one.item_id], one, two, self._protocol)
        target = self.encode(text) + self._end
        return Row(self._prompt(one.item_id, "chain"), target, (first, second))

    def twins(self, index: int) -> Row:
        """Return a comparison of an ad with itself; which one is better there does not count."""
        row = self.chain(index, index)
        ad = self._ads.world.ads[index]
        text = explain_in_order(self._ads.items[ad.item_id], ad, ad, self._protocol)
        last_line = text.rindex("\n", 0, text.index("\n</think>")) + 1
        told = self._processor.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True
        )
        after = sum(start >= last_line for start, _ in told["offset_mapping"])
        return replace(row, uncounted=after + len(self._end))

    def answer(self, first: int, second: int) -> Row:
        """Return a comparison that is answered at once."""
        utilities, item_id = self._ads.utilities, self._ads.world.ads[first].item_id
        text = f"<answer>{1 if utilities[first] >= utilities[second] else 2}</answer>"
        target = self.encode(text) + self._end
        return Row(self._prompt(item_id, "answer"), target, (first, second))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text."""
        return tuple(self._processor.tokenizer.encode(text, add_special_tokens=False))

    def _prompt(self, item_id: str, kind: str) -> tuple[int, ...]:
        if (item_id, kind) not in self._prompts:
            item = as_item(self._ads.items[item_id])
            text = self._processor.apply_chat_template(
                _ask(item, kind, self._protocol), tokenize=False, add_generation_prompt=True
            )
            text = text.replace(IMAGE_TOKEN, IMAGE_TOKEN * self._per_image)
            self._prompts[item_id, kind] = self.encode(text)
        return self._prompts[item_id, kind]


def _ask(item: Item, kind: str, protocol: Protocol) -> list[Message]:
    if kind == "look":
        return look_prompt(item)
    mode: Mode = "answer" if kind == "answer" else "chain"
    return render_prompt(item, protocol, mode=mode)


def explain_in_order(item: AdItem, first: Ad, second: Ad, protocol: Protocol) -> str:
    """Return the planted chain of two ads as a model writes it, the first one being image 1."""
    order: Order = ORDERS[0]
    return render_chain(explain(item, first, second, protocol), protocol, order)


class Reader:
    """Runs rows through the model; images are encoded apart, once for all rows that show them."""

    def __init__(
        self, model: PreTrainedModel, processor: PairProcessor, shape: PocketShape
    ) -> None:
        self._model = model
        self._encoder = ImageEncoder(model, shape.side_px)
        self._image_id = processor.image_token_id
        self._pad_id = processor.tokenizer.pad_token_id
        self._grid = shape.side_px // shape.patch_px
        self._per_image = shape.tokens_per_image
        self._positions: dict[tuple[int, ...], Tensor] = {}

    def encode(self, images: Images) -> Tensor:
        """Return what stands for images in the text: (images, tokens, hidden)."""
        return self._encoder.encode(images)

    def loss(self, rows: Sequence[Row], seen: Tensor) -> Tensor:
        """Return the mean loss over the tokens of the targets; `seen` as from `encode`."""
        logits, tokens, targets = self._run(rows, seen)
        flat = logits[:, :-1].flatten(0, 1).float()
        wanted = torch.where(targets, tokens, _IGNORED)[:, -logits.shape[1] + 1 :]
        return functional.cross_entropy(flat, wanted.flatten(), ignore_index=_IGNORED)

    def last_logits(self, rows: Sequence[Row], seen: Tensor) -> Tensor:
        """Return the logits after the last token of each row, (rows, vocabulary)."""
        logits, _, _ = self._run(rows, seen)
        width = max(len(row.prompt) + len(row.target) for row in rows)
        last = [len(row.prompt) + len(row.target) - 1 - width for row in rows]
        return logits[torch.arange(len(rows)), torch.tensor(last)].float()

    def _run(self, rows: Sequence[Row], seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits from the last token before the targets on, tokens, and which are targets.

        What all prompts begin with is read once: the instruction is longer than all the rest.
        """
        shared = self._count_shared(rows)
        ends = [len(row.prompt) + len(row.target) - shared for row in rows]
        first = min(len(row.prompt) for row in rows) - shared
        shape = (len(rows), max(ends))
        tokens = torch.full(shape, self._pad_id)
        real, targets = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
        positions = torch.zeros((3, *shape), dtype=torch.long)
        for number, (row, end) in enumerate(zip(rows, ends, strict=True)):
            tokens[number, :end] = torch.tensor((row.prompt + row.target)[shared:])
            real[number, :end] = 1
            targets[number, end - len(row.target) : end - row.uncounted] = True
            positions[:, number, :end] = self._places(row.prompt)[:, shared : shared + end]
        text = self._model.model.language_model
        cache = DynamicCache()
        before = torch.tensor([rows[0].prompt[:shared]])
        text(input_ids=before, cache=cache, use_cache=True)
        cache.batch_repeat_interleave(len(rows))
        embedded = text.embed_tokens(tokens)
        shown = torch.tensor([place for row in rows for place in row.images])
        is_image = (tokens == self._image_id).unsqueeze(-1)
        hidden = text(
            inputs_embeds=embedded.masked_scatter(is_image, seen[shown].flatten(0, 1)),
            attention_mask=torch.cat([torch.ones(len(rows), shared, dtype=torch.long), real], 1),
            position_ids=positions,
            cache=cache,
            use_cache=True,
        ).last_hidden_state
        return self._model.lm_head(hidden[:, first - 1 :]), tokens, targets

    def _count_shared(self, rows: Sequence[Row]) -> int:
        """Return how many tokens all prompts begin with, before any image."""
        prompts = [row.prompt for row in rows]
        until = prompts[0].index(self._image_id)
        columns = enumerate(zip(*prompts, strict=False))
        differing = (place for place, column in columns if len(set(column)) > 1)
        return min(until, next(differing, until))

    def _places(self, prompt: tuple[int, ...]) -> Tensor:
        """Return the positions of a prompt and of what may follow, (3, tokens)."""
        if prompt not in self._positions:
            tokens = torch.tensor([prompt])
            is_image = (tokens == self._image_id).long()
            grids = [[1, self._grid, self._grid]] * int(is_image.sum() // self._per_image)
            places, _ = self._model.model.get_rope_index(
                tokens, is_image, torch.tensor(grids), attention_mask=torch.ones_like(tokens)
            )
            after = torch.arange(_MAX_TARGET_TOKENS) + places.max() + 1
            self._positions[prompt] = torch.cat([places[:, 0], after.expand(3, -1)], dim=1)
        return self._positions[prompt]


# Its base is Any to mypy, which reads nothing of an extra that is not always installed.
class Sight(nn.Module):  # type: ignore[misc]
    """Reads off the mean of a picture's tokens what it shows, and its worth, linearly; a scaffold.

    Of the mean, so that each token comes to say what the whole picture shows: the model's own
    words find it there, wherever they look. Its worth, so that two can be compared at once.
    """

    def __init__(
        self, reader: Reader, num_levels: Mapping[str, int], num_channels: int, worth: float
    ) -> None:
        super().__init__()
        self._worth = worth
        self._reader = [reader]  # in a list: its weights are the model's, not ours
        self._names, self._sizes = list(num_levels), list(num_levels.values())
        self.head = nn.Linear(num_channels, sum(self._sizes) + 1)
        nn.init.zeros_(self.head.weight)

    def loss(
        self, images: Images, levels: Mapping[str, NDArray[np.int64]], worth: NDArray[np.float64]
    ) -> Tensor:
        """Return the sum over attributes of the mean loss, and that of the worth."""
        seen = self.head(self._reader[0].encode(images).mean(1)).float()
        *parts, found = torch.split(seen, [*self._sizes, 1], dim=1)
        losses = [
            functional.cross_entropy(part, torch.from_numpy(levels[name]))
            for name, part in zip(self._names, parts, strict=True)
        ]
        wanted = torch.from_numpy(worth).float()
        losses.append(self._worth * functional.mse_loss(found.squeeze(1), wanted))
        return torch.stack(losses).sum()


class PocketRecipe:
    """Set up, train, save."""

    def __init__(self, settings: PocketSettings) -> None:
        self.settings = settings
        self.protocol = load_protocol()
        self._rng = np.random.default_rng(settings.seed)

    def setup(self, ads: DrawnAds | None = None) -> None:
        """Draw the ads, unless they are given; learn the tokens, make the model."""
        told = self.settings
        side = told.shape.side_px
        self.ads = ads or draw_ads(told.num_items, told.ads_per_item, side, seed=told.world_seed)
        self.processor = make_processor(self._sample_texts(), told.shape, self._list_constants())
        self.model = make_model(self.processor, told.shape, seed=told.seed)
        per_image = told.shape.tokens_per_image
        self.texts = Texts(
            self.ads, self.processor, self.protocol, per_image, says_worth=told.worth > 0
        )
        self.reader = Reader(self.model, self.processor, told.shape)
        self._item_ids = list(self.ads.of_item)

    def train(self) -> Iterator[dict[str, float]]:
        """Take all steps, and yield the losses now and then."""
        self.model.train()
        yield from self.train_sight()
        yield from self.train_words()

    def train_sight(self) -> Iterator[dict[str, float]]:
        """Teach the eyes what one picture shows."""
        told = self.settings
        levels = {name: int(level.max()) + 1 for name, level in self.ads.visible.items()}
        sight = Sight(self.reader, levels, told.shape.hidden, told.worth)
        weights = [*self.model.model.visual.named_parameters(), *sight.named_parameters()]

        def make_losses(_step: int) -> dict[str, Tensor]:
            chosen = self._rng.integers(0, len(self.ads.world.ads), told.sight_batch)
            seen = {name: level[chosen] for name, level in self.ads.visible.items()}
            worth = self.ads.visible_utilities[chosen]
            return {"sight": sight.loss(self.ads.images[chosen], seen, worth)}

        yield from self._take_steps(told.sight_steps, 1.0, weights, make_losses)

    def train_words(self) -> Iterator[dict[str, float]]:
        """Teach it to say what one ad shows, and to compare two."""
        told = self.settings
        seen = self._encode_all()

        def make_losses(step: int) -> dict[str, Tensor]:
            # Each step takes some of everything: in turns, each undid what the others had taught.
            batches = self._next_batches(step)
            share = min(1.0, (step - told.look_steps) / told.warmup_steps)
            losses = {kind: self.reader.loss(rows, seen) for kind, rows in batches.items()}
            counting = {
                "look": 1.0,
                "chain": share * told.chain_weight,
                "answer": share * told.answer_weight,
            }
            return {kind: counting[kind] * loss for kind, loss in losses.items()}

        weights = list(self.model.model.language_model.named_parameters())
        num_steps = told.look_steps + told.compare_steps
        yield from self._take_steps(num_steps, told.words_rate, weights, make_losses)

    def _encode_all(self) -> Tensor:
        """Encode every ad once: what the eyes have learned stays as it is."""
        images, size = self.ads.images, self.settings.sight_batch
        with torch.no_grad():
            return torch.cat(
                [self.reader.encode(images[at : at + size]) for at in range(0, len(images), size)]
            )

    def _take_steps(
        self,
        num_steps: int,
        rate: float,
        weights: Sequence[tuple[str, nn.Parameter]],
        make_losses: Callable[[int], dict[str, Tensor]],
    ) -> Iterator[dict[str, float]]:
        optimisers = self._make_optimisers(weights)
        start = time.perf_counter()
        noted: dict[str, list[float]] = {}
        for step in range(num_steps):
            self._set_rates(optimisers, rate * self._rate(step, num_steps))
            losses = make_losses(step)
            for optimiser in optimisers:
                optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_([each for _, each in weights], 1.0)
            for optimiser in optimisers:
                optimiser.step()
            for kind, loss in losses.items():
                noted.setdefault(kind, []).append(loss.item())
            if (step + 1) % _LOG_EVERY == 0 or step + 1 == num_steps:
                means = {f"{name} loss": float(np.mean(v)) for name, v in noted.items()}
                yield {"step": step + 1, "seconds": time.perf_counter() - start, **means}
                noted = {}

    def save(self, folder: Path) -> None:
        """Write model and processor as the engines read them."""
        self.model.eval()
        self.model.to(torch.bfloat16).save_pretrained(folder)
        self.processor.save_pretrained(folder)

    def _sample_texts(self) -> list[str]:
        """Return texts such as the model will read and write, to learn the tokens from."""
        texts = []
        for item in self.ads.world.items[:_TEXTS_FOR_TOKENS]:
            one, two = (self.ads.world.ads[i] for i in self.ads.of_item[item.item_id][:2])
            texts.append(explain_in_order(item, one, two, self.protocol))
            texts.append(describe(item, one.attributes))
            texts.append('worth "a"\n')
            texts.append(describe_item(as_item(item)))
        return texts

    def _list_constants(self) -> list[str]:
        """Return what prompts say of every item."""
        one, other = (
            {
                part["text"]
                for kind in ("look", "chain", "answer")
                for part in _ask(as_item(item), kind, self.protocol)[0]["content"]
                if part["text"]
            }
            for item in self.ads.world.items[:2]
        )
        return sorted((one & other) | set(_ROLES))

    def _make_optimisers(
        self, weights: Sequence[tuple[str, nn.Parameter]]
    ) -> list[torch.optim.Optimizer]:
        told = self.settings
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, each in weights:
            is_matrix = each.ndim == 2 and not name.startswith(_NO_MATRICES)
            (matrices if is_matrix else others).append(each)
        return [
            Muon(matrices, lr=told.muon_lr, weight_decay=told.weight_decay),
            torch.optim.AdamW(others, lr=told.adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def _rate(self, step: int, total: int) -> float:
        """Return the share of the full rates: up at first, then falling to nothing."""
        told = self.settings
        left = (total - step) / (told.decay_share * total)
        return min(1.0, (step + 1) / told.warmup_steps) * min(1.0, left)

    def _set_rates(self, optimisers: Sequence[torch.optim.Optimizer], share: float) -> None:
        rates = (self.settings.muon_lr, self.settings.adam_lr)
        for optimiser, rate in zip(optimisers, rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * share

    def _next_batches(self, step: int) -> dict[str, list[Row]]:
        told = self.settings
        looking = self._rng.integers(0, len(self.ads.world.ads), told.look_batch).tolist()
        batches = {
            "look": [
                self.texts.look(index, names_colour=place % 2 == 0)
                for place, index in enumerate(looking)
            ]
        }
        if step > told.look_steps:
            kinds = {
                "chain": (self.texts.chain, told.chains_per_item),
                "answer": (self.texts.answer, told.answers_per_item),
            }
            batches |= {kind: self._compare(*each) for kind, each in kinds.items() if each[1]}
            same = self._rng.integers(0, len(self.ads.world.ads), told.twins).tolist()
            if same:
                twins = [self.texts.twins(index) for index in same]
                batches["chain"] = [*batches.get("chain", []), *twins]
        return batches

    def _compare(self, make: Callable[[int, int], Row], most: int) -> list[Row]:
        """Return rows on pairs of some items, at most so many of each."""
        rows: list[Row] = []
        while not rows:  # every pair may be too close
            for number in self._rng.integers(0, len(self._item_ids), self.settings.items_per_batch):
                ads = self.ads.of_item[self._item_ids[number]]
                pairs = list(permutations(ads, 2))
                for pick in self._rng.permutation(len(pairs))[:most]:
                    first, second = pairs[pick]
                    gap = self.ads.utilities[first] - self.ads.utilities[second]
                    if abs(gap) > self.settings.margin:
                        rows.append(make(first, second))
        return rows


def main() -> None:
    """Train and save."""
    folder, *overrides = sys.argv[1:]
    recipe = PocketRecipe(read_settings(PocketSettings, SETTINGS, overrides))
    torch.set_num_threads(recipe.settings.threads)
    start = time.perf_counter()
    recipe.setup()
    _say(f"set up in {time.perf_counter() - start:.0f} s")
    for told in recipe.train():
        _say(" ".join(f"{name} {value:.4g}" for name, value in told.items()))
    recipe.save(Path(folder))
    _say(f"trained and saved in {time.perf_counter() - start:.0f} s")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
