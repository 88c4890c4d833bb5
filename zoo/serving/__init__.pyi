from .checks import check as check
from .client import Client as Client
from .client import ServerError as ServerError
from .other_runtimes import export_litert as export_litert
from .other_runtimes import export_onnx as export_onnx
from .saved_model import export as export
from .saved_model import import_layers as import_layers
from .server import serve as serve
