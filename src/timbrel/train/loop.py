"""The one training loop, over Hugging Face accelerate: steps, clips, scales, logs, saves, resumes, stops.

Every step starts from random generators seeded with (seed, step, process), and its batch and
learning rates are functions of the step as well. So the networks, their optimizers and the number of
the step are all there is to save, and on a CPU a resumed run of one process equals the uninterrupted one bit
for bit. Of several, each keeps what its networks count by itself between two checkpoints.

Several processes each work on their share of the batch. Gradients are averaged here rather than
by a wrapper around the networks, because several networks may take turns within a step.

    accelerate launch --multi_gpu --num_processes 8 -m timbrel train RECIPE
    accelerate launch --multi_gpu --num_processes 16 --num_machines 2 --machine_rank 0 \\
        --main_process_ip HOST --main_process_port 29500 -m timbrel train RECIPE     (1 on the other)
    accelerate launch --multi_gpu --num_processes 2 -m timbrel train RECIPE --cpu

The last trains on two CPU processes: accelerate's own --cpu starts one only.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn, optim
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

import timbrel
from timbrel.errors import ConfigError, TrainingError
from timbrel.train import state, tasks
from timbrel.train.control import seed_everything, stop_signals
from timbrel.train.data import Data, has_split
from timbrel.train.log import Log, Screen, Silent
from timbrel.train.recipe import Recipe, to_tables
from timbrel.train.state import Progress
from timbrel.train.tasks import Task, Update
from timbrel.wording import counted


def run(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    cpu: bool = False,
    minutes: float = math.inf,
    screen: Screen | None = None,
) -> Path:
    """Trains from the start, or on from the newest checkpoint in `out`; returns the last checkpoint.

    Ctrl-C, SIGTERM and the end of the given minutes save a checkpoint and return.

    Raises:
        ConfigError: the recipe does not fit its task.
        CorpusError: there is nothing to train on.
        CheckpointError: a checkpoint cannot be read, or not be written.
        TrainingError: `out` holds a run that is not to be resumed, or was made by another recipe,
            a loss is no longer a number, or `out` cannot be written any more.
    """
    if not minutes > 0:
        raise ConfigError(f"The minutes to train for must be above 0, not {minutes:g}.")
    until = time.monotonic() + 60 * minutes
    accelerator = Accelerator(mixed_precision=recipe.run.precision, cpu=cpu)
    _require_all_processes(accelerator)
    _require_shares(recipe.data.batch, accelerator.num_processes)
    progress, newest = state.start(out, to_tables(recipe), resume, accept_changes)
    seed_everything(recipe.run.seed, 0, 0)
    root = Path(recipe.data.corpus)
    data = Data(root, recipe.data, recipe.data.split, recipe.run.seed)
    validation = None
    if recipe.run.validate_every and has_split(root, recipe.data, recipe.data.validation):
        validation = Data(root, recipe.data, recipe.data.validation, recipe.run.seed)
    task = tasks.build(recipe, data).to(accelerator.device)
    if accelerator.is_main_process:  # last, so that a recipe or corpus that does not fit leaves no folder
        state.prepare(out)
    accelerator.wait_for_everyone()
    screen = screen if screen and accelerator.is_main_process else Silent()
    try:
        return Run(recipe, out, task, data, validation, accelerator, screen, progress, newest).go(until)
    except OSError as error:  # of the log, or of what is no part of a checkpoint
        reason = error.strerror or error
        text = f"{out} cannot be written: {reason}; its checkpoints are intact: make room, and --resume."
        raise TrainingError(text) from error


def _require_all_processes(accelerator: Accelerator) -> None:
    """Raises TrainingError if accelerate was asked for several processes and this is one by itself."""
    several = "MASTER_PORT" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    if several and accelerator.num_processes == 1:
        raise TrainingError(
            "accelerate launch --cpu starts one process, whatever --num_processes says: "
            "put --multi_gpu in place of --cpu, and --cpu behind `timbrel train`."
        )
    if accelerator.num_processes < int(os.environ.get("WORLD_SIZE", "1")):
        # Each would train by itself, and write over what the others write.
        raise TrainingError(
            "accelerate launch started several processes, which do not know of each other where there are "
            "fewer GPUs: put --cpu behind `timbrel train`, or start as many processes as there are GPUs."
        )


def _require_shares(batch: int, processes: int) -> None:
    """Raises ConfigError if processes cannot share a batch evenly."""
    if batch % processes:
        raise ConfigError(
            f"data.batch is {batch}; it must divide among {processes} processes: "
            f"--set data.batch={processes * math.ceil(batch / processes)}."
        )


class Run:
    """One run from `progress`, that of `checkpoint` if there is one, to its end."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        task: Task,
        data: Data,
        validation: Data | None,
        accelerator: Accelerator,
        screen: Screen,
        progress: Progress,
        checkpoint: Path | None,
    ) -> None:
        self.recipe, self.out, self.task, self.data, self.validation = recipe, out, task, data, validation
        self.accelerator, self.screen, self.progress = accelerator, screen, progress
        self.optimizers = {
            name: accelerator.prepare(_optimizer(recipe, name, task.networks[name]))
            for name in recipe.optimizer
        }
        self.checkpoint = checkpoint or out
        if checkpoint:
            self._resume(checkpoint)
        self.log = Log(out, progress.step) if accelerator.is_main_process else None
        self._begun = time.monotonic() - progress.seconds

    def go(self, until: float) -> Path:
        """Steps until the recipe's end, early stopping, a signal, or a moment by the monotonic clock."""
        steps = self.recipe.run.steps
        self.screen.say(
            f"{counted(len(self.data.clips), 'clip')} of {counted(len(self.data.speakers), 'speaker')}, "
            f"{self.data.seconds / 3600:.2f} hours; on {self.accelerator.device}"
        )
        if self.validation is None and self.recipe.run.validate_every:
            self.screen.say(f"no clips with split {self.recipe.data.validation!r}: there is no validation")
        try:
            with stop_signals() as stopping:
                while self.progress.step < steps and not self._is_over():
                    self._advance()
                    stopped = self._any_process(bool(stopping) or time.monotonic() >= until)
                    if stopped and self.progress.step < steps:
                        self._save()
                        self.screen.say(f"stopped at step {self.progress.step}; go on with --resume")
                        return self.checkpoint
            self._save()
            self._link("final")
            return self.checkpoint
        finally:
            if self.log:
                self.log.close()

    def _advance(self) -> None:
        """One step with what is due after it."""
        every = self.recipe.run
        figures = self._step(self.progress.step)
        self.progress.step += 1
        done = self.progress.step
        if done % every.log_every == 0 or done == every.steps:
            self._write("train", figures)
        self.screen.step(done, every.steps, figures)
        if every.validate_every and self.validation and done % every.validate_every == 0 and self._validate():
            self._save()
            self._link("best")
        if done % every.save_every == 0:
            self._save()

    def _step(self, step: int) -> dict[str, float]:
        """All updates of one step; returns what they log."""
        rank = self.accelerator.process_index
        generator = seed_everything(self.recipe.run.seed, step, rank)
        batch = self.data.batch(step, rank, self.accelerator.num_processes).to(self.accelerator.device)
        self.task.train()
        figures: dict[str, float] = {}
        updates = self.task.updates(batch, step, generator)
        while (update := self._next(updates)) is not None:
            figures |= self._apply(update, step)
        self.task.after_step(step)
        return figures

    def _next(self, updates: Iterator[Update]) -> Update | None:
        # The forward pass runs inside the generator, so this is where mixed precision belongs.
        with self.accelerator.autocast():
            return next(updates, None)

    def _apply(self, update: Update, step: int) -> dict[str, float]:
        """Backward, averaging, clipping and stepping of one network; returns the update's figures."""
        settings = self.recipe.optimizer.get(update.network)
        if settings is None:
            raise ConfigError(
                f"optimizer.{update.network} is missing: the task {self.recipe.task} trains it."
            )
        loss, *logged = self._joint_mean([update.loss, *update.logs.values()])
        self._require_finite(loss, f"loss of {update.network}", step)
        self.accelerator.backward(update.loss)
        optimizer, parameters = self.optimizers[update.network], _trained(self.task.networks[update.network])
        self._average_gradients(parameters)
        self.accelerator.unscale_gradients(optimizer)
        norm = clip_grad_norm_(parameters, settings.clip or math.inf)
        if self.accelerator.scaler is None:  # with fp16 the scaler skips such a step and scales less
            self._require_finite(float(norm), f"gradient of {update.network}", step)
        rate = settings.rate(step, self.recipe.run.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        # A loss that runs through another network leaves gradients there as well.
        for network in self.task.networks.values():
            network.zero_grad(set_to_none=True)
        figures = dict(zip(update.logs, logged, strict=True))
        return figures | {f"gradient_{update.network}": float(norm), f"rate_{update.network}": rate}

    def _joint_mean(self, values: Sequence[float | Tensor]) -> list[float]:
        """The mean over processes of each value."""
        device = self.accelerator.device
        row = [torch.as_tensor(value, dtype=torch.float32, device=device).detach() for value in values]
        means: list[float] = self.accelerator.reduce(torch.stack(row), "mean").tolist()
        return means

    def _average_gradients(self, parameters: list[nn.Parameter]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.accelerator.num_processes > 1 and gradients:
            joint = self.accelerator.reduce(parameters_to_vector(gradients), "mean")
            vector_to_parameters(joint, gradients)

    def _require_finite(self, value: float, what: str, step: int) -> None:
        if math.isfinite(value):
            return
        kept, clips = state.found(self.out), self.data.batch(step).source.ids
        raise TrainingError(
            f"The {what} is {value} at step {step}, in the batch of clips {', '.join(clips)}; "
            f"the last good checkpoint is {kept[-1][0] if kept else 'none yet'}; look at these clips, "
            "or lower the learning rate and resume."
        )

    @torch.no_grad()
    def _validate(self) -> bool:
        """Logs figures and previews; whether the monitored figure is the best so far."""
        assert self.validation is not None
        run, progress = self.recipe.run, self.progress
        seed_everything(run.seed, progress.step, 0)
        device = self.accelerator.device
        batches = [self.validation.batch(index).to(device) for index in range(run.validation_batches)]
        self.task.eval()
        with self.accelerator.autocast():
            figures = self.task.validate(batches)
            if self.log:
                self.log.preview(progress.step, self.task.preview(batches[0]))
        if run.monitor not in figures:
            raise ConfigError(f'run.monitor "{run.monitor}" is not validated; {", ".join(figures)} are.')
        # Every process must come to the same decision.
        figures = dict(zip(figures, self._joint_mean(list(figures.values())), strict=True))
        self._write("validation", figures)
        best = progress.best is None or figures[run.monitor] < progress.best
        if best and math.isfinite(figures[run.monitor]):
            progress.best, progress.best_step, progress.stale = figures[run.monitor], progress.step, 0
            return True
        progress.stale += 1
        return False

    def _is_over(self) -> bool:
        """Early stopping."""
        patience = self.recipe.run.patience
        if not 0 < patience <= self.progress.stale:
            return False
        self.screen.say(
            f"stopping at step {self.progress.step}: {self.recipe.run.monitor} has not improved on "
            f"{self.progress.best} of step {self.progress.best_step} in {patience} validations"
        )
        return True

    def _save(self) -> None:
        """Writes the checkpoint of this step, unless it is there."""
        self.accelerator.wait_for_everyone()
        self._share_buffers()
        path = self.out / f"step-{self.progress.step:08d}"
        if self.accelerator.is_main_process and self.checkpoint != path:
            self.progress.seconds = self._seconds()
            self.progress.scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else {}
            tensors = state.collect(self.task.networks, self.optimizers)
            state.save(
                self.out, self.recipe.name, self.task.export(), tensors, self.progress, self._provenance()
            )
            state.prune(self.out, self.recipe.run.keep)
        self.checkpoint = path

    def _share_buffers(self) -> None:
        """What networks have counted or kept becomes that of the first process in all of them, as it will be
        once the run is resumed."""
        if self.accelerator.num_processes > 1:
            for network in self.task.networks.values():
                for buffer in network.buffers():
                    buffer.copy_(broadcast(buffer))

    def _link(self, name: str) -> None:
        if self.accelerator.is_main_process:
            state.link(self.out, name, self.checkpoint)
            state.prune(self.out, self.recipe.run.keep)

    def _resume(self, checkpoint: Path) -> None:
        state.restore(checkpoint, self.task.networks, self.optimizers)
        if self.accelerator.scaler and self.progress.scaler:
            self.accelerator.scaler.load_state_dict(self.progress.scaler)
        self.screen.say(
            f"resuming {checkpoint}: at step {self.progress.step} it is the newest of "
            f"{counted(len(state.found(self.out)), 'checkpoint')} in {self.out}"
        )

    def _any_process(self, flag: bool) -> bool:
        return self._joint_mean([float(flag)])[0] > 0

    def _write(self, kind: str, figures: Mapping[str, float]) -> None:
        if self.log:
            self.log.figures(kind, self.progress.step, self._seconds(), figures)

    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _provenance(self) -> dict[str, Any]:
        best = self.progress.best
        return {
            "made_by": f"timbrel {timbrel.__version__}",
            "licence": self.recipe.licence,
            "step": self.progress.step,
            "measured": {} if best is None else {f"best_{self.recipe.run.monitor}": best},
            "data": self.data.summary(),
            "recipe": self.progress.recipe,
        }


def _optimizer(recipe: Recipe, name: str, network: nn.Module) -> optim.Optimizer:
    settings = recipe.optimizer[name]
    return optim.AdamW(
        _trained(network), settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )


def _trained(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
