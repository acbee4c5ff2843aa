"""Label Studio: tasks with the drafts as predictions and the judgements as annotations.

`A` and `B` are the identities of the release, whatever side a person saw them on. Images are
addressed as Label Studio serves local files, with the folder of this export as its document root.

Source: https://labelstud.io/guide/tasks (format), https://labelstud.io/guide/storage (local files).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exports.formats.source import ImageFolder, ReleasedPair, ReleaseSource
from exports.parquet import Record

_LOCAL_FILES = "/data/local-files/?d="
_CONFIG = """<View>
  <Header value="$title"/>
  <Text name="queries" value="$queries"/>
  <View style="display: flex; gap: 1em">
    <Image name="image_a" value="$image_a"/>
    <Image name="image_b" value="$image_b"/>
  </View>
  <Choices name="answer" toName="image_a" choice="single" showInline="true">
    <Choice value="A"/>
    <Choice value="B"/>
    <Choice value="cannot_tell"/>
    <Choice value="broken"/>
  </Choices>
  <TextArea name="reason" toName="image_a" rows="3"/>
</View>
"""


def write_label_studio(source: ReleaseSource, folder: Path) -> None:
    """Write `<split>.json`, a list of tasks, `labeling_config.xml`, and the images."""
    (folder / "labeling_config.xml").write_text(_CONFIG, encoding="utf-8")
    images = ImageFolder(folder)
    for split in source.splits:
        with (folder / f"{split}.json").open("w", encoding="utf-8") as file:
            for number, pair in enumerate(source.pairs(split)):
                file.write(",\n" if number else "[\n")
                json.dump(_task(pair, images), file, ensure_ascii=False)
            file.write("\n]\n")


def _task(pair: ReleasedPair, images: ImageFolder) -> dict[str, Any]:
    record = pair.default
    shown = {name: _LOCAL_FILES + images.add(record[name]) for name in ("image_a", "image_b")}
    texts = {
        name: record[name] or ""
        for name in ("pair_id", "item_id", "title", "category", "label", "label_ctr", "chain")
    }
    return {
        "data": {**texts, "queries": "; ".join(record["queries"]), "split": pair.split, **shown},
        "predictions": [_prediction(draft) for draft in pair.drafts],
        "annotations": [
            # Label Studio takes what is imported for the truth unless it is told otherwise.
            {"result": list(_results(one)), "ground_truth": False}
            for one in pair.annotations
        ],
    }


def _prediction(draft: Record) -> dict[str, Any]:
    prob_a = draft["prob_a"]
    return {
        "model_version": f"{draft['drafter']} {draft['model_version']}",
        "score": prob_a if draft["answer"] == "A" else 1 - prob_a,
        "result": [_choice(draft["answer"])],
    }


def _results(annotation: Record) -> Iterator[dict[str, Any]]:
    yield _choice(annotation["final"])
    if annotation["reason"]:
        yield _result("reason", "textarea", {"text": [annotation["reason"]]})


def _choice(answer: str) -> dict[str, Any]:
    return _result("answer", "choices", {"choices": [answer]})


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "image_a", "type": kind, "value": value}
