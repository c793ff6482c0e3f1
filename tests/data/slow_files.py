"""A filesystem that is not the local disk to whoever looks at it: slow, keeps a record of who read what, and holds a trap."""

import os
import time
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem


class SlowFiles(LocalFileSystem):
    """Files of the local disk. Opening one takes `delay_s` and appends a line to `log`; `killer.wav` ends the process."""

    protocol = "slow"
    cachable = False

    def __init__(self, log, delay_s=0.0, **kwargs):
        super().__init__(**kwargs)
        self.log, self.delay_s = log, delay_s

    def _open(self, path, mode="rb", **kwargs):
        import ray

        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "driver"
        with open(self.log, "a") as log:
            log.write(f"{node} {Path(path).name}\n")
        if Path(path).name == "killer.wav":
            os._exit(1)
        time.sleep(self.delay_s)
        return super()._open(path, mode, **kwargs)
