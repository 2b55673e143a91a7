"""What the server of warm workers imports: see `warm_workers`."""

from hfcompress.extras import is_installed
from hfcompress.tasks import get_task

for _name in ("text-classification", "image-classification", "token-classification"):
    get_task(_name).model_class()  # type: ignore[arg-type]
if is_installed("onnxruntime"):
    import onnxruntime  # noqa: F401
