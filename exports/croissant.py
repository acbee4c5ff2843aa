"""`croissant.json`: the release in the vocabulary that dataset search and loaders share.

Record sets name the scalar columns and the images of each configuration; what Croissant has no type
for (lists of messages) is in the Parquet files and not here.

Source: Croissant 1.0, https://docs.mlcommons.org/croissant/docs/croissant-spec.html, and its
vocabulary for responsible AI, 1.0.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from creativepair.checksums import FileEntry
from exports.configurations import CONFIGURATIONS
from exports.manifest import Description
from exports.parquet import IMAGE, TIME, Configuration
from exports.plan import ConfigName

CROISSANT_FILE = "croissant.json"
_PARQUET = "application/x-parquet"
_TYPES = {
    pa.string(): "sc:Text",
    pa.float64(): "sc:Float",
    pa.int64(): "sc:Integer",
    pa.bool_(): "sc:Boolean",
    TIME: "sc:DateTime",
}
_DESCRIPTIONS: dict[ConfigName, str] = {
    "default": "Pairs of ad images of one item, with labels, evidence and reasoning chain.",
    "cot": "Pairs in both orders whose reasoning chain stands whole.",
    "prompts": "Pairs in both orders with the right digit.",
    "preference": "Pairs in both orders, with what is preferred and what it is preferred to.",
    "annotations": "Finished judgements under pseudonyms.",
    "drafts": "Reasoning chains that machines drafted.",
}
# As the specification gives it; loaders warn about any other.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def render_croissant(name: str, release: Description, data: Mapping[str, FileEntry]) -> str:
    """Return the text of `croissant.json`.

    Args:
        name: of the workspace.
        data: the Parquet files of the release.
    """
    card = release.settings.plan.card
    configurations = [CONFIGURATIONS[config] for config in release.counts.configurations]
    metadata = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": name,
        "description": card.description
        or "Pairs of ad images of the same item, each with the answer to: which image is a user "
        "more likely to click?",
        "version": release.version,
        "datePublished": release.created.isoformat(),
        **({"license": card.license} if card.license != "unknown" else {}),
        **({"citeAs": card.citation} if card.citation else {}),
        **_responsibly(release),
        "distribution": [
            *(_file_object(path, entry) for path, entry in sorted(data.items())),
            *(_file_set(configuration) for configuration in configurations),
        ],
        "recordSet": [_record_set(configuration) for configuration in configurations],
    }
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"


def _responsibly(release: Description) -> dict[str, Any]:
    """Return what the Responsible AI vocabulary asks, from what the store knows."""
    counts, lineage = release.counts, release.lineage
    questions = "; ".join(question.asks for question in lineage.protocol.questions)
    limitations = [
        "Clicks are not purchases, and what won here need not win elsewhere or later.",
        "Pairs of one item share images and are not independent.",
    ]
    if counts.synthetic_rows:
        limitations.append(f"{counts.synthetic_rows:,} of {counts.rows:,} pairs are synthetic.")
    biases = [
        f"Judgements by what was seen before the verdict: {_listing(counts.arms)}.",
        f"Traffic randomised between the two images: {_listing(counts.randomised)}.",
    ]
    return {
        "rai:dataCollection": "Exposure logs of ad images, counted by image, and judgements of "
        f"people: {counts.finals:,} by {counts.annotators:,} annotators "
        f"({_listing(counts.judgement_sources)}).",
        "rai:dataAnnotationProtocol": f"Creative Evaluation Protocol {lineage.protocol.version}: "
        + questions,
        "rai:dataAnnotationPlatform": f"CreativePair {lineage.creativepair}",
        "rai:annotationsPerItem": f"{counts.finals / counts.rows:.2f}",
        "rai:machineAnnotationTools": sorted(
            f"{drafter.drafter} ({drafter.model_version})" for drafter in lineage.drafters
        ),
        "rai:dataLimitations": limitations,
        "rai:dataBiases": biases,
        "rai:personalSensitiveInformation": "Annotators stand under pseudonyms. Images may show "
        "people; their metadata was removed.",
    }


def _file_object(path: str, entry: FileEntry) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": entry.sha256,
    }


def _file_set(configuration: Configuration) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{configuration.name}-files",
        "name": f"{configuration.name}-files",
        "encodingFormat": _PARQUET,
        "includes": f"{configuration.folder}/*.parquet",
    }


def _record_set(configuration: Configuration) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": configuration.name,
        "name": configuration.name,
        "description": _DESCRIPTIONS[configuration.name],
        "field": list(_fields(configuration)),
    }


def _fields(configuration: Configuration) -> Iterator[dict[str, Any]]:
    for name, column in configuration.columns.items():
        repeated = pa.types.is_list(column)
        of = column.value_type if repeated else column
        if (of != IMAGE and of not in _TYPES) or (of == IMAGE and repeated):
            continue
        source: dict[str, Any] = {
            "fileSet": {"@id": f"{configuration.name}-files"},
            "extract": {"column": name},
        }
        if of == IMAGE:
            source["transform"] = {"jsonPath": "bytes"}
        yield {
            "@type": "cr:Field",
            "@id": f"{configuration.name}/{name}",
            "name": name,
            "dataType": "sc:ImageObject" if of == IMAGE else _TYPES[of],
            **({"repeated": True} if repeated else {}),
            "source": source,
        }


def _listing(entries: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in entries.items())
