"""Tables of your own members: Parquet, CSV or Arrow to a Minari dataset, and a dataset to a table."""

from frl_env.datasets.tabular.exporting import export_table
from frl_env.datasets.tabular.importing import Imported, import_table
from frl_env.datasets.tabular.options import ImportOptions
from frl_env.datasets.tabular.schema.columns import ColumnMap
from frl_env.datasets.tabular.schema.problems import Problem, TableError

__all__ = ["ColumnMap", "ImportOptions", "Imported", "Problem", "TableError", "export_table", "import_table"]
