# SPDX-License-Identifier: BSD-3-Clause
"""What was measured: rows of ratios, their details, pictures; printed, written as Markdown and as SVG."""

import datetime
import statistics
import subprocess

import bed
from bed import driven

ROWS = []    # (figure, ours, theirs, ratio text, goal text, met or None)
DETAILS = []  # (workload, server, rate, p50, p99, p99.9, CPU us/op, requests a turn)
PLOT = {"rate": {}, "rewrite": {}, "quorum": {}}


def row(figure, ours, theirs, ratio, goal, met):
    ROWS.append((figure, ours, theirs, ratio, goal, {True: "yes", False: "no", None: "-"}[met]))
    print("%-58s %12s %12s %10s  %-8s %s" % ROWS[-1], flush=True)


def ratio_row(figure, ours, theirs, form, at_most=None, at_least=None):
    """ours, theirs: a value a round; compared round by round. Without a bound it is no goal, only told."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    goal, met = "-", None
    if at_most is not None:
        goal, met = "<= %.2f" % at_most, ratio <= at_most
    elif at_least is not None:
        goal, met = ">= %.1f" % at_least, ratio >= at_least
    row(figure, form % statistics.median(ours), form % statistics.median(theirs), "%.2f" % ratio, goal, met)


def turns_of(server):
    if not server.name.startswith("vong"):
        return None
    return int(server.info("eventloop_cycles")), int(server.info("total_commands_processed"))


def alternate(runs, rounds, seconds, **options):
    """runs: name -> (server, what to do before[, options of its own]). Per name the lists of CPU us/op and of rates."""
    def options_of(how):
        return {**options, **(how[2] if len(how) > 2 else {})}

    result = {name: {"cpu": [], "rate": [], "p50": [], "all": [], "turn": []} for name in runs}
    for how in runs.values():
        how[1]()
        driven(how[0], seconds=0.1, **options_of(how))
    for _ in range(rounds):
        for name, how in runs.items():
            server = how[0]
            how[1]()
            turns, cpu = turns_of(server), server.cpu_seconds()
            got = driven(server, seconds=seconds, **options_of(how))
            cpu = server.cpu_seconds() - cpu
            result[name]["cpu"].append(1e6 * cpu / got["ops"])
            result[name]["rate"].append(got["rate"])
            result[name]["p50"].append(got["p50"])
            result[name]["all"].append(got)
            if turns:
                now = turns_of(server)
                result[name]["turn"].append((now[1] - turns[1]) / max(1, now[0] - turns[0]))
    workload = "%s, pipeline %d" % (options["command"].upper(), options.get("pipeline", 1))
    for name, r in result.items():
        middle = [statistics.median(g[p] for g in r["all"]) for p in ("p50", "p99", "p999")]
        DETAILS.append([workload, name, statistics.median(r["rate"])] + middle +
                       [statistics.median(r["cpu"]), statistics.median(r["turn"]) if r["turn"] else None])
    return result


def nothing():
    pass


# ------------------------------------------------------------------------- output

def markdown(to):
    version = subprocess.run([bed.REDIS, "--version"], capture_output=True, text=True).stdout.split()[2]
    to.write("| figure | ours | theirs | ratio | goal | met |\n|---|---:|---:|---:|---|---|\n")
    for r in ROWS:
        to.write("| %s | %s | %s | %s | %s | %s |\n" % r)
    to.write("\nTheirs is redis-server (%s) with the same settings, or the echo server where it is named; "
             "of SET forwarded it is SET direct; etcd where it is named. %s, %d processors, %s.\n" % (
                 version, datetime.date.today(), len(bed.CPUS),
                 "real-time class" if bed.REALTIME else "the machine's own scheduling"))
    if DETAILS:
        to.write("\n| workload, 50 clients | server | ops/s | p50 us | p99 us | p99.9 us | CPU us/op | "
                 "requests a turn |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
        for d in DETAILS:
            to.write("| %s | %s | %.0f | %.0f | %.0f | %.0f | %.2f | %s |\n" % (
                *d[:7], "-" if d[7] is None else "%.1f" % d[7]))


SHADES = ["#1b6ca8", "#b5382a", "#5fb0e5", "#e08a7d"]
COLOURS = {"vong": "#1b6ca8", "vong, linger 20": "#5fb0e5", "redis": "#b5382a", "echo": "#888888"}


def svg_text(x, y, text, anchor="middle"):
    return '<text x="%d" y="%d" text-anchor="%s">%s</text>' % (x, y, anchor, text)


def svg_bars(x0, title, groups):
    """groups: label -> {server: value}."""
    top = max(v for g in groups.values() for v in g.values())
    out = [svg_text(x0 + 180, 20, title)]
    for i, (label, bars) in enumerate(groups.items()):
        x = x0 + 20 + i * 120
        out.append(svg_text(x + 45, 255, label))
        for j, (name, v) in enumerate(bars.items()):
            h = 190 * v / top
            out.append('<rect x="%d" y="%.1f" width="20" height="%.1f" fill="%s"><title>%s: %.0f</title></rect>' % (
                x + 24 * j, 240 - h, h, COLOURS[name], name, v))
            out.append(svg_text(x + 24 * j + 10, int(236 - h), "%.1f" % (v / 1e6)))
    return out


def svg_lines(x0, title, lines):
    top = max(max(v) for v in lines.values()) * 1.1
    out = [svg_text(x0 + 180, 20, title), svg_text(x0 + 180, 258, "seconds"),
           svg_text(x0 + 18, 50, "%.0f ms" % (top / 1000), "end"), svg_text(x0 + 18, 240, "0", "end")]
    for name, values in lines.items():
        step = 340 / max(1, max(len(v) for v in lines.values()) - 1)
        points = " ".join("%.1f,%.1f" % (x0 + 22 + i * step, 240 - 190 * v / top) for i, v in enumerate(values))
        out.append('<polyline points="%s" fill="none" stroke="%s"/>' % (points, COLOURS[name]))
    longest = max(len(v) for v in lines.values())
    for tenth in range(0, longest, max(10, longest // 60 * 10)):
        out.append(svg_text(int(x0 + 22 + tenth * 340 / max(1, longest - 1)), 252, str(tenth // 10)))
    return out


def svg_curves(x0, title, under, curves):
    """curves: name -> {x: value} in microseconds; the xs are the same small numbers for all."""
    greatest = max(v for c in curves.values() for v in c.values())
    step = next(s for s in (10 ** k * n for k in range(9) for n in (1, 2, 5)) if 5 * s > greatest)
    top = step * (int(greatest / step) + 1)
    xs = sorted(next(iter(curves.values())))
    left, right, low, high = x0 + 60, x0 + 310, 235, 45

    def at(n, value):
        return left + (right - left) * (n - xs[0]) / (xs[-1] - xs[0]), low - (low - high) * value / top

    out = [svg_text(x0 + 180, 20, title), svg_text(x0 + 180, 268, under)]
    for value in range(0, top + 1, step):
        y = at(xs[0], value)[1]
        out.append('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>' % (left - 20, y, right, y))
        out.append(svg_text(left - 26, int(y) + 3, "%g" % (value / 1000), "end"))
    for i, (name, curve) in enumerate(curves.items()):
        colour = SHADES[i % len(SHADES)]
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (
            " ".join("%.1f,%.1f" % at(n, curve[n]) for n in xs), colour))
        for n in xs:
            x, y = at(n, curve[n])
            out.append('<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>' % (x, y, colour))
            out.append('<text x="%.1f" y="%.1f" text-anchor="middle" fill="%s">%.2f</text>' % (
                x, y - 6, colour, curve[n] / 1000))
        out.append('<text x="%d" y="%d" fill="%s" font-weight="bold">%s</text>' % (
            right + 10, int(at(xs[-1], curve[xs[-1]])[1]) + 4, colour, name))
    out += [svg_text(int(at(n, 0)[0]), 252, str(n)) for n in xs]
    return out


def svg(to):
    parts, x = [], 10
    for command, by_pipeline in PLOT["rate"].items():
        parts += svg_bars(x, "%s 64 B, million ops/s at 50 clients" % command.upper(),
                          {"pipeline %d" % p: bars for p, bars in by_pipeline.items()})
        x += 390
    if PLOT["rewrite"]:
        parts += svg_lines(x, "worst latency while the log is rewritten", PLOT["rewrite"])
        x += 390
    for clients, curves in PLOT["quorum"].items():
        parts += svg_curves(x, "a SET with five copies, %s: milliseconds until its reply" % clients,
                            "of the five so many must hold it (write-quorum)", curves)
        x += 390
    for i, (name, colour) in enumerate(COLOURS.items() if PLOT["rate"] or PLOT["rewrite"] else ()):
        parts.append('<rect x="%d" y="268" width="10" height="10" fill="%s"/>' % (20 + 130 * i, colour))
        parts.append(svg_text(35 + 130 * i, 277, name, "start"))
    to.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d 285" font-family="sans-serif" '
             'font-size="10">\n<rect width="100%%" height="100%%" fill="white"/>\n%s\n</svg>\n' % (
                 max(x, 400), "\n".join(parts)))


