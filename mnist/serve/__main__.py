"""``python -m mnist.serve``: a page to draw digits on, and the HTTP interface behind it."""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any

import click

from mnist.base import command, streams


@command.verb("serve", "serve --checkpoint data/pretrained --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535),
    help="The port to listen on; 0 is any free one.",
)  # fmt: skip
@command.checkpoint_option
@command.assume_option
@command.model_option
@command.doubt_option
@click.option(
    "--max-mib", default=8, show_default=True, type=click.IntRange(1, 64),
    help="The largest request, in MiB.",
)  # fmt: skip
@click.option(
    "--max-megapixels", default=16, show_default=True, type=click.IntRange(1, 50),
    help="The largest picture, in millions of pixels.",
)  # fmt: skip
@click.option(
    "--timeout", default=10.0, show_default=True, type=click.FloatRange(0.1, 600),
    help="Seconds for a request's head, for its body, and again for its answer.",
)  # fmt: skip
@click.option(
    "--queue", default=256, show_default=True, type=click.IntRange(1, 10_000),
    help="Images under way at once; more are told to come again (503).",
)  # fmt: skip
def main(max_mib: int, max_megapixels: int, timeout: float, queue: int, **options: Any) -> None:
    """A page to draw digits on, and an HTTP interface."""
    streams.outlive_output()
    from mnist.fluid import environment

    environment.prepare()
    preflight.require(
        "serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client", "swagger_ui_bundle"
    )
    from mnist.serve import server
    from mnist.serve.api import Limits

    limits = Limits(max_mib << 20, max_megapixels * 1_000_000, timeout, queue)
    server.serve(**options, limits=limits)


if __name__ == "__main__":
    command.run(main)
