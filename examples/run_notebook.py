"""Runs a notebook from top to bottom and keeps its outputs: run_notebook.py NOTEBOOK [-o OUT]. Needs nbclient and ipykernel."""

import argparse
import pathlib

import nbclient
import nbformat


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=pathlib.Path)
    parser.add_argument("-o", "--out", type=pathlib.Path, help="where to write it; default: in place")
    options = parser.parse_args()
    notebook = nbformat.read(options.notebook, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": options.notebook.parent}})
    client.execute()
    for cell in notebook.cells:  # when it ran is of no use to a reader
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, options.out or options.notebook)


if __name__ == "__main__":
    main()
