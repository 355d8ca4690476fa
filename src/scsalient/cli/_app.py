"""Commands and their options. What is slow to import is imported by the commands that need it."""

# No `from __future__ import annotations`: typer reads the annotations when it builds the commands
from pathlib import Path
from typing import Annotated

import typer

from scsalient.cli._reporting import reports_errors

app = typer.Typer(
    name="scsalient",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The highest seed that NumPy's global generator takes, which Lightning seeds
MAX_SEED = 2**32 - 1
Seed = Annotated[
    int, typer.Option(metavar="N", help="Seed of everything random.", min=0, max=MAX_SEED)
]
MaxEpochs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Epochs; by default as many as the data need.", min=1),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"scsalient {version('scsalient')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Find the variation of single cells that only the target cells have.

    Set SCSALIENT_DEBUG=1 to see the traceback of an error.
    """


@app.command(short_help="Write both latents into a copy of a file.")
@reports_errors
def fit(
    input_path: Annotated[
        Path, typer.Argument(metavar="INPUT.h5ad", help="Cells by genes; never changed.")
    ],
    condition_key: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Column of .obs that tells target from background cells."
        ),
    ],
    background: Annotated[
        list[str],
        typer.Option(
            metavar="CATEGORY", help="Category of the background (control) cells; repeatable."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT.h5ad", help="Copy of the input, with latents."),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CATEGORY",
            help="Category of the target cells; repeatable. [default: every other one]",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layer with the values. [default: X]")
    ] = None,
    batch_key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of .obs with a batch to correct for."),
    ] = None,
    balance_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of .obs, of cell types say, of which both groups get the same shares in "
            "training; repeatable.",
        ),
    ] = None,
    likelihood: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="nb, zinb or poisson for raw counts, gaussian for normalised values, bernoulli "
            "for values from 0 to 1. [default: nb, for images gaussian]",
        ),
    ] = None,
    n_salient_latent: Annotated[
        int, typer.Option(metavar="N", help="Dimensions of the salient latents.")
    ] = 10,
    n_background_latent: Annotated[
        int, typer.Option(metavar="N", help="Dimensions of the background latents.")
    ] = 10,
    max_epochs: MaxEpochs = None,
    train_size: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the cells to train on; the others tell whether anything is there.",
        ),
    ] = 0.9,
    seed: Seed = 0,
    accelerator: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, gpu, mps or tpu.")
    ] = "auto",
    model_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to save the model in.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output and the model if they exist.")
    ] = False,
) -> None:
    """Fit the contrastive VAE and write both latents into a copy of the input.

    The copy gets .obsm["X_cvae_salient"], .obsm["X_cvae_background"] and .uns["cvae"]. Ctrl-C
    ends training early and keeps what the model has learned; a second one gives up and writes
    nothing.
    """
    from scsalient.cli._fit import FitOptions, run_fit

    run_fit(
        FitOptions(
            input_path=input_path,
            output=output,
            model_dir=model_dir,
            overwrite=overwrite,
            condition_key=condition_key,
            background=background,
            target=target or None,
            layer=layer,
            batch_key=batch_key,
            balance_key=balance_key or None,
            likelihood=likelihood,
            n_salient_latent=n_salient_latent,
            n_background_latent=n_background_latent,
            max_epochs=max_epochs,
            train_size=train_size,
            seed=seed,
            accelerator=accelerator,
        )
    )


@app.command(short_help="See it work on 700 blood cells.")
@reports_errors
def demo(
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the data and the figure.")
    ] = Path("scsalient_demo"),
    seed: Seed = 0,
    max_epochs: MaxEpochs = None,
) -> None:
    """Compare with other methods on 700 blood cells in which half of the treated ones respond.

    Takes less than a minute, and prints how well each method tells responders from the other
    treated cells, without having been told who responds. Replaces demo.h5ad and demo.png of an
    earlier run in the same folder.
    """
    from scsalient.cli._demo import run_demo

    run_demo(output_dir, seed=seed, max_epochs=max_epochs)


@app.command(short_help="Repeat an experiment of the paper.")
@reports_errors(kept="finished trials are kept, and the same command goes on")
def reproduce(
    figure: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE",
            help="The experiment: grassy-mnist, rna-seq, celeba or sensitivity.",
        ),
    ],
    trials: Annotated[
        int,
        typer.Option(
            metavar="N", help="Trainings of each setting, which differ in their seed.", min=1
        ),
    ] = 10,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder with the paper's own data, where it is at hand."),
    ] = None,
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the table and the figures.")
    ] = Path("scsalient_reproduce"),
    n_jobs: Annotated[int, typer.Option(metavar="N", help="Processes; -1 for all cores.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few short trials, to see that all works.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Seed of the first trial; each further one takes the next.",
            min=0,
            max=MAX_SEED,
        ),
    ] = 0,
) -> None:
    """Repeat an experiment of the paper, with its settings and with the defaults side by side.

    Writes one table with a row for each trial, and the figures. A run that was cut off goes on
    where it stopped when it is started again with the same folder.
    """
    from scsalient.cli._reproduce import run_reproduce

    run_reproduce(
        figure,
        trials=trials,
        data=data,
        output_dir=output_dir,
        n_jobs=n_jobs,
        quick=quick,
        seed=seed,
    )
