"""Downloads from a real server on this machine: whole or absent, checked, and clear about what to do without it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from samples import tiny_checkpoint

from explorer.weights import CheckpointError, download, load
from explorer.weights.download import REGISTRY, DownloadError, Weights, fetch, resolve

CONTENT = bytes(range(256)) * 5000
REQUESTS: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in well- and ill-behaved ways, by path; `/checkpoint` serves what the test put on the server."""

    def do_GET(self) -> None:
        REQUESTS.append(self.path)
        if self.path in ("/to-file", "/to-ftp", "/to-good"):
            targets = {"/to-file": "file:///etc/hostname", "/to-ftp": "ftp://127.0.0.1/a", "/to-good": "/good.bin"}
            self.send_response(302)
            self.send_header("Location", targets[self.path])
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        else:
            body = getattr(self.server, "checkpoint", b"") if self.path == "/checkpoint" else CONTENT
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path == "/page" else "application/octet-stream")
            if self.path != "/no-length":
                announced = 2**50 if self.path == "/endless" else len(body) + 100 * (self.path == "/broken")
                self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("source", ["x" * 10**6, "a\0b", "http://[::1", "https://" + "x" * 5000, "ftp://" + "x" * 5000])
def test_what_is_neither_file_nor_address_is_refused_in_few_words(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError) as error:
        resolve(source)
    assert len(str(error.value)) < 900


@pytest.fixture
def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    REQUESTS.clear()
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "weights"


def left_over(cache: Path) -> list[Path]:
    return list(cache.iterdir()) if cache.exists() else []


def test_a_file_is_fetched_once_and_kept(address: str, cache: Path) -> None:
    first, second = resolve(f"{address}/good.bin"), resolve(f"{address}/good.bin")
    assert first == second
    assert first.read_bytes() == CONTENT
    assert left_over(cache) == [first]
    assert REQUESTS == ["/good.bin"]


def test_different_addresses_never_share_a_file(address: str) -> None:
    assert resolve(f"{address}/a/good.bin") != resolve(f"{address}/b/good.bin")


@pytest.mark.parametrize("page", ["no-length", "to-good"])
def test_redirects_and_unknown_lengths_are_served(page: str, address: str) -> None:
    assert resolve(f"{address}/{page}").read_bytes() == CONTENT


def test_progress_reports_bytes_up_to_the_whole(address: str) -> None:
    seen: list[tuple[int, int | None]] = []
    resolve(f"{address}/good.bin", progress=lambda name, done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_published_digest_is_held_against_the_file(address: str, cache: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(Weights(f"{address}/good.bin", "whole.bin", "", digest)).read_bytes() == CONTENT
    assert fetch(Weights(f"{address}/good.bin", "prefix.bin", "", digest[:8])).read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(Weights(f"{address}/good.bin", "wrong.bin", "", "0" * 64))
    assert not (cache / "wrong.bin").exists()


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("broken", "broke after"),
        ("missing", "404|Not Found"),
        ("page", "web page"),
        ("endless", "larger than"),
        ("to-file", "not allowed|unknown url type"),
        ("to-ftp", "unknown url type"),
    ],
)
def test_a_failed_transfer_says_why_and_leaves_nothing(page: str, reason: str, address: str, cache: Path) -> None:
    with pytest.raises(DownloadError, match=reason):
        resolve(f"{address}/{page}")
    assert left_over(cache) == []


def test_a_transfer_of_unknown_length_is_bounded(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    with pytest.raises(DownloadError, match="larger than 1,000 bytes"):
        resolve(f"{address}/no-length")
    assert left_over(cache) == []


def test_without_a_net_the_message_says_which_file_to_put_where(cache: Path) -> None:
    weights = Weights("http://127.0.0.1:1/ffhq.pkl", "ffhq.pkl", "")
    with pytest.raises(DownloadError) as caught:
        fetch(weights)
    assert weights.url in str(caught.value)
    assert f"put it at {cache / 'ffhq.pkl'}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_put_in_place_by_hand_is_used(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "ffhq.pkl").write_bytes(b"by hand")
    assert resolve("ffhq").read_bytes() == b"by hand"


@pytest.mark.parametrize("source", ["file:///etc/hostname", "ftp://127.0.0.1/a", "no/such/file.pkl", "nonsense"])
def test_only_paths_web_addresses_and_known_names_are_accepted(source: str) -> None:
    with pytest.raises(CheckpointError):
        resolve(source)
    assert REQUESTS == []


def test_every_known_name_is_a_distinct_https_file() -> None:
    assert all(weights.url.startswith("https://") for weights in REGISTRY.values())
    assert all(weights.licence and Path(weights.file).name == weights.file for weights in REGISTRY.values())
    assert len({weights.file for weights in REGISTRY.values()}) == len(REGISTRY)


def test_load_takes_a_web_address(server: ThreadingHTTPServer, address: str, tmp_path: Path) -> None:
    tiny = tiny_checkpoint()
    server.checkpoint = tiny.save(tmp_path / "a").read_bytes()  # type: ignore[attr-defined]
    loaded = load(f"{address}/checkpoint")
    assert torch.equal(loaded.generator.mean, tiny.generator.mean)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/cats.pkl", "cats.pkl"),
        ("/a/" + "x" * 100 + ".pkl", "x" * 76 + ".pkl"),
        ("/a b;c", "a_b_c"),
        ("/a/", "weights"),
    ],
)
def test_a_download_is_called_as_its_address_ends(path: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched: only the name is asked for. Its ending says what kind of file it is."""
    monkeypatch.setattr(download, "fetch", lambda weights, progress: Path(weights.file))
    address = f"https://example.org{path}"
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    assert resolve(address).name == f"{digest}-{name}"
