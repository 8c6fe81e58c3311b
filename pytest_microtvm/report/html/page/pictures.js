// Charts of outputs that differ; each function gives a Vega-Lite specification.

const histogramChart = (picture) => (width) => ({
  title: "By how much it is off",
  description: `How far the elements of ${picture.output} are off`,
  width,
  height: 210,
  autosize: { type: "fit-x", contains: "padding" },
  data: {
    values: picture.histogram
      .map(([from, to, elements]) => ({ from, to, elements, is_right: from <= 0 && to >= 0 }))
      .filter((each) => each.elements),
  },
  mark: { type: "rect", stroke: colour("card"), strokeWidth: 1 },
  encoding: {
    x: { field: "from", type: "quantitative", title: "device − reference" },
    x2: { field: "to" },
    y: {
      field: "elements",
      type: "quantitative",
      scale: { type: "symlog" },
      title: "elements",
      axis: { tickCount: 4, labelExpr: "datum.value % 1 ? '' : format(datum.value, '~s')" },
    },
    y2: { datum: 0 },
    color: {
      condition: { test: "datum.is_right", value: colour("passed") },
      value: colour("failed"),
    },
    tooltip: [{ field: "from" }, { field: "to" }, { field: "elements", format: "," }],
  },
});

const placesChart = (picture) => (width) => ({
  title: "Where it is off",
  description: `Where the elements of ${picture.output} are off`,
  width,
  height: Math.min(210, Math.max(40, 22 * picture.heat_map.length)),
  autosize: { type: "fit-x", contains: "padding" },
  data: {
    values: picture.heat_map.flatMap((line, row) =>
      line.map((off, column) => ({ row, column, off })),
    ),
  },
  mark: "rect",
  encoding: {
    x: {
      field: "column",
      type: "ordinal",
      title: picture.layout,
      axis: { labelOverlap: true, labelAngle: 0 },
    },
    y: { field: "row", type: "ordinal", title: null, axis: { labelOverlap: true } },
    color: {
      field: "off",
      type: "quantitative",
      title: "off by",
      scale: { range: [colour("shade"), colour("failed")], domainMin: 0 },
    },
    tooltip: [{ field: "row" }, { field: "column" }, { field: "off", title: "off by" }],
  },
});

const valuesChart = (picture) => (width) => {
  const cells = picture.values.map(([from, to, low, high, elements]) => ({
    from,
    to,
    low,
    high,
    elements,
  }));
  const ends = [
    Math.min(...cells.map((each) => Math.min(each.from, each.low))),
    Math.max(...cells.map((each) => Math.max(each.to, each.high))),
  ];
  const scale = { domain: ends, nice: false };
  return {
    title: "Device against reference",
    description: `Values of ${picture.output} on the device against the reference's, where they differ`,
    width,
    height: 210,
    autosize: { type: "fit-x", contains: "padding" },
    layer: [
      {
        data: { values: ends.map((value) => ({ value })) },
        mark: { type: "line", strokeDash: [5, 4], color: colour("soft") },
        encoding: {
          x: { field: "value", type: "quantitative", scale, title: "reference" },
          y: { field: "value", type: "quantitative", scale, title: "device" },
        },
      },
      {
        data: { values: cells },
        mark: "rect",
        encoding: {
          x: { field: "from", type: "quantitative", scale },
          x2: { field: "to" },
          y: { field: "low", type: "quantitative", scale },
          y2: { field: "high" },
          color: {
            field: "elements",
            type: "quantitative",
            title: "elements",
            scale: { range: [colour("failed-back"), colour("failed")] },
            legend: { tickCount: 3, format: "d" },
          },
          tooltip: [
            { field: "from", title: "reference from" },
            { field: "to", title: "reference to" },
            { field: "low", title: "device from" },
            { field: "high", title: "device to" },
            { field: "elements" },
          ],
        },
      },
    ],
  };
};
