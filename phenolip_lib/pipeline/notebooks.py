"""Run the numbered notebooks: stripped copies in, executed and byte-stable notebooks out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# nbformat imports jsonschema, which would build a grammar of IRIs (three seconds) for a check that nobody asks for.
sys.modules.setdefault("rfc3987_syntax", None)

import nbformat  # noqa: E402

from phenolip_lib.core.errors import PhenoLIPError  # noqa: E402
from phenolip_lib.core.storage import atomic_folder, write_text, writing  # noqa: E402


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without outputs, counts and editor metadata; tags and cell ids stay."""
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode({"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.NotebookNode({"kernelspec": kernel, "language_info": {"name": "python"}})
    return notebook


def _write(notebook: nbformat.NotebookNode, path: Path) -> None:
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def strip_folder(source: Path, target: Path) -> list[str]:
    """Stripped copies of all notebooks of a folder; returns their names.

    Raises:
        PhenoLIPError: a file is not a notebook.
    """
    names = []
    with atomic_folder(target) as folder:
        for path in sorted(Path(source).glob("*.ipynb")):
            try:
                notebook = nbformat.read(path, as_version=4)
            except Exception as error:
                raise PhenoLIPError(f"{path}: not a notebook ({type(error).__name__})") from None
            _write(strip(notebook), folder / path.name)
            names.append(path.name)
    return names


def clean(path: Path) -> None:
    """Take out of an executed notebook what differs between equal runs here or elsewhere.

    These are times, random ids, and standard error: warnings, which name folders of the machine, and log lines. They
    are for who waits, and `execute` has passed them on.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    _write(notebook, path)


def _join_streams(outputs: list) -> list:
    """Without standard error; consecutive pieces of standard output as one, for how they were cut depends on timing."""
    joined: list = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def execute(notebook: Path, output: Path, parameters: dict[str, Any], root: Path) -> None:
    """Run a stripped notebook from the project root and write the executed one.

    A notebook that fails is written as well, with its traceback, beside the stage's outputs.

    Raises:
        PhenoLIPError: a parameter the notebook does not have; or the notebook raised one itself,
            then with that message and no traceback.
    """
    import papermill  # slow to import, and only this function needs it
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(known)):
        raise PhenoLIPError(f"{notebook.name} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))}")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with writing(output):
            papermill.execute_notebook(
                str(notebook),
                str(output),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(root),
                progress_bar=sys.stderr.isatty(),
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                # Without a key the kernel warns that others of the machine could listen.
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
    except PapermillExecutionError as error:
        if error.ename in {kind.__name__ for kind in (PhenoLIPError, *PhenoLIPError.__subclasses__())}:
            raise PhenoLIPError(error.evalue) from None
        raise
    finally:
        if output.is_file():
            clean(output)
