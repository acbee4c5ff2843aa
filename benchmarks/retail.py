"""python benchmarks/retail.py [--seed 0]

Takes real product photos the whole way: ingest, pairs, drafts, judgements, release, verify.

The 142 photos are in `shared/data/retail_products` beside the repository (from the Retail Demo
Store, MIT-0). They come without any log: every impression and click here is INVENTED, drawn from a
click-through rate planted per variant, and says so in its source and in the name of the workspace.
Each photo is an item, and each item has five creatives that differ as ads do: the photo, a tight
crop, a darker one, one with a caption bar, one with a border. Two more are copies on purpose: the
same bytes, declared with `aa_of`, and a re-encoded photo, which must be found as too alike.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from app.bootstrap import Studio
from benchmarks.upworthy import (
    DATA,
    Stopwatch,
    describe_journey,
    print_table,
    travel,
    write_csv,
)
from creativepair.store import create_store
from creativepair.workspace import Review, Settings, create_workspace

BASE_CTR = 0.02
MEAN_IMPRESSIONS = 12_000
# Invented: how often each variant is clicked, against the photo as it is.
PLANTED = {
    "photo": 1.0,
    "crop": 1.25,
    "dark": 0.6,
    "caption": 1.7,
    "border": 0.95,
    "twin": 1.0,
    "recoded": 1.0,
}
COPIES = ("twin", "recoded")
_SPREAD = 0.15  # standard deviation of log CTR of an item's variants around the planted ones
_JPEG_QUALITY = 90
_RECODED_QUALITY = 70
Product = Mapping[str, str]


def crop_tightly(image: Image.Image) -> Image.Image:
    """Return the middle 60 % of each side."""
    width, height = image.size
    box = (round(0.2 * width), round(0.2 * height), round(0.8 * width), round(0.8 * height))
    return image.crop(box)


def darken(image: Image.Image) -> Image.Image:
    """Return the photo at 45 % brightness."""
    return ImageEnhance.Brightness(image).enhance(0.45)


def add_border(image: Image.Image) -> Image.Image:
    """Return the photo in a broad coloured frame."""
    return ImageOps.expand(image, border=round(0.08 * max(image.size)), fill="#c2452d")


def add_caption(image: Image.Image, words: str) -> Image.Image:
    """Return the photo with a bar along its foot that holds words."""
    captioned = image.copy()
    width, height = captioned.size
    bar = round(0.2 * height)
    draw = ImageDraw.Draw(captioned)
    draw.rectangle((0, height - bar, width, height), fill="#14303d")
    size = bar * 0.45
    while size > 8 and draw.textlength(words, ImageFont.load_default(size=size)) > 0.92 * width:
        size *= 0.9
    font = ImageFont.load_default(size=size)
    draw.text((width / 2, height - bar / 2), words, "white", font, anchor="mm")
    return captioned


def make_variants(image: Image.Image, words: str) -> dict[str, Image.Image]:
    """Return the pictures that are made from a photo, by name of the variant."""
    makers: dict[str, Callable[[Image.Image], Image.Image]] = {
        "crop": crop_tightly,
        "dark": darken,
        "caption": lambda photo: add_caption(photo, words),
        "border": add_border,
    }
    return {name: make(image) for name, make in makers.items()}


def read_products(folder: Path) -> list[Product]:
    """Read the product records."""
    with (folder / "products.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_inputs(folder: Path, photos: Path, products: Sequence[Product], seed: int) -> int:
    """Write the input files with invented logs; returns how many pictures were made."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    items, creatives, exposures = [], [], []
    for product in products:
        item_id = Path(product["image"]).stem
        title = product["name"] or product["category"]
        items.append((item_id, title, product["category"]))
        _write_pictures(folder / "images", photos / product["image"], item_id, title)
        for variant, factor in PLANTED.items():
            file = f"{item_id}-{'photo' if variant == 'twin' else variant}.jpg"
            twin = f"{item_id}-photo" if variant == "twin" else ""
            creatives.append((item_id, f"{item_id}-{variant}", file, twin))
            # A copy draws no luck of its own: nothing but chance may set it apart.
            luck = 0.0 if variant in ("photo", *COPIES) else rng.normal(0, _SPREAD)
            impressions = int(rng.poisson(MEAN_IMPRESSIONS))
            clicks = int(rng.binomial(impressions, BASE_CTR * factor * np.exp(luck)))
            exposures.append((item_id, f"{item_id}-{variant}", "invented", impressions, clicks))
    write_csv(folder / "items.csv", ("item_id", "title", "category"), items)
    columns: tuple[str, ...] = ("item_id", "creative_id", "image", "aa_of")
    write_csv(folder / "creatives.csv", columns, creatives)
    columns = ("item_id", "creative_id", "source", "impressions", "clicks")
    write_csv(folder / "exposures.csv", columns, exposures)
    return len(list((folder / "images").iterdir()))


def _write_pictures(folder: Path, photo: Path, item_id: str, words: str) -> None:
    (folder / f"{item_id}-photo.jpg").write_bytes(photo.read_bytes())
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    image.save(folder / f"{item_id}-recoded.jpg", quality=_RECODED_QUALITY)
    for name, variant in make_variants(image, words).items():
        variant.save(folder / f"{item_id}-{name}.jpg", quality=_JPEG_QUALITY)


def main() -> None:
    """Run in a temporary folder and print the table."""
    parser = argparse.ArgumentParser(description="Variants of real product photos.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    source = DATA / "retail_products"
    if not source.is_dir():
        print(f"No data: this benchmark reads {source.relative_to(DATA.parents[1])}, not shipped.")
        return
    products = read_products(source)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="retail-") as folder:
        root = Path(folder).resolve()
        with watch.step("drawing"):
            num_pictures = write_inputs(root / "input", source / "images", products, given.seed)
        settings = Settings(
            name="Retail photos, invented logs", review=Review(overlap_share=0, blind_only=0)
        )
        workspace = create_workspace(root / "workspace", settings)
        studio = Studio(workspace, create_store(workspace.database_url))
        journey = travel(studio, root / "input", watch)
        studio.store.close()
    print_table(
        {
            "impressions and clicks": ("INVENTED", ""),
            "photos": (f"{len(products):,}", ""),
            "pictures": (f"{num_pictures:,}", ""),
            **describe_journey(journey, watch),
        }
    )


if __name__ == "__main__":
    main()
