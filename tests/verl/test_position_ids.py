"""Rollouts of one length: verl's batches keep the rotary positions of every row."""

from __future__ import annotations

import pickle

import pytest
import torch
from tensordict import TensorDict
from verl.utils.tensordict_utils import index_select_tensor_dict
from verl.workers.utils.padding import left_right_2_no_padding

from active_perception_r1.training.verl_workers import mend_position_ids

AXES, PROMPT, RESPONSE = 4, 3, 2


def batch(lengths: list[int]) -> TensorDict:
    """Rows of these lengths, padded on the left, as the trainer sends them to its workers."""
    rows, side = len(lengths), PROMPT + RESPONSE
    mask = torch.stack([torch.arange(side) >= side - length for length in lengths]).long()
    data = TensorDict(
        {
            "input_ids": torch.arange(rows * side).view(rows, side),
            "position_ids": torch.arange(rows * AXES * side).view(rows, AXES, side),
            "attention_mask": mask,
            "response_mask": torch.ones(rows, RESPONSE, dtype=torch.long),
            "responses": torch.zeros(rows, RESPONSE, dtype=torch.long),
            "prompts": torch.zeros(rows, PROMPT, dtype=torch.long),
        },
        batch_size=[rows],
    )
    sent: TensorDict = pickle.loads(pickle.dumps(left_right_2_no_padding(data)))
    return sent


@pytest.mark.parametrize("lengths", [[5, 5, 5], [5, 4, 3], [4], [4, 4]])
def test_every_row_keeps_its_positions(lengths: list[int]) -> None:
    data = batch(lengths)
    mend_position_ids(data)
    mend_position_ids(data)  # verl does it at several places
    order = list(range(len(lengths)))[::-1]
    mini_batch = index_select_tensor_dict(data, order)
    mend_position_ids(mini_batch)
    side = PROMPT + RESPONSE
    whole = torch.arange(len(lengths) * AXES * side).view(-1, AXES, side)
    for found, row in zip(mini_batch["position_ids"].unbind(), order, strict=True):
        assert torch.equal(found, whole[row, :, side - lengths[row] :])
