"""Moonshine tiny-en (Jeffries et al. 2024) as a recogniser: two networks and a list of tokens.

The encoder hears the waveform itself. The decoder writes one token at a time, always the likeliest; what it
computed for earlier tokens, and for the encoder's frames, is fed back and not computed again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from timbrel.evaluation.metrics.recordings import SAMPLE_RATE
from timbrel.packages import open_network

_BEGIN, _END = 1, 2
_HEADS, _HEAD_DIM = 8, 36
#: It was trained on at most half a minute.
_MOST_SECONDS = 24
#: Speech has fewer tokens than this in a second: what goes on longer is repetition.
_TOKENS_PER_SECOND = 8
#: How a token begins that begins a word.
_WORD_MARK = "\u2581"


class MoonshineRecogniser:
    """(L,) at 16 kHz -> what is said, with punctuation."""

    def __init__(self, encoder: Path, decoder: Path, tokens: Path) -> None:
        self._encoder, self._decoder = open_network(encoder), open_network(decoder)
        self._tokens = read_tokens(tokens.read_bytes())
        self._outputs = [output.name for output in self._decoder.get_outputs()]
        inputs = [given.name for given in self._decoder.get_inputs()]
        self._past = [name for name in inputs if name.startswith("past_key_values")]

    def __call__(self, samples: np.ndarray) -> str:
        return " ".join(self._text(self._decode(part)) for part in parts(samples, _MOST_SECONDS))

    def _decode(self, samples: np.ndarray) -> list[int]:
        # The mask has as many values as there are samples, for the decoder, too.
        mask = np.ones((1, len(samples)), dtype=np.int64)
        frames = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})[0]
        memory = {name: np.zeros((1, _HEADS, 0, _HEAD_DIM), np.float32) for name in self._past}
        constant = {"encoder_hidden_states": frames, "encoder_attention_mask": mask}
        written = [_BEGIN]
        for step in range(_TOKENS_PER_SECOND * (1 + len(samples) // SAMPLE_RATE)):
            said = {"input_ids": np.array([written[-1:]]), "use_cache_branch": np.array([step > 0])}
            found = dict(zip(self._outputs, self._decoder.run(None, constant | said | memory), strict=True))
            written.append(int(found["logits"][0, -1].argmax()))
            if written[-1] == _END:
                break
            # What was computed of the encoder's frames comes once, with the first token.
            changed = [name for name in memory if step == 0 or ".decoder." in name]
            memory |= {name: found[name.replace("past_key_values", "present")] for name in changed}
        return written

    def _text(self, written: list[int]) -> str:
        tokens = [self._tokens[number] for number in written if _END < number < len(self._tokens)]
        said = b"".join(token for token in tokens if not (token.startswith(b"<") and token.endswith(b">")))
        return said.decode("utf-8", errors="replace").replace(_WORD_MARK, " ").strip()


def read_tokens(stored: bytes) -> list[bytes]:
    """The tokens of tokenizer.bin: each is preceded by its length, in two bytes (low, high) from 128 on.

    The low byte of a long length is 128 more than its value.
    """
    tokens, place = [], 0
    while place < len(stored):
        length, place = stored[place], place + 1
        if length >= 128:
            length, place = length - 128 + 128 * stored[place], place + 1
        tokens.append(stored[place : place + length])
        place += length
    return tokens


def parts(samples: np.ndarray, most_seconds: float) -> list[np.ndarray]:
    """A recording cut in two at the quietest place near its middle, again and again until its parts fit."""
    if len(samples) <= most_seconds * SAMPLE_RATE:
        return [samples]
    middle, reach = len(samples) // 2, min(4 * SAMPLE_RATE, len(samples) // 4)
    power = np.square(samples[middle - reach : middle + reach])
    quietest = int(np.convolve(power, np.ones(SAMPLE_RATE // 5), "same").argmin())
    cut = middle - reach + quietest
    return parts(samples[:cut], most_seconds) + parts(samples[cut:], most_seconds)
