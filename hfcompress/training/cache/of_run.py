"""A stage's teacher through its cache in the run folder: asked once about every row, in this run and in later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfcompress.artifact import Artifact, digest_of
from hfcompress.errors import InputError
from hfcompress.models.folder import files_of
from hfcompress.stage import Run

if TYPE_CHECKING:
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.cache.kept import Keep
    from hfcompress.training.cached_teacher import CachedTeacher
    from hfcompress.training.teachers import Teacher

#: Classes up to which all logits are kept as float32; ImageNet has as many.
_FEW = 1000


def cached_teacher(
    teacher: Teacher, made_from: Artifact, processor: Any, arguments: DistillationArguments, run: Run, keep: Keep
) -> CachedTeacher:
    """What stands in for a teacher after its cache is filled; each of several teachers has a cache of its own.

    Args:
        teacher: loaded; it can be let go afterwards.
        made_from: its artifact.
        processor: what makes its inputs of the rows. Its own may be another one than the student's where outputs are
            those of rows.
        arguments: of the training that follows, for the device, the precision and the processes.
        run: whose training rows are asked about, and whose `teacher_cache` holds the cache.
        keep: see `what_to_keep`.

    Raises:
        InputError: the outputs are too large to be kept, or what `fill` refuses.
    """
    from hfcompress.training.cache.fill import Processes, Questions, fill
    from hfcompress.training.cache.identity import Identity, processor_digest
    from hfcompress.training.cache.store import TeacherCache
    from hfcompress.training.cached_teacher import CachedTeacher
    from hfcompress.training.heads import head_of
    from hfcompress.training.trainer import autocast_of

    if run.teacher_cache is None:
        raise InputError(f"{run.name} has no folder for a teacher cache; set `teacher_cache: off`")
    device = arguments.device  # which sets the processes up
    teacher.autocast = autocast_of(arguments)
    identity = Identity(
        task=run.task,
        teacher=digest_of(files_of(made_from.path)),
        precision=str(teacher.autocast or teacher.model.dtype),
        data=run.data.identity("train", "unlabeled"),
        processor=processor_digest(processor),
        keep=keep,
    )
    cache = TeacherCache(run.teacher_cache / identity.key[:16], identity)
    rows, collate = run.data.prepared("train", processor, unlabeled=True), run.data.task.collate(processor)
    processes = Processes(arguments.process_index, arguments.world_size, arguments.distributed_state.wait_for_everyone)
    questions = Questions(teacher.to(device), rows, collate, device)
    fill(cache, questions, processes, run.progress)
    return CachedTeacher(cache, teacher.name, teacher.model.config, head_of(teacher.model))


def what_to_keep(teacher: Teacher, top_k: int | None, temperature: float) -> Keep:
    """All outputs of a row, or the `top_k` likeliest of each distribution at a temperature.

    Of tokens, those that a comparison counts; see `hfcompress.training.heads.Tokens`. Logits of many classes are kept
    as float16.
    """
    from hfcompress.training.cache.kept import Keep, TopK
    from hfcompress.training.heads import Tokens, head_of

    of_tokens = isinstance(head_of(teacher.model), Tokens)
    masked_lm = type(teacher.model).__name__.endswith("ForMaskedLM")
    classes = teacher.model.config.vocab_size if masked_lm else teacher.model.config.num_labels
    return Keep(
        dtype="float32" if classes <= _FEW or top_k else "float16",
        topk=None if top_k is None else TopK(top_k, temperature),
        positions="labelled" if of_tokens else "tokens",
    )
