"""Models that stay open, for recordings and arrays."""

import dataclasses
import os

from ._native import _core
from .audio import mono
from .errors import Error
from .result import Result


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    recordings_done: int
    recordings_total: int
    windows_done: int
    windows_per_s: float
    eta_s: float  # 0 while unknown


class Predictor:
    """Scores recordings with a model, an ensemble or a plan, on every core that the process may use.

        predictor = whimbrel.Predictor("model.toml")
        result = predictor.predict("recordings/", progress=True)
        result.to_submission("submission.csv")

    Opened once, it serves any number of calls, from any thread (calls wait for each other). The GIL is released while it works,
    and Ctrl-C ends a call. Scores are those of `whimbrel predict`, to the bit.

    @ivar labels          classes in the order of scores
    @ivar sample_rate_hz  of the first model's windows
    @ivar window_s        length of a window; hop_s: from the start of one to the start of the next
    """

    def __init__(
        self,
        model_or_plan,
        engine: str = "auto",
        threads: int | None = None,
        *,
        max_memory: str | None = None,
        batch: int | None = None,
        hop_s: float | None = None,
        threshold: float = 0.1,
        top_k: int | None = None,
        embeddings: bool = False,
        mean: str = "arithmetic",
        mean_power: float = 2.0,
        smooth=None,
        prior: str | None = None,
        prior_power: float | None = None,
        merge_gap_s: float | None = None,
        species_list=None,
        thresholds=None,
        events: bool = False,
        event_median_frames: int | None = None,
        event_high: float | None = None,
        event_low: float | None = None,
        tta_shifts_s=None,
        ignore_postprocess: bool = False,
    ):
        """
        @param model_or_plan  a manifest or model file, a list of them (or of patterns: "folds/*.toml"), or a plan of
                              `whimbrel plan`
        @param engine         "auto", "onnxruntime", "openvino" or "torchscript"
        @param threads        workers; None: one per core that this process may use
        @param max_memory     of the whole process, such as "2G": fewer workers, and an early end where one does not fit
        @param batch          windows an inference; None: chosen with the engine
        @param hop_s          seconds from window to window; None: the manifest's
        @param threshold      detections are scores at or above it
        @param embeddings     keep the model's embeddings too
        @param mean           of an ensemble: "arithmetic", "geometric", "power" (with mean_power) or "rank"
        The others are the options of `whimbrel predict` of the same name (docs/postprocessing.md); None: the manifest's.
        @throws Error  "not_found", "bad_manifest", "invalid_argument", "unsupported", "engine"
        """
        words = {
            "engine": engine,
            "threads": threads,
            "max_memory": max_memory,
            "batch": batch,
            "hop_s": hop_s,
            "threshold": threshold,
            "top_k": top_k,
            "embeddings": embeddings,
            "mean": mean,
            "mean_power": mean_power,
            "smooth": smooth,
            "prior": prior,
            "prior_power": prior_power,
            "merge_gap_s": merge_gap_s,
            "species_list": species_list,
            "thresholds": thresholds,
            "events": events,
            "event_median_frames": event_median_frames,
            "event_high": event_high,
            "event_low": event_low,
            "tta_shifts_s": tta_shifts_s,
            "ignore_postprocess": ignore_postprocess,
        }
        check(words)
        models, plan = models_and_plan(model_or_plan)
        self._predictor = _core.Predictor(models, plan, {key: value for key, value in words.items() if value is not None})
        self.labels = self._predictor.labels
        self.sample_rate_hz = self._predictor.sample_rate_hz
        self.window_s = self._predictor.window_s
        self.hop_s = self._predictor.hop_s

    def predict(self, paths, callback=None, *, progress=None, budget_s: float | None = None) -> Result:
        """Scores recordings. A bad one is a row of the result's ledger, never an exception.

        @param paths     a path or a list: recordings, folders (searched recursively), "@list.txt" (one path a line)
        @param callback  called with a Progress about ten times a second
        @param progress  True: a bar of tqdm (as a widget in notebooks), or a class of the same protocol
        @param budget_s  done after so many seconds from the call, with every row, whatever it takes (docs/budget.md)
        @throws Error    "not_found", "invalid_argument", and what ends a run; KeyboardInterrupt at Ctrl-C
        """
        one = isinstance(paths, str | bytes | os.PathLike)
        return self._run([paths] if one else list(paths), [], callback, progress, budget_s)

    def predict_array(self, samples, sample_rate_hz: int, *, name: str = "array", callback=None, progress=None) -> Result:
        """Scores one recording that is in memory.

        @param samples         [n], or [channels, n], whose mean is heard; floats in [-1, 1], integers of the full range of
                               their type
        @param sample_rate_hz  any; resampled as a file would be
        """
        return self._run([], [(name, mono(samples), int(sample_rate_hz))], callback, progress, None)

    def _run(self, inputs, samples, callback, progress, budget_s):
        if budget_s is not None and not budget_s > 0:
            raise Error("invalid_argument", f"budget_s={budget_s}, expected seconds above 0")
        with Bar(progress) as bar:

            def tell(*values):
                told = Progress(*values)
                bar.show(told)
                if callback is not None:
                    callback(told)

            listens = callback is not None or progress
            found = self._predictor.predict(inputs, samples, budget_s or 0.0, tell if listens else None)
            result = Result(found)
            bar.finish(result)
        return result


class Bar:
    """A progress bar of tqdm's protocol: made with total and unit, told by update(), ended by close()."""

    def __init__(self, progress):
        self._kind = tqdm_or_none() if progress is True else progress or None
        self._bar = None

    def __enter__(self):
        return self

    def show(self, told):
        if self._kind is None:
            return
        if self._bar is None:
            self._bar = self._kind(total=told.recordings_total, unit="recording")
        self._bar.update(told.recordings_done - self._bar.n)
        if hasattr(self._bar, "set_postfix_str"):
            self._bar.set_postfix_str(f"{told.windows_per_s:.0f} windows/s")

    def finish(self, result):
        if self._bar is not None:
            self._bar.update(len(result.recordings) - self._bar.n)

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()


def tqdm_or_none():
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def models_and_plan(model_or_plan):
    """(models, None), or ([], plan) for a TOML file that has [plan]."""
    if not isinstance(model_or_plan, str | bytes | os.PathLike):
        return list(model_or_plan), None
    if os.fsdecode(model_or_plan).endswith(".toml") and is_plan(model_or_plan):
        return [], model_or_plan
    return [model_or_plan], None


def is_plan(path):
    import tomllib

    try:
        with open(path, "rb") as file:
            return "plan" in tomllib.load(file)
    except (OSError, ValueError):
        return False  # the core says what is wrong with it


def check(words):
    """What C++ types cannot say themselves."""
    for key, least in {"threads": 1, "batch": 1, "top_k": 1}.items():
        if words[key] is not None and words[key] < least:
            raise Error("invalid_argument", f"{key}={words[key]}, expected {least} or more")
    if not 0 <= words["threshold"] <= 1:
        raise Error("invalid_argument", f"threshold={words['threshold']}, expected 0..1")
    if words["hop_s"] is not None and not words["hop_s"] > 0:
        raise Error("invalid_argument", f"hop_s={words['hop_s']}, expected seconds above 0")
