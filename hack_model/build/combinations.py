"""Combination shapes of hack-open: what the sum of two expressions lacks, made by the means that made the expressions.

Which ones, and what is repaired in each, is a table (``data/hack_open/combinations.csv``). A corrective is the repaired
sum less the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hack_model.alignment import rigid_motion
from hack_model.appearance.anatomy import smoothstep
from hack_model.build import lids as lids_module
from hack_model.build.expressions import INVISIBLE, Builder
from hack_model.errors import AssetError
from hack_model.resources import data_folder
from hack_model.tables import read_table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from hack_model.build.head import Head
    from hack_model.build.parts import Part

    Array = np.ndarray

_RINGS_KEPT, _RINGS_FREE = 1.5, 5.0
"""Up to the first ring a lid stays where the blink puts it; from the second on it follows the other expression."""

_FAR = 0.002, 0.015
"""Metres between which a motion becomes so far that what it meets gives way."""


@dataclass(frozen=True)
class Rule:
    """One combination: its sources with their peaks, and how its corrective is made."""

    sources: tuple[str, ...]
    peaks: tuple[float, ...]
    repair: str
    share: float = 0.0

    @property
    def name(self) -> str:
        """The sources joined by +; of a single source, an in-between, its name and peak in percent."""
        between = "" if len(self.sources) > 1 else f"@{100 * self.peaks[0]:.0f}"
        return "+".join(self.sources) + between

    @property
    def twin(self) -> Rule:
        """The same on the other side of the face."""
        return Rule(tuple(other_side(name) for name in self.sources), self.peaks, self.repair, self.share)


def read_rules() -> list[Rule]:
    """The table's rules, each followed by its mirror image where that differs. Raises :class:`AssetError`."""
    path = data_folder() / "hack_open" / "combinations.csv"
    rules: list[Rule] = []
    for place, row in read_table(path, AssetError, "sources", "peaks", "repair", "share"):
        try:
            peaks = tuple(float(peak) for peak in row["peaks"].split())
            rule = Rule(tuple(row["sources"].split("+")), peaks, row["repair"], float(row["share"] or 0))
        except ValueError as fault:
            raise AssetError(f"{place}: peaks and share are not numbers ({fault})") from fault
        if len(rule.sources) != len(peaks) or rule.repair not in _REPAIRS:
            raise AssetError(f"{place}: wanted a peak per source and a repair out of {', '.join(_REPAIRS)}")
        rules.append(rule)
        if set(rule.twin.sources) != set(rule.sources):
            rules.append(rule.twin)
    return rules


def other_side(name: str) -> str:
    """The name of an expression's mirror image; its own where it has no side."""
    for one, other in (("_L", "_R"), ("Left", "Right")):
        if name.endswith(one):
            return name.removesuffix(one) + other
        if name.endswith(other):
            return name.removesuffix(other) + one
    return name


@dataclass(frozen=True)
class Combinations:
    """The fields ``combination_…`` of an asset; ``basis`` on all vertices of the parts, metres."""

    names: tuple[str, ...]
    sources: Int[Array, "X I"]
    peaks: Float[Array, "X I"]
    basis: Float[Array, "X V 3"]

    def fields(self) -> dict[str, Any]:
        """The asset's fields."""
        return {
            "combination_names": np.array(self.names),
            "combination_sources": self.sources,
            "combination_peaks": self.peaks,
            "combination_basis": self.basis,
        }


def build(
    head: Head, parts: Sequence[Part], expression_names: Sequence[str], expression_basis: Float[Array, "E V 3"]
) -> Combinations:
    """Every combination of the table. Raises :class:`AssetError` for a source that is no expression."""
    rules = read_rules()
    known = {name: index for index, name in enumerate(expression_names)}
    if missing := {source for rule in rules for source in rule.sources} - set(known):
        raise AssetError(f"the table of combinations names {min(missing)}, which is no expression")
    width = max(len(rule.sources) for rule in rules)
    sources = np.full((len(rules), width), -1, np.int32)
    peaks = np.ones((len(rules), width), np.float32)
    basis = np.zeros((len(rules), *expression_basis.shape[1:]), np.float32)
    combiner = Combiner(Builder(head, parts), dict(zip(expression_names, expression_basis, strict=True)))
    made: dict[str, int] = {}
    for row, rule in enumerate(rules):
        sources[row, : len(rule.sources)] = [known[source] for source in rule.sources]
        peaks[row, : len(rule.peaks)] = rule.peaks
        if rule.twin.name in made:
            basis[row] = combiner.builder.mirrored(basis[made[rule.twin.name]])
        else:
            basis[row] = combiner.corrective(rule)
        made[rule.name] = row
    return Combinations(tuple(rule.name for rule in rules), sources, peaks, basis)


class Combiner:
    """Makes correctives from finished expressions, which displace all vertices of the parts."""

    def __init__(self, builder: Builder, expressions: Mapping[str, Float[Array, "V 3"]]) -> None:
        self.builder, self.expressions = builder, expressions
        self.skin_count = len(builder.head.skin.vertices)

    def sum(self, names: Sequence[str]) -> Float[Array, "V 3"]:
        """The expressions' sum."""
        return np.sum([self.expressions[name] for name in names], axis=0, dtype=np.float64)

    def corrective(self, rule: Rule) -> Float[Array, "V 3"]:
        """What is to be added to the sum of a rule's sources; too small displacements are left out."""
        result = _REPAIRS[rule.repair](self, rule).astype(np.float32)
        result[np.linalg.norm(result, axis=1) < INVISIBLE] = 0
        return result

    def _repaired(self, total: np.ndarray, wanted: np.ndarray, lower_share: float | None) -> np.ndarray:
        """From a sum to the wanted displacement with its lips settled; see :meth:`Builder.settled`."""
        builder, span = self.builder, slice(0, self.skin_count)
        arches = [total[builder.span(part)] for part in ("teeth_upper", "teeth_lower")]
        result = np.zeros_like(total)
        change = builder.settled(wanted[span], arches, lower_share) - total[span]
        result[span] = builder.even(change)
        return result

    def closed(self, rule: Rule) -> Float[Array, "V 3"]:
        """Lips in contact and before the teeth; the sources act on both sides alike."""
        total = self.sum(rule.sources)
        return self._repaired(total, total, rule.share)

    def lids(self, rule: Rule) -> Float[Array, "V 3"]:
        """Lids where the blink, the first source, puts them, and outside the eyeball."""
        builder, span = self.builder, slice(0, self.skin_count)
        side = "left" if rule.sources[0].endswith("_L") else "right"
        rings, rest = builder.fields[side], builder.head.skin.vertices
        kept = np.clip((_RINGS_FREE - rings) / (_RINGS_FREE - _RINGS_KEPT), 0, 1)
        kept = kept * kept * (3 - 2 * kept)
        other = self.sum(rule.sources[1:])
        total = self.sum(rule.sources)
        wanted = total[span] - kept[:, None] * other[span]
        wanted = lids_module.keep_outside(rest, wanted, builder.lids[side].ball, rings)
        result = np.zeros_like(total)
        result[span] = wanted - total[span]
        hairs = builder.span(f"lashes_{side}")
        result[hairs] = builder.lashes[f"lashes_{side}"].follow(wanted) - total[hairs]
        return result

    def arc(self, rule: Rule) -> Float[Array, "V 3"]:
        """An in-between of a jaw expression: what follows the jaw turns with it, by the peak's share of the turn."""
        builder, peak = self.builder, rule.peaks[0]
        total = self.sum(rule.sources)
        rest = np.concatenate([part.vertices for part in builder.parts])
        teeth = builder.span("teeth_lower")
        rotation, translation = rigid_motion(rest[teeth], rest[teeth] + total[teeth])
        whole = rest @ rotation.T + translation - rest
        halfway = _turned(rest, rotation, translation, peak) - rest
        follows = np.einsum("vx,vx->v", total, whole) / np.maximum(np.einsum("vx,vx->v", whole, whole), 1e-12)
        return np.clip(follows, 0, 1)[:, None] * (halfway - peak * whole)

    def follow(self, rule: Rule) -> Float[Array, "V 3"]:
        """An in-between of mouthClose: lips in contact on the jaw's in-between of the same peak."""
        peak = rule.peaks[0]
        total = peak * self.sum(["jawOpen", *rule.sources]) + self.arc(Rule(("jawOpen",), (peak,), "arc"))
        return self._repaired(total, total, rule.share)

    def less(self, rule: Rule) -> Float[Array, "V 3"]:
        """The last source taken back by the rule's share."""
        return -rule.share * self.sum(rule.sources[-1:])

    def give(self, rule: Rule) -> Float[Array, "V 3"]:
        """The last source taken back by the rule's share where the first moves the same skin far."""
        far = smoothstep(np.linalg.norm(self.sum(rule.sources[:1]), axis=1), *_FAR)
        return -rule.share * far[:, None] * self.sum(rule.sources[-1:])

    def smile(self, rule: Rule) -> Float[Array, "V 3"]:
        """The lips of a broad smile drawn apart, before the teeth."""
        upper = self.sum(["mouthUpperUp_L", "mouthUpperUp_R"])
        lower = self.sum(["mouthLowerDown_L", "mouthLowerDown_R"])
        total = self.sum(rule.sources)
        return self._repaired(total, total + rule.share * (upper + 0.5 * lower), None)


_REPAIRS: dict[str, Callable[[Combiner, Rule], np.ndarray]] = {
    "closed": Combiner.closed,
    "lids": Combiner.lids,
    "arc": Combiner.arc,
    "follow": Combiner.follow,
    "less": Combiner.less,
    "give": Combiner.give,
    "smile": Combiner.smile,
}


def _turned(
    points: Float[Array, "n 3"], rotation: Float[Array, "3 3"], translation: Float[Array, "3"], share: float
) -> Float[Array, "n 3"]:
    """Points after a share of a rigid motion: a turn by a share of its angle, the way shared evenly.

    The turn's centre is the point of least motion; what a screw moves along its axis is shared like the angle.
    """
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(rotation).as_rotvec()
    axis = turn / np.linalg.norm(turn)
    along = axis * (axis @ translation)
    centre = np.linalg.lstsq(np.eye(3) - rotation, translation - along, rcond=None)[0]
    part = Rotation.from_rotvec(share * turn).as_matrix()
    return (points - centre) @ part.T + centre + share * along
