"""The content encoder: what it hears and should say belong together, and it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from timbrel import checkpoint, registry
from timbrel.errors import ConfigError, TrainingError
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.train import log
from timbrel.train.augment import Perturbation
from timbrel.train.data import Data
from timbrel.train.recipe import DataRecipe
from timbrel.train.tasks.phonetic import PhoneticTask, Settings, build

SIZES = {"width": 16, "layers": 1, "heads": 2, "rotary": 4, "reach": 3}


def data(taught: Path, **changes: Any) -> Data:
    recipe = DataRecipe(str(taught), batch=4, seconds=0.8)
    return Data(taught, replace(recipe, **changes), "train", 0)


def task(corpus: Data, **settings: Any) -> PhoneticTask:
    torch.manual_seed(0)
    return build(Settings(model=SIZES, **settings), corpus)


def test_the_lesson_is_what_the_teacher_said_at_that_time(taught: Path) -> None:
    crops = data(taught).batch(0).source
    lesson = task(data(taught)).clean(crops)
    assert lesson.waveform.shape == (4, 12800, 1)
    for row, clip in enumerate(crops.ids):
        # These voices have no pauses, so their active level is about that of the whole clip.
        level = np.sqrt(np.mean((load_file(taught / f"clips/{clip}.safetensors")["audio"] / 32768.0) ** 2))
        expected = crops.audio[row, :12800].numpy() * 0.1 / level
        np.testing.assert_allclose(lesson.waveform[row, :, 0].numpy(), expected, atol=0.01)
        frames = load_file(taught / f"teachers/moonshine/{clip}.safetensors")["frames"].astype(float)
        for k in (5, 20):
            # Frame i of the teacher is centred on sample 384 i + 447; statistics of the corpus: 0.5, 0.25.
            place = (256 * (int(crops.starts[row]) + k) - 447) / 384
            if not 0 <= place < len(frames) - 1:
                continue
            i = int(place)
            between = frames[i] + (place - i) * (frames[i + 1] - frames[i])
            expected = torch.tensor((between - 0.5) / 0.25, dtype=torch.float32)
            torch.testing.assert_close(lesson.content[row, k], expected, atol=1e-4, rtol=1e-4)


def test_a_faster_clip_has_the_content_of_later_times(taught: Path) -> None:
    corpus = data(taught)
    crops = corpus.batch(0).source
    fast = task(corpus, perturbation=Perturbation(speed=(1.25, 1.25), speed_share=1.0))
    lesson = fast.perturbed(crops, torch.Generator())
    clean = fast.clean(crops)
    assert lesson.content.shape[1] == 40
    # What is heard at frame 8 of the fast clip was said at frame 10 of the recording.
    torch.testing.assert_close(lesson.content[:, 8], clean.content[:, 10], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(lesson.content[:, 24], clean.content[:, 30], atol=1e-3, rtol=1e-3)


def test_frames_after_the_end_of_a_clip_do_not_count(taught: Path) -> None:
    corpus = data(taught, seconds=2.5)
    lesson = task(corpus).clean(corpus.batch(0).source)
    samples = corpus.batch(0).source.lengths
    assert lesson.mask.sum(dim=1).tolist() == (samples // 256).tolist()
    assert (lesson.mask.sum(dim=1) < lesson.mask.shape[1]).all()


def test_the_student_learns_and_every_parameter_takes_part(taught: Path) -> None:
    corpus = data(taught)
    student = task(corpus, movement=2.0)
    optimizer = torch.optim.Adam(student.model.parameters(), 8e-3)
    losses = []
    for step in range(24):
        update = next(student.updates(corpus.batch(step % 3), step, torch.Generator().manual_seed(step)))
        update.loss.backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in student.model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(update.loss.detach()))
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])


def test_a_run_exports_an_encoder_that_another_run_can_start_from(train: Callable[..., Path]) -> None:
    tables = {"task": "phonetic", "data": {"seconds": 0.8}, "optimizer": {"model": {"learning_rate": 1e-3}}}
    path = train(**tables, settings={"model": SIZES, "perturbation": {"warp": 0.1}})
    encoder = registry.build(checkpoint.read(path))
    assert isinstance(encoder, PhoneticEncoder)
    assert encoder(torch.zeros(1, 2560, 1)).shape == (1, 10, 16)
    figures = [row for row in log.read(path.parent) if row["kind"] == "validation"]
    assert {"loss", "squared_error", "cosine_distance"} <= figures[-1].keys()

    tables["optimizer"] = {"model": {"learning_rate": 1e-12, "weight_decay": 0.0}}
    second = train("again", **tables, settings={"model": SIZES, "start": str(path)})
    went_on = registry.build(checkpoint.read(second))
    torch.testing.assert_close(went_on.stem.conv2.weight, encoder.stem.conv2.weight)
    with pytest.raises(ConfigError, match=r"settings\.start: .* another network"):
        train("other", **tables, settings={"model": {**SIZES, "layers": 2}, "start": str(path)})


def test_what_is_exported_and_validated_is_an_average_over_steps(taught: Path) -> None:
    corpus = data(taught)
    student = task(corpus, average=0.5)
    before = student.validate([corpus.batch(0)])
    with torch.no_grad():
        for tensor in student.model.state_dict().values():
            tensor.add_(1.0)
    assert student.validate([corpus.batch(0)]) == before
    bias = student.export().tensors["stem.conv2.bias"].clone()
    student.after_step(1000)  # keeps a half
    torch.testing.assert_close(student.export().tensors["stem.conv2.bias"], bias + 0.5)
    assert student.validate([corpus.batch(0)]) != before
    assert student.networks.keys() == {"model", "average"}


def test_what_the_student_hears_is_perturbed_and_what_it_should_say_is_not(taught: Path) -> None:
    corpus = data(taught)
    crops = corpus.batch(0).source
    heard = task(corpus, perturbation=Perturbation(warp=0.2, equaliser_db=5.0, snr_db=(12.0, 52.0)))
    clean, lesson = heard.clean(crops), heard.perturbed(crops, torch.Generator().manual_seed(0))
    assert (lesson.waveform - clean.waveform).abs().amax(dim=(1, 2)).min() > 1e-2
    assert torch.equal(lesson.content, clean.content)


def test_detail_is_found_in_training_and_left_out_by_the_next_start(train: Callable[..., Path]) -> None:
    tables = {"task": "phonetic", "data": {"seconds": 0.8}, "optimizer": {"model": {"learning_rate": 1e-3}}}
    found = {"detail": 4, "perturbation": {"warp": 0.1, "warp_share": 1.0}}
    path = train(**tables, settings={"model": {**SIZES, "detail_after": 1}, **found})
    encoder = registry.build(checkpoint.read(path))
    assert isinstance(encoder, PhoneticEncoder)
    assert encoder.spec_out.dim == 20
    assert encoder.detail_map.abs().amax(dim=0).min() > 0
    second = train("again", **tables, settings={"model": SIZES, "start": str(path)})
    assert registry.build(checkpoint.read(second)).spec_out.dim == 16


def test_detail_is_seen_at_the_time_of_the_disguised_frame(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = data(taught)
    slow = Perturbation(speed=(0.8, 0.8), speed_share=1.0)
    settings = Settings(model={**SIZES, "detail_after": 1}, detail=2, perturbation=slow)
    student = build(settings, corpus)
    seen: list[torch.Tensor] = []
    assert student.steady is not None
    monkeypatch.setattr(student.steady, "observe", lambda *parts: seen.extend(parts))
    # Frames that say when they were: the clean ones their place, the others nothing.
    monkeypatch.setattr(
        student.averaged,
        "behind_layers",
        lambda sound: iter([torch.arange(sound.shape[1] // 256.0).expand(len(sound), -1)[..., None]] * 2),
    )
    next(student.updates(corpus.batch(0), 0, torch.Generator().manual_seed(0)))
    clean, disguised, mask = seen
    assert clean.shape == disguised.shape
    assert mask.shape == clean.shape[:2]
    # At 0.8 of the speed frame 10 says what was said at frame 8.
    torch.testing.assert_close(clean[0, :30, 0], 0.8 * torch.arange(30.0))


def test_the_detail_of_the_model_itself_cannot_be_set() -> None:
    with pytest.raises(
        ConfigError, match=r"settings\.model\.detail is found in training: set settings\.detail"
    ):
        Settings(model={"detail": 4})


def test_two_beginnings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"settings\.moonshine and settings\.start are two beginnings"):
        Settings(moonshine="encoder.onnx", start="runs/other/final")


def test_a_corpus_without_a_teacher_says_what_to_run(prepared: Path) -> None:
    with pytest.raises(TrainingError, match=r"run timbrel teach .* --moonshine first"):
        task(data(prepared))


def test_the_students_frames_must_be_as_large_as_the_teachers(taught: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings\.model\.width must be the teacher's 16"):
        build(Settings(), data(taught))
