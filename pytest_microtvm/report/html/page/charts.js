// Charts of models on boards; each function gives a Vega-Lite specification.

const flashParts = ["constants", "kernels", "graph", "runtime", "other"];
const ramParts = ["arena", "io", "pool", "packet", "stack", "runtime", "other"];

function partsOf(row, kind) {
  const known = kind === "flash" ? flashParts : ramParts;
  return known
    .map((part, order) => ({ part, order, bytes: row.metrics[`${kind}_${part}_bytes`]?.[0] ?? 0 }))
    .filter((each) => each.bytes);
}

const memoryChart = (row, kind) => (width) => ({
  description: `${kind} of ${row.name} by part`,
  width,
  height: 30,
  autosize: { type: "fit-x", contains: "padding" },
  data: { values: partsOf(row, kind) },
  mark: { type: "bar", cornerRadius: 2 },
  encoding: {
    x: {
      field: "bytes",
      type: "quantitative",
      stack: true,
      title: null,
      axis: { tickCount: Math.floor(width / 90), ...short },
    },
    color: {
      field: "part",
      title: null,
      sort: null,
      scale: { domain: partsOf(row, kind).map((each) => each.part) },
      legend: { orient: "bottom", columns: Math.max(2, Math.floor(width / 90)) },
    },
    order: { field: "order" },
    tooltip: [{ field: "part" }, { field: "bytes", format: "," }],
  },
});

const peakOf = (arena) =>
  arena.calls.reduce(
    (best, call, at) => (call.live_bytes > arena.calls[best].live_bytes ? at : best),
    0,
  );

const arenaChart = (row, arena) => (width) => {
  const labels = arena.calls.map((call) => shortKernel(row, call.kernel));
  const peak = peakOf(arena);
  const x = { scale: { domain: [0, labels.length], nice: false } };
  const axis = {
    values: labels.map((_, at) => at + 0.5),
    labelExpr: `${JSON.stringify(labels)}[floor(datum.value)]`,
    labelAngle: width < 600 ? -90 : -40,
    labelAlign: "right",
    labelOverlap: false,
    ticks: false,
    grid: false,
    title: null,
  };
  const blocks = arena.blocks.map((block) => ({
    ...block,
    tensor: shortKernel(row, block.name),
    end: block.offset_bytes + block.size_bytes,
    after: block.last + 1,
    from: labels[block.first],
    to: labels[block.last],
  }));
  const calls = arena.calls.map((call, at) => ({
    at,
    after: at + 1,
    kernel: labels[at],
    in_use: call.live_bytes,
    is_peak: at === peak,
  }));
  const wide = width - 80;
  return {
    description: `The arena of ${row.name}: in use by call, and what lies where`,
    spacing: 6,
    vconcat: [
      {
        width: wide,
        height: 70,
        data: { values: calls },
        mark: { type: "rect", cornerRadius: 1 },
        encoding: {
          x: { field: "at", type: "quantitative", ...x, axis: null },
          x2: { field: "after" },
          y: {
            field: "in_use",
            type: "quantitative",
            title: "in use",
            axis: { ...short, tickCount: 3 },
          },
          y2: { datum: 0 },
          color: {
            condition: { test: "datum.is_peak", value: colour("failed") },
            value: "#8a94a6",
          },
          tooltip: [{ field: "kernel" }, { field: "in_use", format: ",", title: "bytes in use" }],
        },
      },
      {
        width: wide,
        height: 210,
        layer: [
          {
            data: { values: [{ at: peak, after: peak + 1 }] },
            mark: { type: "rect", opacity: 0.16, color: colour("failed") },
            encoding: {
              x: { field: "at", type: "quantitative", ...x, axis },
              x2: { field: "after" },
            },
          },
          {
            data: { values: blocks },
            mark: {
              type: "rect",
              stroke: colour("card"),
              strokeWidth: 1,
              cornerRadius: 2,
              opacity: 0.9,
            },
            encoding: {
              x: { field: "first", type: "quantitative", ...x, axis },
              x2: { field: "after" },
              y: {
                field: "offset_bytes",
                type: "quantitative",
                title: "place in the arena",
                axis: short,
              },
              y2: { field: "end" },
              color: {
                field: "kind",
                title: null,
                scale: { domain: ["tensor", "workspace"] },
                legend: { orient: "top", offset: 4 },
              },
              tooltip: [
                { field: "tensor" },
                { field: "kind" },
                { field: "size_bytes", format: ",", title: "bytes" },
                { field: "offset_bytes", format: ",", title: "at" },
                { field: "from", title: "from call" },
                { field: "to", title: "to call" },
              ],
            },
          },
          {
            data: {
              values: blocks.filter(
                (block) =>
                  block.size_bytes >= 0.07 * row.metrics.arena_bytes[0] && block.last > block.first,
              ),
            },
            transform: [
              { calculate: "(datum.first + datum.after) / 2", as: "x" },
              { calculate: "(datum.offset_bytes + datum.end) / 2", as: "y" },
            ],
            mark: { type: "text", fontSize: 11, color: "#10203a" },
            encoding: {
              x: { field: "x", type: "quantitative", ...x, axis },
              y: { field: "y", type: "quantitative" },
              text: { field: "tensor" },
            },
          },
        ],
      },
    ],
    resolve: { scale: { color: "independent" } },
  };
};

function shortKernel(row, name) {
  return name.startsWith(row.prefix) ? name.slice(row.prefix.length) : name;
}

// What each layer moves: the calls of the arena that are kernels are the layers, in the same order.
function layersOf(row) {
  const calls =
    row.arena === null
      ? []
      : data.arenas[row.arena].calls.filter((call) => call.kernel !== "__copy");
  const total = row.metrics.instructions?.[0] ?? 0;
  return row.layers.map(([kernel, instructions, macs, workspace], at) => ({
    at,
    kernel: shortKernel(row, kernel),
    label: `${at} ${shortKernel(row, kernel)}`,
    instructions,
    macs,
    workspace,
    share: total ? instructions / total : 0,
    per_mac: macs ? instructions / macs : null,
    moved: calls[at]?.kernel === kernel ? calls[at].tensor_bytes : null,
  }));
}

const layersChart = (row, layers) => (width) => ({
  description: `Instructions of ${row.name} by layer`,
  width: width - 170,
  height: { step: 21 },
  data: { values: layers },
  encoding: {
    y: {
      field: "label",
      type: "nominal",
      sort: null,
      title: null,
      axis: { labelExpr: "slice(datum.value, indexof(datum.value, ' ') + 1)" },
    },
  },
  layer: [
    {
      mark: { type: "bar", cornerRadiusEnd: 3 },
      encoding: {
        x: {
          field: "instructions",
          type: "quantitative",
          scale: {
            domain: [0, 1.12 * Math.max(...layers.map((each) => each.instructions))],
            nice: false,
          },
          title: "instructions",
          axis: { ...short, tickCount: 5 },
        },
        tooltip: [
          { field: "kernel" },
          { field: "instructions", format: "," },
          { field: "share", format: ".1%" },
          { field: "macs", format: ",", title: "MACs" },
          { field: "per_mac", format: ".2f", title: "instructions per MAC" },
        ],
      },
    },
    {
      mark: { type: "text", align: "left", dx: 4, fontSize: 11 },
      encoding: {
        x: { field: "instructions", type: "quantitative" },
        text: { field: "share", format: ".1%" },
      },
    },
  ],
});

// The roof is the best that the layers of this run reach: MACs for an instruction, and bytes for one.
const rooflineChart = (row, layers) => (width) => {
  const points = layers
    .filter((each) => each.macs && each.moved)
    .map((each) => ({
      ...each,
      intensity: each.macs / each.moved,
      speed: each.macs / each.instructions,
    }));
  const top = Math.max(...points.map((each) => each.speed));
  const slope = Math.max(...points.map((each) => each.speed / each.intensity));
  const [low, high] = [
    Math.min(...points.map((each) => each.intensity)) / 1.5,
    Math.max(...points.map((each) => each.intensity)) * 1.5,
  ];
  const roof = [low, Math.min(Math.max(top / slope, low), high), high].map((intensity) => ({
    intensity,
    speed: Math.min(top, slope * intensity),
  }));
  const x = {
    field: "intensity",
    type: "quantitative",
    scale: { type: "log", domain: [low, high], nice: false },
    title: "MACs for each byte that is read or written",
    axis: { tickCount: 5, format: "~g", grid: false },
  };
  const y = {
    field: "speed",
    type: "quantitative",
    scale: { type: "log" },
    title: "MACs for each instruction",
    axis: { tickCount: 5, format: "~g" },
  };
  return {
    description: `Roofline of the layers of ${row.name}`,
    width,
    height: 250,
    autosize: { type: "fit-x", contains: "padding" },
    layer: [
      {
        data: { values: roof },
        mark: { type: "line", strokeDash: [5, 4], color: colour("soft") },
        encoding: { x, y },
      },
      {
        data: { values: points },
        mark: { type: "circle", opacity: 0.85 },
        encoding: {
          x,
          y,
          size: {
            field: "instructions",
            type: "quantitative",
            legend: null,
            scale: { range: [50, 500] },
          },
          tooltip: [
            { field: "kernel" },
            { field: "speed", format: ".3f", title: "MACs per instruction" },
            { field: "per_mac", format: ".2f", title: "instructions per MAC" },
            { field: "intensity", format: ".2f", title: "MACs per byte" },
            { field: "instructions", format: "," },
          ],
        },
      },
      {
        data: { values: points.filter((each) => each.share >= 0.05) },
        mark: { type: "text", dy: -13, fontSize: 11, limit: 130 },
        encoding: { x, y, text: { field: "kernel" } },
      },
    ],
  };
};

const timingsChart = (row) => (width) => {
  const steps = Object.entries(row.timings)
    .map(([step, seconds], order) => ({ step, seconds, order }))
    .filter((each) => each.seconds > 0);
  return {
    description: `Seconds of the steps of ${row.name} on ${row.board}`,
    width,
    height: 30,
    autosize: { type: "fit-x", contains: "padding" },
    data: { values: steps },
    mark: { type: "bar", cornerRadius: 2 },
    encoding: {
      x: {
        field: "seconds",
        type: "quantitative",
        stack: true,
        title: "seconds",
        axis: { tickCount: Math.floor(width / 80) },
      },
      color: {
        field: "step",
        title: null,
        sort: null,
        scale: { domain: steps.map((each) => each.step) },
        legend: { orient: "bottom", columns: Math.max(2, Math.floor(width / 90)) },
      },
      order: { field: "order" },
      tooltip: [{ field: "step" }, { field: "seconds", format: ".3f" }],
    },
  };
};

// All results: one figure of each.
const comparedChart = (rows, figure) => (width) => {
  const values = rows
    .filter((row) => row.metrics[figure])
    .map((row) => ({
      model: row.name,
      board: row.board,
      executor: row.executor,
      value: row.metrics[figure][0],
    }));
  const models = [...new Set(values.map((each) => each.model))];
  const columns = width > 760 && models.length > 1 ? 2 : 1;
  const executors = [...new Set(values.map((each) => each.executor))];
  return {
    description: `${figure} of all models on all boards`,
    data: { values },
    columns,
    spacing: 26,
    facet: { field: "model", type: "nominal", title: null, sort: null },
    resolve: { scale: { x: "independent", y: "independent" } },
    spec: {
      width: width / columns - 150,
      height: { step: Math.max(8, 16 / executors.length) },
      mark: { type: "bar", cornerRadiusEnd: 2 },
      encoding: {
        y: { field: "board", type: "nominal", sort: null, title: null },
        yOffset: { field: "executor", sort: null },
        x: { field: "value", type: "quantitative", title: null, axis: { ...short, tickCount: 5 } },
        color: {
          field: "executor",
          type: "nominal",
          sort: null,
          title: null,
          legend: executors.length > 1 ? { orient: "top" } : null,
        },
        tooltip: [
          { field: "model" },
          { field: "board" },
          { field: "executor" },
          { field: "value", format: ",", title: figure },
        ],
      },
    },
  };
};
