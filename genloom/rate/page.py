"""The receipt as one HTML page that stands by itself: no script, nothing fetched, and dark where the reader's is."""

from collections import Counter
from collections.abc import Iterable
from html import escape

from genloom.rate import drawing
from genloom.rate.gate import Measure
from genloom.rate.receipt import Example, Receipt, digest, duration, headline, judged, outcome, parts, shown
from genloom.rate.wording import counted

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #ffffff; --card: #f6f7f9; --rule: #dfe3e8;
  --good: #007a57; --bad: #c1440e; --even: #0068a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --soft: #a3adb8; --paper: #14171b; --card: #1e2329;
  --rule: #353c45; --good: #35c596; --bad: #ff8a52; --even: #62b5ef; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: .2rem 0 .6rem; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .7rem; padding-bottom: .3rem; border-bottom: 1px solid var(--rule); }
p { margin: .4rem 0; max-width: 46rem; }
.soft, small { color: var(--soft); }
.outcome { display: inline-block; font-weight: 600; padding: .25rem .75rem; border-radius: 999px; color: var(--paper); }
.outcome.good { background: var(--good); } .outcome.bad { background: var(--bad); }
.outcome.even { background: var(--even); }
.alarm { border-left: 4px solid var(--bad); background: var(--card); padding: .7rem 1rem; margin: 1rem 0; }
ul { margin: .4rem 0; padding-left: 1.2rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.3rem, 1fr)); gap: .8rem; margin: .8rem 0; }
.tile { background: var(--card); border-radius: .6rem; padding: .8rem .9rem; font-size: .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; font-size: .85rem; color: var(--soft); } td.number, th.number { text-align: right; }
td:first-child { min-width: 9rem; }
td svg { display: block; width: 220px; height: 28px; }
.good-text { color: var(--good); font-weight: 600; } .bad-text { color: var(--bad); font-weight: 600; }
.even-text { color: var(--soft); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; margin: .3rem 0 1.4rem; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } }
.pair div { background: var(--card); border-radius: .6rem; padding: .7rem 1rem; border: 2px solid transparent; }
.pair div.preferred { border-color: var(--good); }
.pair img { display: block; width: 12rem; max-width: 100%; image-rendering: pixelated; margin-top: .3rem; }
.answer { white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0 0; }
.prompt { font-weight: 600; overflow-wrap: anywhere; white-space: pre-wrap; }
figure { margin: .6rem 0; } figure svg { width: 100%; height: auto; max-width: 46rem; display: block; }
figure.narrow svg { max-width: 29rem; }
svg text { fill: var(--ink); font: 13px system-ui, "DejaVu Sans", sans-serif; }
svg .small { fill: var(--soft); } svg .big { font-size: 18px; font-weight: 700; }
svg .grid { stroke: var(--rule); } svg .zero { stroke: var(--ink); stroke-width: 1.5; }
svg .bound { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
svg circle.good { fill: var(--good); } svg circle.bad { fill: var(--bad); } svg circle.even { fill: var(--even); }
svg rect.good { fill: var(--good); } svg rect.bad { fill: var(--bad); } svg rect.even { fill: var(--even); }
svg .band { opacity: .25; } svg .faint { opacity: .3; }
svg line.good, svg polyline.good { stroke: var(--good); } svg line.bad, svg polyline.bad { stroke: var(--bad); }
svg line.even, svg polyline.even { stroke: var(--even); } svg polyline { fill: none; stroke-width: 1.2; }
svg .edge { stroke-width: 2; } svg .whisker, svg .stroke { stroke-width: 2.5; }
details { margin: .4rem 0; } summary { cursor: pointer; } code { overflow-wrap: anywhere; font-size: .85rem; }
@media print { body { padding: 0; } details { display: none; } }
"""


def page(receipt: Receipt) -> str:
    """HTML; whatever people or models wrote stands in it as text, never as markup."""
    promoted = receipt.decision.promote and not receipt.overruled
    kind = "good" if promoted else "bad" if any(m.fatal for m in receipt.decision.measures) else "even"
    sections = [
        f'<p class="soft">Receipt of a learning round · {said(receipt.model)} · {said(receipt.at)}</p>',
        f"<h1>{said(headline(receipt))}</h1>",
        f'<p><span class="outcome {kind}">{said(outcome(receipt))}</span></p>',
        *(f'<div class="alarm"><b>Alarm.</b> {said(alarm)}</div>' for alarm in receipt.decision.alarms),
        win_rates(receipt),
        listed(receipt.decision.reasons),
        section("What moved", moved(receipt.decision.measures)),
        section("Without learning", moved(receipt.baseline)),
        section("Side by side, on prompts it never learned from", "".join(map(example, receipt.examples))),
        section("What it was learned from", learned_from(receipt)),
        section("Ratings without effect", unused(receipt)),
        section("How it learned", learning(receipt)),
        section("The reward model", judge(receipt)),
        section("What it cost", f"<p>{duration(receipt.cost.total)}: {said(parts(receipt.cost))}.</p>"),
        footer(receipt),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{said(receipt.model)}: receipt of a learning round</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in sections if part)
        + "\n</body>\n</html>\n"
    )


def footer(receipt: Receipt) -> str:
    return (
        f'<p class="soft"><small>{said(receipt.champion)} against {said(receipt.challenger)}. This receipt is '
        f"<code>{digest(receipt)}</code> in the ledger. Intervals hold in 95 of 100 cases; a measure with a dashed "
        "line may fall as far as that line.</small></p>"
    )


def said(text: str) -> str:
    return escape(text)


def section(title: str, body: str) -> str:
    return f"<section>\n<h2>{said(title)}</h2>\n{body}\n</section>" if body else ""


def listed(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{said(item)}</li>" for item in items) + "</ul>"


def win_rates(receipt: Receipt) -> str:
    proofs = [m for m in receipt.decision.measures if m.proof and m.against]
    return "".join(
        f'<figure>{drawing.win_rate(m)}<figcaption class="soft">{said(m.name)}: the challenger won on this share of '
        f"{counted(m.count, 'held-out prompt')}, ties counted half</figcaption></figure>"
        for m in proofs
    )


def moved(measures: Iterable[Measure]) -> str:
    rows = []
    for m in measures:
        kind = drawing.tone(m)
        rows.append(
            f'<tr><td>{said(m.name)}<br><small>{m.group}, {m.count} held out</small></td><td class="number">'
            f'{m.champion:.4g}</td><td class="number">{m.challenger:.4g}</td><td>{drawing.lead(m)}</td>'
            f'<td><span class="{kind}-text">{said(shown(m))}</span>'
            f"<br><small>{m.gain:+.2g} [{m.low:+.2g}, {m.high:+.2g}]</small></td></tr>"
        )
    head = (
        '<tr><th>measure</th><th class="number">champion</th><th class="number">challenger</th>'
        "<th>← worse · gain · better →</th><th>shown</th></tr>"
    )
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>' if rows else ""


def example(one: Example) -> str:
    def answer(who: str, shown: str) -> str:
        mark = ' class="preferred"' if one.preferred == who else ""
        note = " · preferred" if mark else ""
        return f"<div{mark}><small>{who}{note}</small>{shown}</div>"

    def picture(who: str, data: str) -> str:
        return f'<img alt="what the {who} made" src="data:image/png;base64,{said(data)}">'

    if one.pictures:
        shown = [picture(who, data) for who, data in zip(("champion", "challenger"), one.pictures, strict=True)]
    else:
        shown = [f'<p class="answer">{said(text)}</p>' for text in (one.champion, one.challenger)]
    both = answer("champion", shown[0]) + answer("challenger", shown[1])
    return f'<p class="prompt">{said(one.prompt)}</p><div class="pair">{both}</div>'


def learned_from(receipt: Receipt) -> str:
    r = receipt.ratings
    numbers = (
        (r.total, "rating that stands" if r.total == 1 else "ratings that stand"),
        (r.pairs, "pair" if r.pairs == 1 else "pairs"),
        (r.opinions, "single opinion" if r.opinions == 1 else "single opinions"),
        (r.prompts, "prompt" if r.prompts == 1 else "prompts"),
        (r.held_out, f"held out, on {counted(r.held_out_prompts, 'prompt')}"),
        (r.contradictions, "contradiction" if r.contradictions == 1 else "contradictions"),
        (r.withdrawn, "withdrawn"),
    )
    tiles = "".join(f'<div class="tile"><b>{count:,}</b>{said(what)}</div>' for count, what in numbers)
    weights = ", ".join(f"{said(name)} {weight:.2f}" for name, weight in r.raters.items())
    who = f"<p>How much each rater's word weighed, 1 in full and 0 like a coin's: {weights}.</p>" if weights else ""
    return f'<div class="tiles">{tiles}</div>{who}'


def unused(receipt: Receipt) -> str:
    told = receipt.ratings.unused
    if not told:
        return "<p>None: every rating that stands taught or judged.</p>"
    blocks = []
    for reason, count in Counter(told.values()).most_common():
        ids = ", ".join(sorted(event for event, why in told.items() if why == reason))
        blocks.append(f"<details><summary><b>{count}</b> · {said(reason)}</summary><code>{said(ids)}</code></details>")
    return "".join(blocks)


def learning(receipt: Receipt) -> str:
    curve = f"<figure>{drawing.curve(receipt.curve, receipt.curve_of)}</figure>" if len(receipt.curve) > 1 else ""
    settings = "".join(f"<tr><td>{said(k)}</td><td>{said(str(v))}</td></tr>" for k, v in receipt.method.items())
    return curve + (f"<details><summary>Settings</summary><table>{settings}</table></details>" if settings else "")


def judge(receipt: Receipt) -> str:
    if receipt.judge is None:
        return ""
    return (
        f'<p>It {said(judged(receipt.judge))}.</p><figure class="narrow">{drawing.reliability(receipt.judge)}</figure>'
    )
