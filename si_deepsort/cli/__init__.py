"""
The command line. Each module of this folder parses one family of commands, calls the library and prints.

Errors that a user can mend (ValueError, OSError) are shown as one message without a traceback.
"""

import sys
from importlib import import_module

import typer
from typer.models import CommandInfo, TyperInfo

from .console import hide_warnings_not_for_users

# Modules of this folder; each has a function `add_commands(app)`.
COMMAND_MODULES: tuple[str, ...] = (
    "sort",
    "assess",
    "view",
    "denoise",
    "train",
    "lfp",
    "events",
    "models",
    "benchmark",
    "stress",
)
# Commands that need nothing of SpikeInterface.
WITHOUT_SPIKEINTERFACE = ("models", "settings")
# Headings in the help, and the commands below each.
PANELS: dict[str, tuple[str, ...]] = {
    "Sort": ("sort", "settings", "view", "demo"),
    "Know how good it is": ("assess", "stress-test", "benchmark"),
    "Learn from labelled recordings": ("train-detector", "train-classifier", "tune-detector"),
    "Denoise": ("denoise", "denoiser-report", "train-denoiser"),
    "Field potentials": ("train-lfp", "predict-spikes"),
    "Miniature events": ("events", "train-events"),
    "Models and installation": ("models", "doctor"),
}

app = typer.Typer(
    name="si-deepsort",
    help="Neural networks for extracellular electrophysiology, inside SpikeInterface.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _root(context: typer.Context) -> None:
    # SpikeInterface takes seconds to import: only for commands that need it, and not for their help.
    if context.invoked_subcommand not in WITHOUT_SPIKEINTERFACE and "--help" not in sys.argv:
        import si_deepsort

        si_deepsort.register()
        hide_warnings_not_for_users()


for _module in COMMAND_MODULES:
    import_module(f"{__name__}.{_module}").add_commands(app)
_commands: list[CommandInfo | TyperInfo] = [*app.registered_commands, *app.registered_groups]
for _command in _commands:
    _command.rich_help_panel = next((panel for panel, names in PANELS.items() if _command.name in names), None)


def main() -> None:
    """Entry point of `si-deepsort`."""
    try:
        app()
    except (ValueError, OSError, NotImplementedError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
