"""Images and tables named by a reference in an input file: a local path or a web address.

A reference is text from outside, and reading it must not turn this program into a way to other
files or other machines. A local reference stays inside one folder, symbolic links included. A web
address is fetched only when asked for, and only from public addresses: the host is resolved once,
every address it has is checked, and the connection goes to the checked address, so that a name
that resolves differently the second time (DNS rebinding) gains nothing. Redirects are followed by
hand and checked the same way. Proxy settings of the environment are not used: a proxy would
resolve the name again.
"""

import ipaddress
import os
import re
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import httpx

from creativepair.errors import InputError

MAX_BYTES = 64 * 1024**2
MAX_REDIRECTS = 5
DEADLINE_S = 60.0
_STEP_TIMEOUT_S = 10.0

# Shaped like `socket.getaddrinfo(host, port)`; of each entry only the address is used.
Resolver = Callable[[str, int], Iterable[tuple[object, object, object, object, tuple[object, ...]]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_WEB = re.compile(r"https?:", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://|(data|file|ftp|javascript):", re.IGNORECASE)
_MAY_HOLD_PASSWORD = re.compile(r"//[^/?#]*:.*@", re.DOTALL)
_NUMERIC_LABEL = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNROUTABLE_HINT = "Give an address on the public internet, or download the file and name its path."
_LOCAL_HINT = "Name a file inside the image folder, by its path from there."

# IPv6 addresses of hosts. Outside lie, among others, IPv4-mapped, NAT64 and site-local addresses.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# What `ipaddress` calls global, or does in some releases, and is not a public host: special-purpose
# blocks, IPv4 inside IPv6 (Teredo, 6to4), and where Azure machines reach their platform.
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
    )
)


class ImageSource:
    """Where the images that an input file refers to are read from.

    Args:
        root: the folder that local references start from and may not leave; None allows none.
        allow_remote: whether http and https references are fetched.
        max_bytes: the largest file that is read.
        resolver: how host names become addresses.
        transport: what carries a request to the checked address; the default opens a connection.

    Raises:
        InputError: when `root` is not a folder.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        allow_remote: bool = False,
        max_bytes: int = MAX_BYTES,
        resolver: Resolver = socket.getaddrinfo,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if root is not None and not root.is_dir():
            raise InputError(
                f"{str(root)!r} is not a folder", hint="Name the folder that holds the images."
            )
        self._root = None if root is None else root.resolve()
        self._allow_remote = allow_remote
        self._max_bytes = max_bytes
        self._resolver = resolver
        self._transport = transport

    def read(self, reference: str) -> bytes:
        """Return the bytes that a reference names.

        Raises:
            InputError: when the reference is not allowed, or cannot be read; it is named without
                the credentials and the query it may hold.
        """
        if not _SCHEME.match(reference) and not _WEB.match(reference):
            return self._read_local(reference)
        if _WEB.match(reference) and not self._allow_remote:
            raise InputError(
                f"{_show(reference)} is a web address, and fetching is switched off",
                hint="Pass `--allow-remote` to fetch images, or download them first.",
            )
        return fetch_bytes(
            reference,
            max_bytes=self._max_bytes,
            resolver=self._resolver,
            transport=self._transport,
        )

    def _read_local(self, reference: str) -> bytes:
        shown = repr(reference)
        if self._root is None:
            raise InputError(
                f"{shown} is a local path, and no image folder was given",
                hint="Name the folder that holds the images.",
            )
        if not reference.strip():
            raise InputError("an image reference is empty", hint=_LOCAL_HINT)
        try:
            path = (self._root / reference).resolve()
            if not path.is_relative_to(self._root):
                raise InputError(f"{shown} leads outside the image folder", hint=_LOCAL_HINT)
            return _read_regular_file(path, shown, self._max_bytes)
        except FileNotFoundError:
            raise InputError(f"{shown} does not exist", hint=_LOCAL_HINT) from None
        except (OSError, RuntimeError, ValueError) as error:
            # RuntimeError: a loop of symbolic links. ValueError: a NUL or a lone surrogate.
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{shown} cannot be read: {reason}", hint=_LOCAL_HINT) from error


def fetch_bytes(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    deadline_s: float = DEADLINE_S,
    resolver: Resolver = socket.getaddrinfo,
    transport: httpx.BaseTransport | None = None,
) -> bytes:
    """Fetch an http or https address from the public internet.

    Args:
        url: without credentials.
        max_bytes: the largest body; a longer one is given up as soon as that is known.
        deadline_s: seconds for the whole answer; each step on the network has a time-out as well.
        resolver: how host names become addresses.
        transport: what carries a request to the checked address. It gets the address as the URL's
            host, the name in the `Host` header and in the extension `sni_hostname`.

    Raises:
        InputError: when the address is not one that may be fetched, here or after a redirect, or
            the answer is late, too large, encoded or not 200; named without its query.
    """
    ends_at = time.monotonic() + deadline_s
    trail = _show(url)
    target = _parse_url(url, trail)
    with ExitStack() as stack:
        if transport is None:
            # No connection is kept: one made for a name must not serve another at its address.
            limits = httpx.Limits(max_keepalive_connections=0)
            verify = _load_certificates()
            transport = stack.enter_context(httpx.HTTPTransport(verify=verify, limits=limits))
        for _ in range(MAX_REDIRECTS + 1):
            addresses = _resolve_public(target, resolver, trail)
            with closing(_request(target, addresses, transport, ends_at, trail)) as response:
                if response.status_code not in _REDIRECTS:
                    return _read_body(response, max_bytes, ends_at, trail)
                target, trail = _follow(target, response, trail)
    raise InputError(
        f"{trail}: more than {MAX_REDIRECTS} redirects", hint="Give the final address."
    )


def is_public(address: Address) -> bool:
    """Tell whether an address is a single host on the public internet.

    Addresses that carry an IPv4 address inside IPv6 are not, whichever they carry.

    Source: IANA IPv4 and IPv6 Special-Purpose Address Registries.
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if address.version == 6 and (address not in _GLOBAL_UNICAST or address.scope_id is not None):
        return False  # a scope ("%eth0") says: on one link only
    return not any(address in network for network in _REFUSED_NETWORKS)


@cache
def _load_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # tens of milliseconds: once, not once per image


def _read_regular_file(path: Path, shown: str, max_bytes: int) -> bytes:
    # The link at the end was resolved and checked: one that appears now is an attack. Without
    # O_NONBLOCK a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError(f"{shown} is not a regular file", hint=_LOCAL_HINT)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise _too_large(shown, max_bytes)
    return data


def _show(reference: str) -> str:
    """Name a reference in a message, without what may be secret in it: user, password, query."""
    scheme, _, rest = reference.partition(":")
    try:
        url = httpx.URL(reference)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.host and not _MAY_HOLD_PASSWORD.match(rest):
        shown = str(url.copy_with(userinfo=b"", query=None, fragment=None))
    else:
        # A password that was not escaped can end up anywhere before the last "@".
        shown = f"{scheme}:…{re.split('[?#]', rest.rpartition('@')[2])[0]}"
    return repr(shown[:200])


def _parse_url(text: str, trail: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        # Without its text, which quotes parts of the URL that may be a password.
        raise InputError(f"{trail} is not a valid address", hint=_UNROUTABLE_HINT) from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 1) > 65_535:
        raise InputError(
            f"{trail} is not an http or https address", hint="Use https://, or a local path."
        )
    if url.userinfo:
        raise InputError(
            f"{trail} carries a user name or password",
            hint="Remove it from the address, or download the file and name its path.",
        )
    return url


def _resolve_public(url: httpx.URL, resolver: Resolver, trail: str) -> list[Address]:
    """Return the addresses of a URL's host, all of them checked."""
    host = url.raw_host.decode("ascii")
    addresses = _parse_literal(host, trail)
    if addresses is None:
        try:
            found = resolver(host, url.port or (443 if url.scheme == "https" else 80))
            addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
        except (OSError, ValueError) as error:  # ValueError: no address, or no host name at all
            raise InputError(
                f"{trail}: host {host!r} has no known address", hint="Check the host name."
            ) from error
    refused = sorted({str(address) for address in addresses if not is_public(address)})
    if refused or not addresses:
        where = ", ".join(refused) or "nowhere"
        raise InputError(
            f"{trail}: host {host!r} leads to {where}, which is not public", hint=_UNROUTABLE_HINT
        )
    return list(dict.fromkeys(addresses))


def _parse_literal(host: str, trail: str) -> list[Address] | None:
    """Return the address that a host is written as, or None when it is a name."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        # Resolvers read 2130706433, 0x7f.1 and 127.1 as 127.0.0.1. No host is really named so.
        if _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
            raise InputError(
                f"{trail}: host {host!r} is an address in disguise", hint=_UNROUTABLE_HINT
            ) from None
    return None


def _request(
    url: httpx.URL,
    addresses: list[Address],
    transport: httpx.BaseTransport,
    ends_at: float,
    trail: str,
) -> httpx.Response:
    """Send a GET to the first checked address that can be reached."""
    problem: httpx.TransportError | None = None
    for address in addresses:
        # The certificate is checked against `sni_hostname`, not against the address.
        extensions = {
            "timeout": httpx.Timeout(_step_timeout_s(ends_at, trail)).as_dict(),
            "sni_hostname": url.raw_host.decode("ascii"),
        }
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        pinned = url.copy_with(host=str(address), fragment=None)
        try:
            return transport.handle_request(
                httpx.Request("GET", pinned, headers=headers, extensions=extensions)
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            problem = error
        except httpx.TransportError as error:
            raise _unfetched(trail, error) from error
    raise _unfetched(trail, problem) from problem


def _follow(url: httpx.URL, response: httpx.Response, trail: str) -> tuple[httpx.URL, str]:
    location = response.headers.get("Location", "")
    try:
        text = str(url.join(location))
    except (httpx.InvalidURL, ValueError):
        text = location
    trail = f"{trail} → {_show(text)}"
    return _parse_url(text, trail), trail


def _read_body(response: httpx.Response, max_bytes: int, ends_at: float, trail: str) -> bytes:
    if response.status_code != 200:
        raise _unfetched(trail, f"the server answered {response.status_code}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        # A few kilobytes can unpack to gigabytes in one step, before any limit is looked at.
        raise _unfetched(trail, "the server compressed an answer that was asked for as it is")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(trail, max_bytes)
    body = bytearray()
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(trail, max_bytes)
            _step_timeout_s(ends_at, trail)
    except httpx.TransportError as error:
        raise _unfetched(trail, error) from error
    return bytes(body)


def _step_timeout_s(ends_at: float, trail: str) -> float:
    """Return how many seconds the next step may take; raise when no time is left."""
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise _unfetched(trail, "the answer took too long")
    return min(_STEP_TIMEOUT_S, left_s)


def _unfetched(trail: str, reason: object) -> InputError:
    return InputError(
        f"{trail} could not be fetched: {reason}",
        hint="Try again later, or download the file and name its path.",
    )


def _too_large(shown: str, max_bytes: int) -> InputError:
    return InputError(
        f"{shown} is larger than {max_bytes:,} bytes", hint="Use a smaller copy of the file."
    )
