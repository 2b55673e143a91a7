"""What `push_to_hub` and the `hub_*` arguments of a trainer do: one commit through `hfcompress.hub`, the model only."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import PushInProgress

from hfcompress.artifact import hash_file
from hfcompress.errors import InputError, PublishError
from hfcompress.hub.publication import Publication, PublishedFile, RepositoryManifest
from hfcompress.hub.push import PushOptions, open_repository, push
from hfcompress.hub.repository import MAIN, MANIFEST

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

    from hfcompress.training.trainer import DistillationTrainer

logger = logging.getLogger(__name__)

_CARD = "README.md"
_STAGED = ".push"
_TOKEN_ARGUMENTS = ("hub_token", "push_to_hub_token")  # the latter in Transformers 4 only


def check_hub_arguments(args: TrainingArguments) -> None:
    """Refuse what would publish or write down what must not be.

    Raises:
        InputError: a token, or a strategy that uploads the state of the optimizer.
    """
    given = next((name for name in _TOKEN_ARGUMENTS if getattr(args, name, None) is not None), None)
    if given is not None:
        raise InputError(
            f"{given} would be written in clear into every checkpoint; leave it out, and set HF_TOKEN or log in with "
            "`hf auth login`"
        )
    if args.push_to_hub and args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
        raise InputError(
            f"hub_strategy={HubStrategy(args.hub_strategy).value} uploads the state of the optimizer; use every_save "
            "or end"
        )


class PublishingTrainer(Trainer):  # type: ignore[misc]  # Transformers is untyped
    """A `Trainer` whose `push_to_hub` and `hub_*` arguments do what users of `Trainer` expect, with these differences:

    What is pushed are the model, its processing class, the card that `Trainer` drafts and a manifest: neither
    `training_args.bin`, nor checkpoints, nor anything else that lies in `output_dir`. Every push is one commit, and
    none where nothing has changed. The token is that of HF_TOKEN or of the login. `hub_private_repo=True` refuses a
    repository that is public. A push during training that fails is logged, and training goes on.
    """

    push_in_progress: PushInProgress | None  # Trainer waits for it at the end

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Create the repository unless it is there: before training, which finds out a token that is not accepted.

        Raises:
            InputError: a token is given, there is none, or the name cannot be used.
            PublishError: the Hub refuses.
        """
        _refuse(token)
        failed: Exception | None = None
        if self.is_world_process_zero():
            name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
            try:
                self.hub_model_id = open_repository(name, self.args.hub_private_repo if private is None else private)
            except (InputError, PublishError) as error:
                failed = error
            self.push_in_progress = None
        if self._in_main(failed is not None):  # others would wait for the main process where all take part
            raise failed or PublishError("the main process could not open the repository; it says why")

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save, unless a token that was set after the arguments were checked would be written down with it."""
        check_hub_arguments(self.args)
        super().save_model(output_dir, _internal_call)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **card: Any,
    ) -> CommitInfo | Future[CommitInfo] | None:
        """Save the model into `output_dir` and push it. All processes call it, the main one pushes.

        Args:
            commit_message: the first line of the commit's message.
            blocking: wait until it is there.
            token: not taken: see the class.
            revision: the branch; default: `hub_revision`, or main.
            card: of `create_model_card`; `private` is of a repository that is created now.

        Returns:
            The commit, which is an earlier one where nothing has changed; its future unless `blocking`; None in all
            processes but the main one.

        Raises:
            InputError, PublishError: as `hfcompress.hub.push.push`.
        """
        _refuse(token)
        self._say_push_begins()
        private = card.pop("private", None)
        if self.hub_model_id is None:
            self.init_hf_repo(private=private)
        self._finish_current_push()  # it may still read what is staged and what lies in `output_dir`
        staged, out = self._stage(), Path(self.args.output_dir)
        if not self.is_world_process_zero():
            return None
        names = _move_files(staged, out)
        publication = with_manifest(commit_message or "End of training", out, [*names, self._write_card(card)])
        pushing = self._pushes.submit(self._push, publication, revision)
        self.push_in_progress = PushInProgress([pushing])
        return pushing.result() if blocking else pushing

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """`every_save`: the model as it is now, while training goes on. Trainer's own pushes all of `output_dir`."""
        if self.args.hub_strategy == HubStrategy.END:
            return
        last = self.push_in_progress if self.is_world_process_zero() else None
        if not self.args.hub_always_push and self._in_main(last is not None and not last.is_done()):
            return
        self._say_push_begins()
        self._finish_current_push()
        staged = self._stage()
        if self.is_world_process_zero():
            shutil.copy(Path(self.args.output_dir) / self._write_card({}), staged / _CARD)
            names = [path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()]
            by_steps = self.args.save_strategy == SaveStrategy.STEPS
            when = f"step {self.state.global_step}" if by_steps else f"epoch {int(self.state.epoch)}"
            publication = with_manifest(f"Training in progress, {when}", staged, names)
            self.push_in_progress = PushInProgress([self._pushes.submit(self._push_and_log, publication)])

    @cached_property
    def _pushes(self) -> ThreadPoolExecutor:
        """One at a time; Python waits for it before it ends."""
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="push_to_hub")

    def _push(self, publication: Publication, revision: str | None = None) -> CommitInfo:
        from huggingface_hub import CommitInfo

        # Trainer's own push replaces what is there, and so does this one, which takes its place.
        asked = revision or self.args.hub_revision or MAIN
        options = PushOptions(self.args.hub_private_repo, revision=asked, replace=True)
        pushed = push(publication, self.hub_model_id, options)
        return CommitInfo(
            commit_url=pushed.commit_url,
            commit_message=publication.title,
            commit_description="",
            oid=pushed.commit,
        )

    def _push_and_log(self, publication: Publication) -> None:
        try:
            self._push(publication)
        except (PublishError, InputError) as error:
            logger.warning("%s: not pushed, and training goes on: %s", publication.title, error)

    def _stage(self) -> Path:
        """The model, as its artifact has it, in a folder of its own. All processes take part."""
        from hfcompress.training.saving import save_trained

        staged = Path(self.args.output_dir) / _STAGED
        if self.is_world_process_zero():
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
        save_trained(cast("DistillationTrainer", self), self.processing_class, staged)
        return staged

    def _write_card(self, card: dict[str, Any]) -> str:
        """Trainer's draft of a card, as README.md in `output_dir`."""
        given = card.get("tags") or []
        tags = [given] if isinstance(given, str) else list(given)
        tags += [tag for tag in getattr(self.model, "model_tags", None) or [] if tag not in tags]
        name = card.get("model_name") or self.hub_model_id.split("/")[-1]
        self.create_model_card(**{**card, "model_name": name, "tags": tags or None})
        return _CARD

    def _in_main(self, flag: bool) -> bool:
        """What the main process says, in every process."""
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.args.device), "sum").item())

    def _say_push_begins(self) -> None:
        begin = getattr(self.callback_handler, "on_push_begin", None)  # Transformers 5 has the event
        if begin is not None and self.is_world_process_zero():
            begin(self.args, self.state, self.control)


def with_manifest(title: str, folder: Path, names: Sequence[str]) -> Publication:
    """Files of a folder and the manifest that names them, by which the next push knows what is this one's."""
    entries = {name: hash_file(folder / name) for name in sorted(names)}
    manifest = RepositoryManifest(files=entries, artifacts={}).model_dump(mode="json", by_alias=True)
    files = [PublishedFile(name, folder / name) for name in entries]
    return Publication(title, (*files, PublishedFile(MANIFEST, json.dumps(manifest, indent=2).encode())))


def _move_files(source: Path, target: Path) -> list[str]:
    """Move the files of one folder into another one, and give their names in it."""
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(target / name)
    shutil.rmtree(source)
    return names


def _refuse(token: str | None) -> None:
    if token is not None:
        raise InputError("push_to_hub takes no token; set HF_TOKEN, or log in with `hf auth login`")
