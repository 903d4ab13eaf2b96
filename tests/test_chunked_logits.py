"""What verl's workers compute a few tokens at a time is what torch computes at once."""

from __future__ import annotations

import pytest
import torch

from active_perception_r1.training.chunked_logits import CHUNK, entropy, log_probs

WORDS = 11


@pytest.mark.parametrize("tokens", [1, CHUNK, 2 * CHUNK + 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_log_probabilities_and_their_gradients(tokens: int, dtype: torch.dtype) -> None:
    torch.manual_seed(tokens)
    logits = torch.randn(tokens, WORDS).to(dtype).requires_grad_()
    labels, weights = torch.randint(WORDS, (tokens,)), torch.randn(tokens)
    (log_probs(logits, labels) * weights).sum().backward()
    again = logits.detach().float().requires_grad_()
    expected = again.log_softmax(-1).gather(-1, labels[:, None])[:, 0]
    (expected * weights).sum().backward()
    torch.testing.assert_close(log_probs(logits, labels), expected)
    assert logits.grad is not None
    assert again.grad is not None
    torch.testing.assert_close(logits.grad, again.grad.to(dtype))


def test_entropies() -> None:
    logits = torch.randn(3, CHUNK, WORDS)
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy(logits), expected)
