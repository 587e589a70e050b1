"""simreal: how real a simulation looks, where it does not, and why.

The public surface, explicit and lazy: importing this package imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simreal.compare.paired import compare_paired as compare_paired
    from simreal.compare.run import compare_embeddings as compare_embeddings
    from simreal.compare.settings import InferenceSettings as InferenceSettings
    from simreal.core.cards import Card as Card
    from simreal.core.cards import load_card as load_card
    from simreal.core.embedding import Embedding as Embedding
    from simreal.core.errors import SimrealError as SimrealError
    from simreal.core.images import ImageSet as ImageSet
    from simreal.core.images import Setup as Setup
    from simreal.core.results import Comparison as Comparison
    from simreal.core.results import Estimate as Estimate
    from simreal.data.store import read_embedding as read_embedding
    from simreal.explain.gradients import GradientSettings as GradientSettings
    from simreal.explain.gradients import gradients as gradients
    from simreal.explain.maps import property_map as property_map
    from simreal.explain.regions import RegionSettings as RegionSettings
    from simreal.explain.regions import find_regions as find_regions
    from simreal.pipeline.explain_regions import conditional_realism as conditional_realism
    from simreal.pipeline.run import run_comparison as run_comparison
    from simreal.pipeline.settings import RunSettings as RunSettings

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "Card": "simreal.core.cards:Card",
    "Comparison": "simreal.core.results:Comparison",
    "Embedding": "simreal.core.embedding:Embedding",
    "Estimate": "simreal.core.results:Estimate",
    "GradientSettings": "simreal.explain.gradients:GradientSettings",
    "ImageSet": "simreal.core.images:ImageSet",
    "InferenceSettings": "simreal.compare.settings:InferenceSettings",
    "RegionSettings": "simreal.explain.regions:RegionSettings",
    "RunSettings": "simreal.pipeline.settings:RunSettings",
    "Setup": "simreal.core.images:Setup",
    "SimrealError": "simreal.core.errors:SimrealError",
    "compare_embeddings": "simreal.compare.run:compare_embeddings",
    "compare_paired": "simreal.compare.paired:compare_paired",
    "conditional_realism": "simreal.pipeline.explain_regions:conditional_realism",
    "find_regions": "simreal.explain.regions:find_regions",
    "gradients": "simreal.explain.gradients:gradients",
    "load_card": "simreal.core.cards:load_card",
    "property_map": "simreal.explain.maps:property_map",
    "read_embedding": "simreal.data.store:read_embedding",
    "run_comparison": "simreal.pipeline.run:run_comparison",
}

__all__ = [
    "Card",
    "Comparison",
    "Embedding",
    "Estimate",
    "GradientSettings",
    "ImageSet",
    "InferenceSettings",
    "RegionSettings",
    "RunSettings",
    "Setup",
    "SimrealError",
    "__version__",
    "compare_embeddings",
    "compare_paired",
    "conditional_realism",
    "find_regions",
    "gradients",
    "load_card",
    "property_map",
    "read_embedding",
    "run_comparison",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'simreal' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
