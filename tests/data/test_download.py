"""Downloads from mirrors that work, and from those that do not."""

import gzip
import hashlib
import os
import pty
import resource
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import environment

from mnist.base.errors import Failure
from mnist.data import download
from mnist.data.idx import IdxFile

PAYLOADS = {"one": os.urandom(300_000), "two": b"a few words", "three": bytes(70_000)}
PACKED = {f"{name}.gz": gzip.compress(payload, mtime=0) for name, payload in PAYLOADS.items()}
FILES = [
    IdxFile(name, hashlib.sha256(payload).hexdigest(), len(payload))
    for name, payload in PAYLOADS.items()
]


@pytest.fixture(autouse=True)
def _quick_and_local(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Mirror(BaseHTTPRequestHandler):
    """Serves ``PACKED`` with ranges, as a good mirror does; others differ in one thing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        wanted = self.headers.get("Range")
        if wanted != "bytes=0-0":  # That is only the question whether the mirror answers.
            self.server.requests.append((self.path.lstrip("/"), wanted))
        self.answer(PACKED[self.path.lstrip("/")], wanted)

    def answer(self, content, wanted):
        if wanted is None:
            return self.send(200, content)
        start, _, end = wanted[len("bytes=") :].partition("-")
        if int(start) >= len(content):
            return self.send(416, b"")
        piece = content[int(start) : int(end) + 1 if end else None]
        span = f"bytes {start}-{int(start) + len(piece) - 1}/{len(content)}"
        return self.send(206, piece, {"Content-Range": span})

    def send(self, status, content, headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # A client that hangs up in the middle is what some tests are about.


@contextmanager
def serving(handler):
    server = Quiet(("127.0.0.1", 0), handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def variant(answer):
    """A mirror that answers in its own way."""
    return type("Variant", (Mirror,), {"answer": answer})


def fetch(folder, *servers, files=FILES):
    lines = []
    urls = [getattr(server, "url", server) for server in servers]
    download.fetch(folder, urls, files=files, say=lines.append)
    return lines


def assert_complete(folder):
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == PACKED


def failure(folder, *servers):
    with pytest.raises(Failure) as caught:
        fetch(folder, *servers)
    line = str(caught.value)
    assert "\n" not in line
    assert "--source DIR" in line
    return line


def test_fetches_what_is_missing_and_nothing_else(tmp_path):
    with serving(Mirror) as server:
        lines = fetch(tmp_path / "new", server)
        assert_complete(tmp_path / "new")
        assert lines[1] == f"downloading one.gz from {server.url[7:]}"
        assert server.requests == [(f"{name}.gz", None) for name in PAYLOADS]
        (tmp_path / "new" / "two.gz").write_bytes(b"damaged")
        fetch(tmp_path / "new", server.url + "/")
        assert server.requests[3:] == [("two.gz", None)]
    assert_complete(tmp_path / "new")
    assert fetch(tmp_path / "new") == []  # Nobody is asked when nothing is missing.


def test_resumes_after_a_broken_connection(tmp_path):
    def break_off(self, content, wanted):
        if wanted is not None:
            return Mirror.answer(self, content, wanted)
        self.close_connection = True
        return self.send(200, content[:100_000], length=len(content))

    with serving(variant(break_off)) as server:
        fetch(tmp_path, server, files=FILES[:1])
        (first, second) = server.requests
    assert first == ("one.gz", None)
    assert 50_000 < int(second[1][len("bytes=") : -1]) <= 100_000
    assert (tmp_path / "one.gz").read_bytes() == PACKED["one.gz"]


def test_resumes_what_an_earlier_run_left(tmp_path):
    (tmp_path / "one.gz.part").write_bytes(PACKED["one.gz"][:200_000])
    with serving(Mirror) as server:
        fetch(tmp_path, server)
        assert server.requests[0] == ("one.gz", "bytes=200000-")
    assert_complete(tmp_path)


def test_a_complete_part_is_not_fetched_again(tmp_path):
    (tmp_path / "one.gz.part").write_bytes(PACKED["one.gz"])
    with serving(Mirror) as server:
        fetch(tmp_path, server)
        assert server.requests[:2] == [
            ("one.gz", f"bytes={len(PACKED['one.gz'])}-"),
            ("two.gz", None),
        ]
    assert_complete(tmp_path)


@pytest.mark.parametrize(
    "part", [b"x" * 1000, bytes(10_000_000)], ids=["other bytes", "longer than the file"]
)
def test_a_part_that_does_not_fit_is_fetched_anew(tmp_path, part):
    (tmp_path / "one.gz.part").write_bytes(part)
    with serving(Mirror) as server:
        fetch(tmp_path, server)
        assert server.requests[:2] == [("one.gz", f"bytes={len(part)}-"), ("one.gz", None)]
    assert_complete(tmp_path)


def ignore_ranges(self, content, wanted):
    self.send(200, content)


def give_another_range(self, content, wanted):
    if wanted is None or wanted == "bytes=0-0":
        return Mirror.answer(self, content, wanted)
    return self.send(206, content, {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"})


@pytest.mark.parametrize("answer", [ignore_ranges, give_another_range])
def test_servers_that_do_not_resume(tmp_path, answer):
    (tmp_path / "one.gz.part").write_bytes(PACKED["one.gz"][:1000])
    with serving(variant(answer)) as server:
        fetch(tmp_path, server)
    assert_complete(tmp_path)


def label_as_encoded(self, content, wanted):
    """Some servers call a .gz file an encoding of what is in it."""
    self.send(200, content, {"Content-Encoding": "gzip"})


def unpack(self, content, wanted):
    self.send(200, gzip.decompress(content))


def test_content_encoding_does_not_matter(tmp_path):
    with serving(variant(label_as_encoded)) as server:
        fetch(tmp_path, server)
    assert_complete(tmp_path)


def test_an_unpacked_file_under_the_name_of_a_packed_one_will_do(tmp_path):
    with serving(variant(unpack)) as server:
        fetch(tmp_path, server)
    assert (tmp_path / "one.gz").read_bytes() == PAYLOADS["one"]


def send_html(self, content, wanted):
    self.send(200, b"<html>Please log in to this network.</html>")


def send_other_content(self, content, wanted):
    Mirror.answer(self, gzip.compress(b"something else", mtime=0), wanted)


def send_damaged_gzip(self, content, wanted):
    Mirror.answer(self, content[:-5] + bytes(5), wanted)


def send_half(self, content, wanted):
    self.send(200, content[: len(content) // 2])


def send_without_end(self, content, wanted):
    self.send(200, bytes(1 << 20), length=1 << 40)
    while True:
        self.wfile.write(bytes(1 << 20))


def send_a_bomb(self, content, wanted):
    self.send(200, gzip.compress(bytes(50 << 20), mtime=0))


def fail(status):
    def answer(self, content, wanted):
        self.send(status, b"no")

    return answer


def fail_when_it_matters(self, content, wanted):
    self.send(206 if wanted == "bytes=0-0" else 503, b"n")


def hang_up(self, content, wanted):
    if wanted == "bytes=0-0":
        Mirror.answer(self, content, wanted)
    else:
        self.close_connection = True


BAD_MIRRORS = {
    "sends something else than one": [send_html, send_other_content, send_without_end],
    "is not a whole gzip file": [send_damaged_gzip],
    "file ended before the end": [send_half],
    "holds more than 300,000 bytes": [send_a_bomb],
    "HTTP status 404": [fail(404)],
    "HTTP status 500": [fail(500)],
    "HTTP status 503": [fail_when_it_matters],
    "cannot be reached": [hang_up],
}
CASES = [(words, answer) for words, answers in BAD_MIRRORS.items() for answer in answers]


@pytest.mark.parametrize(
    ("words", "answer"), CASES, ids=[f"{words}-{answer.__name__}" for words, answer in CASES]
)
def test_a_bad_mirror_is_named_and_the_next_one_asked(tmp_path, words, answer):
    with serving(variant(answer)) as bad, serving(Mirror) as good:
        line = failure(tmp_path / "bad", bad)
        assert bad.url[7:] in line
        assert words in line
        assert list((tmp_path / "bad").iterdir()) == []
        fetch(tmp_path / "both", bad, good)
    assert_complete(tmp_path / "both")


@contextmanager
def silent():
    """An address where connections are taken, and nothing ever answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(10)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_silent_mirror_does_not_hold_up_a_good_one(tmp_path):
    with silent() as nobody, serving(Mirror) as good:
        lines = fetch(tmp_path, nobody, good)
    assert_complete(tmp_path)
    assert {line.split(" from ")[1] for line in lines[1:]} == {good.url[7:]}


def test_addresses_that_are_none(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    line = failure(tmp_path, closed, "file:///etc", "nonsense")
    assert f"{closed[7:]}: cannot be reached" in line
    assert "nonsense: Invalid URL" in line


def test_with_only_silent_mirrors_it_gives_up_within_ten_seconds(tmp_path):
    with silent() as one, silent() as other:
        done = subprocess.run(
            [sys.executable, "-m", "mnist.prepare", "--output", tmp_path / "mnist.json.gz"],
            env=environment({"MNIST_MIRRORS": f"{one} {other}"}),
            capture_output=True,
            text=True,
            timeout=10,
        )
    assert done.returncode == 1
    assert done.stderr.count("no answer") == 2
    assert done.stderr.startswith("error: no mirror of MNIST can be reached (127.0.0.1:")
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_the_environment_variable_replaces_the_mirrors(monkeypatch):
    monkeypatch.delenv("MNIST_MIRRORS", raising=False)
    assert download.default_mirrors() == download.MIRRORS
    monkeypatch.setenv("MNIST_MIRRORS", "http://one/mnist  http://two/")
    assert download.default_mirrors() == ["http://one/mnist", "http://two/"]


SCRIPT = """
import sys
from mnist.base import command
from mnist.data import download
from mnist.data.idx import IdxFile
import click

@click.command()
@click.argument("arguments", nargs=5)
def main(arguments):
    url, folder, name, sha256, size = arguments
    from pathlib import Path
    download.fetch(Path(folder), [url], [IdxFile(name, sha256, int(size))])

command.run(main)
"""


def run_script(folder, server, **options):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, server.url, str(folder), *map(str, FILES[0])],
        env=environment({"COLUMNS": "120", "TERM": "xterm"}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        **options,
    )


def test_a_full_disk_keeps_what_is_there_for_later(tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with serving(Mirror) as server:
        done = run_script(tmp_path, server, stderr=subprocess.PIPE, preexec_fn=small_files)
        assert done.returncode == 1
        assert done.stderr == f"error: {tmp_path}/one.gz.part: cannot be written (File too large)\n"
        fetch(tmp_path, server)
        assert ("one.gz", "bytes=100000-") in server.requests
    assert_complete(tmp_path)


def test_a_terminal_gets_a_progress_bar(tmp_path):
    reader, writer = pty.openpty()
    with serving(Mirror) as server:
        done = run_script(tmp_path, server, stderr=writer)
    os.close(writer)
    shown = os.read(reader, 1 << 20).decode()
    os.close(reader)
    assert done.returncode == 0
    assert "one.gz" in shown
    size = f"{len(PACKED['one.gz']) / 1000:.1f}"
    assert f"{size}/{size} kB" in shown


def test_elsewhere_there_are_plain_lines_only(tmp_path):
    with serving(Mirror) as server:
        done = run_script(tmp_path, server, stderr=subprocess.PIPE)
        lines = ["asking the mirrors for MNIST", f"downloading one.gz from {server.url[7:]}"]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")
