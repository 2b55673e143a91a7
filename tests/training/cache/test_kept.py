"""Outputs lose their padding and get it back; top-k loses no mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hfcompress.errors import InputError, TrainingDivergedError
from hfcompress.training.cache.kept import Keep, Kept, TopK, join, keep_outputs, top_k_log_probs

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=6)


def padded_mask(lengths: list[int], width: int, left: bool) -> torch.Tensor:
    rows = [[0] * (width - n) + [1] * n if left else [1] * n + [0] * (width - n) for n in lengths]
    return torch.tensor(rows)


@given(LENGTHS, st.booleans(), st.booleans(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_tokens_get_their_padding_back_on_either_side(
    lengths: list[int], left: bool, left_again: bool, wider: int, random: object
) -> None:
    width = max([*lengths, 1])
    mask = padded_mask(lengths, width, left)
    logits = torch.arange(1.0, 1 + mask.numel() * 3).view(*mask.shape, 3)
    kept = keep_outputs({"logits": logits}, {"attention_mask": mask}, Keep())
    order = list(range(len(lengths)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = padded_mask([lengths[row] for row in order], width + wider, left_again)
    back = kept.take(order).put_back(again.bool())["logits"]
    for place, row in enumerate(order):
        assert torch.equal(back[place][again[place] == 1], logits[row][mask[row] == 1])
    assert not back[again == 0].any()
    assert len(kept) == len(lengths)


@given(st.integers(2, 12), st.data(), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 1000))
def test_top_k_and_the_rest_are_the_whole_mass(
    classes: int, data: st.DataObject, temperature: float, seed: int
) -> None:
    k = data.draw(st.integers(1, classes - 1))
    logits = np.random.default_rng(seed).normal(scale=8, size=(3, classes)).astype(np.float32)
    values, ids, rest = top_k_log_probs(torch.from_numpy(logits), k, temperature)
    for row in range(3):
        exact = np.exp(logits[row].astype(np.float64) / temperature)
        exact /= exact.sum()
        largest = sorted(range(classes), key=lambda place: -exact[place])[:k]
        others = sum(exact[place] for place in range(classes) if place not in largest)
        assert set(ids[row].tolist()) == set(largest)
        np.testing.assert_allclose(values[row].double().numpy(), np.log(exact[largest]), atol=2e-5)
        np.testing.assert_allclose(rest[row].item(), np.log(others), atol=2e-5)


def test_a_rest_too_small_for_one_minus_the_sum_is_kept() -> None:
    values, _, rest = top_k_log_probs(torch.tensor([[60.0, 0.0, 0.0]]), 1, 1.0)
    assert values.item() == 0.0  # 1 - exp(0) would be no mass at all
    assert rest.item() == pytest.approx(np.log(2) - 60, abs=1e-5)


@pytest.mark.parametrize("cut", [1, 3, 1024])
def test_top_k_of_many_tokens_does_not_depend_on_how_they_are_cut(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfcompress.training.cache.kept._AT_ONCE", cut)
    logits, mask = torch.randn(2, 5, 30, generator=torch.manual_seed(0)), torch.ones(2, 5)
    kept = keep_outputs({"logits": logits}, {"attention_mask": mask}, Keep(topk=TopK(4, 2.0)))
    back = kept.put_back(mask.bool())
    values, ids, rest = top_k_log_probs(logits.flatten(0, 1), 4, 2.0)
    assert torch.equal(back["topk_log_probs"], values.view(2, 5, 4))
    assert torch.equal(back["topk_ids"], ids.view(2, 5, 4))
    assert torch.equal(back["rest_log_prob"], rest.view(2, 5))


def test_only_labelled_tokens_are_kept_where_that_is_asked_and_all_of_an_unlabelled_row() -> None:
    labels = torch.tensor([[7, -100, 3, -100], [-100, -100, -100, -100]])
    batch = {"attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]), "labels": labels}
    logits = torch.arange(1.0, 25).view(2, 4, 3)
    keep = Keep(positions="labelled")
    kept = keep_outputs({"logits": logits}, batch, keep)
    assert np.diff(kept.offsets).tolist() == [2, 2]  # type: ignore[call-overload]
    counted = torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0]]).bool()
    assert torch.equal(kept.put_back(keep.mask(batch))["logits"], logits * counted.unsqueeze(-1))


def test_logits_of_rows_are_not_taken_for_tokens_when_there_are_as_many_classes_as_tokens() -> None:
    batch = {"attention_mask": torch.tensor([[1, 1, 0], [1, 0, 0]])}
    rows, spans = torch.randn(2, 3), torch.randn(2, 3)
    assert torch.equal(keep_outputs({"logits": rows}, batch, Keep()).put_back(None)["logits"], rows)
    kept = keep_outputs({"start_logits": spans, "end_logits": -spans}, batch, Keep())
    assert kept.arrays["start_logits"].shape == (3,)
    assert torch.equal(kept.put_back(batch["attention_mask"].bool())["end_logits"], -spans * batch["attention_mask"])


def test_of_a_bare_encoder_the_mean_over_real_tokens_is_kept() -> None:
    states, mask = torch.randn(2, 4, 3), torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    kept = keep_outputs({"last_hidden_state": states, "pooler_output": states[:, 0]}, {"attention_mask": mask}, Keep())
    expected = torch.stack([states[0].mean(0), states[1, 2:].mean(0)])
    torch.testing.assert_close(kept.put_back(None)["embedding"], expected)


def test_float16_takes_half_and_is_read_as_float32() -> None:
    logits = torch.randn(8, 16)
    full, half = (keep_outputs({"logits": logits}, {}, Keep(dtype=dtype)) for dtype in ("float32", "float16"))
    assert half.nbytes * 2 == full.nbytes
    back = half.put_back(None)["logits"]
    assert back.dtype == torch.float32
    torch.testing.assert_close(back, logits, atol=0, rtol=2**-11)


def test_what_float16_cannot_hold_is_refused() -> None:
    with pytest.raises(InputError, match=r"float16 cannot hold logits of 7e\+04; keep .* float32"):
        keep_outputs({"logits": torch.tensor([[7e4, 0.0]])}, {}, Keep(dtype="float16"))


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_teacher_that_answers_nan_is_stopped_with_the_row(broken: float) -> None:
    logits = torch.zeros(3, 4, 2)
    logits[1, 0, 1] = broken
    batch = {"attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]), "row_id": torch.arange(7, 10)}
    with pytest.raises(TrainingDivergedError, match="logits for row_id 8;"):
        keep_outputs({"logits": logits}, batch, Keep())


def test_nan_in_the_padding_is_no_fault() -> None:
    logits = torch.zeros(1, 2, 2)
    logits[0, 1] = float("nan")
    kept = keep_outputs({"logits": logits}, {"attention_mask": torch.tensor([[1, 0]])}, Keep())
    assert kept.arrays["logits"].shape == (1, 2)


def test_other_tokens_than_were_kept_are_refused() -> None:
    kept = keep_outputs({"logits": torch.zeros(1, 2, 2)}, {"attention_mask": torch.ones(1, 2)}, Keep())
    with pytest.raises(
        InputError, match=r"row 0 of the batch has 3 tokens and the teacher cache 2.*`teacher_cache: off`"
    ):
        kept.put_back(torch.ones(1, 3).bool())


@pytest.mark.parametrize(
    ("outputs", "topk", "message"),
    [
        ({"logits": torch.zeros(2, 4)}, TopK(4, 1.0), r"below 4, the classes, got 4"),
        ({"start_logits": torch.zeros(2, 3), "end_logits": torch.zeros(2, 3)}, TopK(1, 1.0), "gives start_logits"),
        ({"waveform": torch.zeros(2, 4)}, None, "gave none of logits.*but waveform"),
    ],
)
def test_what_cannot_be_kept_is_refused(outputs: dict[str, torch.Tensor], topk: TopK | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        keep_outputs(outputs, {"attention_mask": torch.ones(2, 3)}, Keep(topk=topk))


@pytest.mark.parametrize(("k", "temperature"), [(0, 1.0), (4, 0.0), (4, float("nan"))])
def test_top_k_of_nothing_or_at_no_temperature_is_refused(k: int, temperature: float) -> None:
    with pytest.raises(InputError, match="got"):
        TopK(k, temperature)


def test_joining_is_what_one_batch_would_have_been() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]])
    logits = torch.randn(3, 3, 2)
    parts = [keep_outputs({"logits": logits[i : i + 1]}, {"attention_mask": mask[i : i + 1]}, Keep()) for i in range(3)]
    whole = keep_outputs({"logits": logits}, {"attention_mask": mask}, Keep())
    assert_equal(join(parts), whole)
    back = whole.put_back(mask.bool())["logits"]
    assert functional.mse_loss(back, logits * mask.unsqueeze(-1)) == 0


def assert_equal(first: Kept, second: Kept) -> None:
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert np.array_equal(array, second.arrays[name])
    assert np.array_equal(first.offsets, second.offsets)  # type: ignore[arg-type]
