"""The page: whole, escaped, without network; and in a browser, if there is one."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import float32
from graphwright.ir.graph import Graph, Origin, Source
from graphwright.ir.types import TensorType
from graphwright.report.layout import layered
from graphwright.report.page import embedded

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028{{data}}"


def hostile_graph(blocks: int = 3) -> Graph:
    b = Builder(HOSTILE)
    v = b.input("x", TensorType(float32, (2, 4)))
    for i in range(blocks):
        b.source = Source("Block", f"{i}{HOSTILE}")
        t = b.tanh(v)
        v = b.add(b.mul(t, b.abs(t)), b.neg(v))
        b.origins[v] = (Origin("g", f"{i}{HOSTILE}"),)
    return b.finish([v], [HOSTILE])


def page_of(graph: Graph) -> str:
    inputs = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    report = gw.compare(graph, ["numpy", "reference"], [inputs], rounds=2)
    return report.to_html()


def test_names_of_a_model_are_text() -> None:
    text = page_of(hostile_graph())
    assert "<img src=x" not in text
    assert text.count("</script>") == 2
    (data,) = re.findall(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)
    assert f"0{HOSTILE}" in json.loads(data)["nodes"]["name"]


def test_nothing_is_fetched() -> None:
    text = page_of(hostile_graph())
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|@import|url\(", text)


def test_embedded_data_cannot_end_its_element() -> None:
    assert "<" not in embedded({"x": "</script><!--"})


def test_layers_go_down() -> None:
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (4, 3)]
    x, y = layered(5, edges)
    assert all(y[a] < y[b] for a, b in edges)
    assert y[4] == y[3] - 1
    assert len(set(zip(x, y, strict=True))) == 5


def test_in_a_notebook_it_is_framed() -> None:
    report = gw.compare(hostile_graph(), ["numpy"])
    frame = report._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts"')
    assert "<script" not in frame


# In a browser -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver, which are not installed")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    flags = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage")
    for flag in (*flags, "--window-size=1200,1400"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = selenium.ChromeService(driver)
    made = selenium.Chrome(options=options, service=service)
    yield made
    made.quit()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    path = tmp_path / "report.html"
    path.write_text(page_of(hostile_graph(40)), encoding="utf-8")
    browser.get(path.as_uri())
    return browser


def test_the_script_runs_without_complaint(opened: Any) -> None:
    assert opened.get_log("browser") == []
    assert opened.execute_script("return report.order.length") == 200
    assert opened.execute_script("return document.querySelectorAll('img').length") <= 6


def test_keys_choose_and_find(opened: Any) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    by = pytest.importorskip("selenium.webdriver.common.by").By
    rows = opened.find_element(by.ID, "nodes")
    rows.send_keys(keys.ARROW_DOWN, keys.ARROW_DOWN)
    assert opened.execute_script("return report.chosen") == 1
    search = opened.find_element(by.ID, "search")
    search.send_keys("tanh", keys.ENTER, keys.ENTER)
    assert opened.find_element(by.ID, "hits").text == "40 found"
    assert opened.execute_script("return report.chosen") == 5
    detail = opened.find_element(by.ID, "detail").text
    assert "tanh" in detail
    assert "<img" in detail
    before = opened.execute_script("return report.view.x")
    opened.find_element(by.ID, "graph").send_keys(keys.ARROW_RIGHT, "+", "n")
    assert opened.execute_script("return report.view.x") != before
    assert opened.execute_script("return report.chosen") == 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_drawn_in_light_and_dark(opened: Any, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    time.sleep(0.2)
    pixel = opened.execute_script(
        "report.draw(); return Array.from(document.getElementById('graph')"
        ".getContext('2d').getImageData(2, 2, 1, 1).data)"
    )
    assert (pixel[0] > 128) is (scheme == "light")
