"""The doctor: what is wrong with a model, in plain words, and what to try.

A small table of rules over what ``diagnose`` measured, the history of the training, and the samples. A rule returns
what it has found, or None. None knows what a model is for: each says what it has seen, so that one may disagree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """What the rules look at.

    Attributes
    ----------
    facts : dict
        ``diagnose(X)``.
    history : history
        ``history_``; empty where there was no training by epochs.
    n_features, n_components : int
    errors : ndarray of shape (n_samples,)
        Squared error of each sample of X, between scaled values.
    deviations : ndarray of shape (n_components,)
        Standard deviation of each unit of the code over X.
    parts : dict of str to Any
        Parameters of the model: penalty, sparsity, corruption, loss.
    linear : bool, default=False
        Whether encoder and decoder are one linear layer each.
    stopped_early : bool, default=False
        Whether the weights are those of the epoch with the least validation loss, not of the last one.
    """

    facts: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]
    n_features: int
    n_components: int
    errors: np.ndarray
    deviations: np.ndarray
    parts: Mapping[str, Any]
    linear: bool = False
    stopped_early: bool = False

    @property
    def regularised(self) -> bool:
        """Whether anything but the size of the code keeps the model from copying."""
        return any(self.parts.get(name) is not None for name in ("penalty", "sparsity", "corruption"))

    @property
    def losses(self) -> np.ndarray:
        """Training loss of each epoch."""
        return np.asarray(self.history.get("loss", ()), dtype=float)

    @property
    def validation(self) -> np.ndarray:
        """Loss of the samples held out, after each epoch; empty where none were."""
        return np.asarray(self.history.get("validation_loss", ()), dtype=float)

    @property
    def learnt(self) -> float:
        """Mean loss, without penalties, of the samples learnt from, in the epoch that was kept; NaN if none."""
        column = self.history.get("reconstruction", self.losses)
        return float(column[self.kept]) if len(column) else float("nan")

    @property
    def kept(self) -> int:
        """Index of the epoch whose weights were kept."""
        return int(self.validation.argmin()) if self.stopped_early and len(self.validation) else -1


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a rule has found.

    Attributes
    ----------
    rule : str
        Name of the rule.
    what : str
        What was seen, a sentence.
    advice : str
        What to try, a sentence.
    """

    rule: str
    what: str
    advice: str


#: what was seen and what to try, each a sentence; None where all is well
Rule = Callable[[Case], tuple[str, str] | None]


def pca_does_better(case: Case) -> tuple[str, str] | None:
    """Find that PCA with as many numbers leaves at least 2 % less of the variance unexplained."""
    fvu, pca = case.facts["fvu"], case.facts["pca_fvu"]
    if pca is None or case.n_components >= case.n_features or not fvu > 1.02 * pca + 1e-6:
        return None  # PCA with as many components as features copies
    what = (
        f"PCA does better: with {case.n_components} components, fitted on these very samples, it leaves {pca:.1%} of "
        f"the variance unexplained, and the model {fvu:.1%}."
    )
    if case.facts["l0"] < 0.5 * case.n_components:
        speaking = f"{case.facts['l0']:.3g} of {case.n_components} units speak a sample"
        return what, f"Only {speaking}, so the code holds less than PCA's: let more speak, or have more of them."
    if case.parts.get("penalty") is not None:
        return what, "Train longer, raise the learning rate, or lower the weight of the penalty."
    if case.linear:
        return (
            what,
            'Train longer, raise the learning rate, or begin with PCA itself, by init="pca"; or add hidden layers.',
        )
    return what, "Train longer or raise the learning rate."


def little_is_explained(case: Case) -> tuple[str, str] | None:
    """Find more than 80 % of the variance left."""
    fvu = case.facts["fvu"]
    if not fvu > 0.8:
        return None
    what = (
        f"The reconstructions leave {fvu:.0%} of the variance unexplained: the mean of the samples would leave 100 %."
    )
    return what, "Train longer or raise the learning rate; if that does not help, use a larger code."


def units_are_dead(case: Case) -> tuple[str, str] | None:
    """Find more than 5 % of the units that never speak."""
    dead, n = case.facts["dead_units"], case.n_components
    if not dead > 0.05 * n:
        return None
    advice = "Use fewer units, or a lower learning rate"
    if case.parts.get("sparsity") is not None:
        advice += ", let more units speak, or revive those that are silent, such as by TopK(25, revive=1.0)"
    elif case.parts.get("penalty") is not None:
        advice += ", or lower the weight of the penalty"
    else:
        advice += ', or an activation without a flat side, such as "leaky_relu"'
    return f"{dead / n:.0%} of the units are dead: {dead} of {n} never speak on these samples.", f"{advice}."


def units_are_idle(case: Case) -> tuple[str, str] | None:
    """Find more than 5 % of the units that speak, but vary by less than 1 % of the one that varies most."""
    most = float(case.deviations.max())
    idle = int((case.deviations < 0.01 * most).sum()) - case.facts["dead_units"]
    if not idle > 0.05 * case.n_components:
        return None
    what = f"{idle} of the {case.n_components} units hardly vary: the code says nothing by them."
    return what, f"A code of {case.n_components - idle} units would do as well."


def units_are_saturated(case: Case) -> tuple[str, str] | None:
    """Find more than 80 % of sigmoid activations at their ends, with no penalty that asks for that."""
    saturation = case.facts["saturation"]
    if saturation is None or not saturation > 0.8 or case.parts.get("penalty") is not None:
        return None
    what = f"{saturation:.0%} of the activations are under 0.05 or over 0.95, where a sigmoid hardly passes a gradient."
    return what, 'Lower the learning rate, or use another activation of the code, such as "tanh" or "relu".'


def nothing_keeps_it_from_copying(case: Case) -> tuple[str, str] | None:
    """Find a code as large as the data, without corruption, sparsity or penalty."""
    if case.n_components < case.n_features or case.regularised:
        return None
    what = f"The code has {case.n_components} units for {case.n_features} features: the model may copy its input."
    return what, "Use fewer units, or a corruption, a sparsity rule or a penalty."


def loss_still_fell(case: Case) -> tuple[str, str] | None:
    """Find a loss, held out if there is one, that fell by more than 3 % in the last tenth of the epochs."""
    losses = case.validation if len(case.validation) else case.losses
    last = max(1, len(losses) // 10)
    if len(losses) < 2 or not losses[-1] > 0 or case.stopped_early:
        return None
    fall = 1 - losses[-1] / losses[-1 - last]
    if not fall > 0.03:
        return None
    epochs = "the last epoch" if last == 1 else f"the last {last} of {len(losses)} epochs"
    return f"The loss still fell by {fall:.0%} in {epochs}.", f"Train longer: more than {len(losses)} epochs."


def loss_is_unsteady(case: Case) -> tuple[str, str] | None:
    """Find a loss that rose by more than 10 % in more than a fifth of the epochs, at least three."""
    losses = case.losses
    if len(losses) < 4 or not (losses > 0).all():
        return None
    rises = int((losses[1:] > 1.1 * losses[:-1]).sum())
    if rises < 3 or not rises > 0.2 * (len(losses) - 1):
        return None
    what = f"The loss is unsteady: it rose by more than 10 % in {rises} of {len(losses)} epochs."
    return what, "Lower the learning rate, use larger batches, or Training(clip=1.0)."


def validation_rose(case: Case) -> tuple[str, str] | None:
    """Find a loss of samples held out that ended more than 5 % above its least value."""
    validation = case.validation
    if case.stopped_early or not len(validation) or not validation[-1] > 1.05 * validation.min() > 0:
        return None
    best = int(validation.argmin()) + 1
    rise = validation[-1] / validation.min() - 1
    what = (
        f"The loss of the samples held out was least after epoch {best} of {len(validation)}, and rose by {rise:.0%}."
    )
    return what, "Stop early, by Training(patience=5), or use a smaller model, a corruption or a penalty."


def learnt_by_heart(case: Case) -> tuple[str, str] | None:
    """Find that samples held out cost more than half as much again as those learnt from."""
    if not len(case.validation) or not case.validation[case.kept] > 1.5 * case.learnt > 0:
        return None
    ratio = case.validation[case.kept] / case.learnt
    what = f"Samples held out cost {ratio:.1f} times as much as those learnt from: some of these were learnt by heart."
    return what, "Use more data, a smaller model, a corruption or a penalty."


def nothing_was_held_out(case: Case) -> tuple[str, str] | None:
    """Find a history without a validation loss."""
    if not len(case.losses) or len(case.validation):
        return None
    what = "No sample was held out in training, so nothing tells whether the model learnt them by heart."
    return what, "Use Training(validation_fraction=0.1), or fit(X, X_val=...)."


def samples_are_unlike_those_learnt(case: Case) -> tuple[str, str] | None:
    """Find samples that cost more than twice what the training came to."""
    error = float(case.errors.mean())
    if case.parts.get("loss") != "squared_error" or not error > 2 * case.learnt > 0:
        return None
    what = f"These samples cost {error / case.learnt:.1f} times as much as those learnt from did at the end."
    advice = "If they are new, compare their units and ranges with those learnt from; if not, the model was overfitted."
    return what, advice


def noise_hurts(case: Case) -> tuple[str, str] | None:
    """Find that PCA, worse without noise, is at least 10 % better under half of the noises or more."""
    measured = [noise for noise in case.facts["noise"].values() if noise["pca_fvu"] is not None]
    if not measured or case.facts["fvu"] > case.facts["pca_fvu"]:
        return None
    worse = sum(noise["fvu"] > 1.1 * noise["pca_fvu"] for noise in measured)
    if not worse >= 0.5 * len(measured):
        return None
    what = f"Better than PCA on clean samples, the model is worse under {worse} of {len(measured)} kinds of noise."
    return (
        what,
        "If your data are noisy, train with a corruption, such as GaussianNoise(0.1), or with Contractive(0.1).",
    )


def few_samples_make_the_error(case: Case) -> tuple[str, str] | None:
    """Find that, of 100 samples or more, the worst hundredth has more than a quarter of the error."""
    errors = np.sort(case.errors)
    if len(errors) < 100 or not errors.sum() > 0:
        return None
    worst = len(errors) // 100
    share = float(errors[-worst:].sum() / errors.sum())
    if not share > 0.25:
        return None
    what = f"{worst} of {len(errors):,} samples make {share:.0%} of the error."
    return what, 'Look at the worst cases: are they mistakes in the data? If not, loss="huber" minds them less.'


RULES: tuple[Rule, ...] = (
    pca_does_better,
    little_is_explained,
    units_are_dead,
    units_are_idle,
    units_are_saturated,
    nothing_keeps_it_from_copying,
    loss_still_fell,
    loss_is_unsteady,
    validation_rose,
    learnt_by_heart,
    samples_are_unlike_those_learnt,
    noise_hurts,
    few_samples_make_the_error,
    nothing_was_held_out,
)


def examine(case: Case) -> list[Finding]:
    """Return what the rules have found, the gravest first."""
    found = {name_of(rule): rule(case) for rule in RULES}
    return [Finding(name, *words) for name, words in found.items() if words is not None]


def name_of(rule: Rule) -> str:
    """Return the name of a rule as words."""
    return rule.__name__.replace("_", " ")
