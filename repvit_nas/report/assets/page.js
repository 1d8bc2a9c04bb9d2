"use strict";
const PANELS = JSON.parse(document.getElementById("data").textContent);
const PAGE = 100;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const main = document.getElementById("main");
const tip = document.getElementById("tip");

// Every text that came from a file reaches the page through textContent or here, never as markup.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
function draw(tag, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}
const number = (value, digits) => (value === null || value === undefined ? "" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const millions = (value) => number(value / 1e6, 2);
const interval = (l) => (l ? `${number(l.ms, 3)} (${number(l.low, 3)}\u2013${number(l.high, 3)})` : "");

function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, 2500);
}
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${what} copied`);
}
function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - box.width - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - box.height - 8)}px`;
}
function layout(x, y, shapes = []) {
  // A long title breaks where it has a comma, or it is cut on a narrow screen.
  const axis = (title) => ({ title: { text: plain(title).replaceAll(", ", ",<br>") }, gridcolor: css("--line"), zeroline: false, linecolor: css("--line"), automargin: true });
  return {
    xaxis: axis(x), yaxis: axis(y), shapes, hovermode: "closest",
    paper_bgcolor: css("--card"), plot_bgcolor: css("--card"), font: { color: css("--text"), size: 12 },
    margin: { l: 50, r: 12, t: 10, b: 40 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { size: innerWidth < 600 ? 10 : 12 } },
  };
}
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d"] };
// Plotly reads markup in names; a name from a file must not be any.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function plot(node, traces, axes, onclick) {
  Plotly.react(node, traces.map((trace) => ({ hoverinfo: "none", ...trace, name: plain(trace.name) })), axes, CONFIG);
  if (node.dataset.wired) return;
  node.dataset.wired = "yes";
  node.on("plotly_hover", (found) => {
    const point = found.points[0];
    if (point.customdata) showTip(found.event, point.customdata.tip);
  });
  node.on("plotly_unhover", () => { tip.hidden = true; });
  if (onclick) node.on("plotly_click", (found) => { const item = found.points[0].customdata; if (item && item.id !== undefined) onclick(item.id); });
}

function stageDiagram(net) {
  const [w, h, pad] = [360, 150, 26];
  const svg = draw("svg", { class: "stages", viewBox: `0 0 ${w} ${h}`, role: "img" });
  svg.append(draw("title", {}, `Stages of ${net.name}`));
  const most = Math.max(...net.stages.map((stage) => stage.width));
  const blocks = net.stages.reduce((sum, stage) => sum + stage.depth + 1, 0);
  const step = (w - 3 * pad) / blocks;
  let x = 4;
  net.stages.forEach((stage, place) => {
    const tall = 16 + 80 * (stage.width / most);
    const top = 20 + (96 - tall) / 2;
    for (let block = 0; block <= stage.depth; block += 1) {
      const se = block > 0 && stage.se[block - 1] === "1";
      svg.append(draw("rect", {
        x: x.toFixed(1), y: top.toFixed(1), width: Math.max(step - 1.2, 1).toFixed(1), height: tall.toFixed(1),
        fill: block === 0 ? css("--line") : css("--front"), "fill-opacity": se || block === 0 ? 1 : 0.4,
      }));
      x += step;
    }
    const middle = x - (step * (stage.depth + 1)) / 2;
    svg.append(draw("text", { x: middle.toFixed(1), y: 12, "text-anchor": "middle" }, `${stage.width}`));
    svg.append(draw("text", { x: middle.toFixed(1), y: 132, "text-anchor": "middle" }, `${stage.depth}\u00d7`));
    svg.append(draw("text", { x: middle.toFixed(1), y: 145, "text-anchor": "middle" }, `x${stage.expansion} k${stage.kernel}`));
    if (place < 3) x += pad / 2;
  });
  return svg;
}
function architectureOf(panel, net) {
  return { schema: 1, name: net.name, resolution: panel.resolution, num_classes: panel.num_classes, stages: net.stages };
}
function pythonOf(panel, net) {
  const stages = net.stages.map((s) => `        repvit_nas.Stage(width=${s.width}, depth=${s.depth}, se=${JSON.stringify(s.se)}, expansion=${s.expansion}, kernel=${s.kernel}),`);
  return ["repvit_nas.Architecture(", `    name=${JSON.stringify(net.name)},`, `    resolution=${panel.resolution},`, `    num_classes=${panel.num_classes},`, "    stages=(", ...stages, "    ),", ")"].join("\n");
}
function costBars(parts) {
  const total = parts.reduce((sum, part) => sum + part[1], 0);
  return make("table", {}, make("tbody", {}, ...parts.map(([name, ms]) => make("tr", {}, make("td", {}, name), make("td", {}, `${number(1000 * ms, 0)} \u00b5s`), make("td", { style: "width:45%" }, make("div", { style: `height:.6rem;background:var(--front);width:${((100 * ms) / total).toFixed(1)}%` }))))));
}

function frontView(panels) {
  const first = panels[0];
  const devices = [...new Set(panels.flatMap((panel) => panel.devices))];
  const state = { device: devices[0], budget: null, selected: null, sort: "accuracy", down: true, page: 0, family: true, peers: true };
  const networks = panels.flatMap((panel, place) => panel.networks.map((net) => ({ ...net, panel, place })));
  networks.forEach((net, id) => { net.id = id; net.share = net.stages.reduce((s, t) => s + [...t.se].filter((c) => c === "1").length, 0) / net.stages.reduce((s, t) => s + t.depth, 0); });
  const on = (net) => net.latency[state.device];
  const budgets = panels.map((panel) => panel.budgets[state.device]).filter((value) => value);
  state.budget = budgets.length ? Math.max(...budgets) : null;
  const chart = make("div", { class: "plot" });
  const details = make("div", { class: "card", "aria-live": "polite" });
  const body = make("tbody");
  const count = make("p", { class: "dim" });
  const field = (label, attributes, change) => make("label", {}, label, make("input", { type: "number", step: "any", min: 0, ...attributes, oninput: (event) => { change(event.target.value === "" ? null : Number(event.target.value)); state.page = 0; update(); } }));
  const budget = field("budget, ms", { value: state.budget ?? "", id: "budget" }, (value) => { state.budget = value; slider.value = value ?? slider.max; });
  const all = networks.map((net) => on(net)?.ms ?? 0);
  const slider = make("input", { type: "range", min: Math.min(...all) * 0.98, max: Math.max(...all, state.budget ?? 0) * 1.02, step: "any", value: state.budget ?? Math.max(...all), "aria-label": "budget in milliseconds", oninput: (event) => { state.budget = Number(Number(event.target.value).toFixed(3)); budget.querySelector("input").value = state.budget; state.page = 0; update(); } });
  const toggle = (label, name) => make("label", { class: "check" }, make("input", { type: "checkbox", checked: true, onchange: (event) => { state[name] = event.target.checked; update(); } }), label);
  const controls = make("div", { class: "card all controls" },
    devices.length > 1 ? make("label", {}, "device", make("select", { id: "device", onchange: (event) => { state.device = event.target.value; update(); } }, ...devices.map((name) => make("option", { value: name }, name)))) : null,
    budget, make("label", {}, "move the budget", slider),
    field("most M parameters", { id: "params" }, (value) => { state.params = value; }),
    field("most M MACs", { id: "macs" }, (value) => { state.macs = value; }),
    make("label", {}, "SE", make("select", { id: "se", onchange: (event) => { state.se = event.target.value; state.page = 0; update(); } }, ...["any", "none", "some", "all"].map((name) => make("option", { value: name }, name)))),
    first.family.length ? toggle("family", "family") : null, first.peers.length ? toggle("peers", "peers") : null);
  const COLUMNS = [["network", (net) => net.name], ["ms", (net) => on(net)?.ms ?? Infinity], ["accuracy", (net) => net.accuracy], ["M params", (net) => net.params], ["M MACs", (net) => net.macs], ["SE share", (net) => net.share]];
  const head = make("tr", {}, ...COLUMNS.map(([name]) => make("th", { scope: "col" }, make("button", { onclick: () => { state.down = state.sort === name ? !state.down : name !== "network"; state.sort = name; state.page = 0; update(); } }, name))));
  const pages = make("div", { class: "controls" });
  const table = make("div", { class: "card all" }, make("h2", {}, "Networks"), count, make("div", { class: "scroll" }, make("table", { "aria-label": "networks" }, make("thead", {}, head), body)), pages);

  function kept() {
    const key = COLUMNS.find(([name]) => name === state.sort)[1];
    const se = { any: () => true, none: (s) => s === 0, some: (s) => s > 0 && s < 1, all: (s) => s === 1 }[state.se ?? "any"];
    const found = networks.filter((net) => on(net) && (state.budget === null || on(net).ms <= state.budget) && (state.params == null || net.params <= 1e6 * state.params) && (state.macs == null || net.macs <= 1e6 * state.macs) && se(net.share));
    const order = (a, b) => { const [x, y] = [key(a), key(b)]; return typeof x === "string" ? x.localeCompare(y) : x - y; };
    return found.sort((a, b) => (state.down ? -order(a, b) : order(a, b)));
  }
  const tipOf = (net) => `${net.name}\n${interval(on(net))} ms on ${state.device}, ${on(net).source}\n${number(net.accuracy, 2)} \u00b1 ${number(net.std, 2)} %, ${net.accuracy_source}\n${millions(net.params)} M parameters, ${number(net.macs / 1e6, 0)} M MACs`;
  function traces(found) {
    const made = panels.flatMap((panel, place) => {
      const own = found.filter((net) => net.place === place).sort((a, b) => on(a).ms - on(b).ms);
      const chosen = own.filter((net) => net.load);
      const colour = place === 0 ? css("--front") : ["", "#bf8700", "#1a7f37", "#bc4c00", "#6639ba"][place % 5] || css("--front");
      return [
        { name: `${panel.name}, front`, x: own.map((net) => on(net).ms), y: own.map((net) => net.accuracy), customdata: own.map((net) => ({ id: net.id, tip: tipOf(net) })), mode: "markers", marker: { size: 5, color: colour, opacity: 0.6 } },
        { name: `${panel.name}, winners`, x: chosen.map((net) => on(net).ms), y: chosen.map((net) => net.accuracy), customdata: chosen.map((net) => ({ id: net.id, tip: tipOf(net) })), mode: "markers", marker: { size: 10, color: colour, line: { width: 1.5, color: css("--text") } },
          error_x: { type: "data", symmetric: false, array: chosen.map((net) => on(net).high - on(net).ms), arrayminus: chosen.map((net) => on(net).ms - on(net).low), thickness: 1, color: colour },
          error_y: { type: "data", array: chosen.map((net) => net.std), thickness: 1, color: colour } },
      ];
    });
    const family = first.family.filter((row) => row.device === state.device);
    if (state.family && family.length) made.push(
      { name: "family, published", x: family.map((r) => r.published_ms), y: family.map((r) => r.published_top1), customdata: family.map((r) => ({ tip: `${r.name}\npublished: ${r.published_ms ?? "?"} ms, ${r.published_top1 ?? "?"} %\n${r.source}` })), mode: "markers+text", text: family.map((r) => plain(r.name.replace("RepViT-", ""))), textposition: "bottom right", marker: { symbol: "square", size: 8, color: css("--family") } },
      { name: "family, predicted", x: family.map((r) => r.ms), y: family.map((r) => r.accuracy), customdata: family.map((r) => ({ tip: `${r.name}\npredicted: ${number(r.ms, 3)} (${number(r.low, 3)}\u2013${number(r.high, 3)}) ms, ${number(r.accuracy, 2)} \u00b1 ${number(r.std, 2)} %` })), mode: "markers", marker: { symbol: "x", size: 8, color: css("--family") } });
    const peers = first.peers.filter((row) => row.device === state.device);
    if (state.peers) for (const [label, colour, wanted] of [["peers, distilled", "--peer", "yes"], ["peers, plain", "--plain", "no"], ["peers, unstated", "--dim", "?"]]) {
      const some = peers.filter((row) => row.distilled === wanted);
      if (some.length) made.push({ name: label, visible: "legendonly", x: some.map((r) => r.latency_ms), y: some.map((r) => r.top1), customdata: some.map((r) => ({ tip: `${r.model}, ${r.resolution} px\n${r.latency_ms} ms, ${r.top1} %, ${label.slice(7)}\nreported by ${r.reported_by}: ${r.source}` })), mode: "markers", marker: { symbol: "diamond-open", size: 7, color: css(colour) } });
    }
    return made;
  }
  function select(id, focus = false) {
    state.selected = id;
    const net = networks[id];
    const parts = net.costs?.[state.device];
    details.replaceChildren(
      make("h2", {}, net.name), stageDiagram(net),
      make("p", { class: "dim" }, "Bars are blocks: height is the width, full colour has SE, grey opens the stage."),
      make("dl", {}, ...Object.entries(net.latency).flatMap(([device, l]) => [make("dt", {}, device), make("dd", {}, `${interval(l)} ms, ${l.source}`)]),
        make("dt", {}, "accuracy"), make("dd", {}, `${number(net.accuracy, 2)} \u00b1 ${number(net.std, 2)} %, ${net.accuracy_source}`),
        make("dt", {}, "parameters"), make("dd", {}, `${millions(net.params)} M`), make("dt", {}, "MACs"), make("dd", {}, `${number(net.macs / 1e6, 0)} M`)),
      make("div", { class: "controls" },
        make("button", { id: "copy-json", onclick: () => copy(JSON.stringify(architectureOf(net.panel, net)), "JSON") }, "copy as JSON"),
        make("button", { id: "copy-python", onclick: () => copy(pythonOf(net.panel, net), "Python") }, "copy as Python")),
      ...(net.load ? [make("pre", {}, `repvit_nas.load(${JSON.stringify(net.load)})\n\nrepvit-nas train ${net.load} --data PATH\nrepvit-nas export ${net.load} --out FOLDER`)] : [make("p", { class: "dim" }, "Copy it into a file to load or train it.")]),
      ...(parts ? [make("h2", {}, `Where ${state.device} spends the time`), costBars(parts)] : []));
    for (const row of body.rows) row.setAttribute("aria-selected", String(Number(row.dataset.id) === id));
    if (focus) body.querySelector(`[data-id="${id}"]`)?.focus();
  }
  function update() {
    const found = kept();
    const shapes = state.budget === null ? [] : [{ type: "line", x0: state.budget, x1: state.budget, yref: "paper", y0: 0, y1: 1, line: { dash: "dash", width: 1.5, color: css("--dim") } }];
    plot(chart, traces(found), layout(`latency on ${state.device}, ms`, first.accuracy_meaning, shapes), select);
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    state.page = Math.min(state.page, last);
    const shown = found.slice(state.page * PAGE, (state.page + 1) * PAGE);
    count.textContent = `${found.length.toLocaleString("en")} of ${networks.length.toLocaleString("en")} networks remain.`;
    body.replaceChildren(...shown.map((net) => make("tr", { tabindex: 0, "data-id": net.id, "aria-selected": String(net.id === state.selected), onclick: () => select(net.id), onkeydown: (event) => {
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (step) { event.preventDefault(); const other = event.currentTarget[step]; if (other) select(Number(other.dataset.id), true); }
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(net.id); }
    } }, make("td", {}, net.name), make("td", {}, interval(on(net))), make("td", {}, `${number(net.accuracy, 2)} \u00b1 ${number(net.std, 2)}`), make("td", {}, millions(net.params)), make("td", {}, number(net.macs / 1e6, 0)), make("td", {}, `${number(100 * net.share, 0)} %`))));
    pages.replaceChildren(...(last ? [make("button", { disabled: state.page === 0, onclick: () => { state.page -= 1; update(); } }, "previous"), make("span", { class: "dim" }, `page ${state.page + 1} of ${last + 1}`), make("button", { disabled: state.page === last, onclick: () => { state.page += 1; update(); } }, "next")] : []));
    for (const [place, [name]] of COLUMNS.entries()) head.cells[place].setAttribute("aria-sort", name === state.sort ? (state.down ? "descending" : "ascending") : "none");
  }
  const view = make("div", { class: "panel wide" }, controls, make("div", { class: "card" }, ...panels.map((panel) => make("p", { class: "dim" }, panel.said)), chart), details, table);
  return { view, start: () => { update(); const best = networks.find((net) => net.best) ?? networks[0]; if (best) select(best.id); }, redraw: update };
}

function validationView(panel) {
  const chart = make("div", { class: "plot" });
  const redraw = () => {
    const groups = [...new Set(panel.points.map((point) => point.group))];
    const values = panel.points.flatMap((point) => [point.measured, point.predicted]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    plot(chart, groups.map((group) => {
      const own = panel.points.filter((point) => point.group === group);
      return { name: group, x: own.map((p) => p.measured), y: own.map((p) => p.predicted), mode: "markers", marker: { size: 7 }, customdata: own.map((p) => ({ tip: `${p.name}\n${panel.measured_word} ${number(p.measured, 4)} ms\npredicted ${number(p.predicted, 4)} (${number(p.low, 4)}\u2013${number(p.high, 4)}) ms\noff by ${number(100 * (p.predicted / p.measured - 1), 1)} %` })), error_y: { type: "data", symmetric: false, array: own.map((p) => p.high - p.predicted), arrayminus: own.map((p) => p.predicted - p.low), thickness: 1 } };
    }), layout(`${panel.measured_word}, ms`, "predicted without seeing it, ms", [{ type: "line", x0: low, y0: low, x1: high, y1: high, line: { width: 1, color: css("--dim") } }]));
  };
  const rows = panel.table.rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))));
  const view = make("div", { class: "panel" }, make("div", { class: "card" }, make("h2", {}, panel.name), make("p", { class: "dim" }, panel.said), chart), make("div", { class: "card scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...panel.table.header.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows))));
  return { view, start: redraw, redraw };
}

function trainingView(panels) {
  const kinds = [["top1", "top-1 on the validation images, %"], ["loss", "cross-entropy on the validation images"], ["train_loss", "loss of the batches as augmented"], ["lr", "learning rate"]];
  const charts = kinds.map(() => make("div", { class: "plot" }));
  const redraw = () => kinds.forEach(([kind, title], place) => plot(charts[place], panels.map((panel) => ({ name: panel.name, x: panel.epochs.map((row) => row.epoch), y: panel.epochs.map((row) => row[kind]), mode: "lines+markers", customdata: panel.epochs.map((row) => ({ tip: `${panel.name}\nepoch ${row.epoch}: ${number(row[kind], 4)}` })) })), layout("epoch", title)));
  const tables = panels.filter((panel) => panel.table.rows.length).map((panel) => make("div", { class: "card scroll" }, make("h2", {}, panel.name), make("table", {}, make("thead", {}, make("tr", {}, ...panel.table.header.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...panel.table.rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))))))));
  const view = make("div", { class: "panel" }, make("div", { class: "card" }, ...panels.map((panel) => make("p", { class: "dim" }, panel.said)), ...charts), ...tables);
  return { view, start: redraw, redraw };
}

const fronts = PANELS.filter((panel) => panel.kind === "front");
const trainings = PANELS.filter((panel) => panel.kind === "training");
const views = [
  ...(fronts.length ? [["Front", frontView(fronts)]] : []),
  ...PANELS.filter((panel) => panel.kind === "validation").map((panel) => [`Predictor ${panel.name}`, validationView(panel)]),
  ...(trainings.length ? [["Training", trainingView(trainings)]] : []),
];
let current = null;
const tabs = views.map(([name, view], place) => make("button", { role: "tab", "aria-selected": "false", onclick: () => open(place) }, name));
function open(place) {
  tabs.forEach((tab, other) => tab.setAttribute("aria-selected", String(other === place)));
  main.replaceChildren(views[place][1].view);
  current = views[place][1];
  current.started ? current.redraw() : current.start();
  current.started = true;
}
document.getElementById("tabs").append(...tabs);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => current.redraw());
open(0);
document.documentElement.dataset.ready = "yes";
