import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from creativepair import sources
from creativepair.errors import InputError
from creativepair.sources import ImageSource, Resolver, fetch_bytes, is_public

PUBLIC, OTHER_PUBLIC, PUBLIC_V6 = "93.184.216.34", "8.8.8.8", "2606:4700::1111"
DATA = b"picture"


class FakeDns:
    """Answers from a table; a list of answers is used up one by one, the last one stays."""

    def __init__(self, table: dict[str, list[list[str]]]) -> None:
        self.table = table
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked.append((host, port))
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        answers = self.table[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(0, 0, 0, "", (address, port)) for address in answer]


def dns(**hosts: str) -> FakeDns:
    return FakeDns({name.replace("_", "."): [[address]] for name, address in hosts.items()})


class FakeWeb(httpx.BaseTransport):
    """Answers from a function and keeps the requests."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    @property
    def connected_to(self) -> list[str]:
        return [request.url.host for request in self.requests]


def serve(data: bytes = DATA, **headers: str) -> FakeWeb:
    return FakeWeb(lambda request: httpx.Response(200, content=data, headers=headers))


def redirect(*locations: str) -> FakeWeb:
    """Redirect to each location in turn, then serve the data."""
    left = list(locations)
    return FakeWeb(
        lambda request: (
            httpx.Response(302, headers={"Location": left.pop(0)})
            if left
            else httpx.Response(200, content=DATA)
        )
    )


def refuse_to_connect(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"a connection to {request.url} was opened")


NO_WEB = FakeWeb(refuse_to_connect)


def refused(
    url: str, *, resolver: Resolver | None = None, web: FakeWeb | None = None
) -> InputError:
    with pytest.raises(InputError) as caught:
        fetch_bytes(url, resolver=resolver or dns(), transport=web or NO_WEB)
    assert caught.value.hint
    return caught.value


# --- local references -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "shoes").mkdir(parents=True)
    (root / "shoes" / "red.jpg").write_bytes(DATA)
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "images-2").mkdir()
    (tmp_path / "images-2" / "other.jpg").write_bytes(b"secret")
    return root


@pytest.mark.parametrize(
    "reference",
    ["shoes/red.jpg", "./shoes//red.jpg", "shoes/../shoes/red.jpg", "{root}/shoes/red.jpg"],
)
def test_a_file_inside_the_folder_is_read(folder: Path, reference: str) -> None:
    assert ImageSource(folder).read(reference.format(root=folder)) == DATA


def test_names_with_a_colon_or_spaces_are_files(folder: Path) -> None:
    (folder / "front: red shoe.jpg").write_bytes(DATA)
    assert ImageSource(folder).read("front: red shoe.jpg") == DATA


def test_a_link_that_stays_inside_is_followed(folder: Path) -> None:
    (folder / "latest.jpg").symlink_to("shoes/red.jpg")
    assert ImageSource(folder).read("latest.jpg") == DATA


def test_a_folder_that_is_itself_a_link_is_a_root_like_any_other(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert ImageSource(link).read("shoes/red.jpg") == DATA
    assert ImageSource(link).read(f"{link}/shoes/red.jpg") == DATA


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.txt",
        "shoes/../../secret.txt",
        "../images-2/other.jpg",
        "{root}/../secret.txt",
        "{root}-2/other.jpg",
        "/etc/passwd",
        "../not-there.jpg",
    ],
)
def test_a_path_that_leads_outside_is_refused_whether_it_exists_or_not(
    folder: Path, reference: str
) -> None:
    reference = reference.format(root=folder)
    with pytest.raises(InputError, match="leads outside the image folder") as caught:
        ImageSource(folder).read(reference)
    assert repr(reference) in caught.value.message


def test_a_link_that_leads_outside_is_refused(folder: Path) -> None:
    (folder / "file.jpg").symlink_to("../secret.txt")
    (folder / "up").symlink_to("..")
    for reference in ("file.jpg", "up/secret.txt"):
        with pytest.raises(InputError, match="leads outside"):
            ImageSource(folder).read(reference)


def test_what_is_not_a_regular_file_is_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")  # reading one would wait for a writer
    for reference in ("pipe.jpg", "shoes", "."):
        with pytest.raises(InputError, match="is not a regular file"):
            ImageSource(folder).read(reference)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device file")
def test_a_device_is_refused() -> None:
    with pytest.raises(InputError, match="is not a regular file"):
        ImageSource(Path("/dev")).read("zero")


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("shoes/blue.jpg", "does not exist"),
        ("shoes/red.jpg/x", "cannot be read: Not a directory"),
        ("a\0b.jpg", "cannot be read: embedded null byte"),
        ("\ud800.jpg", "cannot be read"),
        ("x" * 5_000, "cannot be read: File name too long"),
        ("", "is empty"),
        ("  ", "is empty"),
    ],
)
def test_a_reference_that_cannot_be_read_is_explained(
    folder: Path, reference: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        ImageSource(folder).read(reference)


def test_a_loop_of_links_is_refused(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    with pytest.raises(InputError, match="cannot be read"):
        ImageSource(folder).read("a")


def test_a_file_may_be_as_large_as_the_limit_and_no_larger(folder: Path) -> None:
    assert ImageSource(folder, max_bytes=len(DATA)).read("shoes/red.jpg") == DATA
    with pytest.raises(InputError, match="larger than 6 bytes"):
        ImageSource(folder, max_bytes=len(DATA) - 1).read("shoes/red.jpg")


def test_without_a_folder_no_local_path_is_read(folder: Path) -> None:
    with pytest.raises(InputError, match="no image folder was given"):
        ImageSource(None).read(f"{folder}/shoes/red.jpg")


def test_a_root_that_is_not_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        ImageSource(folder / "nowhere")


pieces = st.sampled_from(
    ["..", ".", "/", "shoes", "red.jpg", "secret.txt", "~", "images-2", "\\", "\0"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(pieces, max_size=8).map("/".join) | st.text(max_size=30))
def test_no_reference_ever_reads_what_lies_outside(folder: Path, reference: str) -> None:
    with suppress(InputError):
        assert ImageSource(folder).read(reference) == DATA


# --- addresses --------------------------------------------------------------------------------

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.9.9.9",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "233.252.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    error = refused("http://shop.example/a.jpg", resolver=dns(shop_example=address))
    assert f"leads to {ipaddress.ip_address(address)}, " in error.message
    assert "not public" in error.message


@pytest.mark.parametrize("address", [PUBLIC, OTHER_PUBLIC, PUBLIC_V6, "2a00:1450:4001::200e"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_no_embedded_ipv4_address_is_public(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for prefix in ("::", "::ffff:0:0", "64:ff9b::"):
        assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + number))
    assert not is_public(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3:8080",
        "169.254.169.254",
        "[::1]",
        "[::1]:8080",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "127\u30020\u30020\u30021",  # ideographic full stops
    ],
)
def test_a_private_address_written_out_is_refused_without_asking(host: str) -> None:
    resolver = dns()
    assert "not public" in refused(f"http://{host}/a.jpg", resolver=resolver).message
    assert resolver.asked == []


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1.", "017700000001", "1.0x"]
)
def test_an_address_in_disguise_is_refused_without_asking(host: str) -> None:
    resolver = dns()
    error = refused(f"http://{host}/a.jpg", resolver=resolver)
    assert "disguise" in error.message or "not a valid address" in error.message
    assert resolver.asked == []


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}", "0X{:08X}"]))
def test_no_number_is_taken_for_a_host(number: int, form: str) -> None:
    with pytest.raises(InputError):
        fetch_bytes(f"http://{form.format(number)}/", resolver=dns(), transport=NO_WEB)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    resolver = FakeDns({"shop.example": [[PUBLIC, "10.0.0.7"]]})
    error = refused("http://shop.example/a.jpg", resolver=resolver)
    assert "10.0.0.7" in error.message
    assert PUBLIC not in error.message


@pytest.mark.parametrize("answer", [[], ["not an address"]])
def test_a_host_without_an_address_is_refused(answer: list[str]) -> None:
    assert (
        "shop.example"
        in refused("http://shop.example/", resolver=FakeDns({"shop.example": [answer]})).message
    )


def test_an_unknown_host_is_refused() -> None:
    assert "has no known address" in refused("https://nowhere.example/a.jpg").message


# --- requests ---------------------------------------------------------------------------------


def test_the_connection_goes_to_the_checked_address_under_the_hosts_name() -> None:
    resolver, web = dns(shop_example=PUBLIC), serve()
    url = "https://shop.example:8443/a%20b.jpg?size=2#top"
    assert fetch_bytes(url, resolver=resolver, transport=web) == DATA
    (request,) = web.requests
    assert str(request.url) == f"https://{PUBLIC}:8443/a%20b.jpg?size=2"
    assert request.headers["Host"] == "shop.example:8443"
    assert request.extensions["sni_hostname"] == "shop.example"
    assert 0 < request.extensions["timeout"]["read"] <= 10
    assert resolver.asked == [("shop.example", 8443)]


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("HTTPS", 443)])
def test_the_host_is_resolved_for_the_port_of_the_scheme(scheme: str, port: int) -> None:
    resolver = dns(shop_example=PUBLIC)
    fetch_bytes(f"{scheme}://shop.example/", resolver=resolver, transport=serve())
    assert resolver.asked == [("shop.example", port)]


def test_an_international_host_is_asked_for_in_ascii() -> None:
    resolver, web = FakeDns({"xn--bcher-kva.example": [[PUBLIC]]}), serve()
    fetch_bytes("https://bücher.example/a.jpg", resolver=resolver, transport=web)
    assert web.requests[0].headers["Host"] == "xn--bcher-kva.example"


def test_an_ipv6_host_is_connected_to_in_brackets() -> None:
    web = serve()
    fetch_bytes("http://shop.example/a", resolver=dns(shop_example=PUBLIC_V6), transport=web)
    fetch_bytes(f"http://[{PUBLIC_V6}]/a", resolver=dns(), transport=web)
    assert [str(request.url) for request in web.requests] == [f"http://[{PUBLIC_V6}]/a"] * 2
    assert web.requests[1].headers["Host"] == f"[{PUBLIC_V6}]"


def test_a_name_that_resolves_differently_the_second_time_gains_nothing() -> None:
    resolver = FakeDns({"shop.example": [[PUBLIC], ["127.0.0.1"]]})
    web = serve()
    fetch_bytes("http://shop.example/a.jpg", resolver=resolver, transport=web)
    assert web.connected_to == [PUBLIC]
    assert len(resolver.asked) == 1


def test_rebinding_between_redirects_is_caught() -> None:
    resolver = FakeDns({"shop.example": [[PUBLIC], ["127.0.0.1"]]})
    web = redirect("http://shop.example/b.jpg")
    assert "127.0.0.1" in refused("http://shop.example/a.jpg", resolver=resolver, web=web).message
    assert web.connected_to == [PUBLIC]


def test_the_next_address_is_tried_when_one_cannot_be_reached() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == PUBLIC_V6:
            raise httpx.ConnectError("no route to host")
        return httpx.Response(200, content=DATA)

    web = FakeWeb(answer)
    resolver = FakeDns({"shop.example": [[PUBLIC_V6, PUBLIC_V6, PUBLIC]]})
    assert fetch_bytes("http://shop.example/", resolver=resolver, transport=web) == DATA
    assert web.connected_to == [PUBLIC_V6, PUBLIC]


@pytest.mark.parametrize("problem", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
def test_a_failure_of_the_network_is_explained(problem: type[httpx.TransportError]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise problem("out of order")

    error = refused("http://shop.example/", resolver=dns(shop_example=PUBLIC), web=FakeWeb(answer))
    assert "could not be fetched: out of order" in error.message


# --- redirects --------------------------------------------------------------------------------


def test_redirects_are_followed_to_other_hosts_and_relative_paths() -> None:
    web = redirect("https://cdn.example/x/", "y.jpg")
    resolver = dns(shop_example=PUBLIC, cdn_example=OTHER_PUBLIC)
    assert fetch_bytes("http://shop.example/a", resolver=resolver, transport=web) == DATA
    assert [str(request.url) for request in web.requests] == [
        f"http://{PUBLIC}/a",
        f"https://{OTHER_PUBLIC}/x/",
        f"https://{OTHER_PUBLIC}/x/y.jpg",
    ]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://intern.example/",
        "//127.0.0.1/",
        "http://[::1]/",
        "http://2130706433/",
        "file:///etc/passwd",
        "ftp://shop.example/",
        "http://user:secret@shop.example/",
        "http://shop.example:secret@/",
        "http://[bad",
    ],
)
def test_a_redirect_to_what_may_not_be_fetched_is_refused(location: str) -> None:
    web = redirect(location)
    resolver = dns(shop_example=PUBLIC, intern_example="10.0.0.1")
    error = refused("http://shop.example/a.jpg", resolver=resolver, web=web)
    assert "'http://shop.example/a.jpg' → " in error.message
    assert "secret" not in error.message
    assert web.connected_to == [PUBLIC]


@pytest.mark.parametrize("hops", [5, 6])
def test_five_redirects_are_followed_and_no_more(hops: int) -> None:
    web = redirect(*["/next"] * hops)
    resolver = dns(shop_example=PUBLIC)
    if hops == 5:
        assert fetch_bytes("http://shop.example/", resolver=resolver, transport=web) == DATA
    else:
        error = refused("http://shop.example/", resolver=resolver, web=web)
        assert "more than 5 redirects" in error.message
    assert len(web.requests) == 6


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 206, 304, 403, 404, 500])
def test_an_answer_other_than_200_is_refused(status: int) -> None:
    web = FakeWeb(lambda request: httpx.Response(status))
    error = refused("http://shop.example/a", resolver=dns(shop_example=PUBLIC), web=web)
    assert f"answered {status}" in error.message


def test_a_compressed_answer_is_refused_before_it_is_unpacked() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        headers = {"Content-Encoding": "gzip"}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"bomb"))

    resolver = dns(shop_example=PUBLIC)
    assert (
        "compressed"
        in refused("http://shop.example/", resolver=resolver, web=FakeWeb(answer)).message
    )


# --- a real server ----------------------------------------------------------------------------


class ToLoopback(httpx.BaseTransport):
    """A real connection, with the public address that was checked standing for a local server."""

    def __init__(self, port: int) -> None:
        # No connection is kept, as in `fetch_bytes`: a kept one may close under the next request.
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == PUBLIC
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sent_chunks = 0

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "http://127.0.0.1:9/private")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/endless":
            self._send_chunks(pause_s=0)
        elif self.path == "/slow":
            self._send_chunks(pause_s=0.05)
        else:
            body = b"" if self.path == "/cut" else self.headers["Host"].encode()
            self.send_response(200)
            self.send_header("Content-Length", "99" if self.path == "/cut" else str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

    def _send_chunks(self, pause_s: float) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(OSError):  # until the client hangs up
            for _ in range(10_000):
                self.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                Shop.sent_chunks += 1
                time.sleep(pause_s)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the output of the tests clean."""


@contextmanager
def running_shop() -> Iterator[ToLoopback]:
    Shop.sent_chunks = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    transport = ToLoopback(server.server_address[1])
    try:
        yield transport
    finally:
        transport.close()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shop() -> Iterator[ToLoopback]:
    with running_shop() as transport:
        yield transport


def test_a_real_server_sees_the_hosts_name(shop: ToLoopback) -> None:
    resolver = dns(shop_example=PUBLIC)
    source = ImageSource(None, allow_remote=True, resolver=resolver, transport=shop)
    assert source.read("http://shop.example/a.jpg") == b"shop.example"
    assert source.read("HTTP://shop.example/b.jpg") == b"shop.example"  # the transport stays open


def test_a_real_redirect_to_a_private_address_is_refused(shop: ToLoopback) -> None:
    with pytest.raises(InputError, match=r"leads to 127\.0\.0\.1, which is not public"):
        fetch_bytes("http://shop.example/moved", resolver=dns(shop_example=PUBLIC), transport=shop)


def test_a_body_over_the_limit_is_given_up_while_it_arrives(shop: ToLoopback) -> None:
    with pytest.raises(InputError, match="larger than 5,000 bytes"):
        fetch_bytes(
            "http://shop.example/endless",
            max_bytes=5_000,
            resolver=dns(shop_example=PUBLIC),
            transport=shop,
        )
    assert Shop.sent_chunks < 10_000


def test_a_body_that_says_it_is_too_large_is_not_read(shop: ToLoopback) -> None:
    with pytest.raises(InputError, match="larger than 11 bytes"):  # "shop.example" has 12
        fetch_bytes(
            "http://shop.example/",
            max_bytes=11,
            resolver=dns(shop_example=PUBLIC),
            transport=shop,
        )


def test_a_body_that_trickles_in_is_given_up_at_the_deadline(shop: ToLoopback) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=r"took too long|timed out"):
        fetch_bytes(
            "http://shop.example/slow",
            deadline_s=0.3,
            resolver=dns(shop_example=PUBLIC),
            transport=shop,
        )
    assert time.monotonic() - started < 5


def test_a_body_that_stops_early_is_refused(shop: ToLoopback) -> None:
    with pytest.raises(InputError, match="could not be fetched"):
        fetch_bytes("http://shop.example/cut", resolver=dns(shop_example=PUBLIC), transport=shop)


def test_no_request_is_sent_after_the_deadline() -> None:
    with pytest.raises(InputError, match="took too long"):
        fetch_bytes(
            "http://shop.example/",
            deadline_s=0,
            resolver=dns(shop_example=PUBLIC),
            transport=NO_WEB,
        )


def test_by_default_a_connection_of_its_own_is_opened_and_proxies_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running_shop() as shop:
        # The one place that replaces the guard, so that the default transport can be seen at work.
        monkeypatch.setattr(sources, "is_public", lambda address: address.is_loopback)
        url = f"http://shop.example:{shop._port}/a"
        found = fetch_bytes(url, resolver=dns(shop_example="127.0.0.1"))
    assert found == f"shop.example:{shop._port}".encode()


# --- references that are not fetched ----------------------------------------------------------


def test_a_web_address_is_fetched_only_when_asked_for(folder: Path) -> None:
    with pytest.raises(InputError, match="fetching is switched off") as caught:
        ImageSource(folder, transport=NO_WEB).read("https://shop.example/a.jpg?token=secret")
    assert "--allow-remote" in caught.value.hint
    assert "https://shop.example/a.jpg" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("allow_remote", [True, False])
@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd",
        "file:/etc/passwd",
        "ftp://shop.example/a.jpg",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "s3://bucket/a.jpg",
        "gopher://127.0.0.1/",
    ],
)
def test_other_schemes_are_refused(folder: Path, reference: str, allow_remote: bool) -> None:
    source = ImageSource(folder, allow_remote=allow_remote, transport=NO_WEB)
    with pytest.raises(InputError, match="is not an http or https address"):
        source.read(reference)


SECRETS = [
    "http://user:secret@shop.example/",
    "http://secret@shop.example/",
    "http://us er:secret@shop.example/",
    "http://user:se/secret@shop.example/",
    "http://user:p?secret@shop.example/",
    "http://user:p#secret@shop.example:x/",
    "http:\\\\user:secret@shop.example/",
    "http:user:secret@shop.example/",
    "ftp://user:secret@shop.example/",
    "http://user:secret@[bad/",
    "http://user:secret@shop.example:99999/",
    "http://nowhere.example/?X-Amz-Signature=secret",
]


@pytest.mark.parametrize("url", SECRETS)
def test_credentials_are_refused_and_never_echoed(url: str) -> None:
    error = refused(url)
    assert "secret" not in error.message + error.hint
    assert "secret" not in str(error.__cause__ or "")


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=12),
    st.sampled_from(["http", "https", "ftp", "HTTP"]),
)
def test_no_password_makes_a_url_fetchable_or_shows_in_the_refusal(text: str, scheme: str) -> None:
    with pytest.raises(InputError) as caught:
        fetch_bytes(
            f"{scheme}://user:{text}hunter2@10.0.0.1/a.jpg", resolver=dns(), transport=NO_WEB
        )
    assert "hunter2" not in caught.value.message


@given(st.text(max_size=40))
def test_any_text_after_the_scheme_is_refused_or_resolved_to_nothing(text: str) -> None:
    with pytest.raises(InputError):
        fetch_bytes(f"http://{text}", resolver=dns(), transport=NO_WEB)


@pytest.mark.parametrize("url", ["http://shop.example:99999/", "http:///a.jpg", "http://[x]/", ""])
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert "is not a" in refused(url).message


def test_a_message_does_not_repeat_a_reference_of_any_length() -> None:
    assert len(refused("data:image/png;base64," + "A" * 10_000).message) < 400
