"""A member's weeks for people: as text, or as a timeline figure of the year.

What no record shows (tier, needs, acuity, support, fatigue) is left out unless it is asked for with `reveal=True`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import AGE_BANDS, GENDERS, NEED_NAMES, RACES, TIERS
from frl_env.simulator.population import Members
from frl_env.simulator.state import NEVER, PAST_CONTACT_NAMES, Outcome, State, need_flags

FIGURE_INCHES, FIGURE_DPI = (11.0, 6.0), 80


@dataclass(frozen=True, kw_only=True)
class Week:
    """What is kept of a week for rendering.

    Attributes:
        observation: At the end of the week.
        state: Likewise.
        levels: What was done; None at entry.
        outcome: What happened; None at entry.
    """

    observation: Float32[np.ndarray, "measure"]
    state: State
    levels: tuple[int, int, int, int] | None = None
    outcome: Outcome | None = None


def week_text(member: Members, weeks: Sequence[Week], *, reveal: bool = False) -> str:
    """The latest week in a few lines: seen before, done, happened, seen now and, with `reveal`, what was latent."""
    latest = weeks[-1]
    lines = [f"week {int(latest.state.week)} · {_person(member)}"]
    if latest.levels is not None and latest.outcome is not None:
        lines += [
            f"  seen      {_seen(weeks[-2].observation)}" if len(weeks) > 1 else "",
            f"  done      {_done(latest.levels, latest.outcome)}",
            f"  happened  {_happened(latest.outcome)}",
        ]
    lines.append(f"  now       {_seen(latest.observation)}")
    if reveal:
        lines.append(f"  latent    {_latent(member, latest.state)}")
        lines.append(f"  needs     {_needs(latest.state)}")
    return "\n".join(line for line in lines if line)


def timeline(member: Members, weeks: Sequence[Week], *, reveal: bool = False) -> UInt8[np.ndarray, "height width 3"]:
    """The year so far as an RGB image: contacts by modality, events, dollars paid and, with `reveal`, the latent state.

    Returns:
        Shape (480, 880, 3).
    """
    # matplotlib takes a second to import, and only this function needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=FIGURE_INCHES, dpi=FIGURE_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(4 if reveal else 3, 1, sharex=True)
    contacts, events, money = panels[:3]
    figure.suptitle(_person(member) + (f" · {TIERS[int(member.tier)]} risk" if reveal else ""), fontsize=11)
    modalities = MEDICAID_ACTIONS["modality"].levels
    for week in weeks:
        if week.levels is None or week.outcome is None or not week.outcome.attempted:
            continue
        contacts.plot(
            week.state.week,
            week.levels[0],
            marker="o",
            markersize=8 if week.outcome.matched and reveal else 6,
            color="tab:green" if week.outcome.reached else "tab:gray",
            fillstyle="full" if week.outcome.reached else "none",
        )
    contacts.set_yticks(range(1, len(modalities)), [_words(name) for name in modalities[1:]], fontsize=8)
    contacts.set_ylim(0.5, len(modalities) - 0.5)
    contacts.set_title("contacts (filled: reached)", fontsize=9, loc="left")
    when = [int(week.state.week) for week in weeks]
    events.bar(when, [float(week.state.ed) for week in weeks], color="tab:orange", label="ED visits")
    stays = [float(week.state.ip) for week in weeks]
    events.bar(when, stays, bottom=[float(week.state.ed) for week in weeks], color="tab:red", label="hospital stays")
    events.set_ylim(0, 4)
    events.set_title("events", fontsize=9, loc="left")
    events.legend(fontsize=8, loc="upper right", frameon=False)
    money.step(when, [float(week.state.total_paid) for week in weeks], where="mid", color="tab:blue")
    money.set_ylim(bottom=0)
    money.set_title("US dollars paid, last 13 weeks", fontsize=9, loc="left")
    if reveal:
        latent = panels[3]
        latent.plot(when, [int(need_flags(week.state.needs).sum()) for week in weeks], label="open needs")
        latent.plot(when, [float(week.state.support) for week in weeks], label="support")
        latent.plot(when, [float(week.state.fatigue) for week in weeks], label="fatigue")
        latent.plot(when, [float(week.state.acuity) for week in weeks], label="acuity")
        latent.set_title("latent", fontsize=9, loc="left")
        latent.legend(fontsize=8, loc="upper right", frameon=False, ncols=4)
    panels[-1].set_xlim(-0.5, max(52, when[-1]) + 0.5)
    panels[-1].set_xlabel("weeks in the program", fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _person(member: Members) -> str:
    race = _words(RACES[int(member.race)]).title()
    return f"{GENDERS[int(member.gender)].lower()}, {AGE_BANDS[int(member.age_band)]}, {race}"


def _seen(observation: np.ndarray) -> str:
    encounters, ed, ip, calls, texts, days, paid = (float(value) for value in observation[:7])
    text = (
        f"{encounters:.0f} encounters, {ed:.0f} ED, {ip:.0f} IP, {calls:.0f} calls, {texts:.0f} texts last week; "
        f"{days:.0f} days enrolled; ${paid:,.0f} in 13 weeks"
    )
    more, past = observation[7:], len(PAST_CONTACT_NAMES)
    if len(more) >= len(NEED_NAMES):
        found = [_words(name) for name, flag in zip(NEED_NAMES, more, strict=False) if flag]
        text += f"; screened: {', '.join(found) or 'nothing'}"
    if len(more) % len(NEED_NAMES) == past:
        *ago, often = (float(value) for value in more[-past:])
        since = ["never" if weeks >= NEVER else f"{weeks:.0f}" for weeks in ago]
        text += "; weeks since an attempt: visit {}, call {}, message {}".format(*since)
        text += f"; with an attempt: {often:.0f} of the last 8 weeks"
    return text


def _done(levels: tuple[int, int, int, int], outcome: Outcome) -> str:
    if not outcome.attempted:
        return "no contact" if levels == (0, 0, 0, 0) else "no contact (not possible)"
    modality, provider, goal, urgency = (_words(name) for name in MEDICAID_ACTIONS.decode(np.array(levels)))
    return f"{urgency} {modality} by {provider} about {goal}: " + ("reached" if outcome.reached else "not reached")


def _happened(outcome: Outcome) -> str:
    text = f"{outcome.ed:.0f} ED visits, {outcome.ip:.0f} hospital stays"
    if outcome.terminated:
        text += "; died" if outcome.died else "; left the program"
    return text


def _latent(member: Members, state: State) -> str:
    return (
        f"{_words(TIERS[int(member.tier)])} risk, acuity {float(state.acuity):+.2f}, "
        f"support {float(state.support):.2f}, fatigue {float(state.fatigue):.1f}"
        + (", in a coverage gap" if state.gap else "")
    )


def _needs(state: State) -> str:
    flags = need_flags(state.needs)
    return ", ".join(_words(name) for name, flag in zip(NEED_NAMES, flags, strict=True) if flag) or "none"


def _words(name: str) -> str:
    """HOME_VISIT as home visit; short names such as CHW and SMS stay."""
    return " ".join(word if word in ("CHW", "SMS", "EHR", "PCP", "COPD") else word.lower() for word in name.split("_"))
