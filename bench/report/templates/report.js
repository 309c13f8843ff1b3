// Draws what the page's JSON describes, with uPlot. Colours come from the style sheet, so that they follow the scheme.
"use strict";
(() => {
  const { plots, marks } = JSON.parse(document.getElementById("drawing").textContent);
  const HEIGHT = 250;
  const NONE = "–";

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // --- numbers in words, as the tables spell them

  const three = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 99.95) return Math.round(value).toLocaleString("en");
    return value.toFixed(size >= 9.995 ? 1 : 2);
  };
  const short = (value) => String(Number(value.toPrecision(3)));
  const scaled = (value, units, spell) => {
    let step = 0;
    while (Math.abs(value) >= 999.5 && step < units.length - 1) { value /= 1000; step += 1; }
    return `${spell(value)} ${units[step]}`;
  };
  const bytes = (value, spell) => scaled(value, ["B", "kB", "MB", "GB", "TB", "PB"], spell);
  const seconds = (value, spell) => {
    if (value >= 1) return `${spell(value)} s`;
    return value >= 1e-3 ? `${spell(value * 1e3)} ms` : `${spell(value * 1e6)} µs`;
  };
  const SPELLED = {
    seconds,
    bytes,
    bytes_per_second: (value, spell) => `${bytes(value, spell)}/s`,
    share: (value, spell) => `${spell(value * 100)} %`,
    count: (value, spell) => spell(value),
  };
  const told = (unit, value, spell) => (value == null ? NONE : SPELLED[unit](value, spell));
  const percent = (x) => `${Number((100 * (1 - 10 ** -x)).toPrecision(7))} %`;
  const XS = {
    time: (x) => `${short(x)} s`,
    percentile: percent,
    rank: (x) => `${x}`,
  };

  // --- what happened during the run: a dashed line with its sign

  const lines = () => ({
    hooks: {
      draw: (u) => {
        const { ctx, bbox } = u;
        const ratio = uPlot.pxRatio;
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = colour("ink");
        ctx.lineWidth = ratio;
        ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
        ctx.textAlign = "left";
        ctx.textBaseline = "top";
        for (const mark of marks) {
          if (mark.second < u.scales.x.min || mark.second > u.scales.x.max) continue;
          const x = Math.round(u.valToPos(mark.second, "x", true));
          ctx.setLineDash([3 * ratio, 3 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          ctx.fillText(mark.sign, x + 3 * ratio, bbox.top + 2 * ratio);
        }
        ctx.restore();
      },
    },
  });

  // --- one plot

  // Areas are drawn from the highest sum down, each over the one before: the first curve ends up at the bottom, in front.
  const stacked = (curves) => {
    const sums = [];
    curves.forEach(({ values }, place) => {
      sums.push(values.map((value, at) => (value ?? 0) + (place ? sums[place - 1][at] : 0)));
    });
    return sums;
  };

  const series = (plot, curve) => {
    const stroke = colour(curve.colour);
    const shown = {
      label: curve.label,
      stroke,
      width: 2,
      points: { show: plot.xs.length < 2 },
      value: (u, value, at, place) => told(plot.unit, place == null ? null : curve.values[place], three),
    };
    if (curve.dash.length) shown.dash = curve.dash;
    if (plot.look === "stacked") Object.assign(shown, { fill: stroke, width: 1, points: { show: false } });
    if (plot.look === "bars") {
      Object.assign(shown, { fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.8, 40, 1] }), points: { show: false } });
    }
    return shown;
  };

  const range = (plot) => {
    if (plot.log) {
      // Whole decades, so that a scale always has more than one number on it.
      return (u, low, high) => {
        if (low == null) return [1, 10];
        return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high) + 1e-9)];
      };
    }
    return (u, low, high) => [0, plot.top ?? (high > 0 ? high * 1.08 : 1)];
  };

  const nines = (u, place, low, high) => {
    const all = [Math.log10(2), 1, 2, 3, 4, 5, 6, 7];
    return all.filter((x) => x >= low - 1e-9 && x <= high + 1e-9);
  };

  const axes = (plot, wide) => {
    const common = {
      stroke: colour("soft"),
      grid: { stroke: colour("grid"), width: 1 },
      ticks: { stroke: colour("grid"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const x = { ...common, values: (u, all) => all.map((value) => (value == null ? "" : XS[plot.across](value))) };
    if (plot.across === "percentile") x.splits = nines;
    if (plot.across === "rank") x.incrs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
    x.space = plot.across === "percentile" ? 10 : 60;
    const y = { ...common, size: wide ? 84 : 74, values: (u, all) => all.map((value) => (value == null ? "" : told(plot.unit, value, short))) };
    return [x, y];
  };

  const options = (plot, width, curves) => ({
    width,
    height: HEIGHT,
    scales: {
      x: { time: false, range: plot.across === "rank" ? (u, low, high) => [low - 0.6, high + 0.6] : undefined },
      y: { distr: plot.log ? 3 : 1, range: range(plot) },
    },
    axes: axes(plot, width > 420),
    series: [{ label: plot.across === "time" ? "at" : plot.across, value: (u, x) => (x == null ? NONE : XS[plot.across](x)) }, ...curves],
    cursor: plot.across === "time" ? { sync: { key: "time" }, drag: { x: true, y: false } } : {},
    legend: { markers: { width: 3, fill: () => "transparent", dash: (u, at) => (curves[at - 1]?.dash ? "dashed" : "solid") } },
    plugins: plot.across === "time" ? [lines()] : [],
  });

  const draw = (plot, place) => {
    const curves = plot.look === "stacked" ? [...plot.curves].reverse() : plot.curves;
    const values = plot.look === "stacked" ? stacked(plot.curves).reverse() : curves.map((curve) => curve.values);
    // A logarithm has no place for zero.
    const shown = plot.log ? values.map((all) => all.map((value) => (value > 0 ? value : null))) : values;
    return new uPlot(
      options(plot, place.clientWidth, curves.map((curve) => series(plot, curve))),
      [plot.xs, ...shown],
      place,
    );
  };

  // --- all of them, again when the room or the colours change

  const places = new Map(plots.map((plot) => [document.querySelector(`.plot[data-plot="${CSS.escape(plot.name)}"]`), plot]));
  const drawn = new Map();

  const redraw = () => {
    for (const [place, plot] of places) {
      drawn.get(place)?.destroy();
      place.replaceChildren();
      drawn.set(place, draw(plot, place));
    }
  };
  redraw();

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const u = drawn.get(target);
      if (target.clientWidth && u.width !== target.clientWidth) u.setSize({ width: target.clientWidth, height: HEIGHT });
    }
  });
  for (const place of places.keys()) resized.observe(place);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", redraw);
})();
