"""The pages on which people sign in and out and set a password; none needs a script."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.accounts.links import LINK_PATH, accept_link, find_invited
from app.accounts.oidc import BEGUN_COOKIE, OIDC_PATH, RETURN_PATH, OidcClient
from app.accounts.sessions import (
    SESSION_COOKIE,
    SESSION_TIME,
    SignInError,
    admit,
    count_visit,
    sign_in,
    sign_out,
)
from app.bootstrap import Studio
from creativepair.errors import CreativePairError, InputError, NotFoundError
from creativepair.store.users import Purpose
from creativepair.workspace import Oidc

_STATUS = {NotFoundError: 404, InputError: 422}
_MOST_FIELDS = 10
_TITLES = {Purpose.INVITE: "Choose a password", Purpose.RESET: "Choose a new password"}
_pages = Environment(
    loader=PackageLoader("app", "accounts"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
FormModel = TypeVar("FormModel", bound="_Form")
_pages.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
Field = Annotated[str, StringConstraints(max_length=1_000)]
_Endpoint = Callable[[Request], Awaitable[Response]]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignInForm(_Form):
    """Who, and the password."""

    user_id: Annotated[Field, StringConstraints(strip_whitespace=True, to_lower=True)] = ""
    password: Field = ""


class PasswordForm(_Form):
    """A new password, twice, and the token of the link."""

    token: Field = ""
    password: Field = ""
    again: Field = ""


def account_routes(studio: Studio) -> list[Route]:
    """Return the routes of a desk with accounts: passwords of its own, or a provider's word.

    Raises:
        StateError: when a provider is set and cannot be used.
    """
    forms = _Forms(studio)
    oidc = studio.workspace.settings.oidc
    return [
        Route("/sign-in", forms.show_sign_in),
        Route("/sign-out", forms.show_sign_out),
        Route("/sign-out", forms.sign_out, methods=["POST"]),
        *(forms.oidc_routes(oidc) if oidc else forms.password_routes()),
    ]


def show_refusal(problem: str, *, status: int, title: str = "Not for you") -> Response:
    """Return a page that says why another one is not shown."""
    return _page("refused.html.j2", status=status, title=title, problem=problem)


class _Forms:
    def __init__(self, studio: Studio) -> None:
        self._store = studio.store
        self._workspace = studio.workspace.settings.name
        self._oidc = studio.workspace.settings.oidc

    def password_routes(self) -> list[Route]:
        links = [
            route
            for purpose, path in LINK_PATH.items()
            for route in (
                Route(path, self.show_password(purpose)),
                Route(path, self.set_password(purpose), methods=["POST"]),
            )
        ]
        return [Route("/sign-in", self.sign_in, methods=["POST"]), *links]

    def oidc_routes(self, oidc: Oidc) -> list[Route]:
        client = OidcClient(oidc)

        async def begin(request: Request) -> Response:
            try:
                await run_in_threadpool(
                    count_visit, self._store, address=_address(request), now=datetime.now(UTC)
                )
                return await client.begin(request)
            except SignInError as error:
                return self._sign_in_page(error=error)

        async def come_back(request: Request) -> Response:
            try:
                user_id = await client.identify(request)
                token = await run_in_threadpool(
                    admit, self._store, user_id, address=_address(request), now=datetime.now(UTC)
                )
            except SignInError as error:
                response = self._sign_in_page(error=error)
            else:
                await self._end(request)
                response = _enter(request, token)
            response.delete_cookie(BEGUN_COOKIE, path=OIDC_PATH, httponly=True, samesite="lax")
            return response

        async def refuse_link(_request: Request) -> Response:
            problem = f"people sign in here with {oidc.name}, without a password of this desk"
            return show_refusal(problem, status=404)

        return [
            Route(OIDC_PATH, begin),
            Route(RETURN_PATH, come_back),
            *(Route(path, refuse_link) for path in LINK_PATH.values()),
        ]

    async def show_sign_in(self, _request: Request) -> Response:
        return self._sign_in_page()

    async def sign_in(self, request: Request) -> Response:
        form = SignInForm()
        try:
            form = await _read_form(request, SignInForm)
            token = await run_in_threadpool(
                sign_in,
                self._store,
                form.user_id,
                form.password,
                address=_address(request),
                now=datetime.now(UTC),
            )
        except CreativePairError as error:
            return self._sign_in_page(form.user_id, error=error)
        await self._end(request)  # the session that this browser had, if any
        return _enter(request, token)

    async def show_sign_out(self, request: Request) -> Response:
        return _page(
            "sign_out.html.j2",
            title="Sign out",
            workspace=self._workspace,
            person=request.scope["person"],
        )

    async def sign_out(self, request: Request) -> Response:
        await self._end(request)
        response = RedirectResponse("/sign-in", status_code=303)
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return response

    def show_password(self, purpose: Purpose) -> _Endpoint:
        async def show(request: Request) -> Response:
            return await self._password_page(purpose, request.query_params.get("token", ""))

        return show

    def set_password(self, purpose: Purpose) -> _Endpoint:
        async def set_(request: Request) -> Response:
            form = PasswordForm()
            try:
                form = await _read_form(request, PasswordForm)
                if form.password != form.again:
                    raise InputError("the two passwords differ", hint="Type it twice.")
                token = await run_in_threadpool(
                    accept_link,
                    self._store,
                    form.token,
                    purpose,
                    form.password,
                    now=datetime.now(UTC),
                )
            except CreativePairError as error:
                return await self._password_page(purpose, form.token, error)
            return _enter(request, token)

        return set_

    async def _end(self, request: Request) -> None:
        if token := request.cookies.get(SESSION_COOKIE):
            await run_in_threadpool(sign_out, self._store, token, now=datetime.now(UTC))

    def _sign_in_page(
        self, user_id: str = "", *, error: CreativePairError | None = None
    ) -> Response:
        return _page(
            "sign_in.html.j2",
            status=_status(error),
            title="Sign in",
            workspace=self._workspace,
            provider=self._oidc.name if self._oidc else None,
            user_id=user_id,
            error=error,
        )

    async def _password_page(
        self, purpose: Purpose, token: str, error: CreativePairError | None = None
    ) -> Response:
        try:
            user = await run_in_threadpool(
                find_invited, self._store, token, purpose, now=datetime.now(UTC)
            )
        except NotFoundError as gone:
            return show_refusal(f"{gone.message}. {gone.hint}", status=404)
        return _page(
            "password.html.j2",
            status=_status(error),
            title=_TITLES[purpose],
            workspace=self._workspace,
            path=LINK_PATH[purpose],
            user=user,
            token=token,
            error=error,
        )


def _enter(request: Request, token: str) -> Response:
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(SESSION_TIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _read_form(request: Request, model: type[FormModel]) -> FormModel:
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=_MOST_FIELDS)
        return model.model_validate({name: values[-1] for name, values in fields.items()})
    except (ValidationError, ValueError) as error:
        raise InputError("the form cannot be read", hint="Reload the page.") from error


def _status(error: CreativePairError | None) -> int:
    if error is None:
        return 200
    if isinstance(error, SignInError):
        return error.status
    return next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 409)


def _page(template: str, *, status: int = 200, **values: object) -> Response:
    return HTMLResponse(
        _pages.get_template(template).render(**values),
        status_code=status,
        headers={"Cache-Control": "no-store"},
    )
