"""Writes down whose functions run in the jobs of a pipeline; read at every start of Python.

For tests: with this folder on PYTHONPATH, and RECORD naming a folder, every process of a command
`active-perception ..` adds lines to a file of its own there: first the command as JSON, then the
files of the package as their functions are first called. What is only imported, or checks the
configuration, is not among them.

Each function and lambda of the package begins with a call of `__ran__`, from its import on. That
slows nothing else down, as it would to have Python trace every call, of other packages' as well.
Bytecode with these calls is kept beside the folder.
"""

import ast
import builtins
import json
import os
import sys
import time
from importlib.machinery import PathFinder, SourceFileLoader

_COMMAND = "RECORDED_COMMAND"  # of the job whose process started this one, such as a worker
_PACKAGE = "active_perception_r1"
_FOLDER = f"/{_PACKAGE}/"
_SETTINGS = ("config/", "keys/", "report/provenance/keys.py")
_CALL = "__ran__(__file__)"


class _Announced(ast.NodeTransformer):
    """Has functions and lambdas begin with the call."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        after_docstring = int(ast.get_docstring(node, clean=False) is not None)
        node.body.insert(after_docstring, ast.parse(_CALL).body[0])
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node):
        self.generic_visit(node)
        call = ast.parse(_CALL, mode="eval").body  # It returns None.
        node.body = ast.BoolOp(ast.Or(), [call, node.body])
        return node


class _Loader(SourceFileLoader):
    bytecode = ""  # the folder for it

    def source_to_code(self, data, path):
        tree = ast.fix_missing_locations(_Announced().visit(ast.parse(data, path)))
        return compile(tree, path, "exec", dont_inherit=True)

    def get_code(self, fullname):
        usual, sys.pycache_prefix = sys.pycache_prefix, self.bytecode
        try:
            return super().get_code(fullname)
        finally:
            sys.pycache_prefix = usual


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] != _PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _decides_nothing(frame):
    """Whether it runs on behalf of an import, or of settings, which count by their values."""
    while frame is not None:
        code = frame.f_code
        if _FOLDER in code.co_filename:
            name = code.co_filename.rpartition(_FOLDER)[2]
            if code.co_name == "<module>" or name.startswith(_SETTINGS):
                return True
        frame = frame.f_back
    return False


def _record(folder, command):
    name = f"{os.getpid()}-{time.time_ns()}"  # the number alone comes again
    file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{command}\n".encode())
    known = set()

    def ran(path):
        if path not in known and not _decides_nothing(sys._getframe(1)):
            known.add(path)
            os.write(file, f"{path}\n".encode())  # at once: a job may be killed

    builtins.__ran__ = ran
    _Loader.bytecode = f"{folder}.pycache"
    sys.meta_path.insert(0, _Finder)


if __name__ == "sitecustomize" and "RECORD" in os.environ:
    if sys.argv[0].endswith("/active-perception"):
        os.environ[_COMMAND] = json.dumps(sys.argv[1:])
    if _COMMAND in os.environ:
        _record(os.environ["RECORD"], os.environ[_COMMAND])
