"""The explorer in headless Chromium: each feature is driven as a user would, by mouse or by keyboard."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images, load_wine

from embudo import MLP, Autoencoder, GaussianNoise, ImageCodec, ImageDenoiser, StackedAutoencoder, Training
from embudo.engine.progress import heard_by
from embudo.report.explorer import watching
from embudo.report.explorer.codes import CodeExplorer
from embudo.report.explorer.photographs import CodecExplorer, DenoiserExplorer
from embudo.report.explorer.server import served
from embudo.report.explorer.watching import Watch
from embudo.report.scatter import map_page

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
CHROMIUM = Path("/usr/bin/chromium")
DIGITS, LABELS = load_digits().images[:300] / 16, load_digits().target[:300]
QUICK = Training(5, verbose=False)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(
                executable_path=CHROMIUM if CHROMIUM.exists() else None, args=list(FLAGS)
            )
        except sync_api.Error as error:
            pytest.skip(f"There is no browser: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def open_page(browser):
    """Open pages; a fault in a script, or a request to another place, fails the test."""
    contexts, faults = [], []

    def open(address, width=1600, height=1000):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith((address, "data:")) or faults.append(request.url))
        page.goto(address)
        return page

    yield open
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def digits():
    ae = Autoencoder(6, encoder=MLP(32), training=QUICK, random_state=0).fit(DIGITS)
    with served(CodeExplorer(ae, DIGITS, LABELS, title="Digits"), browser=False, say=lambda text: None) as address:
        yield address


def pixels(page, name):
    """Return the red of a canvas, shape (height, width)."""
    script = """(canvas) => {
        const { width, height } = canvas;
        return [height, width, ...canvas.getContext("2d").getImageData(0, 0, width, height).data];
    }"""
    height, width, *values = page.locator(f"#{name}").evaluate(script)
    return np.array(values).reshape(height, width, 4)[..., 0]


def wait_for(condition):
    """Wait until `condition` holds, or fail."""
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def ready(page):
    page.locator("#told:not(:empty)").wait_for()
    return page


def shows(page, image):
    """Tell whether the page shows a sample."""
    shown = pixels(page, "original")
    return shown.shape == image.shape and np.abs(shown / 255 - image).max() < 0.01


@pytest.mark.parametrize("width", [400, 1600])
def test_a_sample_is_chosen_and_nothing_is_wider_than_the_window(open_page, digits, width):
    page = ready(open_page(digits, width))
    wait_for(lambda: shows(page, DIGITS[0]))
    page.get_by_label("Number").fill("17")
    wait_for(lambda: shows(page, DIGITS[17]))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#sliders input").count() == 6
    page.get_by_label("Number").fill("300")
    page.get_by_role("alert").wait_for()
    assert "at most 299; got 300" in page.get_by_role("alert").inner_text()


def test_a_slider_changes_what_is_decoded_by_keyboard(open_page, digits):
    page = ready(open_page(digits))
    before = pixels(page, "decoded")
    slider = page.locator("#sliders input").first
    slider.focus()
    page.keyboard.press("End")
    wait_for(lambda: (pixels(page, "decoded") != before).any())
    assert slider.evaluate("(input) => Number(input.value) / Number(input.max)") == pytest.approx(1)
    page.get_by_role("button", name="Back to the sample's code").press("Enter")
    wait_for(lambda: (pixels(page, "decoded") == before).all())


def test_pointing_at_the_map_shows_a_sample_and_a_click_takes_it(open_page, digits):
    page = ready(open_page(digits))
    places = page.locator("#map .plot")
    places.scroll_into_view_if_needed()
    box = places.bounding_box()
    found = False
    for x, y in ((x, y) for x in np.linspace(0.3, 0.7, 9) for y in np.linspace(0.3, 0.7, 9)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if found := page.locator("#map .sample canvas").count():
            break
    assert found
    row = int(page.locator("#map .row").input_value())
    assert f"Row {row}: {LABELS[row]}" in page.locator("#map .sample").inner_text()
    page.mouse.down()
    page.mouse.up()
    wait_for(lambda: shows(page, DIGITS[row]))
    assert page.get_by_label("Number").input_value() == str(row)


def test_a_digit_is_drawn_by_mouse_and_by_keyboard(open_page, digits):
    page = ready(open_page(digits))
    page.get_by_text("Draw one").click()
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=5)
    page.mouse.up()
    wait_for(lambda: pixels(page, "original")[2:6, 3:5].min() > 100 and pixels(page, "original")[:, 0].max() == 0)
    page.get_by_role("button", name="Clear").click()
    wait_for(lambda: pixels(page, "original").max() == 0)
    pad.focus()
    page.keyboard.press(" ")
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    wait_for(lambda: pixels(page, "original")[:, 2].max() > 50)


def test_noise_is_shown_beside_the_sample(open_page, digits):
    page = ready(open_page(digits))
    assert page.locator("#seen").is_hidden()
    page.get_by_role("combobox", name="Noise").select_option("masking")
    page.get_by_label("Amount").fill("0.5")
    page.locator("#seen").wait_for()
    wait_for(lambda: (pixels(page, "seen") != pixels(page, "original")).any())
    masked = (pixels(page, "seen") == 0) | (pixels(page, "seen") == pixels(page, "original"))
    assert masked.all()


def test_a_file_is_opened_and_inverted(open_page, digits, tmp_path):
    page, path = ready(open_page(digits)), tmp_path / "digit.png"
    Image.fromarray(np.round(255 * (1 - DIGITS[40])).astype(np.uint8)).save(path)
    page.get_by_label("Open a file").set_input_files(path)
    wait_for(lambda: shows(page, 1 - DIGITS[40]))
    page.get_by_role("button", name="Invert").click()
    wait_for(lambda: shows(page, DIGITS[40]))
    wrong = tmp_path / "wrong.png"
    wrong.write_bytes(b"none")
    page.get_by_label("Open a file").set_input_files(wrong)
    page.get_by_role("alert").wait_for()
    assert "'wrong.png' is neither an image" in page.get_by_role("alert").inner_text()


def test_a_table_is_lines_and_values(open_page):
    wine = load_wine(as_frame=True).data
    ae = Autoencoder(3, training=QUICK, random_state=0).fit(wine)
    with served(CodeExplorer(ae, wine), browser=False, say=lambda text: None) as address:
        page = ready(open_page(address, 400))
        page.get_by_text("Values").click()
        page.get_by_role("rowheader", name="alcohol", exact=True).wait_for()
        assert page.locator("#values tbody tr").count() == 13
        assert page.locator("#values td").first.inner_text() == "14.23"
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        before = pixels(page, "decoded")
        page.locator("#sliders input").first.press("Home")
        wait_for(lambda: (pixels(page, "decoded") != before).any())


def test_a_photograph_is_dropped_and_compared_with_jpeg(open_page, tmp_path):
    flower = load_sample_images().images[1][100:196, 200:328]
    Image.fromarray(flower).save(tmp_path / "flower.png")
    with served(CodecExplorer(ImageCodec.pretrained()), browser=False, say=lambda text: None) as address:
        page = open_page(address, 400)
        page.evaluate(
            """async (bytes) => {
                const files = new DataTransfer();
                files.items.add(new File([new Uint8Array(bytes)], "flower.png"));
                document.dispatchEvent(new DragEvent("drop", { dataTransfer: files }));
            }""",
            list((tmp_path / "flower.png").read_bytes()),
        )
        page.get_by_text("128 x 96 pixels").wait_for()
        told = page.locator("#embudo-told")
        wait_for(lambda: "PSNR" in told.inner_text())
        size = int(told.inner_text().split()[0].replace(",", ""))
        page.get_by_label("From 1 to 100").press("End")
        wait_for(lambda: int(told.inner_text().split()[0].replace(",", "")) > 2 * size)
        assert "PSNR" in page.locator("#jpeg-told").inner_text()
        for name in ("embudo", "jpeg", "photograph"):
            assert page.locator(f"#{name}").evaluate("(image) => image.naturalWidth") == 128
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_noise_is_added_and_removed(open_page):
    flower = load_sample_images().images[1][100:164, 200:264]
    explorer = DenoiserExplorer(ImageDenoiser.pretrained(), [flower])
    with served(explorer, browser=False, say=lambda text: None) as address:
        page = open_page(address)
        wait_for(lambda: "dB" in page.locator("#denoised-told").inner_text())
        page.get_by_label("Standard deviation").fill("50")

        def decibels(name):
            words = page.locator(f"#{name}-told").inner_text().split()
            return float(words[1]) if len(words) == 3 else 99

        wait_for(lambda: decibels("noisy") < 16)
        assert decibels("denoised") > decibels("noisy") + 5


@pytest.mark.parametrize("width", [400, 1600])
def test_a_training_is_watched_as_it_goes(open_page, monkeypatch, width):
    monkeypatch.setattr(watching, "EVERY", 0)
    monkeypatch.setattr(watching, "SHARE", np.inf)
    watch, seen = Watch("Training"), {"images": [], "lines": []}

    def listen(stage, epoch, look):
        """Wait until the page shows what an epoch came to, in numbers and in pictures that are not those before."""
        watch.note(stage, epoch, look)
        named = f"{stage.strip()}, epoch {epoch.number}:"
        page.get_by_text(f"{named} loss {epoch.loss:#.4g}, validation").wait_for()
        page.locator("#when").get_by_text(named).wait_for()
        kind = "lines" if stage.startswith("parts") else "images"
        assert [page.locator(f"#{name}").is_visible() for name in seen] == [name == kind for name in seen]
        assert page.locator("#given").is_visible() == stage.startswith("edges")
        if kind == "images":
            picture = page.get_by_role("img", name="Reconstructions")
            assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 12 * 9 - 1
            seen[kind].append(picture.get_attribute("src"))
        else:
            assert page.locator("#panels svg").count() == 12
            seen[kind].append(page.locator("#panels polyline").last.get_attribute("points"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    quick = Training(2, verbose=False, validation_fraction=0.1)
    edges = Autoencoder(20, corruption=GaussianNoise(0.3), training=quick)
    stack = StackedAutoencoder([("edges", edges), ("parts", Autoencoder(5, training=quick))], training=quick)
    with served(watch, browser=False, say=lambda text: None) as address:
        page = open_page(address, width)
        page.get_by_text("Waiting for the first epoch.").wait_for()
        with heard_by(listen):
            stack.fit(DIGITS)
        assert (len(set(seen["images"])), len(set(seen["lines"]))) == (4, 2)
        wait_for(lambda: page.locator("#chart polyline").count() == 6)
        assert len(page.locator("#chart polyline").first.get_attribute("points").split()) == 2
        threading.Thread(target=watch.finish).start()
        page.get_by_text("The training is over.").wait_for()
        assert page.locator("#error").is_hidden()
        assert page.get_by_role("img", name="Reconstructions").get_attribute("src") == seen["images"][-1]


def test_a_server_that_has_ended_is_said_so(open_page):
    ae = Autoencoder(6, training=QUICK, random_state=0).fit(DIGITS)
    with served(CodeExplorer(ae, DIGITS), browser=False, say=lambda text: None) as address:
        page = ready(open_page(address))
    page.locator("#sliders input").first.press("End")
    page.get_by_text("The explorer does not answer").wait_for()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_large_map_is_thinned_while_it_moves_and_whole_at_rest(open_page, tmp_path, dimensions):
    codes = np.random.default_rng(0).normal(size=(110_000, dimensions))
    (tmp_path / "map.html").write_text(map_page(codes, title="Many"), encoding="utf-8")
    page = open_page(f"file://{tmp_path}/map.html", width=500, height=400)
    canvas = page.locator("canvas")

    def press(key):
        script = f"""(canvas) => new Promise((done) => {{
            canvas.dispatchEvent(new KeyboardEvent("keydown", {{ key: "{key}" }}));
            requestAnimationFrame(() => done([canvas.dataset.drawn, canvas.toDataURL()]));
        }})"""
        return canvas.evaluate(script)

    drawn, whole = press("0")
    assert drawn == "110000"
    assert press("ArrowLeft")[0] == "100000"
    drawn, moving = press("ArrowRight")
    assert (drawn, moving == whole) == ("100000", False)
    page.wait_for_function("document.querySelector('canvas').dataset.drawn === '110000'")
    page.wait_for_function("(whole) => document.querySelector('canvas').toDataURL() === whole", arg=whole)
