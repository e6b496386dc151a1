"""AutoVC trains by its shipped recipes, resumes, and its checkpoint converts with nothing else at hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from timbrel import checkpoint, registry
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.cli.app import app
from timbrel.errors import CheckpointError, ConfigError
from timbrel.methods.listening import Listener
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.pipeline import VoiceConverter
from timbrel.train import log, loop, recipe, tasks
from timbrel.train.data import Data
from timbrel.train.state import found

RECIPES = ("autovc-4speakers", "autovc-vctk")
SMALL = [
    "data.batch=2",
    "data.seconds=0.512",
    "settings.model={ dim_neck = 4, freq = 8, dim_pre = 8, channels = 8, dim_recurrent = 8 }",
    "run.steps=4",
    "run.validate_every=2",
    "run.validation_batches=1",
    "run.save_every=2",
    "run.log_every=1",
    'data.validation="dev"',
    'run.precision="no"',  # accelerate knows one precision for all the runs of a process
]
FIGURES = {"loss", "reconstruction", "reconstruction_before_postnet", "content"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small speaker encoder."""
    torch.manual_seed(0)
    network = ConvSpeakerEncoder(SpeakerConfig(width=16, blocks=1, embedding_dim=8))
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    checkpoint.write(
        folder,
        family="speaker",
        name="encoder",
        config=network.config,
        tensors=network.state_dict(),
        provenance={},
        card="",
    )
    return folder


def load(name: str, prepared: Path, encoder: Path, *changes: str) -> recipe.Recipe:
    corpus = [f"data.corpus={prepared}", f"settings.speaker_encoder={encoder}"]
    return recipe.load(name, [*corpus, *SMALL, *changes])


def build(prepared: Path, encoder: Path, *changes: str) -> tuple[Data, Any]:
    settings = load("autovc-vctk", prepared, encoder, *changes)
    data = Data(prepared, settings.data, "train", 0)
    torch.manual_seed(0)
    return data, tasks.build(settings, data)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_trains_and_its_checkpoint_converts(
    name: str, prepared: Path, raw_corpus: Path, encoder: Path, tmp_path: Path
) -> None:
    loop.run(load(name, prepared, encoder), tmp_path / "out")
    rows = log.read(tmp_path / "out")
    trained, validated = ([row for row in rows if row["kind"] == kind] for kind in ("train", "validation"))
    assert set(trained[-1]) >= FIGURES
    assert set(validated[-1]) >= FIGURES | {f"training_{figure}" for figure in FIGURES}
    source, target = raw_corpus / "bob/clip0.wav", raw_corpus / "ada/clip1.wav"
    made = tmp_path / "made.wav"
    model = tmp_path / "out/best"
    arguments = ["convert", source, "--target", target, "--model", model, "-o", made]
    app([str(argument) for argument in arguments], standalone_mode=False)
    assert soundfile.info(made).frames == soundfile.info(source).frames


def test_the_encoder_goes_along(prepared: Path, encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").symlink_to(encoder)
    final = loop.run(load("autovc-vctk", prepared, tmp_path / "copy"), tmp_path / "out")
    (tmp_path / "copy").unlink()
    assert VoiceConverter.from_pretrained(final).sample_rate == 16000
    wanted = registry.build(checkpoint.read(final)).config.embedding
    assert wanted == registry.build(checkpoint.read(encoder)).spec_out


def test_what_training_left_beside_the_encoder_stays_there(
    prepared: Path, encoder: Path, tmp_path: Path
) -> None:
    trained = Path(shutil.copytree(encoder, tmp_path / "encoder"))
    for name in checkpoint.OF_TRAINING:
        (trained / name).write_text("{}")
    final = loop.run(load("autovc-vctk", prepared, trained, "run.steps=1"), tmp_path / "out")
    assert {path.name for path in (final / "speaker").iterdir()} == {
        "config.toml",
        "model.safetensors",
        "provenance.json",
        "CARD.md",
    }


def test_a_resumed_run_equals_the_uninterrupted_one(prepared: Path, encoder: Path, tmp_path: Path) -> None:
    changes = ("settings.voice=utterance", "run.keep=9")
    settings = load("autovc-4speakers", prepared, encoder, *changes)
    loop.run(settings, tmp_path / "whole")
    loop.run(settings, tmp_path / "parts")
    for link in ("final", "best", "last"):
        (tmp_path / "parts" / link).unlink()
    (late,) = (path for path, step in found(tmp_path / "parts") if step == 4)
    late.rename(tmp_path / "away")
    loop.run(settings, tmp_path / "parts", resume=True)
    one, two = (
        checkpoint.load_tensors(checkpoint.read(tmp_path / name / "final")) for name in ("whole", "parts")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_speakers_are_known_by_the_mean_of_their_utterances(prepared: Path, encoder: Path) -> None:
    data, task = build(prepared, encoder, "settings.utterances=2")
    listener = Listener.of(checkpoint.read(encoder), torch.device("cpu"))
    batch = data.batch(0).source
    given = task.voices.mean(batch.ids)
    for clip, voice in zip(batch.ids, given, strict=True):
        own = sorted(one.id for one in data.clips if one.speaker == clip.split("/")[0])
        # Two of four are the first and the third; of ada's three to train on, the first and the second.
        chosen = [own[0], own[len(own) // 2]]
        places = [[one.id for one in data.clips].index(name) for name in chosen]
        vectors = [
            listener.embed(torch.from_numpy(data._audio[place].astype("float32") / 32768), 16000)
            for place in places
        ]
        mean = (vectors[0] + vectors[1]) / 2
        torch.testing.assert_close(voice, mean / mean.norm())


def test_a_drawn_utterance_is_one_of_the_speakers(prepared: Path, encoder: Path) -> None:
    data, task = build(prepared, encoder)
    ids = [clip.id for clip in data.clips if clip.speaker == "bob"][:1] * 40
    drawn = task.voices.drawn(ids, torch.Generator().manual_seed(0))
    again = task.voices.drawn(ids, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    assert len(drawn.unique(dim=0)) == 4


def test_crops_are_heard_at_the_standard_level(prepared: Path, encoder: Path) -> None:
    data, task = build(prepared, encoder)
    crops = data.batch(0).source
    mel = task.mel(crops)
    assert mel.shape == (2, 32, 80)
    (track,) = task.tracks.of(crops.ids[:1])
    louder = MelSpectrogram(PRESETS["autovc-16k"])(crops.audio[:1] * track.gain)
    torch.testing.assert_close(mel[:1], louder[:, :32])


def test_training_lowers_the_loss_on_one_batch(prepared: Path, encoder: Path) -> None:
    data, task = build(prepared, encoder)
    batch, losses = data.batch(0), []
    optimizer = torch.optim.Adam(task.parameters(), 1e-2)
    for step in range(30):
        (update,) = task.updates(batch, step, torch.Generator())
        optimizer.zero_grad()
        update.loss.backward()
        optimizer.step()
        losses.append(update.loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_preview_in_mixed_precision_can_be_heard(prepared: Path, encoder: Path) -> None:
    data, task = build(prepared, encoder)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        seen = task.eval().preview(data.batch(0))
    assert set(seen.mels) == set(seen.audio) == {"source", "target", "converted"}
    assert all(mel.dtype == torch.float32 for mel in seen.mels.values())
    assert all(one.samples.abs().max() > 0 for one in seen.audio.values())


def test_the_distance_of_mels_can_be_absolute(prepared: Path, encoder: Path) -> None:
    data, task = build(prepared, encoder, "settings.distance=l1")
    batch = data.batch(0)
    mel, voices = task.mel(batch.source), task.voices.mean(batch.source.ids)
    with torch.no_grad():
        figures = task.eval().validate([batch])
        after = task.model(mel, voices, voices).after
    assert figures["reconstruction"] == pytest.approx((after - mel).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("settings.front_end=mel", "front_end must be one of"),
        ("settings.utterances=0", "utterances must be at least 1"),
        ("settings.model.window=64", "follows from data.seconds"),
        ("settings.model.freq=48", "33 frames; a code of AutoVC takes freq = 48"),
        ("settings.model.frequency=8", 'unknown key "frequency"'),
        ("settings.size=large", "size"),
    ],
)
def test_impossible_settings_are_refused(change: str, words: str, prepared: Path, encoder: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        build(prepared, encoder, change)


def test_an_encoder_must_be_one(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='no model "nobody"'):
        build(prepared, Path("nobody"))
    parts = registry.parts(checkpoint.read(registry.find(registry.DEFAULT_MODEL)))
    with pytest.raises(CheckpointError, match="holds a phonetic, which is no speaker encoder"):
        build(prepared, parts["content"].path)
