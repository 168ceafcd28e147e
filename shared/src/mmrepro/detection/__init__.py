"""What the papers of detection share: data sets, metrics and the inferencers' drawings, made from mmdet's.

The modules need mmdet; papers import them explicitly. Importing this package, or :mod:`mmrepro`, imports none of them.
"""
