// The page of several runs: a line for each model, board and executor.

const table = document.getElementById("table");
const figure = document.getElementById("figure");
const target = document.getElementById("trends-chart");

const trendsChart = (series, metric) => (width) => {
  const values = series.flatMap((each) => {
    const [model, rest] = each.name.split(" on ");
    return each.values
      .map((value, at) => ({ model, line: rest, run: data.runs[at], value }))
      .filter((point) => point.value !== null);
  });
  const models = new Set(values.map((each) => each.model));
  const columns = width > 760 && models.size > 1 ? 2 : 1;
  return {
    description: `${metric} from run to run`,
    data: { values },
    columns,
    spacing: 26,
    facet: { field: "model", type: "nominal", title: null, sort: null },
    resolve: { scale: { y: "independent" } },
    spec: {
      width: width / columns - 90 - (width > 760 ? 180 / columns : 0),
      height: 200,
      mark: { type: "line", point: { size: 45 }, strokeWidth: 2 },
      encoding: {
        x: {
          field: "run",
          type: "ordinal",
          sort: null,
          title: null,
          scale: { domain: data.runs },
          axis: { labelAngle: -35, labelOverlap: true, labelLimit: 110 },
        },
        y: {
          field: "value",
          type: "quantitative",
          title: null,
          scale: { zero: false },
          axis: short,
        },
        color: {
          field: "line",
          type: "nominal",
          sort: null,
          title: null,
          legend: { orient: width > 760 ? "right" : "bottom", columns: 1, symbolLimit: 24 },
        },
        tooltip: [
          { field: "model" },
          { field: "line" },
          { field: "run" },
          { field: "value", format: ",", title: metric },
        ],
      },
    },
  };
};

let visible = [];
let waiting = true;
function trace() {
  const ids = new Set(visible.map((row) => row.dataset.row));
  const name = figure.value;
  const names = new Set(data.series.filter((each) => ids.has(each.id)).map((each) => each.name));
  const chosen = data.series.filter((each) => each.metric === name && names.has(each.name));
  if (chosen.length) return draw(target, trendsChart(chosen, name));
  drawn.delete(target);
  target.replaceChildren(element("p", { class: "note" }, "Nothing that is shown has this figure."));
  return null;
}
figure.addEventListener("change", trace);
figure.form.addEventListener("submit", (event) => event.preventDefault());
filterRows(table, (rows) => {
  visible = rows;
  if (!waiting) trace();
});
performance.mark("ready");
waiting = false;
await trace();
document.documentElement.dataset.drawn = "yes";
