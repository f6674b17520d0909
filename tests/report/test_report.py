"""Reports of real, briefly trained runs: the page's parts, its safety, its refusals."""

import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers import DIGITS, digits, verb

from mnist.base.errors import InputError
from mnist.checkpoints import reading
from mnist.report import measurement, output, past_run

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SECTIONS = ["training", "digits", "confidence", "mistakes", "changes", "speed", "run", "about"]
HOSTILE = "</style><script>alert(1)</script>\"'<img src=x onerror=alert(1)>{{ 7*7 }}&amp;"
VOID = {"meta", "link", "img", "br", "hr", "wbr"}


class Page(HTMLParser):
    """What tests ask of a page."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.text = path.read_text()
        self.tags, self.open, self.words, self.styles = [], [], [], []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "wbr":
            self.words.append("\0")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        (self.styles if self.open and self.open[-1] == "style" else self.words).append(data)

    @property
    def words_shown(self):
        return " ".join(" ".join(self.words).replace(" \0 ", "").split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def sections(self):
        return [attributes["id"] for attributes in self.all("section")]


def check(path):
    """A page that is whole, accessible, and needs nothing from outside; returned parsed."""
    assert path.stat().st_size < 2_000_000
    page = Page(path)
    assert page.open == [] and page.text.startswith("<!doctype html>\n<html lang=")
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert len(page.all("h2")) == len(page.sections())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form", "foreignobject")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("data:", "#")), (tag, value)
                assert not value.startswith("#") or value[1:] in ids, value
            assert "url(" not in (value or "").replace("url(#", ""), (tag, name, value)
    assert "url(" not in "".join(page.styles) and "@import" not in "".join(page.styles)
    assert "default-src 'none'" in page.all("meta")[2]["content"]
    assert all("alt" in attributes for attributes in page.all("img"))
    assert all(attributes.get("role") == "img" and attributes.get("aria-label")
               for attributes in page.all("svg"))  # fmt: skip
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("scope") for attributes in page.all("th"))
    return page


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(measurement, "_SECONDS_PER_SPEED", 0.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder in which two small runs were trained, and reported on, by the verbs."""
    folder = tmp_path_factory.mktemp("runs")
    for name, settings in {"one": [], "two": ["model.hidden_sizes=[]", "train.seed=2"]}.items():
        settings += [
            "model.name=fc",
            "train.epochs=3",
            f"checkpoint.dir={name}",
            f"log.dir=log/{name}",
        ]
        settings += ["log.every_steps=5"]
        flags = [part for setting in reversed(settings) for part in ("--set", setting)]
        verb("train", "--config", "configs/quickstart.yaml", *flags, cwd=folder, check=0)
    return folder


@pytest.fixture
def copy(runs, tmp_path, monkeypatch):
    """A copy of the runs that a test may spoil, as the working directory."""
    folder = tmp_path / "copy"
    shutil.copytree(runs, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def rewrite(folder, change):
    """Change a checkpoint's state.json and its manifest, as an attacker can."""
    state = json.loads((folder / "state.json").read_text())
    change(state)
    (folder / "state.json").write_text(json.dumps(state))
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "state.json").read_bytes()
    manifest["files"]["state.json"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def one_line(text):
    lines = text.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), text
    return lines[0]


# --- one run ---


def test_a_report_has_every_section_and_agrees_with_evaluate(copy):
    done = verb("report", "one/best", "--output", "deep/one.html", cwd=copy, check=0)
    assert "deep/one.html" in done.stdout and done.stderr == ""
    page = check(copy / "deep" / "one.html")
    assert page.sections() == SECTIONS
    found = json.loads(
        verb("evaluate", "--checkpoint", "one/best", "--json", cwd=copy, check=0).stdout
    )
    wrong = 300 - round(300 * found["accuracy"])
    assert f"{100 * found['accuracy']:.2f}%" in page.words_shown
    assert f"{found['loss']:.4f}" in page.words_shown
    mistakes = [
        a["alt"] for a in page.all("img") if re.match(r"A \d that was read as \d", a["alt"])
    ]
    assert len(mistakes) == min(wrong, 50) > 5
    state = reading.read_state(copy / "one" / "best")
    assert state.data_sha256 in page.words_shown and state.saved_at in page.words_shown
    for record in state.history:
        assert f"{record.valid_loss:.4f}" in page.words_shown
    for key in ("batch_size", "hidden_sizes", "schedule.name", "early_stopping_patience"):
        assert key in page.words_shown
    # Four of the training, one of calibration, four of changed digits.
    assert len(page.all("svg")) == 9


def test_the_default_is_the_best_checkpoint_and_report_html_here(copy):
    (copy / "one").rename(copy / "checkpoints")
    call([])
    assert "checkpoints/best" in check(copy / "report.html").words_shown


def test_a_run_is_its_folders_best(copy):
    assert past_run.read("one").source.named == Path("one/best")


def test_history_goes_on_after_the_checkpoint_and_curves_are_the_runs_own(copy):
    run = past_run.read("one/epoch1")
    assert [record.epoch for record in run.history] == [1, 2, 3] and run.epoch == 1
    assert len(run.curves["train/loss"]) == run.history[-1].step // 5
    assert run.curves["valid/loss"][-1][0] == 3.0
    assert run.trained.count == 300
    (copy / "one" / "result.json").unlink()
    assert len(past_run.read("one/epoch1").history) == 3  # from latest
    shutil.rmtree(copy / "log" / "one")
    shutil.copytree(copy / "log" / "two", copy / "log" / "one")
    assert past_run.read("one/epoch1").curves == {}


def test_a_result_of_another_run_or_none_at_all_is_not_taken(copy):
    shutil.copy(copy / "two" / "result.json", copy / "one" / "result.json")
    run = past_run.read("one/epoch3")
    assert run.trained is None and len(run.history) == 3
    (copy / "one" / "result.json").write_text('{"history": [{}], "eval": 3}')
    assert past_run.read("one/epoch3").trained is None


def test_a_run_stopped_in_its_first_epoch_says_so(copy):
    rewrite(copy / "one" / "epoch1", lambda state: state.update(history=[], epoch=0))
    output.write(["one/epoch1"], False, "valid", None, "r.html")
    page = check(copy / "r.html")
    assert "No epoch of this run was finished yet" in page.words_shown
    assert len(page.all("svg")) == 5


def test_a_temperature_is_shown_beside_the_plain_confidences(copy, monkeypatch):
    monkeypatch.setattr(past_run.Run, "temperature", 1.5)
    output.write(["one"], False, "eval", None, "r.html")
    assert "temperature 1.500" in check(copy / "r.html").words_shown


def test_mistakes_come_worst_first(copy):
    output.write(["one"], False, "eval", None, "r.html")
    shown = re.findall(r"(\d) → (\d) ([\d.]+)% #(\d+)", check(copy / "r.html").words_shown)
    confidences = [float(confidence) for _, _, confidence, _ in shown]
    assert confidences == sorted(confidences, reverse=True)
    labels = digits().eval.labels
    assert all(labels[int(index)] == int(label) != int(guess) for label, guess, _, index in shown)


# --- several runs ---


def test_a_comparison_has_every_section_and_the_differences(copy):
    call(["--compare", "one", "two/epoch2"])
    page = check(copy / "report.html")
    assert page.sections() == ["runs", "training", "config", "digits", "changes", "about"]
    for expected in (
        "178,110",
        "7,850",
        "epoch2",
        "model.hidden_sizes",
        "train.seed",
        "[200, 100]",
    ):
        assert expected in page.words_shown
    assert "optimizer.learning_rate" not in page.words_shown
    assert len(page.all("svg")) == 10


def test_pairs_count_the_digits_that_only_one_run_reads(copy):
    output.write(["one", "two"], True, "eval", None, "r.html")
    words = check(copy / "r.html").words_shown
    first, second, both = map(int, re.search(r"A and B (\d+) (\d+) (\d+) ", words).groups())
    results = [json.loads((copy / name / "result.json").read_text()) for name in ("one", "two")]
    wrong = [300 - round(300 * result["eval"]["accuracy"]) for result in results]
    assert [second + both, first + both] == wrong


def test_a_run_that_cannot_be_measured_is_compared_all_the_same(copy):
    rewrite(copy / "two" / "epoch2", lambda state: state.update(data_path="nowhere.json.gz"))
    output.write(["one", "two/epoch2"], True, "eval", None, "r.html")
    assert "B was not measured: nowhere.json.gz" in check(copy / "r.html").words_shown
    rewrite(copy / "one" / "epoch1", lambda state: state.update(data_path="nowhere.json.gz"))
    output.write(["one/epoch1", "two/epoch2"], True, "eval", None, "r.html")
    assert check(copy / "r.html").words_shown.count("No run was measured") == 2


# --- data ---


def test_without_its_data_a_run_is_shown_and_not_measured(copy, capfd):
    rewrite(copy / "one" / "epoch2", lambda state: state.update(data_path="nowhere.json.gz"))
    call(["one/epoch2"])
    assert "not measured: nowhere.json.gz" in capfd.readouterr().out
    page = check(copy / "report.html")
    assert page.sections() == SECTIONS and len(page.all("svg")) == 4
    assert page.words_shown.count("Not measured: nowhere.json.gz") == 5
    with pytest.raises(InputError, match=r"nowhere\.json\.gz"):
        call(["one", "--data", "nowhere.json.gz"])


def test_changed_and_other_data_are_warned_of_on_the_page(copy, capfd):
    changed = copy / "changed.json.gz"
    changed.write_bytes(DIGITS.read_bytes())
    rewrite(
        copy / "one" / "epoch2", lambda state: state.update(data_path=str(changed), data_sha256="0")
    )
    output.write(["one/epoch2"], False, "eval", None, "r.html")
    assert f"WARNING: {changed} has changed" in capfd.readouterr().err
    assert f"Warning: {changed} has changed" in check(copy / "r.html").words_shown
    output.write(["one/epoch2"], False, "eval", str(DIGITS), "r.html")
    assert "is not the data set" in check(copy / "r.html").words_shown


def test_a_course_pair_needs_data_and_says_what_it_lacks(copy):
    for suffix in (".pdparams", ".pdopt"):
        shutil.copy(copy / "one" / "epoch3" / f"model{suffix}", copy / f"mnist_epoch2{suffix}")
    with pytest.raises(InputError, match="--data"):
        call(["mnist_epoch2"])
    call(["mnist_epoch2", "--data", str(DIGITS), "--split", "valid"])
    page = check(copy / "report.html")
    assert "as the course saves it" in page.words_shown and len(page.all("svg")) == 5
    output.write(["one", "mnist_epoch2"], True, "eval", str(DIGITS), "r.html")
    assert "B has no history" in check(copy / "r.html").words_shown


# --- refusals ---


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["nowhere/best"], "nowhere/best"),
        (["one", "two"], "--compare"),
        (["--compare", "one"], "--compare"),
        (["--compare", *9 * ["one"]], "2 to 8"),
        (["one", "--output", "notes.txt"], "notes.txt"),
        (["one", "--output", "."], "folder"),
        ([], "checkpoints"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(copy, arguments, named):
    (copy / "notes.txt").write_text("my own")
    before = sorted(copy.rglob("*"))
    with pytest.raises(InputError, match=re.escape(named)):
        call(arguments)
    assert sorted(copy.rglob("*")) == before and (copy / "notes.txt").read_text() == "my own"


def call(arguments):
    from mnist.report import __main__ as main

    main.main(arguments, standalone_mode=False)


def test_the_verb_refuses_in_one_line(copy):
    (copy / "report.html").write_text("<!doctype html>\n<html lang='en'>my own page")
    assert "report.html" in one_line(verb("report", "one", cwd=copy, check=2).stderr)
    assert "my own page" in (copy / "report.html").read_text()


def test_an_earlier_report_is_replaced_and_a_link_to_something_else_is_not(copy):
    for name in ("epoch1", "epoch2"):
        rewrite(copy / "one" / name, lambda state: state.update(data_path="nowhere.json.gz"))
        call([f"one/{name}", "--output", "r.html"])
        assert f"one/{name}" in check(copy / "r.html").words_shown
    (copy / "dangling.html").symlink_to("nowhere")
    with pytest.raises(InputError, match="dangling"):
        output.write(["one"], False, "eval", None, "dangling.html")


# --- hostile files ---


def test_hostile_strings_are_shown_and_not_obeyed(copy):
    def spoil(state):
        state["config"][HOSTILE] = {HOSTILE: HOSTILE, "list": [HOSTILE]}
        state["config"]["log"]["dir"] = HOSTILE
        state["versions"][HOSTILE] = HOSTILE
        for key in ("saved_at", "device", "deterministic", "data_fallback"):
            state[key] = HOSTILE
        state["data_path"] = HOSTILE

    for run in ("one", "two"):
        rewrite(copy / run / "epoch2", spoil)
    name = copy / "<b>$x^2$ '\"&"
    (copy / "one" / "epoch2").rename(name)
    for names in ([str(name)], [str(name), "two/epoch2", "one"]):
        output.write(names, len(names) > 1, "eval", None, "r.html")
        page = check(copy / "r.html")
        assert " ".join(HOSTILE.split()) in page.words_shown and "<b>$x^2$" in page.words_shown
        assert "49" not in re.findall(r"<title>(.*?)</title>", page.text)[0]


def test_impossible_histories_do_no_harm(copy):
    fields = ("train_loss", "valid_loss", "valid_accuracy", "learning_rate", "seconds")
    values = (0.0, -1.0, 1e308, float("nan"), float("inf"))

    def spoil(state):
        state["data_path"] = "nowhere.json.gz"
        last = state["history"].pop()
        for value in values:
            state["history"] += [{**last, field: value} for field in fields]

    rewrite(copy / "one" / "epoch3", spoil)
    output.write(["one/epoch3"], False, "eval", None, "r.html")
    check(copy / "r.html")
    output.write(["one/epoch3", "two"], True, "eval", None, "r.html")
    check(copy / "r.html")


def test_a_long_history_stays_a_small_page(copy):
    def lengthen(state):
        state["data_path"] = "nowhere.json.gz"
        last = state["history"][-1]
        state["history"] += [{**last, "epoch": n, "step": 12 * n} for n in range(4, 3001)]

    rewrite(copy / "one" / "epoch3", lengthen)
    output.write(["one/epoch3"], False, "eval", None, "r.html")
    page = check(copy / "r.html")
    assert "100 of 3,000" in page.words_shown and len(page.text) < 400_000


# --- measuring ---


def test_the_sample_is_the_same_each_time_and_no_more_than_there_is():
    split = digits().eval
    first, second = (measurement.sample_of(split, 100) for _ in range(2))
    assert len(first) == 100 and np.array_equal(first.images, second.images)
    assert len(measurement.sample_of(split, 10_000)) == 300


# --- as a browser shows it ---


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
                 "disable-background-networking", "disable-component-update", "disable-sync",
                 f"user-data-dir={tmp_path_factory.mktemp('profile')}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


# Texts of one figure whose boxes touch, and what stands out of the page.
OVERLAPS = """
const found = [];
for (const svg of document.querySelectorAll('svg')) {
  const boxes = [...svg.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
  const texts = boxes.map(([t, box]) => [t.textContent, box]);
  const touch = (r, s) => r.left < s.right - 1 && s.left < r.right - 1
    && r.top < s.bottom - 1 && s.top < r.bottom - 1;
  texts.forEach(([a, r], i) => texts.slice(i + 1).forEach(([b, s]) => {
    if (touch(r, s)) found.push(svg.getAttribute('aria-label') + ': ' + a + ' / ' + b);
  }));
  for (const [a, r] of texts) {
    const box = svg.getBoundingClientRect();
    if (r.left < box.left - 1 || r.right > box.right + 1) found.push('cut off: ' + a);
    if (r.height < 8) found.push('too small: ' + a + ' ' + r.height);
  }
}
if (document.documentElement.scrollWidth > innerWidth) found.push('wider than the screen');
return found;
"""


@pytest.mark.parametrize("names", [["one"], [*4 * ["one"], *4 * ["two"]]], ids=["one", "eight"])
def test_nothing_overlaps_or_stands_out(copy, browser, names):
    output.write(names, len(names) > 1, "eval", None, "r.html")
    for width in (400, 1200):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get((copy / "r.html").as_uri())
        assert browser.execute_script(OVERLAPS) == []
    assert browser.get_log("browser") == []


def test_the_page_follows_light_and_dark(copy, browser):
    rewrite(copy / "one" / "epoch3", lambda state: state.update(data_path="nowhere.json.gz"))
    output.write(["one/epoch3"], False, "eval", None, "r.html")
    style = "return getComputedStyle(document.querySelector('{}')).{}"
    for scheme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 29)")):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get((copy / "r.html").as_uri())
        assert browser.execute_script(style.format("body", "backgroundColor")) == paper
        ink = browser.execute_script(style.format("body", "color"))
        assert browser.execute_script(style.format("svg text", "fill")) == ink
