"""WebDataset: tar files in which a pair is `<pair_id>.a.jpg`, `<pair_id>.b.jpg`, `<pair_id>.json`.

Source: https://github.com/webdataset/webdataset. Hugging Face `datasets` reads it too.
"""

import json
import tarfile
from io import BytesIO
from pathlib import Path

from exports.formats.source import ReleasedPair, ReleaseSource

SHARD_BYTES = 256 * 2**20
_IMAGES = {"image_a": "a.jpg", "image_b": "b.jpg"}


def write_webdataset(source: ReleaseSource, folder: Path) -> None:
    """Write `<split>-NNNNN.tar`, a new one after `SHARD_BYTES`."""
    for split in source.splits:
        shard: tarfile.TarFile | None = None
        number = 0
        for pair in source.pairs(split):
            if shard is None or shard.offset > SHARD_BYTES:
                if shard:
                    shard.close()
                # USTAR has no field for a machine or a user that is not set below.
                path = folder / f"{split}-{number:05d}.tar"
                shard = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                number += 1
            _add(shard, pair, int(source.created.timestamp()))
        if shard:
            shard.close()


def _add(shard: tarfile.TarFile, pair: ReleasedPair, mtime: int) -> None:
    said = {name: value for name, value in pair.default.items() if name not in _IMAGES}
    files = {end: pair.default[column]["bytes"] for column, end in _IMAGES.items()}
    files["json"] = json.dumps(said, ensure_ascii=False).encode()
    for end, data in files.items():
        member = tarfile.TarInfo(f"{pair.default['pair_id']}.{end}")
        member.size, member.mtime = len(data), mtime
        shard.addfile(member, BytesIO(data))
