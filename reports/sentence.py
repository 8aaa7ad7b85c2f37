"""The verdict on a run in one sentence that a shop manager understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from reports import words
from reports.nouns import STOCK
from reports.records import FAULTS, PairReport, Quality

#: How many reasons the sentence names before it sums up the rest.
NAMED = 5


def status(pairs: Sequence[PairReport], quality: Iterable[Quality]) -> str:
    """`refused`, `attention`, `unjudged` or `good`."""
    if any(each.critical for each in quality):
        return "refused"
    if any(pair.faulty for pair in pairs):
        return "attention"
    compared = any(pair.keys for pair in pairs)
    return "unjudged" if not compared or any(pair.group("unjudged").keys for pair in pairs) else "good"


def verdict(pairs: Sequence[PairReport], quality: Iterable[Quality]) -> tuple[str, str]:
    """The sentence in two parts: what matters most, and the rest of it with its punctuation."""
    refused = [each for each in quality if each.critical]
    if refused:
        return "Nothing can be concluded", f": {_refusals(refused)}."
    total, number = sum(pair.keys for pair in pairs), _number(pairs)
    if not total:
        return "Nothing was compared", f": there are no {number}s."
    faults = sum(pair.faulty for pair in pairs)
    unjudged = sum(pair.group("unjudged").keys for pair in pairs)
    if unjudged == total:
        return f"None of {count(total, number)} could be judged", f": {_unjudged(pairs)}."
    if faults:
        needs = "needs" if faults == 1 else "need"
        lead = f"{faults:,} of {count(total, number)} {needs} somebody"
        return lead, f": {_faults(pairs)}{_worth(pairs)}{_others(pairs, total)}."
    judged = " that could be judged" if unjudged else ""
    return f"None of {count(total - unjudged, number)}{judged} needs anybody", f"{_others(pairs, total)}."


def _number(pairs: Sequence[PairReport]) -> str:
    """What the pairs compare: one thing, or numbers of several kinds."""
    kinds = {pair.nouns.number for pair in pairs} or {STOCK.number}
    return kinds.pop() if len(kinds) == 1 else "number"


def count(number: int, thing: str) -> str:
    """A number of things: `1 key`, `1,204 keys`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _others(pairs: Sequence[PairReport], total: int) -> str:
    """What there is to say about the keys that need nobody."""
    moving, unjudged, agree = (
        sum(pair.group(name).keys for pair in pairs) for name in ("in_flight", "unjudged", "agree")
    )
    said = ""
    if moving:
        kinds = dict.fromkeys(pair.nouns.events for pair in pairs)
        events = " and ".join(kinds).replace(" and ", ", " if len(kinds) > 1 else " and ", 1)
        said += f"; {moving:,} {'differs' if moving == 1 else 'differ'} only by {events} on their way"
    if unjudged:
        said += f"; {unjudged:,} could not be judged: {_unjudged(pairs)}"
    if agree:
        said += "; everything agrees" if agree == total else "; everything else agrees"
    return said


def _refusals(refused: Iterable[Quality]) -> str:
    return ", ".join(f"{each.name} failed {count(len(each.critical), 'critical expectation')}" for each in refused)


def _faults(pairs: Iterable[PairReport]) -> str:
    counts: Counter[str] = Counter()
    for pair in pairs:
        for class_name, reason, keys in pair.reasons:
            if class_name in FAULTS:
                counts[words.counted(class_name, reason)] += keys
    return _listed(counts)


def _unjudged(pairs: Iterable[PairReport]) -> str:
    counts: Counter[str] = Counter()
    for pair in pairs:
        for each in pair.unjudged:
            counts[words.counted(each.class_name, None)] += each.keys
    return _listed(counts)


def _listed(counts: Counter[str]) -> str:
    """`3 that nothing explains, 2 with ...`: the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named, rest = ordered[:NAMED], ordered[NAMED:]
    parts = [f"{keys:,} {said}" for said, keys in named]
    if rest:
        parts.append(f"{sum(keys for _, keys in rest):,} for other reasons")
    return ", ".join(parts)


def _worth(pairs: Iterable[PairReport]) -> str:
    """The value of what needs somebody; a lower bound where some prices are not known."""
    faulty = [pair for pair in pairs if pair.faulty]
    names = ("late", "conflict", "break")
    value = sum((pair.group(name).value for pair in faulty for name in names), Decimal(0))
    if not value:
        return ""
    least = "at least " if any(pair.price_known < 1 for pair in faulty) else ""
    return f", worth {least}{value:,.2f} in all"
