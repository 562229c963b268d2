"""What figures and terms are called in a report, and what they mean."""

SHORT = {
    "t1": ("T1RMD", "right photo at rank 1"),
    "t5": ("T5RMD", "right photo among the first 5"),
    "dt5ap": ("DT5AP", "precision at ranks 1 to 5"),
    "map": ("mAP", "precision at all right photos"),
    "ccdr": ("CCDR", "own to other distance; lower is better"),
    "same_angle": ("Angle, same", "degrees"),
    "different_angle": ("Angle, different", "degrees"),
    "auroc": ("Known or new, AUROC", "best similarity, known above new"),
    "false_new": ("Known taken for new", "at 1 % new taken for known; lower is better"),
}
TERMS = {
    "Query and gallery": "Every photo asks once: the others are ranked by how alike they are. A photo whose animal has "
    "no other photo asks nothing, but stands in everybody's list. Left and right side of an animal are two identities "
    "where the labels tell them apart.",
    "TkRMD": "The share of queries with at least one right photo among the first k; over all k this is the CMC curve.",
    "DTkAP": "For each query the mean of the precision at ranks 1, 2, … up to k or to the number of right photos, if "
    "that is less. A lone hit at rank 4 of 5 gives (1/4 + 1/5)/5 = 0.09.",
    "mAP": "For each query the mean of the precision at the rank of every right photo.",
    "CCDR": "For each query the mean cosine distance to the photos of its own identity divided by that to all others.",
    "Known or new": "Each photo is asked twice: with its animal in the gallery, and with all photos of its animal "
    "taken out, as if it were new. AUROC is how often the best similarity of a known case is above that of a new case. "
    "The second figure sets the limit so that at most 1 % of the new cases are taken for known animals, and says how "
    "many known cases are then taken for new.",
    "Other events only": "Photos of one station within the independence interval are near-duplicates; here a query is "
    "compared with the photos of other events only.",
    "Headings normalised": "Photos of a left flank are mirrored, so that all animals walk one way and the way gives "
    "nobody away. Where the flank is unknown, a pair counts by the best of both as seen and either one mirrored.",
    "Interval": "95 %, by drawing the animals (not the photos) again and again with replacement; the gallery stays as "
    "it is. It says how far a figure depends on which animals were asked for.",
    "Chance": "What random scores would reach on the same queries.",
}
