"""The page of `treadle web` in a real browser: it answers, writes and opens as Python does.

Skips where there is no Chromium, or no onnxruntime-web. TREADLE_WEB_SCREENSHOTS names a folder for
pictures of the page.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import treadle
from tests.browser import a_browser
from tests.runtime.fuzzing.sound import with_a_golden_trace
from treadle.bundle import open_bundle
from treadle.commands.serving import Site, serve
from treadle.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SLOW_MACHINE = 120_000
"""Milliseconds: WebAssembly has to be compiled first."""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as started:
        yield started


@contextmanager
def opened(
    browser: Browser, bundle: str | Path, assets: Path, width: int = 1200, scheme: Any = "light"
) -> Iterator[Page]:
    """The page with a bundle at work; it asks for nothing elsewhere, and complains of nothing."""
    with (
        open_bundle(bundle) as found,
        serve(Site.of(found, assets), "127.0.0.1", 0) as (server, url),
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(SLOW_MACHINE)
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        try:
            page.goto(url)
            page.wait_for_selector("body[data-state=ready]")
            yield page
            assert said == []
            assert [one for one in asked if not one.startswith((url, f"blob:{url}"))] == []
            assert page.evaluate("crossOriginIsolated")
        finally:
            page.close()
            server.shutdown()


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("TREADLE_WEB_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def type_and_wait(page: Page, text: str) -> list[str]:
    page.fill("#source", text)
    page.wait_for_selector(f'#answers[data-of="{text}"]', state="attached")
    return [str(answer.get_attribute("data-text")) for answer in page.locator(".answer").all()]


def write(page: Page, prompt: str, seed: int, length: int) -> str:
    page.fill("#prompt", prompt)
    page.fill("#seed", str(seed))
    page.fill("#length", str(length))
    page.click("#write")
    page.wait_for_selector('#text[data-state="done"]')
    return str(page.text_content("#text"))


def test_it_answers_writes_and_opens_what_is_dropped(
    browser: Browser, bundles: dict[str, str], assets: Path, tmp_path: Path
) -> None:
    packed = pack(bundles["characters"], tmp_path / "characters.treadle.zip")
    with opened(browser, bundles["pronounce"], assets) as page:
        assert page.text_content("#name") == "tiny-pronounce"
        with treadle.load(bundles["pronounce"]) as model:
            found = model.transduce(["abc", "hgfe"], beam=4)
        assert type_and_wait(page, "abc hgfe") == [best.text for [best] in found]
        page.fill("#source", "abz")
        page.wait_for_selector("#message.bad")
        assert 'the symbol "z" at position 2' in str(page.text_content("#message"))
        assert page.inner_text("#figures dd >> nth=0") != "0"
        drop(page, packed)
        page.wait_for_selector("#write")
        assert page.text_content("#name") == "tiny-characters"
        with treadle.load(packed) as model:
            options = {"temperature": 0.8, "min_p": 0.05, "seed": 7, "max_length": 120}
            expected = "abc" + "".join(model.generate("abc", **options))
        assert write(page, "abc", seed=7, length=120) == expected
        assert page.inner_text("#figures dd >> nth=0") == "119"  # the prompt is one call


def drop(page: Page, path: Path) -> None:
    """Drop a file on the page, as a hand would."""
    transfer = page.evaluate_handle(
        """async ([name, numbers]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(numbers)], name));
          return transfer;
        }""",
        [path.name, list(path.read_bytes())],
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": transfer})
    assert page.locator("#drop").is_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    assert not page.locator("#drop").is_visible()


def test_it_opens_a_folder_and_refuses_a_changed_one(
    browser: Browser, bundles: dict[str, str], assets: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(bundles["characters"], tmp_path / "changed.treadle"))
    content = (changed / "step.onnx").read_bytes()
    (changed / "step.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with opened(browser, bundles["pronounce"], assets) as page:
        page.set_input_files("#folder", changed)
        page.wait_for_selector("#message.bad")
        assert "step.onnx has the digest sha256:" in str(page.text_content("#message"))
        assert page.text_content("#name") == "tiny-pronounce"  # the one before is at work
        assert len(type_and_wait(page, "abc")) == 1
        page.set_input_files("#folder", bundles["generator"])
        page.wait_for_selector("#label")
        page.select_option("#label", "c")
        page.fill("#seed", "3")
        page.click("#write")
        page.wait_for_selector('#text[data-state="done"]')
        with treadle.load(bundles["generator"]) as model:
            options = {"temperature": 0.8, "min_p": 0.05, "seed": 3, "max_length": 400}
            expected = " ".join(model.running("c", **options))
        assert page.text_content("#text") == expected


def test_it_replays_the_golden_trace(browser: Browser, assets: Path, tmp_path: Path) -> None:
    with opened(browser, with_a_golden_trace(tmp_path), assets) as page:
        page.click("#replay")
        page.wait_for_selector("#proof dd")
        same, checkpoints, *_ = page.locator("#proof dd").all_inner_texts()
        assert (same, checkpoints) == ("30 of 30 steps", "3")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_fits_and_can_be_read(
    width: int, scheme: str, browser: Browser, bundles: dict[str, str], assets: Path
) -> None:
    with opened(browser, bundles["pronounce"], assets, width, scheme) as page:
        type_and_wait(page, "abc hgfe")
        picture(page, f"answers-{width}-{scheme}")
        assert page.evaluate(OVERFLOW) <= 0
        box = page.locator("#plot").bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 150
        assert len(set(page.locator("#plot").screenshot())) > 100  # something is drawn in it
        for place in ("body", ".word", ".symbols span", "#facts li", "footer", "button"):
            assert contrast(page, place) >= 4.5, place
    with opened(browser, bundles["characters"], assets, width, scheme) as page:
        write(page, "abc", seed=1, length=300)
        picture(page, f"writing-{width}-{scheme}")
        assert page.evaluate(OVERFLOW) <= 0
        for place in ("#write", "#text", "#text .prompt", "label"):
            assert contrast(page, place) >= 4.5, place


def contrast(page: Page, place: str) -> float:
    """The contrast of a text with what lies behind it, as WCAG 2.2 defines it; 21 at most."""
    return float(
        page.locator(place).first.evaluate(
            """element => {
              const light = (colour) => {
                const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
                const [r, g, b] = parts.map((part) =>
                  part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
              };
              let ground = element;
              while (/, 0\\)$/.test(getComputedStyle(ground).backgroundColor)) {
                ground = ground.parentElement;
              }
              const all = [getComputedStyle(element).color,
                           getComputedStyle(ground).backgroundColor].map(light);
              return (Math.max(...all) + 0.05) / (Math.min(...all) + 0.05);
            }"""
        )
    )
