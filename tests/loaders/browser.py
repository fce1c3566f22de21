"""A user with Chromium in front of the explorer of an index, for the proofs of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

# The heads of tables that are one word, and that the page breaks within it.
BROKEN_WORDS = """
return [...document.querySelectorAll("th")].filter((cell) => {
  const text = document.createRange();
  text.selectNodeContents(cell);
  return /^\\S+$/.test(cell.textContent.trim()) && new Set([...text.getClientRects()].map((line) => line.top)).size > 1;
}).map((cell) => cell.textContent);
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class User(NamedTuple):
    """A browser, the address of the website, and the folder in which it was started."""

    driver: Any
    base: str
    folder: Path

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def click(self, text: str) -> None:
        self.press(self.driver.find_element(By.PARTIAL_LINK_TEXT, text))

    def press(self, element: Any) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", element)
        element.click()

    def wait(self, script: str, seconds: float = 25) -> None:
        deadline = time.monotonic() + seconds
        while not self.driver.execute_script(f"return {script}"):
            assert time.monotonic() < deadline, (script, self.driver.current_url)
            time.sleep(0.1)

    def problems(self) -> list[str]:
        """Return what the browser reports, but for images that are broken on purpose and pages that do not exist."""
        expected = (" 400 ", " 404 ", " 422 ")
        messages = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in messages if not any(code in message for code in expected)]

    def hosts(self) -> set[str]:
        """Return the hosts of all requests since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return {url.split("/")[2] for url in urls if url.startswith("http")}

    def resize(self, width: int) -> None:
        """Take a window of this width; a narrow one is that of a phone."""
        metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def check(self, path: str) -> None:
        """Open a page, and assert that it is one, fits the window, and does nothing that the browser reports."""
        self.open(path)
        assert self.driver.find_elements(By.TAG_NAME, "h1"), path
        assert self.problems() == [], path
        broken = self.driver.execute_script(BROKEN_WORDS)
        assert broken == [], path
        overflow = self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, (path, overflow)


@contextmanager
def browsing(index: Path, folder: Path, *flags: str) -> Iterator[User]:
    """Start the explorer of an index in a folder, and a browser that has opened its address."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver_path = shutil.which("chromedriver")
    if found is None or driver_path is None:
        pytest.skip(
            f"found none of {', '.join(BROWSERS)} with chromedriver; expected a browser to open the explorer in"
        )
    command = [sys.executable, "-m", "imagenet_tools", "explore", str(index), "--no-browser", *flags]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    options = Options()
    options.binary_location = found
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    driver.set_page_load_timeout(60)
    try:
        driver.get(address)
        yield User(driver, address.split("/?")[0], folder)
    finally:
        driver.quit()
        process.terminate()
        process.wait(20)
