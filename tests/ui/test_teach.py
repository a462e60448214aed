"""Journeys through the Teach tab: a real server, a real lesson of a few steps on a tiny generator, a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from app_server import ROOT, Server, serious_barriers
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from explorer import Engine, load
from explorer.networks.judge import Judge, JudgeConfig
from explorer.refused import Refused
from explorer.styles import ALL_STYLES
from explorer.ui import jobs
from explorer.ui.jobs import Job, Jobs
from explorer.ui.tabs.teach import Classroom, domains_of, on_top
from explorer.weights.folder import generators
from explorer.weights.parts import save_part

DOMAIN = "tolkien elf"  # one of expanded32.pkl
PATIENCE = 300_000  # ms that a lesson may take to begin or to end on a busy machine


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """The folder of lessons that the server uses; what still runs at the end is ended."""
    data = tmp_path_factory.mktemp("data")
    lessons = Jobs(data / "lessons")
    yield lessons
    if (job := lessons.running()) is not None and (process := job.process()) is not None:
        process.kill()


@pytest.fixture(scope="module")
def server(lessons: Jobs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A tiny generator with three domains, in a folder of its own, for what is saved beside it."""
    checkpoint = tmp_path_factory.mktemp("checkpoints") / "tiny.pkl"
    shutil.copyfile(ROOT / "tests" / "fixtures" / "expanded32.pkl", checkpoint)
    server = Server(checkpoint, data=lessons.root.parent)
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """A lesson beside the page makes a small machine slow."""
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def teach(browser: Browser, server: Server) -> Iterator[Page]:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    open_teach(page)
    yield page
    page.context.close()
    assert not [error for error in errors if "ERR_CONNECTION_REFUSED" not in error]


def open_teach(page: Page) -> None:
    page.wait_for_selector(".explore[data-painted]")
    page.get_by_role("tab", name="Teach", exact=True).click()
    page.wait_for_selector(".teach:not([data-state=loading]) .sheet img")


def ask(page: Page, name: str, steps: int) -> None:
    """Words, a name and a number of steps, and Teach."""
    page.get_by_label("Words", exact=True).check()
    page.get_by_label("What they should become").fill("pencil sketch")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("spinbutton", name="Steps").fill(str(steps))
    page.locator(".wish .start").click()


def state(page: Page, *states: str) -> None:
    page.wait_for_selector(", ".join(f".teach[data-state={state}]" for state in states), timeout=PATIENCE)


def test_what_is_taught_and_kept_is_a_slider_in_explore_and_a_file(teach: Page, server: Server, lessons: Jobs) -> None:
    expect(teach.locator(".sheet img")).to_have_count(4)
    server.checkpoint.with_name("tiny-judge.safetensors").write_bytes(b"a part of the family")
    taken = int(teach.locator(".teach select[name=dim] option").first.inner_text().split(":")[0])
    open_edit = f"domainExplorer.openEdit('explore', {{version: 1, seed: 5, strengths: [[{taken}, 0.5]]}})"
    teach.evaluate(open_edit)
    teach.wait_for_function("document.querySelector('.explore').dataset.painted?.includes('0.5')")
    teach.locator(".explore").get_by_role("button", name="Snapshot").first.click()
    teach.get_by_role("tab", name="Compose", exact=True).click()
    teach.get_by_role("button", name="Try two").click()
    teach.wait_for_selector(".compose[data-painted*=strengths]")
    sums = "JSON.parse(document.querySelector('.compose').dataset.painted).strengths"
    composed = teach.evaluate(sums)
    teach.get_by_role("tab", name="Model", exact=True).click()
    expect(teach.locator(".model figcaption")).to_have_count(3)
    teach.get_by_role("tab", name="Teach", exact=True).click()
    teach.get_by_label("Words", exact=True).check()
    teach.get_by_role("button", name="pencil sketch", exact=True).click()
    expect(teach.get_by_role("textbox", name="Name", exact=True)).to_have_value("pencil sketch")
    ask(teach, "my sketch", 2)
    state(teach, "preparing", "training")
    teach.get_by_role("button", name="Pause").click()  # however fast this machine is
    state(teach, "paused")
    ask(teach, "my second", 2)
    ask(teach, "my third", 2)
    line = teach.get_by_role("region", name="Lessons in line")
    expect(line.get_by_role("listitem")).to_have_count(2)
    line.get_by_role("button", name="Take my third out of the line").click()
    expect(line.get_by_role("listitem")).to_have_count(1)
    teach.get_by_role("button", name="Continue").click()
    second = teach.locator(".earlier option", has_text="my second (finished)")
    second.wait_for(state="attached", timeout=PATIENCE)
    expect(line).to_be_hidden()
    on_top = load(lessons.all()[0].folder / "network.safetensors").expansion
    assert on_top
    assert {"my sketch", "my second"} <= set(on_top.domains)
    teach.locator(".earlier select").select_option(label="my sketch (finished)")
    expect(teach.get_by_role("heading", name="my sketch")).to_be_visible()
    state(teach, "done")
    expect(teach.get_by_role("status").first).to_contain_text("step 2 of 2")
    expect(teach.locator(".sheet img")).to_have_count(12)
    sources = teach.locator(".sheet img").evaluate_all("images => images.map((image) => image.src)")
    assert len(set(sources)) == 12, "four seeds at three strengths are twelve pictures"

    teach.get_by_role("button", name="Keep").click()
    expect(teach.locator(".teach .kept")).to_contain_text("is a slider in Explore now")
    teach.get_by_label("Name of the new checkpoint").fill("tiny")
    shutil.copyfile(server.checkpoint, server.checkpoint.with_suffix(".safetensors"))
    teach.get_by_role("button", name="Save", exact=True).click()
    expect(teach.locator(".course .trouble")).to_contain_text("is there already")
    teach.wait_for_timeout(2_500)  # looks at the server go on, and wipe nothing
    expect(teach.locator(".course .trouble")).to_contain_text("is there already")
    teach.get_by_label("Name of the new checkpoint").fill("tiny sketch")
    teach.get_by_role("button", name="Save", exact=True).click()
    expect(teach.locator(".saved")).to_contain_text("tiny sketch.safetensors")
    expect(teach.locator(".course .trouble")).to_be_hidden()
    saved = load(server.checkpoint.with_name("tiny sketch.safetensors"))
    assert saved.expansion
    assert saved.expansion.domains[-1] == "my sketch"
    assert saved.meta["expanded_from"] == "tiny.pkl"
    assert server.checkpoint.with_name("tiny sketch-judge.safetensors").read_bytes() == b"a part of the family"

    # What was made before is there as it was, without the direction that was given away.
    teach.get_by_role("tab", name="Explore", exact=True).click()
    expect(teach.locator("#tab-snapshots .count")).to_have_text("1")
    teach.wait_for_function("document.querySelector('.explore').dataset.painted === '{\"version\":1,\"seed\":5}'")
    teach.get_by_role("tab", name="Compose", exact=True).click()
    teach.wait_for_selector(".compose[data-painted*=strengths]")
    assert teach.evaluate(sums) == composed
    teach.get_by_role("tab", name="Teach", exact=True).click()

    teach.get_by_role("button", name="Open in Explore").click()
    slider = teach.get_by_role("slider", name="my sketch", exact=True)
    expect(slider).to_be_visible()
    expect(slider).to_have_value("1")
    teach.get_by_role("tab", name="Model", exact=True).click()
    expect(teach.locator(".model figcaption").last).to_have_text("my sketch")
    teach.get_by_role("tab", name="Explore", exact=True).click()
    teach.reload()
    teach.wait_for_selector(".explore[data-painted]")
    expect(teach.get_by_role("slider", name="my sketch", exact=True)).to_be_visible()

    # What was kept is a generator of the user's own, which the next server offers.
    kept = load(lessons.root.parent / "models" / "tiny-my-sketch.safetensors")
    assert kept.expansion
    assert kept.expansion.domains == saved.expansion.domains
    teach.goto("about:blank")  # what is open would complain
    server.kill()
    server.start()
    teach.goto(server.url)
    teach.wait_for_selector(".explore[data-painted]")
    teach.get_by_role("combobox", name="Generator").first.select_option("tiny-my-sketch")
    teach.wait_for_url("**/m/tiny-my-sketch/")
    teach.wait_for_selector(".explore[data-painted]")
    expect(teach.get_by_role("slider", name="my sketch", exact=True)).to_be_visible()


def test_a_style_is_chosen_by_how_it_looks_and_learned(teach: Page, lessons: Jobs) -> None:
    tiles = teach.locator(".styles label")
    expect(tiles).to_have_count(len(ALL_STYLES))
    assert len(set(tiles.locator("img").evaluate_all("images => images.map((image) => image.src)"))) == len(ALL_STYLES)
    assert serious_barriers(teach, "#teach") == []
    teach.get_by_role("radio", name="delft tile").check()
    expect(teach.get_by_role("textbox", name="Name", exact=True)).to_have_value("delft tile")
    teach.get_by_role("radio", name="gold leaf").check()
    expect(teach.get_by_role("textbox", name="Name", exact=True)).to_have_value("gold leaf")
    teach.get_by_role("spinbutton", name="Steps").fill("2")
    teach.get_by_role("button", name="Teach", exact=True).click()
    expect(teach.locator(".teach .what")).to_have_text("the style “gold leaf”", timeout=PATIENCE)
    state(teach, "done")
    (job,) = (job for job in lessons.all() if job.about["name"] == "gold leaf")
    assert tomllib.loads((job.folder / "config.toml").read_text())["domain"][0]["style"] == "gold leaf"
    assert load(job.folder / "network.safetensors").expansion


def test_a_lesson_goes_on_without_page_and_server_is_found_again_and_stops(
    teach: Page, server: Server, lessons: Jobs
) -> None:
    ask(teach, "long", 100_000)
    state(teach, "training")
    job = lessons.running()
    assert job
    teach.goto("about:blank")
    server.kill()
    assert job.process() is not None, "the server took the lesson with it"
    server.start()
    teach.goto(server.url)
    open_teach(teach)
    state(teach, "training")
    expect(teach.get_by_role("heading", name="long")).to_be_visible()
    teach.get_by_role("button", name="Pause").click()
    state(teach, "paused")
    step = jobs.status(job).step
    teach.wait_for_timeout(500)
    assert jobs.status(job).step == step
    teach.get_by_role("button", name="Continue").click()
    state(teach, "training")
    teach.get_by_role("button", name="Stop").click()
    state(teach, "stopped")
    assert job.process() is None
    expect(teach.get_by_role("button", name="Learn on")).to_be_visible()
    expect(teach.get_by_role("button", name="Keep")).to_be_visible()


def test_what_cannot_be_taught_is_said_at_once(teach: Page, lessons: Jobs, tmp_path: Path) -> None:
    before = len(lessons.all())
    trouble = teach.locator(".wish .trouble")
    teach.get_by_role("button", name="Teach", exact=True).click()
    expect(trouble).to_contain_text("Give the domain a name")
    teach.get_by_role("textbox", name="Name", exact=True).fill("o")
    expect(trouble).to_be_hidden()  # it was given
    ask(teach, "other", 0)
    expect(trouble).to_contain_text("Steps must be a whole number")
    teach.get_by_label("Several").check()
    (tmp_path / "notes.txt").write_text("no picture")
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "one.png")
    teach.get_by_label("Pictures to learn from").set_input_files([tmp_path / "notes.txt", tmp_path / "one.png"])
    expect(trouble).to_contain_text("notes.txt cannot be read as a picture")
    expect(teach.locator(".thumb")).to_have_count(1)
    teach.get_by_role("spinbutton", name="Steps").fill("5")
    teach.get_by_role("button", name="Teach", exact=True).click()
    expect(trouble).to_contain_text("Choose at least 10 pictures; there are 1")
    assert len(lessons.all()) == before


def test_each_way_of_learning_has_pictures_of_its_own(teach: Page, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(path)
    teach.get_by_label("Several").check()
    teach.get_by_label("Pictures to learn from").set_input_files(paths)
    thumbs = teach.locator(".thumb")
    expect(thumbs).to_have_count(3)
    teach.get_by_label("One picture", exact=True).check()
    expect(thumbs).to_have_count(0)
    teach.get_by_label("Pictures to learn from").set_input_files(paths[0])
    expect(thumbs).to_have_count(1)
    for way in ("Words", "One picture"):
        teach.get_by_label(way, exact=True).check()
        teach.get_by_label("Several").check()
        expect(thumbs).to_have_count(3)
    teach.get_by_role("button", name="Clear", exact=True).click()
    expect(thumbs).to_have_count(0)
    expect(teach.get_by_role("button", name="Clear", exact=True)).to_be_hidden()
    teach.get_by_label("One picture", exact=True).check()
    expect(thumbs).to_have_count(1)


def test_a_server_that_is_gone_is_said(teach: Page) -> None:
    lost = teach.locator(".teach .lost")
    expect(lost).to_be_hidden()
    teach.route("**/component_server**", lambda route: route.abort("connectionrefused"))
    expect(lost).to_contain_text("The server does not answer")
    teach.unroute("**/component_server**")
    expect(lost).to_be_hidden()


def test_a_word_that_nobody_knows_is_doubted_before_minutes_are_spent(page: Page) -> None:
    """On the default, whose judge says what its CLIP was shown."""
    open_teach(page)
    known = page.locator("#teach-words option")
    assert {"pencil sketch", "mosaic"} <= set(known.evaluate_all("options => options.map(({ value }) => value)"))
    chips = page.locator(".chips button").all_inner_texts()
    assert chips, "examples"
    assert set(chips) <= set(known.evaluate_all("options => options.map(({ value }) => value)"))
    page.get_by_label("Words", exact=True).check()
    page.get_by_role("spinbutton", name="Steps").fill("0")  # nothing begins, whatever is wrong here
    page.get_by_label("What they should become").fill("zombie cat")
    page.get_by_role("button", name="Teach", exact=True).click()
    trouble = page.locator(".wish .trouble")
    expect(trouble).to_contain_text("“zombie cat” is none of them")
    page.get_by_role("button", name="Teach", exact=True).click()
    expect(trouble).to_contain_text("Steps must be a whole number")  # it was meant: the server is asked
    page.get_by_label("What they should become").fill("mosaic tiles")
    expect(trouble).to_be_hidden()


def test_directions_are_measured_from_the_page(teach: Page) -> None:
    direction = teach.locator(".teach").get_by_label("Direction").locator("option")
    expect(direction.first).to_contain_text("not measured")
    teach.get_by_role("button", name="Measure what they change").click()
    expect(direction.first).to_contain_text("changes a picture by")
    shown = [float(text.split(" by ")[1].split(" %")[0]) for text in direction.all_inner_texts()]
    assert shown == sorted(shown), "least effective first"
    expect(teach.get_by_role("button", name="Measure what they change")).to_be_hidden()


def test_steps_typed_by_hand_are_no_longer_called_good(teach: Page) -> None:
    expect(teach.get_by_role("radio", name="Good")).to_be_checked()
    teach.get_by_role("spinbutton", name="Steps").fill("77")
    expect(teach.get_by_role("radio", name="Good")).not_to_be_checked()
    teach.get_by_role("spinbutton", name="Steps").fill("400")
    expect(teach.get_by_role("radio", name="Thorough")).to_be_checked()


def test_a_lesson_that_fails_says_why(teach: Page, lessons: Jobs) -> None:
    teach.get_by_label("Words", exact=True).check()
    teach.get_by_label("What the pictures show now").fill("photo")
    ask(teach, "broken", 100_000)
    state(teach, "preparing", "training")
    job = lessons.running()
    assert job
    process = job.process()
    assert process
    process.kill()
    state(teach, "failed")
    expect(teach.locator(".course .trouble")).to_contain_text("ended without a word")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"command": ["x"], "resume": []}',
        '{"command": ["x"], "resume": [], "about": {"name": 3, "what": [], "home": 1}}',
    ],
)
def test_damaged_folders_are_said_and_nothing_else_is_lost(tmp_path: Path, text: str) -> None:
    for name in ("20200101-odd", "20200102-whole"):
        (tmp_path / name).mkdir()
    (tmp_path / "20200101-odd" / "job.json").write_text(text)
    about = dict.fromkeys(("name", "what", "source", "home", "original"), "sketch")
    whole = {"command": ["x"], "resume": [], "about": about, "started": 1.0}
    (tmp_path / "20200102-whole" / "job.json").write_text(json.dumps(whole))
    (tmp_path / "20200102-whole" / "progress.json").write_text(
        '{"state": ["done"], "step": "x", "seconds_left": "soon"}'
    )
    (tmp_path / "20200102-whole" / "config.toml").write_bytes(b"\xff\xfe")
    classroom = Classroom(
        Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"), "cpu", "fp32"), "a", Jobs(tmp_path)
    )
    seen = classroom.look({"id": None})
    json.dumps(seen, allow_nan=False)
    assert [lesson["name"] for lesson in seen["lessons"]] == ["sketch"]
    assert "20200101-odd" in seen["generator"]["note"]
    with pytest.raises(Refused):
        classroom.act({"id": "20200101-odd", "what": "keep"})


def tiny_lesson(folder: Path, **about: str) -> Classroom:
    """A lesson that has ended, in a class of its own beside a judge who sees "sketch" in everything."""
    checkpoint = folder / "tiny.pkl"
    shutil.copyfile(ROOT / "tests" / "fixtures" / "expanded32.pkl", checkpoint)
    judge = Judge(JudgeConfig(("photo", "Pencil Sketch", "mosaic"), 16, (4, 4)))
    torch.nn.init.zeros_(judge.head.weight)
    judge.head.bias.data = torch.tensor([0.0, 1.0, 0.0])
    save_part(judge, folder / "tiny-judge.safetensors", {})
    lesson = folder / "lessons" / "20200102-whole"
    lesson.mkdir(parents=True)
    load(checkpoint).save(lesson / "network.safetensors")
    words = dict.fromkeys(("name", "what", "source", "home", "original"), "x") | {"name": DOMAIN} | about
    (lesson / "job.json").write_text(json.dumps({"command": ["x"], "resume": [], "about": words, "started": 1.0}))
    return Classroom(Engine(load(checkpoint), "cpu", "fp32"), "a", Jobs(folder / "lessons"))


def test_what_a_kept_lesson_learns_later_can_be_kept_too(tmp_path: Path) -> None:
    classroom = tiny_lesson(tmp_path)

    def kept() -> bool:
        return classroom.look({"id": None})["lesson"]["kept"]

    assert not kept()
    classroom.act({"id": "20200102-whole", "what": "keep"})
    assert kept()
    network = tmp_path / "lessons" / "20200102-whole" / "network.safetensors"
    os.utime(network, ns=(1, network.stat().st_mtime_ns + 1_000_000))  # it learned on
    assert not kept()
    classroom.act({"id": "20200102-whole", "what": "keep"})
    assert kept()
    assert [path.stem for path in generators(tmp_path / "models")] == ["a-tolkien-elf"], "in the place of what it was"


def test_the_best_so_far_is_kept_beside_the_last_and_either_can_be_taken(tmp_path: Path) -> None:
    classroom = tiny_lesson(tmp_path, target="pencil sketch")
    lesson = tmp_path / "lessons" / "20200102-whole"
    assert "16 of 16" in classroom.look({"id": None})["verdict"]
    assert classroom.look({"id": None})["lesson"]["best"] is None, "the last is the best"
    best = (lesson / "best.safetensors").read_bytes()
    about = json.loads((lesson / "job.json").read_text())
    about["about"]["target"] = "mosaic"  # of which this judge sees nothing: as if it had unlearned
    (lesson / "job.json").write_text(json.dumps(about))
    (lesson / "progress.json").write_text('{"state": "done", "step": 80}')
    before = load(lesson / "network.safetensors")
    before.with_domains({name: name for name in domains_of(before)}).save(lesson / "network.safetensors")
    os.utime(lesson / "network.safetensors", ns=(2**60, 2**60))
    seen = classroom.look({"id": None, "stamp": "older"})
    assert "0 of 16" in seen["verdict"]
    assert seen["lesson"]["best"] == {"seen": 16, "step": 0, "of": 16}
    assert (lesson / "best.safetensors").read_bytes() == best

    classroom.act({"id": "20200102-whole", "what": "keep", "best": True})
    assert classroom.engine.checkpoint.path == lesson / "best.safetensors"
    assert classroom.look({"id": None})["lesson"]["kept"]
    os.utime(lesson / "network.safetensors", ns=(2**61, 2**61))  # it learned on
    assert not classroom.look({"id": None})["lesson"]["kept"]
    classroom.act({"id": "20200102-whole", "what": "keep"})
    assert classroom.engine.checkpoint.path == lesson / "network.safetensors"


def test_a_lesson_in_line_learns_on_top_of_the_last_that_made_something(tmp_path: Path) -> None:
    tiny_lesson(tmp_path)
    root, about = tmp_path / "lessons", {"what": "a style", "source": "base.pkl"}
    waiting = Job(root / "x", ("expand", "base.pkl", "--out", "x"), about=about)
    assert on_top(waiting) == waiting
    assert on_top(replace(waiting, about={**about, "before": ["lost"]})).command == waiting.command
    job = on_top(replace(waiting, about={**about, "before": ["20200102-whole", "lost"]}))
    network = str(root / "20200102-whole" / "network.safetensors")
    assert job.command == ("expand", network, "--out", "x")
    assert (job.about["source"], job.about["what"]) == (network, f"a style, on top of “{DOMAIN}”")


def test_a_kept_lesson_takes_no_other_ones_place_and_needs_no_disk(tmp_path: Path) -> None:
    classroom = tiny_lesson(tmp_path)
    there = load(ROOT / "tests" / "fixtures" / "expanded32.pkl").save(tmp_path / "models" / "a-tolkien-elf.safetensors")
    before = there.read_bytes()
    classroom.act({"id": "20200102-whole", "what": "keep"})
    assert classroom.look({"id": None})["lesson"]["filed"] == "a-tolkien-elf-2"
    assert there.read_bytes() == before
    assert (tmp_path / "models" / "a-tolkien-elf-2.safetensors").is_file()
    shutil.rmtree(tmp_path / "models")
    (tmp_path / "models").write_text("no folder")
    classroom.act({"id": "20200102-whole", "what": "keep"})
    lesson = classroom.look({"id": None})["lesson"]
    assert (lesson["kept"], lesson["filed"]) == (True, "")


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        ("pencil  sketch", "The judge sees “Pencil Sketch” in 16 of 16 pictures at full strength."),
        ("mosaic", "The judge sees “mosaic” in 0 of 16 pictures at full strength."),
        ("photo", ""),
        ("zombie cat", ""),
    ],
)
def test_the_judge_says_how_far_a_lesson_came(target: str, verdict: str, tmp_path: Path) -> None:
    classroom = tiny_lesson(tmp_path, target=target)
    seen = classroom.look({"id": None, "stamp": None})
    assert seen["verdict"] == verdict
    assert seen["generator"]["words"] == ["Pencil Sketch", "mosaic"]


def test_a_judge_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    classroom = tiny_lesson(tmp_path)
    (tmp_path / "tiny-judge.safetensors").write_bytes(b"no judge")
    assert classroom.look({"id": None})["generator"]["words"] == []
