"""Workers that end at a point of their work."""

from typing import Any

from tests.dispatch.scenes import Scene


class EndedError(RuntimeError):
    """The process is gone: whatever it still tries fails."""


class Mortal:
    """Counts the points that a worker passes, and ends it at one of them."""

    def __init__(self, ends_at: int) -> None:
        self.left = ends_at

    @property
    def ended(self) -> bool:
        return self.left <= 0

    def point(self) -> None:
        self.left -= 1
        if self.ended:
            raise EndedError


class MortalLedger:
    def __init__(self, scene: Scene, mortal: Mortal) -> None:
        self.scene = scene
        self.mortal = mortal

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.scene.ledger, name)
        if name == "detached":
            return method

        async def call(*arguments: Any, **options: Any) -> Any:
            self.mortal.point()
            answer = await method(*arguments, **options)
            self.mortal.point()
            return answer

        return call
