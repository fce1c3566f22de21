"""The page of index.widget() in a browser: what a user clicks, sees, and gets as a selection.

The page runs in headless Chromium with a model that holds the state of a real widget, and real answers of it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imagenet_tools.selection import widget
from tests.loaders.truth import Say

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGE = "n00003553"  # the top: whole
PATH = ["animal", "domestic animal", "dog", "toy dog"]  # what is clicked
HOSTILE = '<img src="x" onerror="window.harmed = true">'

SCRIPT = """
const blob = new Blob([MODULE], { type: "text/javascript" });
const { default: page } = await import(URL.createObjectURL(blob));
const listeners = {}, asked = [];
const tell = (name, ...values) => (listeners[name] ?? []).forEach((listener) => listener(...values));
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const model = {
  get: (name) => STATE[name],
  set(name, value) { STATE[name] = value; },
  save_changes() { tell("change:under"); },
  on(name, listener) { (listeners[name] ??= []).push(listener); },
  off(name, listener) { listeners[name] = listeners[name].filter((other) => other !== listener); },
  send(message) {
    asked.push(`${message.want} ${message.synset}`);
    const [content, buffers] = ANSWERS[asked.at(-1)];
    setTimeout(() => tell("msg:custom", content, buffers.map(bytes)), 0);
  },
};
const home = document.querySelector("#home");
const leave = page.render({ model, el: home });
const later = () => new Promise((resolve) => setTimeout(resolve, 50));
const names = () => [...home.querySelectorAll(".imt-name")].map((name) => name.textContent);
const buttons = home.querySelectorAll(".imt-head button");
const isHidden = buttons[0].hidden;
const look = () => ({
  title: home.querySelector(".imt-title").textContent,
  widths: [...home.querySelectorAll(".imt-tiles img")].map((image) => image.naturalWidth),
  captions: [...home.querySelectorAll("figcaption")].map((caption) => caption.textContent),
  under: STATE.under, without: STATE.without, pressed: [...buttons].map((button) => button.ariaPressed),
});
await later();
const shown = [names()], looks = [];
for (const name of PATH) {
  const row = [...home.querySelectorAll(".imt-row")].find((row) => row.querySelector(".imt-name").textContent === name);
  row.click();
  await later();
  await later();
  shown.push(names());
  if (name === "dog") buttons[0].click();
  if (name === "toy dog") { buttons[0].click(); buttons[1].click(); }
  looks.push(look());
}
const marked = [...home.querySelectorAll("[data-chosen]")];
const marks = Object.fromEntries(marked.map((row) => [row.dataset.wnid, row.dataset.chosen]));
buttons[1].click();
const last = look();
tell("change:code", (STATE.code = `index.select(${HOSTILE})`));
const code = home.querySelector("code").textContent;
const foreign = home.querySelectorAll("img[onerror]").length, harmed = window.harmed === true;
leave();
const left = Object.values(listeners).flat().length;
const result = { isHidden, shown, looks, marks, last, code, asked, foreign, harmed, left };
document.querySelector("#result").textContent = JSON.stringify(result);
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"found none of {', '.join(BROWSERS)}; expected a browser to open the page of the widget in")
    return found


@pytest.fixture(scope="module")
def result(browser: str, index: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script above saw."""
    browsed = index.widget()
    answers: dict[str, Any] = {}
    add_answers(browsed, PAGE, answers)
    answers["children n02085374"][0]["children"][0]["name"] = HOSTILE
    answers["images n02085374"][0]["tiles"][0]["caption"] = HOSTILE
    answers["images n02085374"][0]["tiles"][1]["problem"] = HOSTILE
    del answers["images n02085374"][1][1]
    state = {name: getattr(browsed, name) for name in ("top", "under", "without", "code", "about")}
    values = {"MODULE": Path(widget.__file__).with_name("widget.js").read_text(), "STATE": state, "ANSWERS": answers}
    values |= {"PATH": PATH, "HOSTILE": HOSTILE}
    lines = [f"const {name} = {json.dumps(value)};".replace("<", "\\u003c") for name, value in values.items()]
    script = "\n".join([*lines, SCRIPT])
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page.html"
    page.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><div id="home"></div><pre id="result"></pre>'
        f'<script type="module">{script}</script>'
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    options += ["--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    done = subprocess.run([browser, *options], check=True, capture_output=True, text=True, timeout=120)
    [text] = re.findall(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text, done.stderr
    return dict(json.loads(html.unescape(text)))


def add_answers(browsed: Any, wnid: str, answers: dict[str, Any]) -> None:
    """Add the answers of the widget for a synset and all below it."""
    for want in ("images", "children"):
        content, buffers = browsed.answer({"want": want, "synset": wnid})
        answers[f"{want} {wnid}"] = (content, [base64.b64encode(data).decode() for data in buffers])
    for row in content["children"]:
        add_answers(browsed, row["wnid"], answers)


@pytest.mark.proof(target="index.widget()", loader="Chromium")
def test_children_come_when_a_synset_is_opened(result: dict[str, Any], say: Say) -> None:
    shown = result["shown"]
    assert shown[0] == ["whole", "animal", "instrumentality"]
    assert shown[1] == ["whole", "animal", "domestic animal", "vertebrate", "instrumentality"]
    assert len(shown[4]) == len(shown[3]) + 2 == 12
    assert [text for text in result["asked"] if text.startswith("children")] == [
        f"children {wnid}" for wnid in (PAGE, "n00015388", "n01317541", "n02084071", "n02085374")
    ]
    say(f"{len(shown[4])} synsets")


@pytest.mark.proof(target="index.widget()", loader="Chromium")
def test_the_images_of_the_synset_that_was_clicked_are_decoded(result: dict[str, Any], say: Say) -> None:
    assert result["isHidden"]
    assert [look["title"] for look in result["looks"]] == [
        "animal: 12 of 126 images",
        "domestic animal: 12 of 84 images",
        "dog: 12 of 70 images",
        "toy dog: 12 of 28 images",
    ]
    for look in result["looks"][:3]:
        assert len(look["captions"]) == len(look["widths"]) == 12
        assert all(look["widths"])
    say("36 images")


@pytest.mark.proof(target="index.widget()", loader="Chromium")
def test_a_synset_is_in_one_list_or_in_none(result: dict[str, Any]) -> None:
    _, _, dog, toy_dog = result["looks"]
    assert (dog["under"], dog["without"], dog["pressed"]) == (["n02084071"], [], ["true", "false"])
    assert (toy_dog["under"], toy_dog["without"]) == (["n02084071"], ["n02085374"])
    assert toy_dog["pressed"] == ["false", "true"]
    assert {wnid: word for wnid, word in result["marks"].items() if word} == {
        "n02084071": "under", "n02085374": "without"
    }  # fmt: skip
    assert (result["last"]["under"], result["last"]["without"]) == (["n02084071"], [])
    assert result["left"] == 0


@pytest.mark.proof(target="index.widget()", loader="Chromium")
def test_names_captions_and_problems_are_text(result: dict[str, Any]) -> None:
    assert HOSTILE in result["shown"][4]
    assert HOSTILE in result["looks"][3]["captions"]
    assert len(result["looks"][3]["widths"]) == 11
    assert (result["foreign"], result["harmed"]) == (0, False)
    assert result["code"] == f"index.select({HOSTILE})"
