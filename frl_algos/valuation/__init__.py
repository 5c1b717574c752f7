"""What a policy is worth on logged members, by models of the outcome. For judging, selecting and d3rlpy evaluators."""
