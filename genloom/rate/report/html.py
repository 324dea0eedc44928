"""The receipt as one self-contained HTML page: no script, no external resources, light and dark theme."""

import base64
from collections import Counter
from collections.abc import Iterable
from html import escape

from genloom.rate.gate import Measure, format_values
from genloom.rate.report import svg
from genloom.rate.report.receipt import (
    Example,
    Receipt,
    compute_digest,
    describe_measure,
    format_calibration,
    format_cost,
    format_headline,
    format_outcome,
)
from genloom.text_format import format_count, format_duration

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
.pair img { display: block; min-width: 12rem; max-width: 100%; image-rendering: pixelated; margin-top: .3rem; }
.pair audio, .pair video { display: block; max-width: 100%; margin-top: .3rem; }
.answer { white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0 0; }
.prompt { font-weight: 600; overflow-wrap: anywhere; white-space: pre-wrap; }
figure { margin: .6rem 0; } figure svg { width: 100%; height: auto; max-width: 46rem; display: block; }
figure.narrow svg { max-width: 29rem; }
svg text { font-family: system-ui, "DejaVu Sans", sans-serif; }
details { margin: .4rem 0; } summary { cursor: pointer; } code { overflow-wrap: anywhere; font-size: .85rem; }
@media print { body { padding: 0; } details { display: none; } }
"""


def render_page(receipt: Receipt) -> str:
    """Return the page; text by people or models is escaped, never markup."""
    is_promoted = receipt.decision.should_promote and not receipt.override_reason
    css_class = (
        "good"
        if is_promoted
        else "bad"
        if any(m.has_regressed_significantly for m in receipt.decision.measures)
        else "even"
    )
    sections = [
        f'<p class="soft">Receipt of a learning round · {escape_text(receipt.model)} · {escape_text(receipt.at)}</p>',
        f"<h1>{escape_text(format_headline(receipt))}</h1>",
        f'<p><span class="outcome {css_class}">{escape_text(format_outcome(receipt))}</span></p>',
        *(f'<div class="alarm"><b>Alarm.</b> {escape_text(alarm)}</div>' for alarm in receipt.decision.alarms),
        render_win_rates(receipt),
        render_list(receipt.decision.reasons),
        render_section("Measured on held-out data", render_measures(receipt.decision.measures)),
        render_section("Without learning", render_measures(receipt.baseline)),
        render_section("Side by side, on held-out prompts", "".join(map(render_example, receipt.examples))),
        render_section("Learned from", render_training_ratings(receipt)),
        render_section("Ratings without effect", render_unused(receipt)),
        render_section("Training", render_training(receipt)),
        render_section("The reward model", render_reward_model(receipt)),
        render_section(
            "Cost", f"<p>{format_duration(receipt.cost.total)}: {escape_text(format_cost(receipt.cost))}.</p>"
        ),
        render_footer(receipt),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:\">\n"
        f"<title>{escape_text(receipt.model)}: receipt of a learning round</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(block for block in sections if block)
        + "\n</body>\n</html>\n"
    )


def render_footer(receipt: Receipt) -> str:
    versions = f"{escape_text(receipt.champion)} against {escape_text(receipt.challenger)}"
    return (
        f'<p class="soft"><small>{versions}. Digest of this receipt in the ledger: '
        f"<code>{compute_digest(receipt)}</code>. Intervals are 95 % intervals; a dashed line is the tolerance of a "
        "measure.</small></p>"
    )


def escape_text(text: str) -> str:
    return escape(text)


def render_section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape_text(title)}</h2>\n{body}\n</section>" if body else ""


def render_list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape_text(item)}</li>" for item in items) + "</ul>"


def render_win_rates(receipt: Receipt) -> str:
    proofs = [m for m in receipt.decision.measures if m.is_proof and m.is_pairwise]
    return "".join(
        f'<figure>{svg.draw_win_rate(m)}<figcaption class="soft">{escape_text(m.name)}: the share of '
        f"{format_count(m.count, 'held-out prompt')} that the challenger won, ties counted half</figcaption></figure>"
        for m in proofs
    )


def render_measures(measures: Iterable[Measure]) -> str:
    rows = []
    for m in measures:
        css_class, (champion, challenger, gain) = svg.choose_css_class(m), format_values(m)
        rows.append(
            f'<tr><td>{escape_text(m.name)}<br><small>{m.group}, {m.count} held out</small></td><td class="number">'
            f'{champion}</td><td class="number">{challenger}</td><td>{svg.draw_gain(m)}</td>'
            f'<td><span class="{css_class}-text">{escape_text(describe_measure(m))}</span>'
            f"<br><small>{gain}</small></td></tr>"
        )
    head = (
        '<tr><th>measure</th><th class="number">champion</th><th class="number">challenger</th>'
        "<th>← worse · gain · better →</th><th>verdict</th></tr>"
    )
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>' if rows else ""


def render_example(example: Example) -> str:
    def render_answer(version: str, content: str) -> str:
        css_attribute = ' class="preferred"' if example.preferred_version == version else ""
        note = " · preferred" if css_attribute else ""
        return f"<div{css_attribute}><small>{version}{note}</small>{content}</div>"

    if example.shown:
        content = [
            render_shown(version, mime, data)
            for version, (mime, data) in zip(("champion", "challenger"), example.shown, strict=True)
        ]
    else:
        content = [f'<p class="answer">{escape_text(text)}</p>' for text in (example.champion, example.challenger)]
    pair_html = render_answer("champion", content[0]) + render_answer("challenger", content[1])
    return f'<p class="prompt">{escape_text(example.prompt or "(no prompt)")}</p><div class="pair">{pair_html}</div>'


def render_shown(version: str, mime: str, data: str) -> str:
    """Return the element that shows bytes of a MIME type, given in base 64."""
    label, source = escape_text(f"output of the {version}"), f"data:{escape_text(mime)};base64,{escape_text(data)}"
    match mime.partition("/")[0]:
        case "image":
            return f'<img alt="{label}" src="{source}">'
        case "audio" | "video" as tag:
            return f'<{tag} controls aria-label="{label}" src="{source}"></{tag}>'
        case "text":
            text = base64.b64decode(data).decode("utf-8", "replace")
            return f'<pre class="answer">{escape_text(text)}</pre>'
    return f'<a download href="{source}">{label} ({escape_text(mime)})</a>'


def render_training_ratings(receipt: Receipt) -> str:
    summary = receipt.ratings
    counts = (
        (summary.total, "rating in effect" if summary.total == 1 else "ratings in effect"),
        (summary.pairs, "pair" if summary.pairs == 1 else "pairs"),
        (summary.unpaired, "single rating" if summary.unpaired == 1 else "single ratings"),
        (summary.prompts, "prompt" if summary.prompts == 1 else "prompts"),
        (summary.held_out, f"held out, on {format_count(summary.held_out_prompts, 'prompt')}"),
        (summary.contradictions, "contradiction" if summary.contradictions == 1 else "contradictions"),
        (summary.withdrawn, "withdrawn"),
    )
    tiles = "".join(f'<div class="tile"><b>{count:,}</b>{escape_text(label)}</div>' for count, label in counts)
    weight_list = ", ".join(f"{escape_text(name)} {weight:.2f}" for name, weight in summary.raters.items())
    weights_html = (
        f"<p>Weight of each rater's votes (1: prior accuracy, 0: chance): {weight_list}.</p>" if weight_list else ""
    )
    return f'<div class="tiles">{tiles}</div>{weights_html}'


def render_unused(receipt: Receipt) -> str:
    reasons = receipt.ratings.unused
    if not reasons:
        return "<p>None: every rating in effect was used.</p>"
    blocks = []
    for reason, count in Counter(reasons.values()).most_common():
        ids = escape_text(", ".join(sorted(event for event, event_reason in reasons.items() if event_reason == reason)))
        blocks.append(f"<details><summary><b>{count}</b> · {escape_text(reason)}</summary><code>{ids}</code></details>")
    return "".join(blocks)


def render_training(receipt: Receipt) -> str:
    curve_html = (
        f"<figure>{svg.draw_curve(receipt.curve, receipt.curve_label)}</figure>" if len(receipt.curve) > 1 else ""
    )
    settings_html = "".join(
        f"<tr><td>{escape_text(k)}</td><td>{escape_text(str(v))}</td></tr>" for k, v in receipt.method.items()
    )
    return curve_html + (
        f'<details><summary>Settings</summary><div class="scroll"><table>{settings_html}</table></div></details>'
        if settings_html
        else ""
    )


def render_reward_model(receipt: Receipt) -> str:
    if receipt.calibration is None:
        return ""
    chart = svg.draw_reliability(receipt.calibration)
    calibration = escape_text(format_calibration(receipt.calibration))
    return f'<p>It {calibration}.</p><figure class="narrow">{chart}</figure>'
