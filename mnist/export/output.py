"""What ``mnist.export`` prints: what was checked and how it agreed, and what lies where."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from mnist.base.console import make_console, make_table, print_table
from mnist.export import bundle, weight_files
from mnist.model import opening

_CONTENTS = {
    bundle.MODEL_JSON: "what goes in and comes out, names of the weights, how it was checked",
    bundle.ONNX_FILE: "for onnxruntime, browsers, OpenCV and others",
    f"{bundle.PADDLE_FOLDER}/": "for Paddle: fluid.io.load_inference_model, the C++ predictor",
    weight_files.NPZ: "the weights alone, for NumPy, PyTorch, Paddle 2 and 3",
    weight_files.SAFETENSORS: "the same, for safetensors",
}


def print_export(
    checkpoint: Optional[str], assume: Sequence[str], to: str, data: Optional[str], force: bool
) -> None:
    """Export a checkpoint (``best`` by default) into the folder ``to`` and print how it went."""
    source = opening.open_checkpoint(checkpoint, assume)
    description = bundle.export(source, to, data, force)
    console = make_console()
    architecture = f"{description['model']['name']}, {description['model']['loss']}"
    temperature = description["temperature"]
    rows = [
        ("checkpoint", f"{source.named} ({description['checkpoint']['name']}): {architecture}"),
        ("input", _tensor(description["input"]) + " in 0–1"),
        ("output", _tensor(description["output"])),
        ("temperature", "none" if temperature is None else f"{temperature:g}"),
        ("checked on", description["checked"]["on"]),
    ]
    for heading, text in rows:
        console.print(f"{heading:<11} {text}")
    table = make_table("runtime", "largest difference", "same digit")
    for row in description["checked"]["results"]:
        difference, same = f"{row['largest_difference']:.1e}", f"{row['same_digit']:,}"
        table.add_row(row["runtime"], difference, same)
    print_table(console, "against dygraph", table)
    folder = Path(to)
    console.print(f"written to {folder}/")
    for file, purpose in _CONTENTS.items():
        console.print(f"  {file:<19} {_kilobytes(folder / file):>9}  {purpose}")


def _tensor(description: Dict[str, Any]) -> str:
    shape = ",".join(map(str, description["shape"]))
    return f"{description['name']}: {description['dtype']} [{shape}]"


def _kilobytes(path: Path) -> str:
    files = path.iterdir() if path.is_dir() else [path]
    return f"{sum(file.stat().st_size for file in files) / 1000:,.1f} kB"
