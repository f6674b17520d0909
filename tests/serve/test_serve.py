"""The serve verb as its users meet it: a real process, real signals, a real browser."""

import base64
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from math import cos, pi, sin

import httpx
import pytest
from helpers import PROJECT, ROOT, environment, verb
from PIL import Image

from mnist.base.errors import Failure, InputError
from mnist.serve import server

SAMPLES = ROOT / "data" / "samples"
SEVEN = (SAMPLES / "seven.png").read_bytes()
PNG = {"content-type": "image/png"}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A model that was trained for a few seconds on the bundled digits."""
    folder = tmp_path_factory.mktemp("served")
    verb(
        "train", "--config", "configs/quickstart.yaml", "--set", "model.name=lenet5",
        "--set", "train.epochs=8", cwd=folder, check=0,
    )  # fmt: skip
    return folder / "checkpoints" / "best"


@contextmanager
def serving(checkpoint, *arguments):
    """A server of its own on a free port: (process, address)."""
    command = [sys.executable, "-m", "mnist.serve", "--port", "0", "--checkpoint", str(checkpoint)]
    process = subprocess.Popen(
        [*command, *arguments],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        assert found, line + process.stderr.read()
        yield process, found.group()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address(checkpoint):
    with serving(checkpoint) as (_, address):
        yield address


def last_line(text):
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


# --- Starting and stopping ---


def test_it_reads_what_predict_reads(checkpoint, address):
    done = verb("predict", SAMPLES, "--checkpoint", checkpoint, cwd=PROJECT, check=0)
    expected = [int(line.split(": ")[1][0]) for line in done.stdout.splitlines()]
    files = [("file", path.read_bytes()) for path in sorted(SAMPLES.glob("*.png"))]
    answer = httpx.post(address + "predict", files=files, params={"explain": True}).json()
    assert [reading["digit"] for reading in answer["predictions"]] == expected
    maps = answer["predictions"][0]["feature_maps"]
    assert len(maps) == 6 and len(maps[0]) in (14, 28)


def test_stopping_under_load_loses_no_request(checkpoint):
    pictures = [base64.b64encode(SEVEN).decode()] * 10
    statuses, cut_off = [], []

    def keep_asking(address):
        with httpx.Client(timeout=60) as client:
            while True:
                try:
                    with client.stream("POST", address, json={"images": pictures}) as answer:
                        try:
                            answer.read()
                            statuses.append(answer.status_code)
                        except httpx.HTTPError as error:
                            cut_off.append(error)
                except httpx.TransportError:  # no answer begun: refused, or never taken
                    return

    with serving(checkpoint) as (process, address):
        clients = [
            threading.Thread(target=keep_asking, args=[address + "predict"]) for _ in range(6)
        ]
        for client in clients:
            client.start()
        polls = under_way = 0
        while under_way < 30 or len(statuses) < 6:
            text = httpx.get(address + "metrics").text
            under_way = float(re.search(r"^mnist_images_under_way (.*)$", text, re.M).group(1))
            polls += 1
        before = len(statuses)
        process.terminate()
        for client in clients:
            client.join(60)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert cut_off == [] and set(statuses) == {200}
    assert len(statuses) > before
    answered = int(re.search(r"(\d+) requests answered", last_line(errors)).group(1))
    assert answered == len(statuses) + polls


@contextmanager
def unfinished_request(address):
    host, port = re.search(r"//(.*):(\d+)/", address).groups()
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nx".encode())
        while "under_way 1.0" not in httpx.get(address + "metrics").text:
            time.sleep(0.01)
        yield connection


def test_a_client_that_never_finishes_does_not_keep_it(checkpoint):
    with serving(checkpoint, "--timeout", "0.5") as (process, address), unfinished_request(
        address
    ) as connection:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert b" 408 " in connection.recv(1000)


def test_a_second_signal_ends_it_at_once(checkpoint):
    with serving(checkpoint, "--timeout", "600") as (process, address), unfinished_request(address):
        process.terminate()
        assert process.stderr.readline() == "\n"
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 143


# --- Connections that ask for nothing ---


def connected(address):
    host, port = re.search(r"//(.*):(\d+)/", address).groups()
    return socket.create_connection((host, int(port)), timeout=30)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"]
)
def test_a_connection_without_a_whole_request_is_closed(checkpoint, sent):
    with serving(checkpoint, "--timeout", "0.5") as (_, address), connected(address) as connection:
        connection.sendall(sent)
        answer = b""
        try:
            while True:
                part = connection.recv(1000)
                answer += part
                if not part:
                    break
        except ConnectionResetError:
            pass
        assert answer.startswith(b"HTTP/1.1 200") == (b"\r\n\r\n" in sent)


def test_a_head_that_drips_is_closed_in_spite_of_that(checkpoint):
    with serving(checkpoint, "--timeout", "1") as (_, address), connected(address) as connection:
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() < started + 30:
                connection.sendall(b"G")
                time.sleep(0.05)


def test_with_few_descriptors_those_beyond_the_bound_are_told_and_the_log_stays_short(checkpoint):
    command = f"ulimit -n 200 && exec {sys.executable} -m mnist.serve --port 0 --timeout 3"
    process = subprocess.Popen(
        ["bash", "-c", f"{command} --checkpoint '{checkpoint}'"],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        address = re.search(r"http://\S+/", process.stdout.readline()).group()
        held = [connected(address) for _ in range(500)]
        answers = []
        for connection in held:
            connection.settimeout(20)
            try:
                answers.append(connection.recv(100))
            except OSError:
                answers.append(b"")
            connection.close()
        assert sum(answer.startswith(b"HTTP/1.1 503") for answer in answers) > 100
        assert httpx.get(address + "healthz").status_code == 200
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert len(errors.splitlines()) == 4
    assert re.match(r"WARNING: \d+ connections; more are turned away", errors)


def test_what_cannot_be_served_is_one_line(tmp_path, checkpoint, address):
    def error_of(code, *arguments):
        done = verb("serve", *arguments, cwd=tmp_path, check=code)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return last_line(done.stderr)

    assert "nowhere" in error_of(2, "--checkpoint", "nowhere", "--port", "0")
    assert "--port" in error_of(2, "--port", "70000")
    taken = re.search(r":(\d+)/", address).group(1)
    assert taken in error_of(1, "--port", taken, "--checkpoint", checkpoint)


def test_the_address_is_one_of_this_machine_and_an_open_door_is_announced(capsys):
    with pytest.raises(InputError, match=r"--host x+: no address of this machine"):
        server.listening_socket("x" * 70, 0)
    with pytest.raises(Failure, match=r"--host 192\.0\.2\.1 --port 0: cannot be used"):
        server.listening_socket("192.0.2.1", 0)
    for host in ("127.0.0.1", "localhost"):
        server.listening_socket(host, 0).close()
    assert capsys.readouterr().err == ""
    server.listening_socket("0.0.0.0", 0).close()
    printed = capsys.readouterr().err
    assert printed.startswith("WARNING: --host 0.0.0.0: ") and "no password" in printed


# --- In a browser ---


def arc(x, y, width, height, start, end):
    """Points on a part of an ellipse; degrees, clockwise from the right."""
    angles = [(start + (end - start) * step / 10) * pi / 180 for step in range(11)]
    return [(x + width * cos(angle), y + height * sin(angle)) for angle in angles]


# How each digit is written, in strokes on a paper whose sides are 1.
STROKES = [
    [arc(0.5, 0.5, 0.2, 0.32, -90, 270)],
    [[(0.54, 0.15), (0.47, 0.85)]],
    [[*arc(0.48, 0.35, 0.18, 0.18, -170, 30), (0.3, 0.8), (0.72, 0.8)]],
    [[*arc(0.47, 0.33, 0.17, 0.16, -150, 80), *arc(0.47, 0.66, 0.2, 0.18, -80, 150)]],
    [[(0.4, 0.18), (0.3, 0.55), (0.7, 0.55)], [(0.62, 0.3), (0.58, 0.85)]],
    [
        [(0.4, 0.18), (0.37, 0.47), *arc(0.47, 0.63, 0.19, 0.2, -100, 150)],
        [(0.4, 0.18), (0.68, 0.18)],
    ],
    [[(0.6, 0.15), (0.4, 0.4), *arc(0.48, 0.67, 0.17, 0.16, -170, 190)]],
    [[(0.3, 0.2), (0.7, 0.2), (0.45, 0.85)]],
    [[*arc(0.5, 0.33, 0.15, 0.16, 90, 450), *arc(0.5, 0.66, 0.17, 0.17, -90, 270)]],
    [[*arc(0.5, 0.35, 0.17, 0.17, 0, -360), (0.6, 0.85)]],
]


@pytest.fixture(scope="module")
def open_browser():
    """Starts Chromium with an empty profile, a window's size, a language, a colour scheme."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed")
    opened = []

    def start(width=1280, height=900, language="en-US", scheme="light"):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        profile = tempfile.mkdtemp()
        for name in (
            "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
            "disable-background-networking", "disable-component-update", "disable-sync",
            f"user-data-dir={profile}", f"accept-lang={language}",
        ):  # fmt: skip
            options.add_argument(f"--{name}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
        opened.append((browser, profile))
        device = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        return Page(browser)

    yield start
    for browser, profile in opened:
        browser.quit()
        shutil.rmtree(profile, ignore_errors=True)


class Page:
    """The page in a browser, used by pointer, keys and eyes."""

    def __init__(self, browser):
        self.browser = browser

    def find(self, name):
        return self.browser.find_element("id", name)

    def open(self, address):
        self.browser.get(address)
        return self

    def draw(self, strokes):
        from selenium.webdriver import ActionChains

        paper = self.find("paper")
        width, height = paper.size["width"], paper.size["height"]
        actions = ActionChains(self.browser, duration=8)
        for points in strokes:
            for number, (x, y) in enumerate(points):
                actions.move_to_element_with_offset(
                    paper, round((x - 0.5) * width), round((y - 0.5) * height)
                )
                if number == 0:
                    actions.click_and_hold()
            actions.release()
        actions.perform()

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def wait(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 30, 0.05).until(lambda _: condition())

    def spoken(self):
        """The digit that a screen reader would tell, once the paper is left alone."""
        found = self.wait(lambda: re.match(r"\d", self.find("spoken").get_property("textContent")))
        assert found.group() == self.find("digit").text
        return int(found.group())

    def focus(self):
        return self.browser.switch_to.active_element.get_attribute("id")

    def foreign(self):
        """Addresses of what was loaded from elsewhere."""
        script = "return performance.getEntries().map(entry => entry.name)"
        names = self.browser.execute_script(script)
        home = self.browser.current_url
        assert any(name.startswith(home) for name in names)
        return [name for name in names if "://" in name and not name.startswith(home)]

    def complaints(self):
        """What the browser's console has, violations of the policy among it."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


def test_digits_drawn_with_a_pointer_are_read_live(open_browser, address):
    page = open_browser().open(address)
    read = []
    for strokes in STROKES:
        page.draw(strokes)
        read.append(page.spoken())
        page.find("clear").click()
        page.wait(lambda: page.find("digit").text == "–")
    right = sum(digit == number for number, digit in enumerate(read))
    assert right >= 8, read
    requests = page.browser.execute_script(
        "return performance.getEntriesByType('resource').filter(e => e.name.includes('predict'))"
        ".map(e => [e.startTime, e.responseEnd])"
    )
    assert len(requests) > 20
    # The next one never starts before the one before has been answered.
    assert all(later[0] >= earlier[1] for earlier, later in zip(requests, requests[1:]))
    assert page.foreign() == [] and page.complaints() == []


def test_keys_pictures_and_a_small_screen_in_chinese(open_browser, address, tmp_path):
    from selenium.webdriver.common.keys import Keys

    page = open_browser(360, 700, "zh-CN", "dark").open(address)
    browser = page.browser
    assert page.find("open").text == "打开图片" and "写" in browser.title
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360

    page.press(Keys.TAB, Keys.ENTER)
    assert page.focus() == "language" and page.find("open").text == "Open a picture"
    assert browser.execute_script("return document.documentElement.lang") == "en"

    # A one: the pen goes down at its start, far enough, and up.
    page.press(Keys.TAB)
    assert page.focus() == "paper"
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid" and page.find("pen").is_displayed()
    page.press(Keys.SPACE, *[Keys.ARROW_DOWN] * 14, Keys.SPACE)
    assert page.spoken() == 1
    page.press(Keys.TAB)
    assert page.focus() == "undo"
    page.press(Keys.ENTER)
    page.wait(lambda: page.find("digit").text == "–")
    assert not page.find("clear").is_enabled()

    # The same picture by the file dialogue's input, dropped, and pasted.
    page.find("file").send_keys(str(SAMPLES / "seven.png"))
    assert page.spoken() == 7
    for event in ("drop", "paste"):
        page.find("paper").send_keys(Keys.DELETE)
        page.wait(lambda: page.find("digit").text == "–")
        browser.execute_script(DELIVER, event, base64.b64encode(SEVEN).decode(), "image/png")
        assert page.spoken() == 7
    # A browser without AbortSignal.timeout, and a photo that only a smaller one of can be sent.
    page.find("paper").send_keys(Keys.DELETE)
    page.wait(lambda: page.find("digit").text == "–")
    browser.execute_script("delete AbortSignal.timeout")
    browser.execute_script(DELIVER, "drop", base64.b64encode(large_photo()).decode(), "image/jpeg")
    assert page.spoken() == 7
    browser.execute_script(DELIVER, "drop", "eA==", "text/plain")
    assert page.find("trouble").text == "That is not a picture file."
    browser.execute_script(DELIVER, "drop", "eA==", "image/png")
    page.wait(lambda: "no digit to read" in page.find("trouble").text)
    assert page.find("digit").text == "–"
    assert page.foreign() == []
    assert [line for line in page.complaints() if "422" not in line] == []


def large_photo():
    """A seven of 72 megapixels, which the server would refuse."""
    file = io.BytesIO()
    seven = Image.open(SAMPLES / "seven.png").convert("L")
    seven.resize((9800, 7350), Image.Resampling.BILINEAR).save(file, "JPEG", quality=60)
    return file.getvalue()


# Hands a file to the page as dropping or pasting does.
DELIVER = """
const [kind, base64, type] = arguments;
const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], "picture", { type }));
const options = { bubbles: true, cancelable: true };
document.body.dispatchEvent(
  kind === "drop"
    ? new DragEvent(kind, { ...options, dataTransfer: data })
    : new ClipboardEvent(kind, { ...options, clipboardData: data }),
);
"""


def test_the_documentation_needs_no_network(open_browser, address):
    page = open_browser().open(address + "docs")
    page.wait(lambda: "/predict" in page.browser.find_element("tag name", "body").text)
    names = page.browser.execute_script("return performance.getEntries().map(e => e.name)")
    assert [n for n in names if "://" in n and not n.startswith(address)] == []
    assert page.complaints() == []
