"""The report in a real browser: no complaint, no sideways scroll, no serious accessibility fault.

Needs Chromium, and skips without. With the environment variable AXE naming `axe.min.js` of axe-core, that is run, too;
with REPORT naming a report, that one is looked at.
"""

import json
import os
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

from benchmarks import report, run

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
AXE = os.environ.get("AXE", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here"),
    pytest.mark.usefixtures("one_thread"),
]

# The page goes into a frame of the width wanted, since a browser's window has a least width of its own.
MEASURE = """
const frame = document.querySelector("iframe");
const tell = (found) => {
  const note = document.createElement("pre");
  note.id = "measured";
  note.textContent = JSON.stringify(found);
  document.body.append(note);
};
frame.addEventListener("load", async () => {
  const page = frame.contentDocument.documentElement;
  const found = {
    dark: frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches,
    paper: frame.contentWindow.getComputedStyle(frame.contentDocument.body).backgroundColor,
    wide: page.scrollWidth - page.clientWidth,
    drawings: [...frame.contentDocument.querySelectorAll("svg")].filter((d) => d.getBoundingClientRect().width).length,
    faults: [],
  };
  if (frame.contentWindow.axe) {
    const result = await frame.contentWindow.axe.run(frame.contentDocument);
    found.faults = result.violations.map((v) => `${v.impact}: ${v.id}: ${v.nodes[0].html}`);
  }
  tell(found);
});
"""


@pytest.fixture(scope="module")
def page(tiny_dataset, tmp_path_factory):
    if "REPORT" in os.environ:
        return Path(os.environ["REPORT"])
    folder = tmp_path_factory.mktemp("browser")
    tiny = ["--dataset", "tests/tiny-v0", "--steps", "30", "--eval-members", "80", "--jobs", "1", "--seeds", "2"]
    run.main([*tiny, "--algo", "factored_awr", "--out", str(folder / "results")])
    report.main([str(folder / "results"), "-o", str(folder / "report.html")])
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_complains_about_nothing(page, tmp_path, width, scheme):
    text = page.read_text()
    drawings = text.count("<svg") / 2  # one of each figure's two
    if AXE:
        text = text.replace("</head>", f"<script>{Path(AXE).read_text()}</script></head>")
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(text)}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<!DOCTYPE html><body>{frame}<script>{MEASURE}</script></body>")
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--virtual-time-budget=20000",
            f"--blink-settings=preferredColorScheme={1 if scheme == 'light' else 0}", "--dump-dom",
            (tmp_path / "frame.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    measured = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert measured is not None, done.stderr[-2_000:]
    found = json.loads(unescape(measured[1]))
    assert found["dark"] == (scheme == "dark")
    assert (found["paper"] == "rgb(253, 253, 251)") == (scheme == "light")
    assert found["wide"] == 0
    assert found["drawings"] == drawings
    assert [fault for fault in found["faults"] if fault.startswith(("serious", "critical"))] == []
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
