"""Signing in through an OpenID Connect provider: it says who comes, and its word is checked.

The authorization code flow with PKCE, as Authlib does it. What must be remembered until the
browser comes back (state, nonce, verifier) lies in a signed cookie of that browser, for minutes:
an answer that was begun in another browser counts for nothing, and a restart loses none.
"""

import hashlib
import logging
import os
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.accounts.sessions import SignInError
from creativepair.errors import StateError
from creativepair.workspace import Oidc

OIDC_PATH = "/sign-in/oidc"
RETURN_PATH = f"{OIDC_PATH}/back"
SECRET_VARIABLE = "CREATIVEPAIR_OIDC_SECRET"  # noqa: S105 (the name of a variable)
BEGUN_COOKIE = "creativepair_begun"
BEGUN_SECONDS = 600
_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


class OidcClient:
    """The desk's side of one provider.

    Raises:
        StateError: when the libraries or the client's secret are missing.
    """

    def __init__(self, oidc: Oidc) -> None:
        secret = os.environ.get(SECRET_VARIABLE)
        if not secret:
            raise StateError(
                f"people sign in through {oidc.issuer}, but {SECRET_VARIABLE} is not set",
                hint="Put the client's secret into it, or take [oidc] out of creativepair.toml",
            )
        try:
            from authlib.common.errors import AuthlibBaseError
            from authlib.integrations.base_client.errors import MismatchingStateError
            from authlib.integrations.starlette_client import OAuth
            from httpx2 import HTTPError
            from itsdangerous import BadData, URLSafeTimedSerializer
            from joserfc.errors import JoseError
        except ImportError as error:
            raise StateError(
                f"signing in through a provider needs {error.name}",
                hint='Run: pip install "creativepair[oidc]"',
            ) from error
        self._settings = oidc
        self._strange = (BadData, MismatchingStateError)
        # Beside what the libraries raise: an answer that is no JSON, or lacks what it must hold.
        self._faults = (AuthlibBaseError, JoseError, HTTPError, ValueError, RuntimeError, KeyError)
        self._client: Any = OAuth().register(
            "oidc",
            client_id=oidc.client_id,
            client_secret=secret,
            server_metadata_url=f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": oidc.scope,
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_S,
            },
        )
        key = hashlib.sha256(f"begun sign-ins\n{secret}".encode()).digest()
        self._begun = URLSafeTimedSerializer(key, salt=BEGUN_COOKIE)

    async def begin(self, request: Request) -> Response:
        """Send a browser to the provider.

        Raises:
            SignInError: when the provider does not answer as one.
        """
        kept: dict[str, Any] = {}
        back = f"{request.url.scheme}://{request.url.netloc}{RETURN_PATH}"
        try:
            response: Response = await self._client.authorize_redirect(
                _with_session(request, kept), back
            )
        except self._faults as error:
            raise self._unusable(error) from error
        response.set_cookie(
            BEGUN_COOKIE,
            self._begun.dumps(kept),
            max_age=BEGUN_SECONDS,
            path=OIDC_PATH,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    async def identify(self, request: Request) -> str:
        """Return the user id of whom the provider sent back.

        Raises:
            SignInError: when the browser did not begin here, the provider refused, its word does
                not hold (signature, issuer, client, nonce, time), or it names nobody.
        """
        cookie = request.cookies.get(BEGUN_COOKIE, "")
        try:
            kept = self._begun.loads(cookie, max_age=BEGUN_SECONDS)
        except self._strange as error:
            raise _not_begun() from error
        if problem := request.query_params.get("error"):
            # What a link says is not shown: anybody can make one.
            _log.warning("%s refused a sign-in: %.100r", self._settings.issuer, problem)
            raise _refused(f"{self._settings.name} did not let you in", hint="Try again.")
        expected = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": self._settings.client_id},
        }
        try:
            token = await self._client.authorize_access_token(
                _with_session(request, kept), claims_options=expected
            )
            claims = token["userinfo"]
        except self._strange as error:
            raise _not_begun() from error
        except self._faults as error:
            raise self._unusable(error) from error
        return self._user_id(claims)

    def _user_id(self, claims: Mapping[str, Any]) -> str:
        claim = self._settings.claim
        found = claims.get(claim)
        # An address that nobody checked is whatever its owner wrote.
        if not isinstance(found, str) or (
            claim == "email" and claims.get("email_verified") is not True
        ):
            state = "not verified" if found else "missing"
            _log.warning("refused a sign-in: the claim %s of %.100r is %s", claim, found, state)
            raise _refused(
                f"{self._settings.name} does not say who you are: {claim} is {state}",
                hint="Ask whoever runs this desk.",
            )
        # Lowering makes a K of the sign for kelvin, and so somebody else of its owner.
        return found.lower() if found.isascii() else found

    def _unusable(self, error: Exception) -> SignInError:
        issuer = self._settings.issuer
        _log.warning("a sign-in through %s failed: %s: %s", issuer, type(error).__name__, error)
        return _refused(
            f"signing in through {self._settings.name} failed",
            hint="Try again; if it stays so, ask whoever runs this desk to read its log.",
            status=502,
        )


def _with_session(request: Request, kept: dict[str, Any]) -> Request:
    """Return the request for Authlib; `session` of the scope itself belongs to Streamlit."""
    return Request({**request.scope, "session": kept})


def _not_begun() -> SignInError:
    return _refused(
        "this sign-in was not begun in this browser, or too long ago", hint="Begin again here."
    )


def _refused(message: str, *, hint: str, status: int = 403) -> SignInError:
    return SignInError(message, hint=hint, status=status)
