"""What a model's tokens cost: what the operator says, because list prices change."""

from collections.abc import Mapping

Price = tuple[float, float]
"""US dollars for a million tokens of input and of output."""

_MILLION = 1e6


class Prices:
    """Prices by model name; a name may carry its provider before a slash."""

    def __init__(self, configured: Mapping[str, Price]) -> None:
        self._prices = dict(configured)

    def known(self, model: str) -> bool:
        """Whether this model has a price."""
        return self._price(model) is not None

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars; 0 for a model without a price."""
        price = self._price(model) or (0.0, 0.0)
        return (prompt_tokens * price[0] + completion_tokens * price[1]) / _MILLION

    def _price(self, model: str) -> Price | None:
        exact = self._prices.get(model)
        return exact if exact is not None else self._prices.get(model.rpartition("/")[2])
