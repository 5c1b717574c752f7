"""The actions of the simulated care program: how a member is contacted, by whom, what about, and how urgently."""

from frl_env.actions.action_space import ActionSpace
from frl_env.actions.factor import Factor

MEDICAID_ACTIONS = ActionSpace(
    factors=(
        Factor(
            name="modality",
            levels=("NONE", "PHONE_CALL", "SMS_TEXT", "VIDEO_VISIT", "HOME_VISIT", "EHR_COMMUNICATION"),
        ),
        Factor(name="provider", levels=("NONE", "CHW", "CARE_COORDINATOR", "PHARMACIST", "THERAPIST")),
        Factor(
            name="goal",
            levels=(
                "NONE",
                "MEDICATION_ADHERENCE",
                "MEDICATION_OPTIMIZATION",
                "HYPERTENSION",
                "DIABETES",
                "ASTHMA_COPD",
                "DEPRESSION",
                "MENTAL_HEALTH",
                "FOOD_INSECURITY",
                "HOUSING_INSECURITY",
                "TRANSPORTATION",
                "FINANCIAL",
                "EMPLOYMENT",
                "PCP_APPOINTMENT",
                "INSURANCE_COVERAGE",
                "DENTAL",
                "CARE",
                "OTHER",
            ),
            # The published reference code lists this nineteenth goal; its data imports without loss of rows.
            aliases={"OTHER_MENTAL_BEHAVIORAL": "MENTAL_HEALTH"},
        ),
        Factor(name="urgency", levels=("ROUTINE", "URGENT")),
    ),
    contact_factors=("modality", "provider", "goal"),
)
"""The care-management action space: `MultiDiscrete([6, 5, 18, 2])`, 1,080 joint actions of which 681 are valid."""
