"""How a comparison's HTML report opens and pans in a headless browser.

    python benchmarks/page.py --nodes 5000

Compares a graph of so many nodes, writes the report, opens it in Chromium (selenium and
chromedriver are needed) and prints the file's size, the time until all of it is drawn,
the times of frames while the graph is dragged, and what the script complained of.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from selenium import webdriver

import graphwright as gw

PAN = """
const done = arguments[0], canvas = document.getElementById('graph');
const box = canvas.getBoundingClientRect(), times = [], seen = new Set();
const at = (x, y) => ({clientX: box.x + x, clientY: box.y + y, bubbles: true,
                       buttons: 1, pointerId: 1, isPrimary: true});
const fire = (kind, x, y) => {
  canvas.dispatchEvent(new PointerEvent('pointer' + kind, at(x, y)));
  canvas.dispatchEvent(new MouseEvent('mouse' + kind, at(x, y)));
};
let count = 0, last = null;
fire('down', 300, 200);
const step = now => {
  if (last !== null) times.push(now - last);
  last = now;
  seen.add(report.view.x);
  fire('move', 300 + 120 * Math.sin(count / 9), 200 + 90 * Math.cos(count / 7));
  if (++count < 240) return requestAnimationFrame(step);
  fire('up', 300, 200);
  done([times, seen.size]);
};
requestAnimationFrame(step);
"""

OPENED = """
const done = arguments[0];
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
"""
"""Milliseconds since the navigation began, once two frames were drawn."""


def network(nodes: int) -> gw.Graph:
    """A graph of branches that meet again, ten ops in each."""

    def program(x: Any) -> Any:
        for i in range(nodes // 10):
            y = np.tanh(x * (1 + i / nodes)) + np.float32(0.1)
            z = np.maximum(x, np.float32(i / nodes)) - y
            x = np.abs(y * z) + np.sqrt(np.abs(x))
        return x

    return gw.trace(program, gw.spec("float32", (4, 16)))


def browser() -> Any:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "google-chrome"
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument("--window-size=1200,1400")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options, service)


def main() -> None:
    """Reads the command line and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    args = parser.parse_args()
    graph = network(args.nodes)
    report = gw.compare(graph, ["numpy", "reference"], samples=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        report.to_html(os.fspath(path))
        made = browser()
        made.get("about:blank")
        made.get(path.as_uri())
        opened = made.execute_async_script(OPENED)
        shown = made.execute_script("return report.order.length")
        times, places = made.execute_async_script(PAN)
        logs = made.get_log("browser")
        size = path.stat().st_size
        made.quit()
    frames = sorted(times)
    late = frames[int(0.95 * len(frames))]
    print(f"{len(graph.nodes)} nodes, {shown} values shown, {size / 1e6:.2f} MB")
    print(f"drawn after {opened / 1e3:.2f} s")
    median = statistics.median(frames)
    print(f"frames {median:.1f} ms, 95 % within {late:.1f}, worst {frames[-1]:.1f}")
    print(f"{places} places that the graph was dragged to, in {len(frames)} frames")
    print(f"complaints: {logs or 'none'}")


if __name__ == "__main__":
    main()
