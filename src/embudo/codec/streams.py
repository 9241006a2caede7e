"""The codes of a segment, to one stream and back."""

from __future__ import annotations

import zlib

import numpy as np

from embudo.codec.container import Reader, Segment, varint
from embudo.codec.entropy import Decoder, Encoder
from embudo.codec.prior import Prior
from embudo.codec.quantize import Quantizer, step_of
from embudo.errors import FileFormatError

Shape = tuple[int, int, int, int]
LARGEST_CODE = 2**15 - 1  #: magnitude of an integer code


class StreamCoder:
    """Quantises and codes the real codes of a network: the payload of a segment.

    A payload is the number of channels that are not all zero, and one range-coded stream. All four steps go through
    the codes part by part, as the prior expects each from those before it. ::

        encode   y ──── quantize ────▶ integers ── write ──▶ segment
        decode   y' ◀── dequantize ─── integers ◀── read ─── segment

    Parameters
    ----------
    prior : Prior
    quantizer : Quantizer
    """

    def __init__(self, prior: Prior, quantizer: Quantizer) -> None:
        self.prior, self.quantizer = prior, quantizer

    def encode(self, y: np.ndarray, level: int) -> Segment:
        """Quantise and write the codes of a segment; parameters as those of `quantize`."""
        return self.write(self.quantize(y, level), level)

    def decode(self, segment: Segment, shape: Shape, level: int) -> np.ndarray:
        """Read and dequantise the codes of a segment; parameters as those of `read`, codes of that shape, float32."""
        return self.dequantize(self.read(segment, shape, level), level, shape[1])

    def quantize(self, y: np.ndarray, level: int) -> np.ndarray:
        """Return integers for codes, without the last channels that are not worth their bits.

        Parameters
        ----------
        y : ndarray of shape (n, n_channels, height, width), floating
            The channels from the most to the least variable.
        level : int

        Returns
        -------
        ndarray of shape (n, n_active, height, width), int16
        """
        scaled = y.astype(np.float32) / np.float32(step_of(level))
        codes, cost = np.zeros(y.shape, np.int16), np.empty(y.shape, np.float32)
        for where, mean, index, *_ in self.prior.parts(codes, level):
            left, cost[where] = self.quantizer.quantize(scaled[where] - np.float32(mean), index)
            codes[where] = np.clip(left + mean, -LARGEST_CODE, LARGEST_CODE)
        gain = (np.square(scaled) - cost).sum(axis=(0, 2, 3), dtype=np.float64)  # of keeping a channel
        return codes[:, : int(np.argmax(np.append(0, np.cumsum(gain))))]

    def write(self, codes: np.ndarray, level: int) -> Segment:
        """Encode integers, shape (n, n_active, height, width)."""
        encoder = Encoder(self.quantizer.tables)
        for where, mean, index, *_ in self.prior.parts(codes, level):
            left = codes[where] - mean
            encoder.put(left.ravel(), np.broadcast_to(index, left.shape).ravel())
        payload = varint(codes.shape[1]) + encoder.finish()
        return Segment(payload, _checksum(payload, codes))

    def read(self, segment: Segment, shape: Shape, level: int) -> np.ndarray:
        """Decode the integers of a segment.

        Parameters
        ----------
        segment : Segment
        shape : (n, n_channels, height, width)
            With all the channels that there can be.
        level : int

        Returns
        -------
        ndarray of shape (n, n_active, height, width), int16

        Raises
        ------
        FileFormatError
            If the segment is damaged.
        """
        reader = Reader(segment.payload)
        n_active = reader.varint()
        if n_active > shape[1]:
            raise FileFormatError("The .emb file is damaged: it has codes of more channels than its model.")
        codes = np.zeros((shape[0], n_active, *shape[2:]), np.int16)
        decoder = Decoder(self.quantizer.tables, segment.payload[reader.position :])
        for where, mean, index, *_ in self.prior.parts(codes, level):
            shape_here = codes[where].shape
            values = decoder.take(np.broadcast_to(index, shape_here).ravel()).reshape(shape_here) + mean
            if np.abs(values).max(initial=0) > LARGEST_CODE:
                raise FileFormatError("The .emb file is damaged: it holds a code that is out of range.")
            codes[where] = values
        if _checksum(segment.payload, codes) != segment.checksum:
            raise FileFormatError("The .emb file is damaged: the checksum of its codes is wrong.")
        return codes

    def dequantize(self, codes: np.ndarray, level: int, n_channels: int) -> np.ndarray:
        """Return real codes for integers, shape (n, n_channels, height, width), float32; 0 where there is none."""
        y = np.zeros((codes.shape[0], n_channels, *codes.shape[2:]), np.float32)
        for where, mean, index, *_ in self.prior.parts(codes, level):
            y[where] = self.quantizer.dequantize(codes[where] - mean, index) + mean
        y *= np.float32(step_of(level))
        return y


def _checksum(payload: bytes, codes: np.ndarray) -> int:
    return zlib.crc32(codes.astype("<i2").tobytes(), zlib.crc32(payload))
