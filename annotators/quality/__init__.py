"""How well annotators judge: agreement, quality of each, bias, chains, what to look at.

`report.measure_quality` puts all of it together; each module stands alone.
"""
