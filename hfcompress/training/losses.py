"""Distillation losses: pure functions of tensors, each with its source.

Each returns one value for every item that it compares, in float32 whatever half precision comes in (float64 stays
float64), and leaves the mean to the caller: who averages over micro-batches and processes has to know the counts.
Gradients flow to the student's argument; compute the teacher's under `no_grad`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def soft_target_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), the forward KL.

    Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.1: the factor T² keeps the
    gradient's size when the temperature changes. As T grows the value tends to Σ(centred difference)² / (2C).

    Args:
        student_logits: `[..., C]`, any floating dtype.
        teacher_logits: the same shape. A class of -inf in both (padding of a span) counts as nothing.
        temperature: T > 0, without unit.

    Returns:
        `[...]`, nats.
    """
    return temperature**2 * _kl(_log_softmax(teacher_logits, temperature), _log_softmax(student_logits, temperature))


def reverse_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(student / T) ‖ softmax(teacher / T)): seeks a mode in place of covering all.

    Gu et al. 2024, "MiniLLM: Knowledge Distillation of Large Language Models", section 2.1. Shapes as `soft_target_kl`.
    """
    return temperature**2 * _kl(_log_softmax(student_logits, temperature), _log_softmax(teacher_logits, temperature))


def generalized_jsd(student_logits: Tensor, teacher_logits: Tensor, temperature: float, beta: float) -> Tensor:
    """T² · (β · KL(P ‖ M) + (1 - β) · KL(Q ‖ M)) with M = β · P + (1 - β) · Q, teacher P and student Q.

    Agarwal et al. 2024, "On-Policy Distillation of Language Models" (GKD), equation 2. As there and in TRL, β = 0 is
    the forward KL(P ‖ Q) and β = 1 the reverse one. Without the factor T², which the paper does not have, a
    temperature would also change the weight of this part. Shapes as `soft_target_kl`.
    """
    if beta == 0:
        return soft_target_kl(student_logits, teacher_logits, temperature)
    if beta == 1:
        return reverse_kl(student_logits, teacher_logits, temperature)
    student, teacher = _log_softmax(student_logits, temperature), _log_softmax(teacher_logits, temperature)
    middle = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return temperature**2 * (beta * _kl(teacher, middle) + (1 - beta) * _kl(student, middle))


def binary_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Forward KL of each label's yes or no: `soft_target_kl` of the pair (z, 0), averaged over labels.

    For multi-label classification, where classes do not share a softmax. The mean over labels, as in binary
    cross-entropy. Shapes as `soft_target_kl`.
    """
    return soft_target_kl(_yes_no(student_logits), _yes_no(teacher_logits), temperature).mean(-1)


def binary_reverse_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """`reverse_kl` of each label's yes or no, averaged over labels."""
    return reverse_kl(_yes_no(student_logits), _yes_no(teacher_logits), temperature).mean(-1)


def binary_jsd(student_logits: Tensor, teacher_logits: Tensor, temperature: float, beta: float) -> Tensor:
    """`generalized_jsd` of each label's yes or no, averaged over labels."""
    return generalized_jsd(_yes_no(student_logits), _yes_no(teacher_logits), temperature, beta).mean(-1)


def top_k_kl(
    student_logits: Tensor, log_probs: Tensor, ids: Tensor, rest_log_prob: Tensor, *, temperature: float
) -> Tensor:
    """`soft_target_kl` to a teacher of which only the k likeliest classes and the mass of all others are known.

    The forward KL over k + 1 outcomes; by the log-sum inequality it is never larger than the KL over all classes, and
    equals it where the student spreads the rest as the teacher does.

    Args:
        student_logits: `[..., C]`.
        log_probs: `[..., k]`, the teacher's log-probabilities at the temperature.
        ids: `[..., k]` int64, their classes.
        rest_log_prob: `[...]`, the logarithm of what the others have together.
        temperature: T > 0.

    Returns:
        `[...]`, nats.
    """
    student = _log_softmax(student_logits, temperature)
    chosen = student.gather(-1, ids)
    # What is left of 1 after the chosen: computed from the others, since 1 - sum loses all digits.
    rest = student.scatter(-1, ids, -math.inf).logsumexp(-1, keepdim=True)
    teacher = torch.cat([log_probs.to(student.dtype), rest_log_prob.to(student.dtype).unsqueeze(-1)], -1)
    return temperature**2 * _kl(teacher, torch.cat([chosen, rest], -1))


def mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference over the last axis.

    Of logits: Ba and Caruana 2014, "Do Deep Nets Really Need to be Deep?", equation 2; of hidden states: Romero et al.
    2015, "FitNets", equation 3 (up to the factor 1/2 in both); of regression outputs: the task's own loss.

    Args:
        student: `[..., D]`.
        teacher: the same shape.

    Returns:
        `[...]`.
    """
    return (_precise(student) - _precise(teacher)).square().mean(-1)


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher) over the last axis (Sanh et al. 2019, "DistilBERT", section 3). Shapes as `mse`."""
    return 1 - functional.cosine_similarity(_precise(student), _precise(teacher), dim=-1)


def relation_kl(student: Tensor, teacher: Tensor, heads: int, mask: Tensor) -> Tensor:
    """KL of the teacher's self-relations to the student's, for queries, keys or values.

    Wang et al. 2021, "MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing Pretrained
    Transformers", equations 5 to 7: R = softmax(A Aᵀ / √d) of each relation head, KL(R_teacher ‖ R_student), averaged
    over relation heads and, as the caller does, over tokens. Widths need not be equal, and neither need the numbers of
    attention heads.

    Args:
        student: `[N, T, W]`, the projections of one layer.
        teacher: `[N, T, V]`.
        heads: relation heads; a divisor of W and of V.
        mask: `[N, T]`, true where there is a token: others are no partner.

    Returns:
        `[N, T]`: for each token the mean over heads. What stands at places without a token means nothing.
    """
    return _kl(_log_relations(teacher, heads, mask), _log_relations(student, heads, mask)).mean(1)


def attention_mse(student_scores: Tensor, teacher_scores: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of attention scores before the softmax, over heads and partners.

    Jiao et al. 2020, "TinyBERT", equation 7.

    Args:
        student_scores: `[N, H, T, T]`.
        teacher_scores: the same shape.
        mask: `[N, T]`, true where there is a token: others are no partner.

    Returns:
        `[N, T]`: for each token. What stands at places without a token means nothing.
    """
    squared = (_precise(student_scores) - _precise(teacher_scores)).square().mean(1)
    partners = mask.to(squared.dtype)
    return (squared * partners[:, None, :]).sum(-1) / partners.sum(-1, keepdim=True).clamp(min=1)


def attention_scores(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Q Kᵀ / √d of each head (Vaswani et al. 2017, equation 1, before the softmax).

    Args:
        queries, keys: `[N, T, W]`.
        heads: attention heads; a divisor of W.

    Returns:
        `[N, H, T, T]`.
    """
    q, k = _heads(queries, heads), _heads(keys, heads)
    return q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])


def _kl(p_log: Tensor, q_log: Tensor) -> Tensor:
    """KL(P ‖ Q) over the last axis; outcomes to which P gives nothing count as nothing."""
    apart = torch.where(p_log == -math.inf, 0.0, p_log - q_log)
    return (p_log.exp() * apart).sum(-1)


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return functional.log_softmax(_precise(logits) / temperature, dim=-1)


def _precise(values: Tensor) -> Tensor:
    # Half precision has too few digits for the difference of two log-probabilities.
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _yes_no(logits: Tensor) -> Tensor:
    """The two-class logits (z, 0), whose softmax is (sigmoid(z), 1 - sigmoid(z)): `[..., 2]`."""
    return torch.stack([logits, torch.zeros_like(logits)], -1)


def _heads(projection: Tensor, heads: int) -> Tensor:
    rows, tokens, width = projection.shape
    return _precise(projection).reshape(rows, tokens, heads, width // heads).transpose(1, 2)


def _log_relations(projection: Tensor, heads: int, mask: Tensor) -> Tensor:
    scores = attention_scores(projection, projection, heads)
    return functional.log_softmax(scores.masked_fill(~mask[:, None, None, :], -math.inf), dim=-1)
