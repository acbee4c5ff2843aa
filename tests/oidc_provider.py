"""A small OpenID Connect provider, real on the wire, that lets anybody in as whom a test says."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.desk_server import free_port
from tests.local_server import serve

CLIENT_ID = "creativepair"
CLIENT_SECRET = "a secret between two servers"
Claims = dict[str, Any]


@cache
def own_key() -> RSAKey:
    """Return the key whose public half the provider lists."""
    return RSAKey.generate_key(2048, {"kid": "1"})


@dataclass
class OidcProvider:
    """Serves one client; `claims` are of the person who is at the browser.

    Args:
        change: what it does to the claims of a token before it signs them.
        error: what it sends back in place of a code.
    """

    claims: Claims
    change: Callable[[Claims], Claims] = lambda claims: claims
    error: str | None = None
    port: int = field(default_factory=free_port)
    signs_with: RSAKey = field(default_factory=own_key)
    _begun: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def discover(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        back = {"state": asked["state"]}
        if self.error:
            back["error"] = self.error
        else:
            back["code"] = secrets.token_urlsafe(16)
            self._begun[back["code"]] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=302)

    async def exchange(self, request: Request) -> Response:
        sent = dict(parse_qsl((await request.body()).decode()))
        begun = self._begun.pop(sent["code"], None)
        known = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        challenge = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        if (
            begun is None
            or request.headers.get("authorization") != f"Basic {known}"
            or begun["client_id"] != CLIENT_ID
            or begun["redirect_uri"] != sent["redirect_uri"]
            or begun["code_challenge"] != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "7",
            "iat": now,
            "exp": now + 300,
            "nonce": begun["nonce"],
            **self.claims,
        }
        token = jwt.encode({"alg": "RS256", "kid": "1"}, self.change(claims), self.signs_with)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": token})

    async def list_keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [own_key().as_dict(private=False)]})

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer on loopback until the end of the block."""
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discover),
                Route("/authorize", self.authorize),
                Route("/token", self.exchange, methods=["POST"]),
                Route("/keys", self.list_keys),
            ]
        )
        with serve(app, self.port):
            yield
