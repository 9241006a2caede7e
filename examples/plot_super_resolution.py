"""
Enlarging images
================

`ImageDenoiser` learns from pairs what distinguishes a photograph from one that was made small and enlarged again by
cubic interpolation: the lost detail is noise like any other. It learns from one photograph and a part of another,
and is measured on a part of the latter that it has not seen.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from embudo import Adam, ImageDenoiser, Training
from embudo.metrics.reconstruction import psnr
from embudo.report.pictures import comparison_figure, draw_photograph


def blurred(image):
    """Return an image at half its size, enlarged again by bicubic interpolation."""
    height, width = image.shape
    small = Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


china, flower = (np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images)
test = china[100:260, 200:440]
learnt = [flower, china[:, :160]]

training = Training(1, batch_size=8, optimizer=Adam(1e-3), schedule="warmup_cosine")
denoiser = ImageDenoiser(patch_size=32, training=training, random_state=0)
denoiser.fit([blurred(image) for image in learnt], X_clean=learnt)

bicubic = blurred(test)
enlarged = denoiser.denoise(bicubic)
print(f"PSNR: bicubic {psnr(test, bicubic):.2f} dB, learnt {psnr(test, enlarged):.2f} dB")

figure = comparison_figure(bicubic[..., None], enlarged[..., None], ("Bicubic", "Learnt from pairs"))
plt.figure(figsize=(5, 4))
draw_photograph(plt.gca(), test, cmap="gray", vmin=0, vmax=255)
plt.title("Original")
plt.show()
