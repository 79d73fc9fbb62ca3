# SPDX-License-Identifier: Apache-2.0
"""What compare.py prints and draws. A row is a configuration with the figures of each runtime, libvitrt first."""


def peers(row):
    return list(row["results"])[1:]


def fastest_peer(row):
    return min(peers(row), key=lambda name: row["results"][name]["ms_median"], default=None)


def pixels(row):
    height, width = row["height"], row["width"]
    return str(height) if height == width else f"{height}x{width}"


def heading(runtimes):
    columns = ["model", "pixels", "precision", "threads", "batch", *runtimes, f"{runtimes[0]} / fastest peer"]
    return ("Milliseconds of an image, min / median, and (x) libvitrt's time over the peer's.\n\n"
            f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def cell(figures, is_peer):
    times = f"{figures['ms_min']:.2f} / {figures['ms_median']:.2f}"
    return f"{times} ({figures['ratio']:.2f}x)" if is_peer else times


def line(row, runtimes):
    results = row["results"]
    cells = [cell(results[name], name != runtimes[0]) if name in results else "" for name in runtimes]
    best = fastest_peer(row)
    cells.append(f"{results[best]['ratio']:.2f}x ({best})" if best else "")
    return f"| {row['model']} | {pixels(row)} | {row['precision']} | {row['threads']} | {row['batch']} | " + \
        " | ".join(cells) + " |"


def notes(rows):
    """Load times, the variants that ran and how far the logits are apart."""
    lines = []
    for row in rows:
        plural = "s" if row["threads"] > 1 else ""
        about = (f"{row['model']}, {pixels(row)} pixels, {row['precision']}, {row['threads']} thread{plural}, "
                 f"batch {row['batch']}")
        results = row["results"]
        loads = {name: r["load_ms"] for name, r in results.items() if "load_ms" in r}
        if len(loads) > 1:
            ours, *others = loads.values()
            listed = ", ".join(f"{name} {ms:.0f} ms" for name, ms in loads.items())
            lines.append(f"- {about}: load to first result {listed}; {ours / min(others):.2f}x of the best peer's")
        variants = ", ".join(f"{name} {r['variant']} ({r['logits_error']:.1e})" for name, r in results.items())
        lines.append(f"- {about}: ran {variants.replace('  ', ' ')}")
    return "\nIn parentheses the largest difference of a logit to PyTorch's f32, relative to the largest logit.\n\n" + \
        "\n".join(lines)


# ---- Plots ----

def plot(rows, sweep, path):
    try:
        import matplotlib
    except ImportError:
        print("(matplotlib is not installed: no plot)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(9, 5))
    if sweep:
        plot_sweep(rows, sweep, axes)
    else:
        plot_bars(rows, axes)
    axes.set_ylabel("median milliseconds of an image")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def colours(rows):
    names = list(dict.fromkeys(name for row in rows for name in row["results"]))
    return {name: f"C{i}" for i, name in enumerate(names)}


def plot_bars(rows, axes):
    """A group of bars for each configuration."""
    colour = colours(rows)
    width = 0.8 / max(len(colour), 1)
    for i, name in enumerate(colour):
        bars = [(x, row["results"][name]["ms_median"]) for x, row in enumerate(rows) if name in row["results"]]
        axes.bar([x + i * width for x, _ in bars], [ms for _, ms in bars], width, label=name, color=colour[name])
    texts = [f"{row['model']}\n{row['precision']}, {row['threads']} thr., batch {row['batch']}" for row in rows]
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(rows))], texts, fontsize=7, rotation=20, ha="right")


def patches(row):
    """Of 16 pixels, whatever the model's are: one axis for all."""
    return row["height"] // 16 * (row["width"] // 16)


def plot_sweep(rows, sweep, axes):
    """A line for each runtime and series; series differ by their strokes."""
    colour = colours(rows)
    series = list(dict.fromkeys((row["model"], row["precision"], row["threads"]) for row in rows))
    for key, stroke in zip(series, ("-", "--", ":", "-.") * len(series)):
        for name in colour:
            points = [(patches(row) if sweep == "tokens" else row["batch"], row["results"][name]["ms_median"])
                      for row in rows
                      if (row["model"], row["precision"], row["threads"]) == key and name in row["results"]]
            if points:
                axes.plot(*zip(*points), stroke, color=colour[name], marker="o", markersize=3,
                          label=f"{name}, {key[0]}, {key[1]}, {key[2]} thr.")
    axes.set_xlabel("patches of 16x16 pixels" if sweep == "tokens" else "images in a batch")
    axes.set_xscale("log", base=2)
