// The page of a run: the comparison of boards, and everything about one model on one board.

const byId = new Map(data.rows.map((row) => [row.id, row]));
const table = document.getElementById("table");
const chosen = document.getElementById("chosen");
const card = document.getElementById("card");

function facts(pairs) {
  const list = element("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value !== null && value !== "")
      list.append(element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  }
  return list;
}

function part(title, isWide, ...children) {
  const made = element(
    "div",
    isWide ? { class: "wide" } : {},
    element("h3", {}, title),
    ...children,
  );
  return made;
}

function chartIn(place, specify) {
  const target = place.appendChild(element("div", { class: "chart" }));
  return () => draw(target, specify);
}

function tiles(row) {
  const list = element("ul", { class: "tiles" });
  for (const [name, title] of data.figures) {
    const figure = row.metrics[name];
    if (figure)
      list.append(
        element("li", {}, element("span", {}, title), element("b", {}, number(figure[0]))),
      );
  }
  return list;
}

function verdict(row) {
  const made = part(
    "Verdict",
    true,
    facts([
      ["Outcome of its tests", row.outcome],
      ["Device against the reference", row.told],
      ["Reference", row.reference],
      ["Largest difference", row.max_abs_diff === null ? "" : String(row.max_abs_diff)],
      ["Compiled model against its own interpreter", row.model_check],
      ["Boards of the lab", row.lab_boards.join(", ")],
      ["Compiler", row.toolchain],
      ["Build", row.build_id ?? ""],
      [
        "From the cache",
        Object.entries(row.cached)
          .filter(([, is]) => is)
          .map(([name]) => name)
          .join(", ") || "nothing",
      ],
    ]),
  );
  if (row.incidents.length)
    made.append(element("pre", { tabindex: "0" }, row.incidents.join("\n")));
  return made;
}

function testsOf(row) {
  const made = part("Tests", true);
  for (const test of row.tests) {
    const seconds = test.seconds === null ? "" : ` ${test.seconds.toFixed(2)} s`;
    const box = element(
      "details",
      { class: `trouble ${test.outcome}` },
      element(
        "summary",
        {},
        element("span", { class: `badge ${test.outcome}` }, test.outcome),
        " ",
        element("code", {}, test.id),
        seconds,
      ),
    );
    if (["failed", "error"].includes(test.outcome)) box.open = true;
    const text = test.text || test.error;
    if (text) box.append(element("pre", { tabindex: "0" }, text));
    if (test.log) box.append(element("h4", {}, "Log"), element("pre", { tabindex: "0" }, test.log));
    if (test.command) {
      const copy = element("button", { type: "button" }, "Copy");
      copy.addEventListener("click", () =>
        navigator.clipboard?.writeText(test.command).then(() => {
          copy.textContent = "Copied";
        }),
      );
      box.append(
        element("h4", {}, "Once more"),
        element("div", { class: "command" }, element("pre", { tabindex: "0" }, test.command), copy),
      );
    }
    made.append(box);
  }
  return made;
}

function gauge(row, kind) {
  const used = row.metrics[`${kind}_bytes`]?.[0];
  const there = row.board_bytes[kind];
  if (used === undefined) return null;
  if (!there)
    return element(
      "div",
      { class: "gauge" },
      `${kind === "ram" ? "RAM" : "Flash"}: ${bytes(used)}; what the board has is not known`,
    );
  const share = (100 * used) / there;
  return element(
    "div",
    { class: share > 100 ? "gauge over" : "gauge" },
    element("i", { style: `--used: ${Math.min(100, share).toFixed(1)}%`, "aria-hidden": "true" }),
    `${kind === "ram" ? "RAM" : "Flash"}: ${number(used)} of ${bytes(there)} (${share < 0.1 ? "< 0.1" : share.toFixed(1)} %)`,
  );
}

function memory(row, later) {
  const made = part("Memory", false);
  for (const kind of ["flash", "ram"]) {
    const line = gauge(row, kind);
    if (line === null) continue;
    made.append(line);
    if (partsOf(row, kind).length) later.push(chartIn(made, memoryChart(row, kind)));
  }
  return made;
}

function layerTable(layers) {
  const head = [
    "Layer",
    "Instructions",
    "Share",
    "MACs",
    "Instructions per MAC",
    "Tensor bytes",
    "Workspace",
  ];
  const body = element("tbody");
  const busiest = Math.max(...layers.map((each) => each.instructions));
  for (const each of layers) {
    const cells = [
      number(each.instructions),
      `${(100 * each.share).toFixed(1)} %`,
      each.macs === null ? "–" : number(each.macs),
      each.per_mac === null ? "–" : each.per_mac.toFixed(2),
      each.moved === null ? "–" : number(each.moved),
      number(each.workspace),
    ];
    body.append(
      element(
        "tr",
        each.instructions === busiest ? { class: "peak" } : {},
        element("th", { scope: "row" }, each.kernel),
        ...cells.map((text) => element("td", { class: "number" }, text)),
      ),
    );
  }
  const titles = head.map((text, at) =>
    element("th", at ? { scope: "col", class: "number" } : { scope: "col" }, text),
  );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Layers" },
    element("table", { class: "plain" }, element("thead", {}, element("tr", {}, ...titles)), body),
  );
}

function layersPart(row, later) {
  const layers = layersOf(row);
  if (!layers.length)
    return [
      part(
        "Instructions by layer",
        false,
        element(
          "p",
          { class: "note" },
          row.absent.instructions ?? "It was not run, so nothing was counted.",
        ),
      ),
    ];
  const chart = part("Instructions by layer", false);
  later.push(chartIn(chart, layersChart(row, layers)));
  const parts = [chart];
  if (layers.some((each) => each.macs && each.moved)) {
    const roof = part(
      "Roofline",
      false,
      element(
        "p",
        { class: "note" },
        "The dashed roof is the best that layers of this model reach here.",
      ),
    );
    later.push(chartIn(roof, rooflineChart(row, layers)));
    parts.push(roof);
  }
  parts.push(part("Layers", true, layerTable(layers)));
  return parts;
}

function arenaPart(row, later) {
  const arena = row.arena === null ? null : data.arenas[row.arena];
  if (!arena || !arena.blocks.length) return [];
  const peak = arena.calls[peakOf(arena)];
  const made = part(
    "Arena over time",
    true,
    element(
      "p",
      { class: "note" },
      `The most is in use at ${shortKernel(row, peak.kernel)}: ${bytes(peak.live_bytes)} of ${bytes(row.metrics.arena_bytes?.[0] ?? peak.live_bytes)}.`,
    ),
  );
  later.push(chartIn(made, arenaChart(row, arena)));
  return [made];
}

function picturesPart(row, later) {
  return row.pictures.map((picture) => {
    const lost = picture.not_finite
      ? ` ${number(picture.not_finite)} are NaN or infinite, and in no plot.`
      : "";
    const made = part(
      `Output ${picture.output}`,
      true,
      element(
        "p",
        { class: "note" },
        `${number(picture.mismatched)} of ${number(picture.elements)} elements differ; ${picture.dtype}[${picture.shape.join(", ")}].${lost}`,
      ),
    );
    const charts = made.appendChild(element("div", { class: "charts" }));
    if (picture.histogram.length) later.push(chartIn(charts, histogramChart(picture)));
    later.push(chartIn(charts, placesChart(picture)));
    if (picture.values.length) later.push(chartIn(charts, valuesChart(picture)));
    return made;
  });
}

function figuresPart(row) {
  const body = element("tbody");
  for (const [name, [value, unit, source, samples]] of Object.entries(row.metrics)) {
    body.append(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", { class: "number" }, number(value)),
        element("td", {}, unit),
        element("td", {}, source),
        element("td", { class: "number" }, number(samples)),
      ),
    );
  }
  const head = ["Metric", "Value", "Unit", "Measured by", "Samples"].map((text) =>
    element("th", { scope: "col" }, text),
  );
  const made = element(
    "details",
    { class: "wide" },
    element("summary", {}, "All figures, and how each was measured"),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures" },
      element("table", { class: "plain" }, element("thead", {}, element("tr", {}, ...head)), body),
    ),
  );
  const absent = Object.entries(row.absent).map(([name, reason]) => [name, reason]);
  if (absent.length) made.append(facts(absent));
  return part("Figures", true, made);
}

async function show(id, isAsked) {
  const row = byId.get(id);
  if (!row) return;
  chosen.value = id;
  for (const line of table.tBodies[0].rows)
    line.classList.toggle("chosen", line.dataset.row === id);
  const later = [];
  const timings = part("Timings", false);
  if (Object.values(row.timings).some(Boolean)) later.push(chartIn(timings, timingsChart(row)));
  else timings.append(element("p", { class: "note" }, "No step took any time."));
  card.replaceChildren(
    element(
      "div",
      { class: "title" },
      `${row.name} on ${row.board}, ${row.executor}`,
      element("span", { class: `badge ${row.outcome}` }, row.outcome),
    ),
    element("p", { class: "note" }, row.error ?? row.model),
    tiles(row),
    element(
      "div",
      { class: "grid" },
      verdict(row),
      ...picturesPart(row, later),
      testsOf(row),
      memory(row, later),
      timings,
      ...arenaPart(row, later),
      ...layersPart(row, later),
      figuresPart(row),
    ),
  );
  if (isAsked) document.getElementById("detail").scrollIntoView();
  for (const start of later) await start();
}

function step(by) {
  const ids = data.rows.map((row) => row.id);
  const at = (ids.indexOf(chosen.value) + by + ids.length) % ids.length;
  location.hash = ids[at];
}

document.getElementById("previous").addEventListener("click", () => step(-1));
document.getElementById("next").addEventListener("click", () => step(1));
chosen.addEventListener("change", () => {
  location.hash = chosen.value;
});
chosen.form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => show(location.hash.slice(1), true));
table.addEventListener("click", (event) => {
  const line = event.target.closest("tbody tr");
  if (line && !event.target.closest("a")) location.hash = line.dataset.row;
});

const figure = document.getElementById("figure");
const compared = document.getElementById("compared-chart");
let visible = [];
function compare() {
  const rows = visible.map((line) => byId.get(line.dataset.row));
  const name = figure.value;
  if (rows.some((row) => row.metrics[name])) return draw(compared, comparedChart(rows, name));
  drawn.delete(compared);
  compared.replaceChildren(
    element("p", { class: "note" }, "None of the results that are shown has this figure."),
  );
  return null;
}
let waiting = true;
figure.addEventListener("change", compare);
figure.form.addEventListener("submit", (event) => event.preventDefault());
filterRows(table, (lines) => {
  visible = lines;
  if (!waiting) compare();
});

// The page can be used from here on; charts follow one by one.
performance.mark("ready");
const named = location.hash.slice(1);
const worst = ["failed", "error", "passed"].map((outcome) =>
  data.rows.find((row) => row.outcome === outcome),
);
await show(byId.has(named) ? named : (worst.find(Boolean) ?? data.rows[0])?.id, byId.has(named));
waiting = false;
await compare();
document.documentElement.dataset.drawn = "yes";
