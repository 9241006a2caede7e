"""How long the explorer takes from a move of a slider to the picture, in headless Chromium.

Limit: 100 ms, median of 50 moves of sliders of a code; 5 of the slider of a codec and of a denoiser, where there is no
limit. A move begins with a frame, and is over when the picture is painted and the browser has begun another frame.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Report, load_mnist, parse_arguments
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_digits, load_sample_images

from embudo import MLP, Autoencoder, ConvNet, ImageCodec, ImageDenoiser, Training
from embudo.report.explorer.codes import CodeExplorer
from embudo.report.explorer.photographs import CodecExplorer, DenoiserExplorer
from embudo.report.explorer.server import served
from embudo.report.explorer.subject import Subject

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: moves sliders in turn, and returns how many milliseconds each took until it was painted, and until the next frame
MOVE = """async ([sliders, painted, moves]) => {
    const inputs = document.querySelectorAll(sliders), target = document.querySelector(painted), times = [];
    for (let move = 0; move < moves; move++) {
        const input = inputs[move % inputs.length], low = Number(input.min), high = Number(input.max);
        await new Promise(requestAnimationFrame);
        const done = new Promise((resolve) => target.addEventListener("painted", resolve, { once: true }));
        const started = performance.now();
        input.value = low + (high - low) * (0.2 + 0.6 * ((move * 0.618) % 1));
        input.dispatchEvent(new Event("input"));
        await done;
        const painted = performance.now() - started;
        await new Promise(requestAnimationFrame);
        times.push([painted, performance.now() - started]);
    }
    return times;
}"""


def subjects(data: Path) -> Iterator[tuple[str, Subject, tuple[str, str], float | None]]:
    """Yield what is moved: a name, what is explored, sliders and what they paint, and the limit."""
    sliders, once = ("#sliders input", "#decoded"), Training(1, verbose=False)
    digits, mnist = load_digits().images / 16, load_mnist(data, "test")[:2000]
    small = Autoencoder(8, encoder=MLP((128, 64)), training=once, random_state=0)
    yield "8 x 8 digits, 64-128-64-8", CodeExplorer(small.fit(digits), digits), sliders, 100
    large = Autoencoder(64, encoder=MLP(512), training=once, random_state=0)
    explorer = CodeExplorer(large.fit(mnist), mnist, image_shape=(28, 28))
    yield "MNIST, 784-512-64", explorer, sliders, 100
    net = ConvNet((16, 32), image_shape=(28, 28))
    convolutional = Autoencoder(32, encoder=net, training=once, random_state=0)
    yield "MNIST, `ConvNet((16, 32))`, 32", CodeExplorer(convolutional.fit(mnist), mnist), sliders, 100
    setting, flower = ("#setting", "#setting"), [load_sample_images().images[1]]
    yield "codec, 640 x 427 photograph, and JPEG", CodecExplorer(ImageCodec.pretrained(), flower), setting, None
    yield "denoiser, 640 x 427 photograph", DenoiserExplorer(ImageDenoiser.pretrained(), flower), setting, None


def moved(address: str, browser: Any, what: tuple[str, str], moves: int) -> list[list[float]]:
    """Return the milliseconds of each move until it was painted and until it was shown, but for the first move."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(address)
    page.locator("#told:not(:empty), #embudo-told:not(:empty), #denoised-told:not(:empty)").wait_for()
    times: list[list[float]] = page.evaluate(MOVE, [*what, moves + 1])
    page.close()
    return times[1:]


def main() -> None:
    arguments = parse_arguments(__doc__)
    report = Report("explorer", quick=arguments.quick, seeds=[0])
    with sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for name, subject, what, limit in subjects(arguments.data):
            moves = 3 if arguments.quick else 50 if limit else 5
            with served(subject, browser=False) as address:
                painted, shown = zip(*moved(address, browser, what, moves), strict=True)
            report.add(
                what=name,
                moves=moves,
                painted=statistics.median(painted),
                shown=statistics.median(shown),
                greatest=max(shown),
                limit=limit,
            )
        browser.close()


if __name__ == "__main__":
    main()
