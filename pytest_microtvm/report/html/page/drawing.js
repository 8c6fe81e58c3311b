// Elements, colours, and charts: `draw` renders a Vega-Lite specification in the page's own colours.

const data = JSON.parse(document.getElementById("data").textContent);
const drawn = new Map(); // by element: the function that makes its specification

const number = (value) => value.toLocaleString("en");
// Ticks of large numbers: each with its own prefix, and 0 without one.
const short = { labelExpr: "format(datum.value, '~s')" };
const bytes = (value) => `${number(value)} bytes`;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function colour(name) {
  const probe = document.body.appendChild(element("i", { style: `color: var(--${name})` }));
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function config() {
  const [ink, soft, line] = ["ink", "soft", "line"].map(colour);
  const font = getComputedStyle(document.body).fontFamily;
  const axis = {
    labelColor: soft,
    titleColor: soft,
    gridColor: line,
    domainColor: line,
    tickColor: line,
  };
  return {
    background: null,
    font,
    view: { stroke: null },
    axis: { ...axis, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: 190 },
    legend: { labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontSize: 12 },
    header: { labelColor: ink, titleColor: soft, labelFontSize: 13, labelFontWeight: 600 },
    title: { color: ink, fontSize: 13, fontWeight: 600, anchor: "start" },
    mark: { color: "#4c8df6" },
    text: { color: ink },
    rule: { color: soft },
    range: {
      category: [
        "#4c8df6",
        "#f2994a",
        "#3bb273",
        "#b07aa1",
        "#e15759",
        "#59b5c3",
        "#9c755f",
        "#8a94a6",
      ],
    },
  };
}

// The library of charts is a third of the page's work: it starts when the tables can be read.
function startLibrary() {
  const script = element("script");
  script.textContent = `(() => {${document.getElementById("library").textContent}})();`;
  document.head.append(script);
}

const idle = () => new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done));

async function draw(target, specify) {
  drawn.set(target, specify);
  await idle();
  if (!window.vegaEmbed) startLibrary();
  if (!target.isConnected) return;
  const specification = specify(Math.max(240, target.clientWidth - 4));
  const options = {
    actions: false,
    renderer: "svg",
    config: config(),
    tooltip: { theme: "custom" },
  };
  await window.vegaEmbed(
    target,
    { $schema: "https://vega.github.io/schema/vega-lite/v6.json", ...specification },
    options,
  );
}

function drawAgain() {
  for (const [target, specify] of drawn) {
    if (target.isConnected) draw(target, specify);
    else drawn.delete(target);
  }
}
