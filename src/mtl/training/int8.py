"""What prediction in 8-bit numbers changes in the scores of the validation rows."""

from copy import deepcopy

from mtl.model.device import Precision
from mtl.model.model import Model
from mtl.model.prediction import Predictor
from mtl.training.feed import Data
from mtl.training.validation import validate


def int8_scores(model: Model, data: Data) -> dict[str, dict[str, float | str]]:
    """By task: the name of its main ``metric``, and the score in ``fp32`` and in ``int8``, both on a CPU and with the model's thresholds.

    The model is left as it is. A task without validation rows is left out.

    Raises:
        TrainingError: the CPU or the encoder lacks 8-bit products.
    """
    own = deepcopy(model).cpu()
    rounded = Predictor(deepcopy(own), "cpu", "int8").model
    precision = Precision("fp32", own.device)
    before, after = (validate(each, data, precision, None, calibrate=False)[0] for each in (own, rounded))
    names = {task: own.tasks[task].main_metric.name for task in before}
    return {task: {"metric": name, "fp32": before[task][name], "int8": after[task][name]} for task, name in names.items()}
