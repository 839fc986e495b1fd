"""One photo's landmarks → parameters: Levenberg-Marquardt with exact derivatives and bounds.

The unknowns are those of :class:`fitting.landmark_model.Layout`. Residuals are in units of the outer-eye-corner
distance, so one setting serves every picture size. Cauchy weights keep single bad points from pulling; bounds hold by a
projected active set (D. Bertsekas, "Projected Newton methods", SIAM J. Control Optim. 20, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from fitting.landmark_model import LandmarkModel
from fitting.points import NOSE_BASE, NOSE_TIP, OUTER_EYE_CORNERS, points
from hack_model.alignment import similarity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

    from fitting.camera import Camera

    Array = np.ndarray


_BOUND_ROUNDS = 6  # how often a step's set of bounded parameters may grow


@dataclass(frozen=True)
class FitSettings:
    """Spreads of the terms of the fit: a smaller number is a firmer belief.

    Landmark spreads are shares of the outer-eye-corner distance. They are far wider than the detector's noise because
    the errors of neighbouring points go together: 478 points tell as much as some thirty independent ones would.
    ``squint`` (radians) is how far the two eyes' directions may differ; ``relief`` and ``opening`` are shares, too.
    ``nose`` (metres) is how far the tip may stand out more or less than the mean head's: a photo from the front does
    not show it, and the population's correlations would infer it from the breadth of the jaw and other distant things.
    """

    landmark: float = 0.015
    robust: float = 3.0
    group_weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "skin": 1.0, "oval": 0.8, "brows": 1.3, "eyes": 2.2, "iris": 1.0, "nose": 1.2, "lips": 1.3,
        }
    )  # fmt: skip
    opening: float = 0.01
    relief: float = 0.3
    nose: float = 0.0007
    shape: float = 1.2
    gaze: float = 0.25
    squint: float = 0.04
    torso: float = 0.03
    neck: float = 0.5
    iterations: int = 20
    tolerance: float = 1e-3


@dataclass(frozen=True)
class Observation:
    """What the detector says of one face, and the camera: all that the solver sees of a photo.

    ``points`` (L, 2) pixels; ``relief`` (L,) depth in pixels, away from the camera positive, zero arbitrary;
    ``expression`` (E,) expected activations and ``expression_spread`` (E,) how far from them the true ones may be, 0
    for those to be held at rest (:mod:`fitting.expectation`); ``confidence`` (L,).
    """

    points: Float[Array, "L 2"]
    relief: Float[Array, " L"]
    expression: Float[Array, " E"]
    expression_spread: Float[Array, " E"]
    camera: Camera
    confidence: Float[Array, " L"]

    @property
    def unit(self) -> float:
        """Pixels of one outer-eye-corner distance, as seen if the head faced the camera.

        Foreshortening by a turned head is undone with the relief, so a profile's errors are not magnified.
        """
        right, left = OUTER_EYE_CORNERS
        span = np.append(self.points[left] - self.points[right], self.relief[left] - self.relief[right])
        return float(np.linalg.norm(span))


@dataclass(frozen=True)
class LandmarkFit:
    """The solution: the solver's vector and what became of it."""

    vector: Float[Array, " N"]
    projected: Float[Array, "L 2"]
    iterations: int
    cost: float
    converged: bool


def fit_landmarks(model: LandmarkModel, observation: Observation, settings: FitSettings | None = None) -> LandmarkFit:
    """Fits the model to one face. Deterministic.

    Its matrices are too small for several threads: they would wait for each other longer than they work.
    """
    from threadpoolctl import ThreadpoolController

    problem = _Problem(model, observation, settings or FitSettings())
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        return problem.solve(problem.start())


def initial_placement(model: LandmarkModel, observation: Observation) -> tuple[Float[Array, "3 3"], Float[Array, "3"]]:
    """Rotation and translation that lay the template's landmarks over the observed ones.

    A similarity between the template and the detector's points with their relief gives rotation and size, and the size
    the distance.
    """
    camera = observation.camera
    template = model.points(np.zeros(model.layout.size))
    seen = np.column_stack([observation.points[:, 0], -observation.points[:, 1], -observation.relief])
    pixels_per_metre, rotation, _ = similarity(template, seen)
    middle, seen_middle = template.mean(axis=0), seen.mean(axis=0)
    depth = camera.focal / pixels_per_metre
    place = np.append((seen_middle[:2] - [camera.centre[0], -camera.centre[1]]) / pixels_per_metre, -depth)
    return rotation, place - rotation @ middle


def split_rotation(
    model: LandmarkModel, rotation: Float[Array, "3 3"]
) -> tuple[Float[Array, "3"], Float[Array, "3 3"]]:
    """Neck angles and torso rotation of a head rotation: the neck carries all it can, the torso the rest.

    A photo of a face shows the head's rotation alone. Portraits mostly have an upright torso that faces the camera, so
    the neck is given the whole of it as far as its joints go.
    """
    neck = np.zeros(3)
    for _ in range(8):
        error = _turn(rotation @ model.head_rotation(neck).T)
        if np.linalg.norm(error) < 1e-6:
            break
        columns = [_turn(model.head_rotation(neck + step) @ model.head_rotation(neck).T) / 1e-4
                   for step in np.eye(3) * 1e-4]  # fmt: skip
        change = np.linalg.lstsq(np.stack(columns, axis=1), error, rcond=None)[0]
        neck = np.clip(neck + change, model.neck_limits[:, 0], model.neck_limits[:, 1])
    return neck, rotation @ model.head_rotation(neck).T


class _Problem:
    """Residuals, derivatives and priors of one observation."""

    def __init__(self, model: LandmarkModel, observation: Observation, settings: FitSettings) -> None:
        table = points()
        self.model, self.observation, self.settings = model, observation, settings
        self.unit = observation.unit
        weights = np.array([settings.group_weights[name] for name in table.groups]) * observation.confidence
        self.point_weight = np.sqrt(weights) / (settings.landmark * self.unit)
        self.opposite = table.opposite
        pair_confidence = observation.confidence[self.opposite].min(axis=1)
        self.opening_weight = np.sqrt(pair_confidence) / (settings.opening * self.unit)
        self.relief_weight = np.sqrt(observation.confidence) / (settings.relief * self.unit)
        self.relief = observation.relief - observation.relief.mean()
        self.lower, self.upper = self._bounds()
        self.prior_mean, self.prior_weight = self._prior()
        basis = model.rest_shape_basis()
        self.nose = (basis[NOSE_TIP, 2] - basis[NOSE_BASE, 2]) / settings.nose
        self.together = np.kron([[1.0, -1.0], [-1.0, 1.0]], np.eye(2)) / self.settings.squint**2  # of the gaze's 4

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        layout, model = self.model.layout, self.model
        lower, upper = np.full(layout.size, -np.inf), np.full(layout.size, np.inf)
        lower[layout.expression], upper[layout.expression] = 0.0, self.observation.expression_spread > 0
        lower[layout.neck], upper[layout.neck] = model.neck_limits.T
        lower[layout.gaze], upper[layout.gaze] = model.gaze_limits.T
        return lower, upper

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse variance of every parameter; translation has none."""
        layout, settings = self.model.layout, self.settings
        mean, spread = np.zeros(layout.size), np.full(layout.size, np.inf)
        mean[layout.expression] = np.clip(self.observation.expression, 0.0, 1.0)
        spread[layout.shape] = settings.shape
        given = self.observation.expression_spread
        spread[layout.expression] = np.where(given > 0, given, 1.0)  # what is held at rest needs no belief
        spread[layout.neck], spread[layout.gaze] = settings.neck, settings.gaze
        spread[layout.rotation] = settings.torso
        return mean, 1 / spread**2

    def start(self) -> np.ndarray:
        """The template laid over the landmarks, with the expected expression."""
        layout = self.model.layout
        rotation, translation = initial_placement(self.model, self.observation)
        x = np.clip(self.prior_mean, self.lower, self.upper)
        before = rotation @ self._middle(x) + translation
        x[layout.neck], torso = split_rotation(self.model, rotation)
        x[layout.rotation] = _turn(torso)
        x[layout.translation] = before - self.model.points(x).mean(axis=0)
        return x

    def _middle(self, x: np.ndarray) -> np.ndarray:
        return self.model.points(np.where(np.arange(len(x)) < self.model.layout.expression.stop, x, 0.0)).mean(axis=0)

    def residuals(self, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted residuals of points (L, 2), openings (O, 2) and relief (L,)."""
        camera = self.observation.camera
        error = camera.project(placed) - self.observation.points
        opening = (error[self.opposite[:, 0]] - error[self.opposite[:, 1]]) * self.opening_weight[:, None]
        depth = -placed[:, 2]
        relief = (depth - depth.mean()) * (camera.focal / depth.mean()) - self.relief
        return error * self.point_weight[:, None], opening, relief * self.relief_weight

    def cost(self, x: np.ndarray) -> float:
        """The robust cost that the solver lowers; infinite where a landmark lies behind the camera."""
        placed = self.model.points(x)
        if placed[:, 2].max() > -1e-3:
            return np.inf
        gaze = x[self.model.layout.gaze]
        total = 0.5 * float(self.prior_weight @ (x - self.prior_mean) ** 2 + gaze @ self.together @ gaze)
        total += 0.5 * float(self.nose @ x[self.model.layout.shape]) ** 2
        for squared in self._squared(self.residuals(placed)):
            total += 0.5 * self.settings.robust**2 * float(np.log1p(squared / self.settings.robust**2).sum())
        return total

    @staticmethod
    def _squared(residuals: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        error, opening, relief = residuals
        return (error**2).sum(axis=1), (opening**2).sum(axis=1), relief**2

    def normal_equations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Gauss-Newton matrix of the cost."""
        placed, jacobian = self.model.points_and_jacobian(x)
        residuals = self.residuals(placed)
        robust = [np.sqrt(1 / (1 + s / self.settings.robust**2)) for s in self._squared(residuals)]
        depth = -placed[:, 2]
        scale = self.observation.camera.focal / depth
        onto = np.zeros((len(placed), 2, 3))
        onto[:, 0, 0], onto[:, 1, 1] = scale, -scale
        onto[:, 0, 2] = scale * placed[:, 0] / depth
        onto[:, 1, 2] = -scale * placed[:, 1] / depth
        flat = onto @ jacobian
        opening = flat[self.opposite[:, 0]] - flat[self.opposite[:, 1]]
        flat *= (self.point_weight * robust[0])[:, None, None]
        opening *= (self.opening_weight * robust[1])[:, None, None]
        relief = -(jacobian[:, 2] - jacobian[:, 2].mean(axis=0)) * (self.observation.camera.focal / depth.mean())
        relief += np.outer((depth - depth.mean()) * self.observation.camera.focal / depth.mean() ** 2,
                           jacobian[:, 2].mean(axis=0))  # fmt: skip
        relief *= (self.relief_weight * robust[2])[:, None]
        size = len(x)
        rows = np.concatenate([flat.reshape(-1, size), opening.reshape(-1, size), relief])
        values = np.concatenate(
            [(residuals[0] * robust[0][:, None]).ravel(), (residuals[1] * robust[1][:, None]).ravel(),
             residuals[2] * robust[2]]
        )  # fmt: skip
        matrix = rows.T @ rows
        matrix[np.diag_indices(size)] += self.prior_weight
        gradient = rows.T @ values + self.prior_weight * (x - self.prior_mean)
        gaze = self.model.layout.gaze
        matrix[gaze, gaze] += self.together
        gradient[gaze] += self.together @ x[gaze]
        shape = self.model.layout.shape
        matrix[shape, shape] += np.outer(self.nose, self.nose)
        gradient[shape] += self.nose * (self.nose @ x[shape])
        return gradient, matrix

    def solve(self, x: np.ndarray) -> LandmarkFit:
        """Levenberg-Marquardt on the parameters that are free at their bounds, the step clipped to the bounds."""
        cost, damping, iterations = self.cost(x), 1e-3, 0
        converged = False
        while not converged and iterations < self.settings.iterations:
            iterations += 1
            gradient, matrix = self.normal_equations(x)
            free = ~(((x <= self.lower) & (gradient > 0)) | ((x >= self.upper) & (gradient < 0)))
            candidate, new_cost = x, np.inf
            while new_cost >= cost and damping < 1e8:
                candidate = self._step(x, gradient, matrix, free, damping)
                new_cost = self.cost(candidate)
                damping *= 8.0 if new_cost >= cost else 0.125
            if new_cost >= cost:
                converged = True  # no step of any length lowers the cost
                break
            converged = cost - new_cost < self.settings.tolerance * cost
            x, cost, damping = candidate, new_cost, max(damping, 1e-9)
        projected = self.observation.camera.project(self.model.points(x))
        return LandmarkFit(x, projected, iterations, cost, converged)

    def _step(
        self, x: np.ndarray, gradient: np.ndarray, matrix: np.ndarray, free: np.ndarray, damping: float
    ) -> np.ndarray:
        """The damped step; parameters it would carry over a bound stop there, and the others are solved for anew."""
        change, free = np.zeros_like(x), free.copy()
        for _ in range(_BOUND_ROUNDS):
            index, held = np.flatnonzero(free), np.flatnonzero(~free & (change != 0))
            part = matrix[np.ix_(index, index)]
            part[np.diag_indices(len(index))] *= 1 + damping
            slope = gradient[index] + matrix[np.ix_(index, held)] @ change[held]
            change[index] = -np.linalg.solve(part, slope)
            beyond = free & ((x + change < self.lower) | (x + change > self.upper))
            change[beyond] = np.clip(x + change, self.lower, self.upper)[beyond] - x[beyond]
            if not beyond.any():
                break
            free &= ~beyond
        return np.clip(x + change, self.lower, self.upper)


def _turn(rotation: Float[Array, "3 3"]) -> Float[Array, "3"]:
    """Axis-angle of a rotation matrix."""
    return Rotation.from_matrix(rotation).as_rotvec()
