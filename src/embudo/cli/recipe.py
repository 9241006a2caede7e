"""Options that say what is trained and how, shared by the verbs that train, and what these make of them."""

from __future__ import annotations

import dataclasses
import functools
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from embudo.cli.options import PATH, Assignment, PartText, Scalar, Sizes, Word, field_options
from embudo.cli.processes import leads
from embudo.errors import FileFormatError, InvalidParameter, TrainingInterrupted, did_you_mean
from embudo.nn.activations import ACTIVATIONS
from embudo.parts.losses import LOSSES
from embudo.parts.optimizers import Adam
from embudo.parts.training import Training

if TYPE_CHECKING:
    from embudo.apps.classification import AutoencoderClassifier
    from embudo.apps.detection import AnomalyDetector
    from embudo.models.autoencoder import Autoencoder
    from embudo.models.stacked import StackedAutoencoder

#: parameters of an autoencoder that are options; in a stack all levels get them
PARAMETERS = (
    *("n_components", "encoder", "decoder", "code_activation", "output_activation", "tied", "corruption"),
    *("sparsity", "penalty", "loss", "scale", "sparse_output", "init"),
)
#: fields of a training that hold for the whole, however it is fine-tuned
CIRCUMSTANCES = ("validation_fraction", "device", "precision", "compile", "shard", "run_dir", "log_dir", "verbose")


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the values of a TOML file the defaults of the command's options.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    InvalidParameter
        If it holds a key that is not the name of an option.
    """
    if path is None:
        return
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"'{path}' is not a TOML file: {error}.") from None
    options = {  # name in the file: (option, whether it is the opposite, such as --quiet)
        name[2:].replace("-", "_"): (option, name in option.secondary_opts)
        for option in ctx.command.params
        if isinstance(option, click.Option) and option is not param
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }
    defaults: dict[str, Any] = {}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in options:
            guess = did_you_mean(name, options)
            raise InvalidParameter(f"'{path}' has an unknown key {key!r}{guess}: keys are the names of options.")
        if isinstance(value, dict):
            raise InvalidParameter(f"'{path}' holds a table for {key!r}: expected a value, parts as text.")
        option, opposite = options[name]
        single = option.multiple and not isinstance(value, list)
        defaults[option.name or ""] = not value if opposite else [value] if single else value
    ctx.default_map = defaults


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the options say of an autoencoder, or of a stack of them, and of its training.

    Attributes
    ----------
    params : dict
        Parameters of the autoencoder, which in a stack every level gets.
    training : Training
        How it is trained; in a stack every level.
    random_state : int or None
        Of what is trained as a whole.
    sizes : tuple of int or None
        Of the levels of a stack, where there is one.
    fine_tuning : Training or None
        What --fine-tuning says.
    settings : dict
        What --set says: values by parameter, nested ones by their nested names.
    given : frozenset of str
        Options of the command that are given, on the command line or in the configuration file.
    """

    params: dict[str, Any]
    training: Training
    random_state: Any
    sizes: tuple[int, ...] | None
    fine_tuning: Training | None
    settings: dict[str, Any]
    given: frozenset[str]

    def __post_init__(self) -> None:
        if self.sizes is not None and "n_components" in self.given:
            raise InvalidParameter(
                "--components is the size of one code, but --stack gives that of each level: omit it."
            )
        if not isinstance(self.fine_tuning, Training | None):
            raise InvalidParameter(
                f'--fine-tuning must be a training such as "Training(20, optimizer=Adam(1e-3))"; got '
                f"{self.fine_tuning!r}."
            )

    @property
    def training_of_a_part(self) -> Training:
        """How a part of the whole is trained: what is held out, and where the state is kept, the whole decides."""
        return dataclasses.replace(self.training, validation_fraction=0.0, run_dir=None, log_dir=None)

    @property
    def training_of_the_whole(self) -> Training:
        """How the whole is fine-tuned after its parts."""
        if self.fine_tuning is None:
            optimizer = self.training.optimizer if "optimizer" in self.given else Adam(1e-3)
            return dataclasses.replace(self.training, optimizer=optimizer)
        left_open = [name for name in CIRCUMSTANCES if getattr(self.fine_tuning, name) == getattr(Training, name)]
        return dataclasses.replace(self.fine_tuning, **{name: getattr(self.training, name) for name in left_open})

    def build(self, training: Training, fine_tune: str | None) -> Autoencoder | StackedAutoencoder:
        """Return the autoencoder with this `training`, or the stack that is so fine-tuned."""
        from embudo.models.autoencoder import Autoencoder
        from embudo.models.presets import make_stack

        if self.sizes is None:
            return Autoencoder(**self.params, training=training)
        template = Autoencoder(**self.params, training=self.training_of_a_part)
        return make_stack(template, self.sizes, fine_tune=fine_tune, training=training)


def recipe_options(**defaults: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of a `Recipe`; the verb is given it as ``recipe``.

    Parameters
    ----------
    **defaults
        Values of `n_components`, `encoder`, `decoder`, `code_activation`, `corruption`, `scale` and `training` that
        differ from those of `Autoencoder`; parts but for `training` as text.
    """

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def decorated(
            sizes: tuple[int, ...] | None,
            settings: tuple[tuple[str, Any], ...],
            random_state: Any,
            fine_tuning: Any,
            **options: Any,
        ) -> Any:
            training = Training(**{field.name: options.pop(field.name) for field in dataclasses.fields(Training)})
            params = {name: options.pop(name) for name in PARAMETERS}
            recipe = Recipe(params, training, random_state, sizes, fine_tuning, dict(settings), given_options())
            return verb(recipe=recipe, **options)

        trained = field_options(
            defaults.get("training", Training()),
            {"optimizer": PartText(), "run_dir": click.Path(), "log_dir": click.Path(), "verbose": False},
        )
        for add in reversed([*model_options(defaults), trained, *training_options()]):
            decorated = add(decorated)
        return decorated

    return decorate


def model_options(defaults: dict[str, Any]) -> list[Callable[..., Any]]:
    """Return the options that say what is trained, with `defaults` by parameter."""

    def option(flag: str, kind: Any, help: str, *name: str, without: str = "") -> Callable[..., Any]:
        default = defaults.get(name[0] if name else flag[2:].replace("-", "_"))
        if default is None and without:
            help += f"  [default: {without}]"
        return click.option(flag, *name, type=kind, default=default, show_default=default is not None, help=help)

    defaults = {
        **{"code_activation": "identity", "output_activation": "identity", "loss": "squared_error"},
        **{"scale": "auto", "init": "auto", **defaults},
    }
    return [
        click.option(
            "--config",
            type=PATH,
            is_eager=True,
            expose_value=False,
            callback=read_config,
            help="A TOML file that holds options by name; the command line wins.",
        ),
        option("--components", Scalar(), "Size of the code.", "n_components", without="half the features"),
        option("--encoder", PartText(), 'Hidden layers before the code: "MLP((512, 256))", "ConvNet((32, 64))".'),
        option("--decoder", PartText(), "Hidden layers after the code.", without="the encoder's, mirrored"),
        option("--code-activation", Word(ACTIVATIONS), "Of the code."),
        option("--output-activation", Word(ACTIVATIONS), "Of the reconstruction."),
        click.option("--tied/--untied", default=False, help="Use the encoder's weights, transposed, in the decoder."),
        option("--corruption", PartText(), 'What the encoder sees, such as "MaskingNoise(0.25)".'),
        option("--sparsity", PartText(), 'Which units may speak, such as "TopK(25)".'),
        option("--penalty", PartText(), 'What else costs, such as "L2(1e-4) + L1(1e-3)".'),
        option("--loss", Word(LOSSES), "How far a reconstruction is from what it should be."),
        option("--scale", Word(["auto", "standard", "minmax", "none"]), "How features are scaled."),
        click.option(
            "--sparse-output/--dense-output", default=False, help="Encode to a sparse matrix.", show_default=True
        ),
        option("--init", Word(["auto", "pca", "dictionary"]), "Where the weights begin."),
        click.option(
            "--stack",
            "sizes",
            type=Sizes(),
            help="Sizes of the codes of a stack, from the data up: each level has the options above, and learns the "
            "codes of the one below.",
        ),
        click.option(
            "--set",
            "settings",
            type=Assignment(),
            multiple=True,
            metavar="NAME=VALUE",
            help='Set any parameter by its nested name: "level2__corruption=MaskingNoise(0.5)"; repeatable.',
        ),
        click.option(
            "--random-state", "--seed", type=Scalar(), help="Decides first weights and order: same seed, same model."
        ),
    ]


def training_options() -> list[Callable[..., Any]]:
    """Return the options that say how it is trained, beside the fields of `Training`."""
    return [
        click.option(
            "--fine-tuning",
            type=PartText(),
            help='How the whole is trained after its parts, such as "Training(20, optimizer=Adam(1e-4))".  [default: '
            "as its parts, but where --optimizer is not given with Adam(1e-3)]",
        ),
        click.option("--verbose/--quiet", "-v/-q", default=True, help="Whether progress is shown.", show_default=True),
    ]


def given_options() -> frozenset[str]:
    """Return the names of the options that the command at work was given, in words or by a configuration file."""
    context, default = click.get_current_context(), ParameterSource.DEFAULT
    return frozenset(name for name in context.params if context.get_parameter_source(name) is not default)


def fit_and_save(
    model: Autoencoder | StackedAutoencoder | AutoencoderClassifier | AnomalyDetector,
    output: Path | None,
    *data: Any,
    finish: Callable[[], Any] = lambda: None,
    **options: Any,
) -> float:
    """Fit `model`, `finish` it, write it where there is an `output`, and return the seconds that this took.

    Where Ctrl-C stopped the fit, what was learnt is written, and the command ends; a classifier only once its last
    stage has begun.
    """
    started = time.perf_counter()
    interruption = _fit(model, *data, **options)
    finish()
    seconds = time.perf_counter() - started
    useless = hasattr(model, "classes_") and not model.history_
    if not useless and output is not None and leads():
        model.save(output)
    if interruption:
        written = "Nothing is written." if output is None else f"It is in '{output}'."
        where = "The labels are not learnt yet, and nothing is written." if useless else written
        goes_on = "" if model.training_.run_dir is None else " The same command goes on where it was."
        click.echo(f"{interruption} {where}{goes_on}", err=True)
        click.get_current_context().exit(130)
    return seconds


def _fit(model: Any, *data: Any, **options: Any) -> str | None:
    """Fit `model`; return the sentence of the warning where Ctrl-C stopped it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainingInterrupted)
        model.fit(*data, **options)
    interruption = None
    for warning in caught:
        if issubclass(warning.category, TrainingInterrupted):
            interruption = str(warning.message)
        else:
            warnings.warn(warning.message, stacklevel=3)
    return interruption
