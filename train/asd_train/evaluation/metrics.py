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


def pauc_eq3(normals: Sequence[float], anomalies: Sequence[float]) -> float:
    """Return pAUC as Kawaguchi et al. (DCASE 2021) print it in equation 3: from 0 to 1, chance is about p/2 = 0.05.

    The share of pairs in which the anomaly scores higher, over the ⌊p · N⌋ normals that score highest; a tie counts 0.
    No published table is on this scale. NaN when a side is empty or there are fewer than 1/p normals.
    """
    highest = np.sort(np.asarray(normals, dtype=np.float64))[::-1][: len(normals) // round(1 / PAUC_MAX_FPR)]
    if highest.size == 0 or len(anomalies) == 0:
        return float("nan")
    return float(np.mean(np.asarray(anomalies)[:, None] > highest))


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


def alarms_per_hour(alarms: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the alarms an hour of sound, from the alarms in each clip and its length in seconds; NaN without sound.

    A device has fewer: its decision also waits (`on_delay_s`), which a test clip of ten seconds is too short to show.
    """
    heard = sum(seconds)
    return 3600.0 * sum(alarms) / heard if heard else float("nan")


def precision(normals: Sequence[bool], anomalies: Sequence[bool]) -> float:
    """Return TP / (TP + FP) from whether each clip alarms; 0 when none does, NaN when a side is empty."""
    if not normals or not anomalies:
        return float("nan")
    raised = sum(normals) + sum(anomalies)
    return sum(anomalies) / raised if raised else 0.0


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


def arithmetic_mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN when there are none."""
    known = [value for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")
