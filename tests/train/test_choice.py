from dataclasses import replace

import torch

from rankshift.arms import Arm
from rankshift.study import Training
from rankshift.train.choice import make_optimizer
from rankshift.train.optimizer import ArmwiseAdamW, ArmwiseSGD

TENSORS = [[torch.zeros(2, 3)]]
FULL = Arm("full", "task", "rows", learning_rate=0.1, seed=1)


def test_an_arms_own_optimizer_goes_before_the_studys():
    adamw, sgd = Training(weight_decay=0.2), Training(optimizer="sgd")
    chosen = [
        make_optimizer([arm], training, TENSORS)
        for arm in (FULL, replace(FULL, optimizer="sgd"), replace(FULL, optimizer="adamw"))
        for training in (adamw, sgd)
    ]
    kinds = [ArmwiseAdamW, ArmwiseSGD, ArmwiseSGD, ArmwiseSGD, ArmwiseAdamW, ArmwiseAdamW]
    assert [type(optimizer) for optimizer in chosen] == kinds
    assert [optimizer.weight_decay for optimizer in chosen[:2]] == [0.2, 0.0]
