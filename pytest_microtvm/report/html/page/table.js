// The theme, and tables that sort by a column and show only what is asked for.

const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  drawAgain();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
let resized;
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return; // a phone hides its address bar
  width = window.innerWidth;
  clearTimeout(resized);
  resized = setTimeout(drawAgain, 150);
});

function sortBy(table, column, isDescending) {
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const isNumber = (value) => typeof value === "number";
  const order = (left, right) => {
    // What is not there comes last, whichever way.
    if (isNumber(left) !== isNumber(right)) return isNumber(left) ? -1 : 1;
    const way = isNumber(left) ? left - right : left.localeCompare(right, "en", { numeric: true });
    return isDescending ? -way : way;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((left, right) => order(key(left), key(right))));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const isDescending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      sortBy(table, column, isDescending);
    });
  });
}

// Calls `changed` with the rows that are shown, now and after each change.
function filterRows(table, changed) {
  const words = document.getElementById("filter");
  const boxes = [...document.querySelectorAll("input[name=outcome]")];
  const shown = document.getElementById("shown");
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden =
        !outcomes.has(row.dataset.outcome) || !wanted.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden);
    shown.value = `${left.length} of ${rows.length}`;
    changed(left);
  };
  words.addEventListener("input", apply);
  boxes.forEach((box) => box.addEventListener("change", apply));
  words.form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
