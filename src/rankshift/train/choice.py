"""Which optimizer a group of arms is trained by."""

from collections.abc import Sequence

from torch import Tensor

from rankshift.arms import Arm
from rankshift.grid import OptimizerName
from rankshift.study import Training
from rankshift.train.eight_bit import ArmwiseAdamW8bit
from rankshift.train.optimizer import ArmwiseAdamW, ArmwiseOptimizer, ArmwiseSGD

KINDS: dict[OptimizerName, type[ArmwiseOptimizer]] = {
    "adamw": ArmwiseAdamW,
    "adamw_8bit": ArmwiseAdamW8bit,
    "sgd": ArmwiseSGD,
}


def make_optimizer(
    arms: Sequence[Arm], training: Training, tensors: Sequence[Sequence[Tensor]]
) -> ArmwiseOptimizer:
    """Make the optimizer of a group.

    Args:
        arms: Of one group; a full finetune, the only kind with an optimizer of its own, is alone.
        training: The recipe.
        tensors: What is trained, `tensors[arm]`.

    Raises:
        UserError: bitsandbytes is needed and not installed.
    """
    names: set[OptimizerName] = {arm.find_optimizer(training) for arm in arms}
    assert len(names) == 1, names
    return KINDS[names.pop()](tensors, training.weight_decay)
