"""The losses against plain references in float64 and the definitions of papers and peer libraries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax
from torch import Tensor
from torch.nn import functional

from hfcompress.training import losses

Array = np.ndarray

logits = arrays(np.float64, (3, 5), elements=st.floats(-20, 20))
temperatures = st.floats(0.5, 20)
betas = st.floats(0, 1)

#: Of two tensors `[n, 5]`, with what else they take.
OF_LOGITS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "forward": lambda s, t: losses.soft_target_kl(s, t, 2.5),
    "reverse": lambda s, t: losses.reverse_kl(s, t, 2.5),
    "jsd": lambda s, t: losses.generalized_jsd(s, t, 2.5, 0.3),
    "binary": lambda s, t: losses.binary_kl(s, t, 2.5),
    "binary reverse": lambda s, t: losses.binary_reverse_kl(s, t, 2.5),
    "binary jsd": lambda s, t: losses.binary_jsd(s, t, 2.5, 0.3),
    "mse": losses.mse,
    "cosine": losses.cosine,
}


def tensors(*values: Array) -> list[Tensor]:
    return [torch.from_numpy(value) for value in values]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def kl(p: Array, q: Array) -> Array:
    return rel_entr(p, q).sum(-1)


def sigmoid_pair(z: Array) -> Array:
    return np.stack([1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))], -1)


@given(logits, logits, temperatures)
def test_the_forward_and_the_reverse_kl_agree_with_scipy(student: Array, teacher: Array, temperature: float) -> None:
    p, q = softmax(teacher / temperature, -1), softmax(student / temperature, -1)
    s, t = tensors(student, teacher)
    for ours, expected in (
        (losses.soft_target_kl(s, t, temperature), kl(p, q)),
        (losses.reverse_kl(s, t, temperature), kl(q, p)),
    ):
        np.testing.assert_allclose(ours, temperature**2 * expected, rtol=1e-9, atol=1e-9)


@given(logits, logits, temperatures, betas)
def test_the_jsd_is_the_mean_of_two_divergences_from_the_mixture(
    student: Array, teacher: Array, temperature: float, beta: float
) -> None:
    p, q = softmax(teacher / temperature, -1), softmax(student / temperature, -1)
    middle = beta * p + (1 - beta) * q
    expected = kl(p, q) if beta == 0 else kl(q, p) if beta == 1 else beta * kl(p, middle) + (1 - beta) * kl(q, middle)
    ours = losses.generalized_jsd(*tensors(student, teacher), temperature, beta)
    np.testing.assert_allclose(ours, temperature**2 * expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_jsd_is_that_of_trl(beta: float) -> None:
    student, teacher = random(7, 11), random(7, 11, seed=1)

    def as_trl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
        """TRL's GKDTrainer.generalized_jsd_loss, written from its description: no T², sums over classes."""
        student_log = functional.log_softmax(student_logits / temperature, dim=-1)
        teacher_log = functional.log_softmax(teacher_logits / temperature, dim=-1)
        if beta == 0:
            return functional.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(-1)
        if beta == 1:
            return functional.kl_div(teacher_log, student_log, reduction="none", log_target=True).sum(-1)
        logs = torch.stack([student_log + math.log(1 - beta), teacher_log + math.log(beta)])
        mixture = torch.logsumexp(logs, dim=0)
        to_teacher = functional.kl_div(mixture, teacher_log, reduction="none", log_target=True)
        to_student = functional.kl_div(mixture, student_log, reduction="none", log_target=True)
        return (beta * to_teacher + (1 - beta) * to_student).sum(-1)

    ours = losses.generalized_jsd(student, teacher, 3.0, beta)
    torch.testing.assert_close(ours, 9 * as_trl(student, teacher, 3.0), rtol=0, atol=1e-6)


def test_gradients_and_values_are_those_of_textbrewers_definitions() -> None:
    """TextBrewer gives the soft cross-entropy, which is the KL and the teacher's entropy; the rest is alike."""
    student, teacher = random(6, 9).requires_grad_(), random(6, 9, seed=1)
    temperature = 4.0
    soft = functional.softmax(teacher / temperature, -1)
    kd_ce_loss = -(soft * functional.log_softmax(student / temperature, -1)).sum(-1).mean()
    entropy = -(soft * soft.log()).sum(-1).mean()
    ours = losses.soft_target_kl(student, teacher, temperature).mean()
    torch.testing.assert_close(ours, temperature**2 * (kd_ce_loss - entropy), rtol=0, atol=1e-6)
    theirs = torch.autograd.grad(temperature**2 * kd_ce_loss, student)[0]
    torch.testing.assert_close(torch.autograd.grad(ours, student)[0], theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(losses.mse(student, teacher).mean(), functional.mse_loss(student, teacher))
    cos_loss = functional.cosine_embedding_loss(student, teacher, torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(losses.cosine(student, teacher).mean(), cos_loss, rtol=0, atol=1e-6)


def test_attention_mse_is_textbrewers_with_a_mask() -> None:
    scores = [random(2, 3, 4, 4, seed=seed) for seed in (0, 1)]
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    both = (mask[:, None, :, None] & mask[:, None, None, :]).double()
    heads = 3
    # att_mse_loss: the sum over real pairs of all heads, over their number.
    expected = ((scores[0] - scores[1]).square() * both).sum((1, 2, 3)) / (both.sum((1, 2, 3)) * heads)
    ours = losses.attention_mse(scores[0], scores[1], mask)
    means = torch.where(mask, ours, 0.0).sum(-1) / mask.sum(-1)
    torch.testing.assert_close(means, expected, rtol=0, atol=1e-6)


@given(logits, logits, temperatures)
def test_the_binary_form_is_a_mean_over_labels_of_yes_or_no(student: Array, teacher: Array, temperature: float) -> None:
    p, q = sigmoid_pair(teacher / temperature), sigmoid_pair(student / temperature)
    s, t = tensors(student, teacher)
    for ours, expected in (
        (losses.binary_kl(s, t, temperature), kl(p, q)),
        (losses.binary_reverse_kl(s, t, temperature), kl(q, p)),
        (losses.binary_jsd(s, t, temperature, 0.5), (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2),
    ):
        np.testing.assert_allclose(ours, temperature**2 * expected.mean(-1), rtol=1e-7, atol=1e-9)


@given(logits, logits, st.integers(1, 4), temperatures)
def test_top_k_lumps_the_unlikely_together(student: Array, teacher: Array, k: int, temperature: float) -> None:
    p, q = softmax(teacher / temperature, -1), softmax(student / temperature, -1)
    ids = np.argsort(-p, -1, kind="stable")[:, :k]
    kept = [np.take_along_axis(each, ids, -1) for each in (p, q)]
    rest = [np.maximum(1 - each.sum(-1, keepdims=True), 1e-300) for each in kept]
    exact_rest = [np.take_along_axis(each, np.argsort(-p, -1, kind="stable")[:, k:], -1).sum(-1) for each in (p, q)]
    expected = rel_entr(*kept).sum(-1) + rel_entr(*exact_rest)
    assert all((value >= 0).all() for value in rest)
    ours = losses.top_k_kl(
        torch.from_numpy(student),
        torch.from_numpy(np.log(kept[0])),
        torch.from_numpy(ids),
        torch.from_numpy(np.log(np.maximum(exact_rest[0], 1e-300))),
        temperature=temperature,
    )
    np.testing.assert_allclose(ours, temperature**2 * expected, rtol=1e-6, atol=1e-7)
    whole = losses.soft_target_kl(*tensors(student, teacher), temperature)
    assert (ours <= whole + 1e-7 * (1 + whole)).all()


def test_top_k_is_exact_where_the_rest_is_spread_alike() -> None:
    teacher = torch.tensor([[3.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    student = torch.tensor([[0.5, 2.0, -1.0, -1.0]], dtype=torch.float64)
    log = functional.log_softmax(teacher, -1)
    ours = losses.top_k_kl(student, log[:, :2], torch.tensor([[0, 1]]), log[:, 2:].logsumexp(-1), temperature=1.0)
    torch.testing.assert_close(ours, losses.soft_target_kl(student, teacher, 1.0))


def test_relations_are_those_of_minilmv2_written_as_loops() -> None:
    student, teacher, heads, lengths = random(2, 5, 6), random(2, 5, 8, seed=1), 2, (5, 3)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    ours = losses.relation_kl(student, teacher, heads, mask)

    def relations(values: Tensor, row: int, head: int) -> Tensor:
        size = values.shape[-1] // heads
        part = values[row, : lengths[row], head * size : (head + 1) * size]
        return functional.softmax(part @ part.T / math.sqrt(size), -1)

    for row, length in enumerate(lengths):
        for token in range(length):
            each = [
                kl(relations(teacher, row, head)[token].numpy(), relations(student, row, head)[token].numpy())
                for head in range(heads)
            ]
            assert ours[row, token].item() == pytest.approx(np.mean(each), abs=1e-12)


def test_attention_scores_are_those_of_torchs_own_attention() -> None:
    q, k, v = (random(2, 4, 6, seed=seed) for seed in range(3))
    weights = losses.attention_scores(q, k, 3).softmax(-1)
    heads = [each.view(2, 4, 3, 2).transpose(1, 2) for each in (q, k, v)]
    torch.testing.assert_close(weights @ heads[2], functional.scaled_dot_product_attention(*heads))


@pytest.mark.parametrize("loss", OF_LOGITS.values(), ids=OF_LOGITS)
class TestEveryLossOfOutputs:
    def test_is_zero_for_equal_outputs_and_positive_for_others(self, loss: Callable[..., Tensor]) -> None:
        outputs = random(4, 5)
        torch.testing.assert_close(loss(outputs, outputs), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
        assert (loss(outputs, random(4, 5, seed=1)) > 1e-4).all()

    def test_has_the_gradient_of_its_value(self, loss: Callable[..., Tensor]) -> None:
        teacher = random(4, 5, seed=1)
        assert torch.autograd.gradcheck(lambda s: loss(s, teacher), random(4, 5).requires_grad_())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_computes_half_precision_in_float32(self, loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
        student, teacher = random(8, 50).to(dtype), random(8, 50, seed=1).to(dtype)
        ours = loss(student, teacher)
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), loss(student.double(), teacher.double()), rtol=1e-4, atol=1e-6)

    def test_gives_one_value_for_each_place(self, loss: Callable[..., Tensor]) -> None:
        student, teacher = random(2, 3, 5), random(2, 3, 5, seed=1)
        flat = loss(student.reshape(6, 5), teacher.reshape(6, 5))
        torch.testing.assert_close(loss(student, teacher), flat.view(2, 3))


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: losses.relation_kl(s, random(2, 3, 8, seed=1), 2, torch.tensor([[True] * 3, [True, True, False]])),
        lambda s: losses.attention_mse(
            losses.attention_scores(s, s, 2),
            random(2, 2, 3, 3, seed=1),
            torch.tensor([[True] * 3, [True, False, False]]),
        ),
        lambda s: losses.top_k_kl(
            s, random(2, 3, 1).sub(3), torch.zeros(2, 3, 1).long(), random(2, 3).sub(1), temperature=2.0
        ),
    ],
    ids=["relations", "attention", "top k"],
)
def test_gradients_of_losses_of_layers_and_of_top_k(loss: Any) -> None:
    assert torch.autograd.gradcheck(loss, random(2, 3, 4).requires_grad_())


@given(logits, logits)
def test_at_high_temperature_the_kl_is_half_the_mean_square_of_centred_logits(student: Array, teacher: Array) -> None:
    difference = (student - student.mean(-1, keepdims=True)) - (teacher - teacher.mean(-1, keepdims=True))
    limit = (difference**2).sum(-1) / (2 * student.shape[-1])
    ours = losses.soft_target_kl(*tensors(student, teacher), 1e5)
    np.testing.assert_allclose(ours, limit, rtol=2e-2, atol=1e-4)


@given(logits, arrays(np.float64, (3, 1), elements=st.floats(-20, 20)), temperatures)
def test_the_kl_does_not_see_a_shift_of_all_logits(teacher: Array, shift: Array, temperature: float) -> None:
    ours = losses.soft_target_kl(*tensors(teacher + shift, teacher), temperature)
    np.testing.assert_allclose(ours, 0, atol=1e-9)


def test_places_out_of_reach_of_both_count_as_nothing() -> None:
    student, teacher = random(2, 4), random(2, 4, seed=1)
    padded = [torch.cat([each, torch.full((2, 2), -1e4, dtype=torch.float64)], -1) for each in (student, teacher)]
    for loss in (losses.soft_target_kl, losses.reverse_kl):
        torch.testing.assert_close(loss(*padded, 2.0), loss(student, teacher, 2.0))
