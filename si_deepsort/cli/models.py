"""`si-deepsort models`: what there is, fetch it, check it, publish it."""

import json
from pathlib import Path
from typing import Annotated

import typer

models_app = typer.Typer(
    help="Pretrained models: list, info, verify, pull, push.", no_args_is_help=True, pretty_exceptions_enable=False
)
CacheDir = Annotated[Path | None, typer.Option(help="Cache of the Hub's client (default: HF_HOME).")]


def add_commands(app: typer.Typer) -> None:
    """Add `models` to the command line."""
    app.add_typer(models_app, name="models")


@models_app.command("list")
def list_command(
    task: Annotated[
        str | None, typer.Option(help="detection, classification, embedding, denoising, lfp or events.")
    ] = None,
    probe: Annotated[str | None, typer.Option(help="Part of a probe's name.")] = None,
    cache_dir: CacheDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List bundled, registered and cached models. No request is made."""
    from ..zoo import list_models

    table = list_models(task, probe, cache_dir=cache_dir)
    if as_json:
        print(table.to_json(orient="records", indent=2))
    elif len(table) == 0:
        print("No model fits.")
    else:
        table["sampling_frequency"] = [f"{value:g}" for value in table["sampling_frequency"]]
        print(table.replace("nan", "any").fillna("").to_string(index=False, max_colwidth=48))


@models_app.command("info")
def info_command(
    model: Annotated[str, typer.Argument(help="Name, folder, or owner/name@revision.")], cache_dir: CacheDir = None
) -> None:
    """Show what a model is and where it comes from; fetches it if it is not in the cache."""
    from ..zoo import describe_model

    print(json.dumps(describe_model(model, cache_dir=cache_dir), indent=2))


@models_app.command("verify")
def verify_command(
    models: Annotated[
        list[str] | None, typer.Argument(help="Names, folders, or owner/name@revision; default: all that are here.")
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Check models: sha256, names and shapes of all tensors. Fails if any is damaged. No request is made."""
    from ..zoo import list_models, verify

    if not models:
        table = list_models(cache_dir=cache_dir)
        models = table["name"][table["where"] != "hub"].tolist()
    failures = 0
    for model in models:
        try:
            found = verify(model, cache_dir=cache_dir, local_files_only=True)
            print(f"ok       {model}  sha256 {found['sha256'][:12]}…")
        except (ValueError, OSError) as error:
            failures += 1
            print(f"FAILED   {model}  {error}")
    if failures:
        raise ValueError(f"{failures} of {len(models)} models cannot be used, see above.")


@models_app.command("pull")
def pull_command(
    models: Annotated[list[str], typer.Argument(help="Names, or owner/name@revision.")],
    to: Annotated[
        Path | None, typer.Option(help="Also copy the model to this folder, to carry it to a machine without internet.")
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Fetch models from the Hub and verify them. HF_HOME, HF_ENDPOINT and HF_TOKEN are respected."""
    from ..zoo import pull

    if to is not None and len(models) > 1:
        raise ValueError(f"Got {len(models)} models and one folder --to, expected one model.")
    for model in models:
        print(pull(model, to=to, cache_dir=cache_dir))


@models_app.command("push")
def push_command(
    model: Annotated[str | None, typer.Argument(help="A model folder, or the name of a bundled model.")] = None,
    repo_id: Annotated[str | None, typer.Argument(help="owner/name on the Hub.")] = None,
    all_to: Annotated[
        str | None, typer.Option("--all", metavar="OWNER", help="Publish every bundled model as OWNER/name.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Name of this version, such as v1. A tag is never moved.")] = None,
    private: Annotated[bool | None, typer.Option("--private/--public", help="Visibility of a new repository.")] = None,
    message: Annotated[str, typer.Option(help="Message of the commit.")] = "Upload model",
) -> None:
    """Publish a model on the Hub with its card; prints the reference that nobody can move."""
    from ..zoo import push_all, push_to_hub

    if all_to is not None:
        if model is not None or tag is not None:
            raise ValueError("--all OWNER publishes every bundled model: leave out MODEL, REPO_ID and --tag.")
        for name, reference in push_all(all_to, private=private, message=message).items():
            print(f"{name!r}: {reference!r},")
        return
    if model is None or repo_id is None:
        raise ValueError("Give MODEL and REPO_ID (owner/name), or --all OWNER to publish every bundled model.")
    print(push_to_hub(model, repo_id, tag=tag, private=private, message=message))
