"""python benchmarks/fingerprints.py [--pictures 240] [--seed 0]

Images per second of hashing and thumbnails, against the limit that decoding alone sets.

Two sets of pictures, each measured in one process and in two: JPEGs of 800 px that the benchmark
draws (gradients, noise, shapes), and the 142 photos of `shared/data` beside the repository where
they are there. Every way decodes the same bytes in the same run, and ways take
turns, so that other work on the machine slows all of them. Hashes are compared with imagehash's.
The last table is about pairs: what one thumbnail costs, made and kept.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import imagehash
import numpy as np
from PIL import Image, ImageDraw
from threadpoolctl import threadpool_limits

from creativepair.fingerprints import fingerprint, thumbnail_rgb
from creativepair.images import decode, encode_derivative
from creativepair.thumbnails import ThumbnailCache, thumbnail_of_derivative

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "retail_products" / "images"
ROUNDS = 3
SIDE_PX = 800


def draw_jpeg(rng: np.random.Generator) -> bytes:
    """Draw a picture with the smooth parts, edges and grain of a photo."""
    coarse = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        x, y, r = (int(v) for v in rng.integers(20, (SIDE_PX, SIDE_PX, 200)))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    grain = rng.normal(0, rng.uniform(1, 4), (SIDE_PX, SIDE_PX, 1))
    pixels = (np.asarray(image) + grain).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def open_rgb(data: bytes) -> Image.Image:
    """Decode, and nothing else: the limit."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def hash_ours(data: bytes) -> tuple[str, str, str]:
    """Decode, hash and make the thumbnail."""
    image = open_rgb(data)
    found = fingerprint(image)
    thumbnail_rgb(image)
    return found.phash, found.dhash, found.colorhash


def hash_by_imagehash(data: bytes) -> tuple[str, str, str]:
    """Do the same by calling one library after another."""
    image = open_rgb(data)
    hashes = str(imagehash.phash(image)), str(imagehash.dhash(image))
    image.resize((64, 64), Image.Resampling.LANCZOS)
    return *hashes, str(imagehash.colorhash(image))


def prepare(data: bytes) -> None:
    """Do all that an ingest does with a picture, but store it."""
    image = decode(data, name="picture").image
    thumbnail_of_derivative(encode_derivative(image))
    fingerprint(image)


WAYS: dict[str, Callable[[bytes], object]] = {
    "decode only": open_rgb,
    "decode, hashes, thumbnail": hash_ours,
    "the same, imagehash and Lanczos called in turn": hash_by_imagehash,
    "all of an ingest but the disk": prepare,
}


def time_way(way: Callable[[bytes], object], pictures: Sequence[bytes]) -> float:
    """Return images per second in this process."""
    start = time.perf_counter()
    for data in pictures:
        way(data)
    return len(pictures) / (time.perf_counter() - start)


def start_worker() -> None:
    """Keep each process to one core, and fill its tables before anything is timed."""
    threadpool_limits(limits=1)
    hash_ours(draw_jpeg(np.random.default_rng(0)))


def time_in_pool(pool: ProcessPoolExecutor, name: str, pictures: Sequence[bytes]) -> float:
    """Return images per second in two processes."""
    start = time.perf_counter()
    list(pool.map(run_way, [name] * len(pictures), pictures, chunksize=10))
    return len(pictures) / (time.perf_counter() - start)


def run_way(name: str, data: bytes) -> None:
    """Run one way in a worker."""
    WAYS[name](data)


def compare(title: str, pictures: Sequence[bytes]) -> None:
    """Print the table of one set of pictures."""
    num_equal = sum(hash_ours(data) == hash_by_imagehash(data) for data in pictures)
    size_kb = np.mean([len(data) for data in pictures]) / 1000
    alone: dict[str, list[float]] = {name: [] for name in WAYS}
    pooled: dict[str, list[float]] = {name: [] for name in WAYS}
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=start_worker) as pool:
        time_in_pool(pool, "decode only", pictures)  # starts both
        for _ in range(ROUNDS):
            for name, way in WAYS.items():
                alone[name].append(time_way(way, pictures))
                pooled[name].append(time_in_pool(pool, name, pictures))
    print(f"\n{title}: {len(pictures)} pictures of {size_kb:.0f} kB; ", end="")
    print(f"hashes equal to imagehash's: {num_equal} of {len(pictures)}\n")
    print(
        "| images per second | 1 process | ratio | 2 processes | ratio |\n|---|---:|---:|---:|---:|"
    )
    for name in WAYS:
        cells = []
        for speeds in (alone, pooled):
            ratios = [a / b for a, b in zip(speeds[name], speeds["decode only"], strict=True)]
            cells.append(f"{median(speeds[name]):,.0f} | {median(ratios):.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


def compare_thumbnails(pictures: Sequence[bytes]) -> None:
    """Print what the thumbnail of a derivative costs, made and kept."""
    derivatives = [encode_derivative(open_rgb(data)) for data in pictures]
    names = [sha256(data).hexdigest() for data in derivatives]
    with tempfile.TemporaryDirectory() as folder:
        cache = ThumbnailCache(Path(folder))
        start = time.perf_counter()
        for data in derivatives:
            thumbnail_rgb(open_rgb(data))
        whole = time.perf_counter() - start
        start = time.perf_counter()
        made = [thumbnail_of_derivative(data) for data in derivatives]
        reduced = time.perf_counter() - start
        for name, thumbnail in zip(names, made, strict=True):
            cache.put(name, thumbnail)
        start = time.perf_counter()
        for name in names:
            cache.get(name)
        kept = time.perf_counter() - start
    print("\n| a thumbnail | ms | minutes for 200,000 |\n|---|---:|---:|")
    for label, seconds in (
        ("derivative decoded whole", whole),
        ("derivative decoded at reduced size", reduced),
        ("kept at ingest, read", kept),
    ):
        each = seconds / len(derivatives)
        print(f"| {label} | {each * 1e3:.2f} | {each * 200_000 / 60:.1f} |")


def main() -> None:
    """Run both sets and print the tables."""
    parser = argparse.ArgumentParser(description="Hashing against decoding.")
    parser.add_argument("--pictures", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    threadpool_limits(limits=1)
    rng = np.random.default_rng(given.seed)
    drawn = [draw_jpeg(rng) for _ in range(given.pictures)]
    print(f"{os.cpu_count()} cores, median of {ROUNDS} rounds")
    compare(f"Drawn, {SIDE_PX} px", drawn)
    if PHOTOS.is_dir():
        compare("Real photos", [photo.read_bytes() for photo in sorted(PHOTOS.glob("*.jpg"))])
    else:
        print("\nNo real photos: shared/data/retail_products is not shipped.")
    compare_thumbnails(drawn)


if __name__ == "__main__":
    main()
