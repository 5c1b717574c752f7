"""What a user may ask of an import."""

from dataclasses import dataclass

from frl_env.datasets.ids import parse_id
from frl_env.datasets.recipes import RECIPES
from frl_env.datasets.table_import.checking.outcomes import REWARDS
from frl_env.datasets.table_import.schema.layout import SEVERAL
from frl_env.datasets.table_import.schema.listed import DECISIONS
from frl_env.datasets.table_import.schema.problems import ON_ERROR
from frl_env.errors import UserError, unknown_name


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How a table is imported.

    Args:
        on_error: "fail" at any problem; "drop" the rows; "clip" numbers to what is allowed and drop the rest.
        rewards: "weekly", "one-step", or "auto"; see `outcomes`.
        validation_share: Share of the members that make up a second dataset; 0 for none.
        several: Which contact is kept where a week has several and rows are left out: the one that takes most minutes,
            or the first or last in the table.
        keep_identifiers: Whether the dataset says which number stands for which member of the table.
        decision: Of weeks that a worklist speaks of: "done", what the table says, or "listed", what the list says.

    Raises:
        UserError: If one of them is impossible.
    """

    on_error: str = "fail"
    rewards: str = "auto"
    validation_share: float = 0.0
    keep_identifiers: bool = False
    several: str = SEVERAL[0]
    decision: str = DECISIONS[0]

    def __post_init__(self) -> None:
        """Checks them."""
        choices = {"on_error": ON_ERROR, "rewards": REWARDS, "several": SEVERAL, "decision": DECISIONS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown_name(name.replace("_", "-"), getattr(self, name), known)
        if not 0 <= self.validation_share < 1:
            raise UserError(f"the validation share must lie in 0..1, below 1, not {self.validation_share:g}")


def dataset_ids(dataset_id: str, options: ImportOptions) -> tuple[str, ...]:
    """Ids to write.

    Raises:
        UserError: If the id is none, or that of a recipe.
    """
    parsed = parse_id(dataset_id)
    ids = (dataset_id, parsed.validation) if options.validation_share else (dataset_id,)
    parse_id(ids[-1])  # it is the longer one
    for one in ids:
        if one in RECIPES:
            raise UserError(f"dataset {one!r} is made by a recipe; choose another id for your own members")
    return ids
