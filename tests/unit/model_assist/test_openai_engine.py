"""The engine of OpenAI's API, against a server on the wire that says what a test wants."""

import base64
import gc
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from creativepair.errors import InputError, StateError
from creativepair.findings import findings_schema
from creativepair.protocol import load_protocol
from model_assist.creative4u.comparison import FINDINGS, compare_at_once, compare_by_chains, present
from model_assist.drafters.creative4u import Creative4UDrafter
from model_assist.drafters.drafter import DraftedChain, DraftFailure, DraftRequest
from model_assist.engines.endpoint import KEY_VARIABLE, Endpoint, RefusedError, read_key
from model_assist.engines.engine import Sampling
from model_assist.engines.openai_engine import OpenAIEngine

PROTOCOL = load_protocol()
RED, BLUE = (Image.new("RGB", (12, 8), colour) for colour in ("red", "blue"))
PAIR = DraftRequest(RED, BLUE, "Mug", "kitchen", ("mug",), PROTOCOL)
SWAPPED = DraftRequest(BLUE, RED, "Mug", "kitchen", ("mug",), PROTOCOL)
Reply = tuple[int, Any]


@dataclass
class Server:
    """What was asked, and what is answered: from the body to a status and an object or text.

    Answers come one after the other, unless `reply_alone` gives them.
    """

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    reply: Callable[[dict[str, Any]], Reply] = lambda body: (200, chat("hello"))
    reply_alone: Callable[[dict[str, Any]], Reply] | None = None


def chat(*texts: str, tokens: int = 0, finished: str = "stop", **more: Any) -> dict[str, Any]:
    choices = [
        {"message": {"role": "assistant", "content": text}, "finish_reason": finished, **more}
        for text in texts
    ]
    return {"choices": choices, "usage": {"completion_tokens": tokens or 7 * len(texts)}}


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                told.asked.append(body)
                told.headers.append(dict(self.headers))
                status, said = told.reply(body) if told.reply_alone is None else (0, "")
            if told.reply_alone:
                status, said = told.reply_alone(body)
            data = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{listening.server_port}/v1"
    yield told
    listening.shutdown()
    listening.server_close()
    thread.join()


def engine_of(server: Server, waited: list[float] | None = None, **more: Any) -> OpenAIEngine:
    waits: list[float] = [] if waited is None else waited
    return OpenAIEngine(Endpoint("qwen", server.url, **more), wait=waits.append)


def first_image(body: dict[str, Any]) -> Image.Image:
    parts = body["messages"][0]["content"]
    address = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))


def shows_red_first(body: dict[str, Any]) -> bool:
    return first_image(body).convert("RGB").tobytes() == RED.tobytes()


def findings(answer: str, reason: str = "image 1 is larger than image 2") -> str:
    return json.dumps(
        {
            question.id: {
                "verdict": answer if question.id == PROTOCOL.answer else said(question.verdicts),
                "reason": reason,
            }
            for question in PROTOCOL.questions
        }
    )


def said(verdicts: Sequence[str]) -> str:
    return {"A": "1", "B": "2"}.get(verdicts[-1], verdicts[-1])


def digits(one: float, two: float) -> dict[str, Any]:
    top = [{"token": "1", "logprob": one}, {"token": "2", "logprob": two}]
    return chat("1", logprobs={"content": [{"token": "1", "logprob": one, "top_logprobs": top}]})


def test_fast_mode_reads_both_digits_after_an_answer_that_is_begun(server: Server) -> None:
    server.reply = lambda body: (
        200,
        digits(-0.1, -2.1) if shows_red_first(body) else digits(-1.5, -0.5),
    )
    compared = compare_at_once(engine_of(server), [PAIR, SWAPPED])
    assert compared.lead_ab == pytest.approx([2.0, -1.0])
    assert compared.lead_ba == pytest.approx([-1.0, 2.0])
    body = server.asked[0]
    assert body["model"] == "qwen"
    assert body["messages"][-1] == {"role": "assistant", "content": "<answer>"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["structured_outputs"] == {"choice": ["1", "2"]}
    assert (body["max_tokens"], body["logprobs"]) == (1, True)


def test_a_server_that_knows_no_digits_is_refused(server: Server) -> None:
    server.reply = lambda body: (200, chat("Image 1"))
    with pytest.raises(StateError, match="gives 1 and 2 no probability"):
        engine_of(server).score([present(PAIR, "AB", "answer")])


def test_texts_come_in_the_order_they_were_asked_for(server: Server) -> None:
    server.reply = lambda body: (
        200,
        chat(*(["red"] * 3 if shows_red_first(body) else ["blue"] * 3), tokens=30),
    )
    asked = [present(each, "AB", "chain") for each in [PAIR, SWAPPED] * 10]
    written = engine_of(server).write(asked, Sampling(num_samples=3, temperature=0.5, seed=4))
    assert [texts[0].text for texts in written] == ["red", "blue"] * 10
    assert {(len(texts), texts[0].tokens, texts[0].is_finished) for texts in written} == {
        (3, 10, True)
    }
    body = server.asked[0]
    assert (body["n"], body["temperature"], body["top_p"], body["seed"]) == (3, 0.5, 0.99, 4)
    assert "response_format" not in body


def test_every_pixel_arrives_as_it_is(server: Server) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    pair = DraftRequest(noise, RED, "Mug", None, (), PROTOCOL)
    engine_of(server).write([present(pair, "AB", "chain")], Sampling())
    assert first_image(server.asked[0]).tobytes() == noise.tobytes()


def test_a_general_model_drafts_by_a_schema_and_its_chains_are_read_strictly(
    server: Server,
) -> None:
    server.reply = lambda body: (
        200,
        chat(findings("1") if shows_red_first(body) else findings("2"), '{"no": "chain"}'),
    )
    drafter = Creative4UDrafter(
        engine_of(server), Sampling(num_samples=2), form=FINDINGS, name="openai"
    )
    [drafted] = drafter.draft([PAIR])
    assert isinstance(drafted, DraftedChain)
    assert drafted.prob_a == pytest.approx(0.75)  # 1 of 1 in each order: odds 1.5 : 0.5
    assert drafted.chain.answer(PROTOCOL) == "A"
    assert drafted.chain.findings[-1].rationale == "{A} is larger than {B}"
    assert drafted.parse_failures == 2
    assert (drafter.name, drafter.model_version) == ("openai", "qwen")
    held = server.asked[0]["response_format"]["json_schema"]
    assert held["schema"] == findings_schema(PROTOCOL)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_ever_later(server: Server, status: int) -> None:
    server.reply = lambda body: (
        (status, "busy") if len(server.asked) < 3 else (200, chat("at last"))
    )
    waited: list[float] = []
    [[written]] = engine_of(server, waited).write([present(PAIR, "AB", "chain")], Sampling())
    assert written.text == "at last"
    assert waited == [1.0, 2.0]


def test_a_server_that_stays_away_is_named_and_the_run_can_go_on(server: Server) -> None:
    server.reply = lambda body: (503, "down")
    with pytest.raises(StateError, match="answers 503, 4 times in a row") as refused:
        engine_of(server).write([present(PAIR, "AB", "chain")], Sampling())
    assert "give the command again" in str(refused.value.hint)
    gone = OpenAIEngine(Endpoint("qwen", "http://127.0.0.1:9/v1"), wait=lambda _: None)
    with pytest.raises(StateError, match="cannot be reached: ConnectError"):
        gone.write([present(PAIR, "AB", "chain")], Sampling())


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, "<html>hello</html>", "no chat completion: <html>hello"),
        (200, {"choices": []}, "answers without a text"),
        (401, "who are you", "refuses with 401: who are you"),
        (404, {"error": "no such model"}, "refuses with 404: .*no such model"),
        (400, "\x1b[31mno\nimages", r"refuses with 400:  \[31mno images"),
    ],
)
def test_garbage_is_refused_at_once_with_what_was_said(
    server: Server, status: int, answer: Any, said: str
) -> None:
    server.reply = lambda body: (status, answer)
    with pytest.raises(StateError, match=said):
        engine_of(server).write([present(PAIR, "AB", "chain")], Sampling())
    assert len(server.asked) == 1


def test_the_key_goes_with_requests_and_into_no_message(server: Server) -> None:
    engine = engine_of(server, key="sk-secret")
    engine.write([present(PAIR, "AB", "chain")], Sampling())
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    server.reply = lambda body: (401, "who is sk-secret?")
    with pytest.raises(StateError) as refused:
        engine.write([present(PAIR, "AB", "chain")], Sampling())
    assert "sk-secret" not in f"{refused.value} {refused.value.hint}"
    assert "who is …?" in refused.value.message


def test_a_key_is_read_without_its_line_end_and_one_that_is_none_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret\n")
    assert read_key() == "sk-secret"
    monkeypatch.setenv(KEY_VARIABLE, "")
    assert read_key() is None
    monkeypatch.setenv(KEY_VARIABLE, "sk-sécret")
    with pytest.raises(InputError, match="holds characters that no key has") as refused:
        read_key()
    assert "cret" not in f"{refused.value} {refused.value.hint}"


def test_a_pair_that_is_refused_keeps_no_other_from_its_draft(server: Server) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        if "forbidden" in json.dumps(body["messages"]):
            return 400, {"error": {"code": "content_policy_violation"}}
        return 200, chat(findings("1") if shows_red_first(body) else findings("2"))

    server.reply = reply
    forbidden = DraftRequest(RED, BLUE, "forbidden", None, ("mug",), PROTOCOL)
    drafter = Creative4UDrafter(engine_of(server), Sampling(), form=FINDINGS, name="openai")
    refused, drafted = drafter.draft([forbidden, PAIR])
    assert isinstance(refused, DraftFailure)
    assert "0 of 2 texts could be read" in refused.reason
    assert "content_policy_violation" in refused.reason
    assert isinstance(drafted, DraftedChain)
    with pytest.raises(RefusedError, match="content_policy_violation"):
        drafter.draft([forbidden])


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_server_that_writes_fewer_texts_than_asked_for_is_asked_for_the_rest(
    server: Server, at_once: int
) -> None:
    server.reply = lambda body: (200, chat(*[f"seed {body['seed']}"] * at_once))
    [texts] = engine_of(server).write(
        [present(PAIR, "AB", "chain")], Sampling(num_samples=4, seed=3)
    )
    expected = [f"seed {3 + number - number % at_once}" for number in range(4)]
    assert [each.text for each in texts] == expected
    assert [body["n"] for body in server.asked] == list(range(4, 0, -at_once))


def test_what_a_server_leaves_open_is_read_as_nothing(server: Server) -> None:
    said = {**chat("hello", logprobs={"content": [{"top_logprobs": None}]}), "usage": None}
    server.reply = lambda body: (200, said)
    [[written]] = engine_of(server).write([present(PAIR, "AB", "chain")], Sampling())
    assert (written.text, written.tokens) == ("hello", 0)


def test_the_connections_of_an_engine_end_with_it(server: Server) -> None:
    engine = engine_of(server)
    engine.write([present(PAIR, "AB", "chain")], Sampling())
    client = engine._caller._client
    assert not client.is_closed
    del engine
    gc.collect()
    assert client.is_closed


def test_requests_go_out_side_by_side(server: Server) -> None:
    together = threading.Barrier(4, timeout=10)

    def wait(body: dict[str, Any]) -> Reply:
        together.wait()  # breaks, unless four are asked at once
        return 200, chat("hello")

    server.reply_alone = wait
    written = engine_of(server, concurrency=4).write([present(PAIR, "AB", "chain")] * 4, Sampling())
    assert len(written) == 4


def test_what_is_cut_at_the_limit_says_so(server: Server) -> None:
    server.reply = lambda body: (200, chat("half a ch", finished="length"))
    [voted] = compare_by_chains(engine_of(server), [PAIR], Sampling())
    assert voted.prob_a is None
    assert "(cut at the limit of tokens)" in voted.failures[0]


@pytest.mark.parametrize(
    "name",
    [
        "openai:",
        "openai:qwen",
        "openai:@http://x/v1",
        "openai:qwen@ftp://x",
        "openai:q@http://u:p@x",
        "openai:q@http://[::1",
        "openai:q@https://host:abc/v1",
        "openai:q@http://x/v1?api_key=SECRET",
        "openai:q@http:///v1",
        "vllm:q@http://x/v1",
    ],
)
def test_an_endpoint_that_is_no_address_is_refused(name: str) -> None:
    from app.commands.models import open_endpoint

    with pytest.raises(InputError) as refused:
        open_endpoint(name)
    assert "SECRET" not in refused.value.message


def test_a_general_model_is_recorded_under_a_name_that_no_other_has() -> None:
    from app.commands.models import open_endpoint

    engine = open_endpoint("openai:org/qwen@8b@http://x:8000/v1")
    assert engine.model_version == "openai:org/qwen@8b"
