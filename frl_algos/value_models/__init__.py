"""What a policy is worth on logged members, by models of the outcome. For reports, selection and d3rlpy evaluators."""
