"""Detection metrics as in DCASE Task 2. A higher score is more anomalous."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

PAUC_MAX_FPR = 0.1


def auc(normals: Sequence[float], anomalies: Sequence[float]) -> float:
    """Return the area under the ROC curve; ties count one half.

    Kawaguchi et al., DCASE 2021, equation 2, as everybody computes it. NaN when a side is empty.
    """
    return _area(normals, anomalies, None)


def pauc(normals: Sequence[float], anomalies: Sequence[float]) -> float:
    """Return the area up to a false positive rate of p = 0.1 on the McClish scale: chance is 0.5.

    ½ · (1 + (A − p²/2) / (p − p²/2)), A the area under the ROC up to p. NaN when a side is empty.
    """
    return _area(normals, anomalies, PAUC_MAX_FPR)


def _area(normals: Sequence[float], anomalies: Sequence[float], max_fpr: float | None) -> float:
    if len(normals) == 0 or len(anomalies) == 0:
        return float("nan")
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(normals)), np.ones(len(anomalies))])
    return float(roc_auc_score(truth, np.concatenate([normals, anomalies]), max_fpr=max_fpr))


def alarm_rate(alarms: Sequence[bool]) -> float:
    """Return the share of clips that alarm; NaN when there are none.

    Of normals it is the false alarm rate, of anomalies the detection rate (recall).
    """
    return sum(alarms) / len(alarms) if alarms else float("nan")


def f1(normals: Sequence[bool], anomalies: Sequence[bool]) -> float:
    """Return F1 = 2 TP / (2 TP + FP + FN) from whether each clip alarms; NaN when a side is empty."""
    if not normals or not anomalies:
        return float("nan")
    return 2 * sum(anomalies) / (sum(anomalies) + sum(normals) + len(anomalies))


def harmonic_mean(values: Iterable[float]) -> float:
    """Return the harmonic mean of the values that are not NaN; NaN when there are none, 0 when one is 0."""
    known = np.array([value for value in values if not np.isnan(value)])
    if known.size == 0:
        return float("nan")
    return 0.0 if (known <= 0).any() else float(known.size / np.sum(1.0 / known))
