"""Tables of your own members: Parquet, CSV or Arrow to a Minari dataset, and a dataset to a table."""

from frl_env.datasets.table_import.exporting import export_table
from frl_env.datasets.table_import.importing import Imported, import_table
from frl_env.datasets.table_import.options import ImportOptions
from frl_env.datasets.table_import.schema.columns import ColumnMap
from frl_env.datasets.table_import.schema.problems import Problem, TableError

__all__ = ["ColumnMap", "ImportOptions", "Imported", "Problem", "TableError", "export_table", "import_table"]
