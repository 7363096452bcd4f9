"""Rules of the house that import-linter has no contract for.

They look at direct imports only. A package that does not exist keeps its contract.
"""

from __future__ import annotations

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

Link = tuple[str, str]


class AllowListContract(Contract):
    """A package imports the standard library, what is listed, and itself; nothing else.

    Options:
        source_package: the package.
        allowed_packages: packages of others; left out, all are allowed.
        own_packages: packages of the project; left out, none is allowed.
    """

    type_name = "allow_list"

    source_package = fields.StringField()
    allowed_packages = fields.SetField(subfield=fields.StringField(), required=False)
    own_packages = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the base's
        root = self.source_package.partition(".")[0]
        own = {self.source_package, *(self.own_packages or ())}
        broken = [
            (importer, imported)
            for importer in members(graph, self.source_package)
            for imported in graph.find_modules_directly_imported_by(importer)
            if not self._allows(imported, root, own)
        ]
        return result(broken)

    def _allows(self, imported: str, root: str, own: set[str]) -> bool:
        package = imported.partition(".")[0]
        if package == root:
            return any(inside(imported, allowed) for allowed in own)
        if self.allowed_packages is None:
            return True
        return package in self.allowed_packages or package in sys.stdlib_module_names

    def render_broken_contract(self, check: ContractCheck) -> None:
        render(check)


class PlugInContract(Contract):
    """What lies in certain folders is imported from nowhere, not even by its neighbours.

    Options:
        root_package: where to look.
        folders: last names of the packages that hold plug-ins.
    """

    type_name = "plug_ins"

    root_package = fields.StringField()
    folders = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the base's
        names = members(graph, self.root_package)
        folders = [name for name in names if name.rpartition(".")[2] in self.folders]
        return result(
            [
                (importer, plug_in)
                for folder in folders
                for plug_in in members(graph, folder) - {folder}
                for importer in graph.find_modules_that_directly_import(plug_in)
                if not inside(importer, plug_in)
            ]
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        render(check)


class VisitorsContract(Contract):
    """Only some packages import a package; unlike `protected`, it may be absent.

    Options:
        package: the package or module.
        visitors: the packages that may import it.
    """

    type_name = "visitors"

    package = fields.StringField()
    visitors = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the base's
        welcome = {self.package, *self.visitors}
        return result(
            [
                (importer, imported)
                for imported in members(graph, self.package)
                for importer in graph.find_modules_that_directly_import(imported)
                if not any(inside(importer, visitor) for visitor in welcome)
            ]
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        render(check)


def members(graph: ImportGraph, package: str) -> set[str]:
    """Return a package and everything in it; nothing when it does not exist."""
    if package not in graph.modules:
        return set()
    return {package, *graph.find_descendants(package)}


def inside(module: str, package: str) -> bool:
    """Say whether `module` is `package` or lies in it."""
    return module == package or module.startswith(f"{package}.")


def result(broken: list[Link]) -> ContractCheck:
    """Return the verdict on the links that should not be."""
    return ContractCheck(kept=not broken, metadata={"broken": sorted(broken)})


def render(check: ContractCheck) -> None:
    """Print the links that should not be."""
    for importer, imported in check.metadata["broken"]:
        output.print_error(f"{importer} imports {imported}")
