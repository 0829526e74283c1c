"""Layer 2a: mixing strategies. Imports NumPy, `packet` and `errors` only.

`MixingStrategy` is the interface; `PoissonMix` is the default and, with its neighbours, a model to copy.
"""

from fastmix.mixing.adaptive import AdaptiveMix
from fastmix.mixing.limits import MixingLimits
from fastmix.mixing.poisson import PoissonMix
from fastmix.mixing.priority import ClassRule, PriorityMix
from fastmix.mixing.registry import STRATEGIES, resolve
from fastmix.mixing.strategy import EMPTY, NEVER, MixingStrategy, PoolView
from fastmix.mixing.threshold import ThresholdMix
from fastmix.mixing.timed import TimedMix

__all__ = [
    "EMPTY",
    "NEVER",
    "STRATEGIES",
    "AdaptiveMix",
    "ClassRule",
    "MixingLimits",
    "MixingStrategy",
    "PoissonMix",
    "PoolView",
    "PriorityMix",
    "ThresholdMix",
    "TimedMix",
    "resolve",
]

MixingStrategy.Timed = TimedMix
MixingStrategy.Size = MixingStrategy.Threshold = ThresholdMix
MixingStrategy.Adaptive = AdaptiveMix
MixingStrategy.Priority = PriorityMix
MixingStrategy.Poisson = PoissonMix
