"""Who gets how much care, group by group: measures, intervals, gaps, files. For whoever audits logged members."""
