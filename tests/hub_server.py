"""A stand-in for the Hugging Face Hub: one dataset repository, for the Hub's own client.

Every file comes inside its commit, as small ones do on the Hub; large ones go there another way.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.desk_server import free_port
from tests.local_server import serve

REPOSITORY = "me/mugs"
GIT_FILES = {".gitattributes": b"*.parquet filter=lfs"}
Files = dict[str, bytes]
_API = f"/api/datasets/{REPOSITORY}"


@dataclass
class HubServer:
    """What the repository holds; a commit is all its files, named by its number.

    Attributes:
        visibility: as it was asked for when it was made; None before.
        refused: words of the request to answer with 403, such as `tag` or `commit 1`.
    """

    commits: list[Files] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    visibility: str | None = None
    refused: str | None = None
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def create(self, request: Request) -> Response:
        asked = await request.json()
        assert (asked["name"], asked["organization"], asked["type"]) == ("mugs", "me", "dataset")
        if self.refused == "create":
            return self._refuse()
        if self.commits:
            again = {"error": "You already created it", "url": f"{self.url}/datasets/{REPOSITORY}"}
            return JSONResponse(again, status_code=409)
        self.commits, self.visibility = [dict(GIT_FILES)], asked["visibility"]
        return JSONResponse({"url": f"{self.url}/datasets/{REPOSITORY}"})

    async def refs(self, request: Request) -> Response:
        main = _ref("heads", "main", len(self.commits) - 1)
        tags = [_ref("tags", name, commit) for name, commit in self.tags.items()]
        return JSONResponse({"branches": [main], "converts": [], "tags": tags})

    async def tree(self, request: Request) -> Response:
        files = self.commits[self._find(request)]
        folder = {"type": "directory", "path": "data", "oid": "0" * 40, "size": 0}
        return JSONResponse([folder, *(_entry(path, data) for path, data in files.items())])

    async def about(self, request: Request) -> Response:
        commit = self._find(request)
        siblings = [{"rfilename": path} for path in self.commits[commit]]
        return JSONResponse({"id": REPOSITORY, "sha": str(commit), "siblings": siblings})

    async def validate(self, request: Request) -> Response:
        assert (await request.json())["content"].startswith("---\n")  # of the card
        return JSONResponse({"errors": [], "warnings": []})

    async def preupload(self, request: Request) -> Response:
        head = self.commits[-1]
        return JSONResponse(
            {
                "files": [
                    {
                        "path": asked["path"],
                        "uploadMode": "regular",
                        "shouldIgnore": False,
                        "oid": _blob(head[asked["path"]]) if asked["path"] in head else None,
                    }
                    for asked in (await request.json())["files"]
                ]
            }
        )

    async def commit(self, request: Request) -> Response:
        if self.refused == f"commit {len(self.commits)}":
            return self._refuse()
        files = dict(self.commits[-1])
        for line in (await request.body()).splitlines():
            step = json.loads(line)
            what = step["value"]
            if step["key"] == "file":
                files[what["path"]] = base64.b64decode(what["content"])
            elif step["key"] == "deletedFile":
                del files[what["path"]]
            else:
                assert step["key"] == "header"
        self.commits.append(files)
        oid = str(len(self.commits) - 1)
        url = f"{self.url}/datasets/{REPOSITORY}/commit/{oid}"
        return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url})

    async def tag(self, request: Request) -> Response:
        if self.refused == "tag":
            return self._refuse()
        name = (await request.json())["tag"]
        if name in self.tags:
            return JSONResponse({"error": "Tag exists"}, status_code=409)
        self.tags[name] = self._find(request)
        return JSONResponse({})

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer on loopback until the end of the block."""
        app = Starlette(
            routes=[
                Route("/api/repos/create", self.create, methods=["POST"]),
                Route("/api/validate-yaml", self.validate, methods=["POST"]),
                Route(f"{_API}/refs", self.refs),
                Route(f"{_API}/tree/{{revision}}", self.tree),
                Route(f"{_API}/revision/{{revision}}", self.about),
                Route(_API, self.about),
                Route(f"{_API}/preupload/{{revision}}", self.preupload, methods=["POST"]),
                Route(f"{_API}/commit/{{revision}}", self.commit, methods=["POST"]),
                Route(f"{_API}/tag/{{revision}}", self.tag, methods=["POST"]),
            ]
        )
        with serve(app, self.port):
            yield

    def _find(self, request: Request) -> int:
        revision = request.path_params.get("revision", "main")
        return len(self.commits) - 1 if revision == "main" else int(revision)

    def _refuse(self) -> Response:
        return JSONResponse({"error": "This token may not write here"}, status_code=403)


def _ref(kind: str, name: str, commit: int) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": str(commit)}


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
    if path.endswith(".parquet"):
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
    return entry


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
