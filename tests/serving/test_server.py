"""The life of a service: start, token, another model, a full queue, stop."""

import signal
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.serving.process import Serving

from mtl.cli import main
from mtl.errors import MtlError
from mtl.serving.settings import Limits, Settings, read_token

TOKEN = "correct-horse"
PREDICT = {"texts": ["a wonderful film"] * 4}


def test_only_the_token_opens_the_service(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    with Serving(folder, "--token-file", str(tmp_path / "token")) as serving:
        basic = "Basic " + b64encode(f"me:{TOKEN}".encode()).decode()
        for authorization in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Basic !", f"Bearer {TOKEN}x", "Bearer \xe9"):
            for path in ("/model", "/metrics", "/label-studio/setup"):
                reply = serving.get(path, Authorization=authorization)
                assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer"), (authorization, path)
            assert serving.post("/predict", PREDICT, Authorization=authorization).status == 401
            assert serving.post("/reload", {}, Authorization=authorization).status == 401
        for authorization in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic):
            assert serving.post("/predict", PREDICT, Authorization=authorization).status == 200
        assert [serving.get(path).status for path in ("/health", "/ready", "/", "/page/page.js", "/docs", "/openapi.json")] == [200] * 6


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_other_machines_are_refused_without_a_token(host: str) -> None:
    with pytest.raises(MtlError, match="--insecure"):
        Settings(Path("model"), host=host)
    assert Settings(Path("model"), host=host, token=TOKEN)
    assert Settings(Path("model"), host=host, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert Settings(Path("model"), host=host)


def test_a_token_is_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("MTL_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    for wrong in ("", " ", "two words", "é"):
        (tmp_path / "token").write_text(wrong)
        with pytest.raises(MtlError, match="token: the token must be one word"):
            read_token(tmp_path / "token")
    with pytest.raises(MtlError, match="nothing: cannot be read"):
        read_token(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--corrections", "/proc/none/rows.jsonl"], "--corrections /proc/none/rows.jsonl: cannot be written"),
        (["--port", "70000"], "--port 70000: must be from 0 to 65535"),
        (["--host", "nowhere.invalid", "--insecure"], "cannot listen on nowhere.invalid, port 0"),
        (["--queue", "5"], "a request of 256 texts never fits a queue of 5"),
        (["--device", "cpu"], "is not a model folder: config.json is missing"),
    ],
)
def test_a_wrong_option_ends_the_start_with_a_reason(
    tmp_path: Path, options: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--model", str(tmp_path), "--port", "0", *options]) == 2
    assert reason in capsys.readouterr().err


def test_a_taken_address_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", str(tmp_path), "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


def test_another_model_takes_over_without_a_lost_request(make_model: Callable[[Path], Path], folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(folder)
    other = make_model(tmp_path / "other")
    with Serving(link) as serving, ThreadPoolExecutor(4) as clients:
        stop, seen = threading.Event(), []

        def client() -> None:
            while not stop.is_set():
                reply = serving.post("/predict", PREDICT)
                seen.append((reply.status, reply.json["model"]))

        running = [clients.submit(client) for _ in range(4)]
        try:
            replace_link(link, other)
            serving.post("/reload", {})
            wait_for(lambda: serving.get("/ready").json["model"].startswith("other@"))
            replace_link(link, folder)
            serving.process.send_signal(signal.SIGHUP)
            wait_for(lambda: serving.get("/ready").json["model"].startswith("joint@"))
        finally:
            stop.set()
        for each in running:
            each.result()
    assert {status for status, _ in seen} == {200}
    assert {model.partition("@")[0] for _, model in seen} == {"joint", "other"}


def replace_link(link: Path, target: Path) -> None:
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


def wait_for(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_damaged_model_leaves_the_old_one(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(folder)
    with Serving(link) as serving:
        version = serving.get("/ready").json["model"]
        replace_link(link, tmp_path)
        reply = serving.post("/reload", {})
        assert (reply.status, "the old model stays" in reply.json["detail"]) == (409, True)
        serving.process.send_signal(signal.SIGHUP)
        assert serving.post("/predict", PREDICT).json["model"] == version
        wait_for(lambda: 'mtl_reloads_total{result="failed"} 2.0' in serving.get("/metrics").body.decode())


def test_a_full_queue_is_said_and_what_was_accepted_is_finished_after_sigterm(folder: Path) -> None:
    """Each request takes the whole queue, so that of those at the same time one waits and others are refused."""
    texts = {"texts": ["a wonderful film . " * 1000] * 8}
    with Serving(folder, "--queue", "8", "--max-texts", "8", "--batch-tokens", "1") as serving, ThreadPoolExecutor(8) as clients:
        sent = [clients.submit(serving.post, "/predict", texts) for _ in range(8)]
        wait_for(lambda: any(each.done() for each in sent))  # the first refusal: one is predicted, and one waits
        accepted = [each for each in sent if not each.done()]
        serving.process.terminate()
        refused = [each.result() for each in sent if each not in accepted]
        finished = [each.result() for each in accepted]
        assert serving.process.wait(60) == -signal.SIGTERM
    assert {(reply.status, reply.headers["retry-after"]) for reply in refused if reply.status != 200} == {(503, "1")}
    assert 200 in {reply.status for reply in finished}
    assert {reply.status for reply in finished} <= {200, 503}


def test_limits_fit_each_other() -> None:
    with pytest.raises(MtlError, match="raise --queue or lower --max-texts"):
        Limits(texts=9, queue=8)
