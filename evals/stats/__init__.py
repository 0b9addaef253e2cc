"""Statistics of evaluations: intervals, paired differences, looks at any time, agreement.

Each subject has a module, and each function names its source. scipy and statsmodels are loaded by
the first function that needs them. All intervals are 95% ones, all random draws are seeded.
"""
