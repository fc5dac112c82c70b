"use strict";

const CHUNK = 8; // texts of a request
const byId = id => document.getElementById(id);
let model = null;

/** A new element; strings among the children become text. */
function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function say(message, failed = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("failed", failed);
}

// --- service -----------------------------------------------------------------------------------------------------

async function call(path, body) {
  const headers = {"Content-Type": "application/json"};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, body === undefined ? {headers} : {method: "POST", headers, body: JSON.stringify(body)});
  if (reply.status === 401) byId("login").hidden = false;
  const content = await reply.json();
  if (!reply.ok) throw new Error(describe(content.detail));
  return content;
}

function describe(detail) {
  return Array.isArray(detail) ? detail.map(issue => `${issue.loc.slice(1).join(".")}: ${issue.msg}`).join("; ") : detail;
}

async function start() {
  try {
    model = await call("/model");
  } catch (error) {
    return say(error.message, true);
  }
  byId("login").hidden = true;
  byId("version").textContent = model.model;
  byId("tasks").replaceChildren(byId("tasks").firstElementChild, ...Object.keys(model.tasks).map(name =>
    make("label", {}, make("input", {type: "checkbox", name: "task", value: name, checked: true}), ` ${name}`)));
  say("");
}

// --- texts -------------------------------------------------------------------------------------------------------

function textsOf(content) {
  return content.split("\n").filter(line => line.trim()).map((line, number) => {
    if (!line.trimStart().startsWith("{")) return line;
    try {
      return JSON.parse(line);
    } catch (error) {
      throw new Error(`text ${number + 1}: ${error.message}`);
    }
  });
}

/** The records of a CSV file: separated by commas, perhaps in quotes, which are doubled inside. */
function csvRecords(content) {
  const records = [[]];
  const cells = /("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)/y;
  for (let match; cells.lastIndex < content.length && (match = cells.exec(content));) {
    records.at(-1).push(match[1].startsWith('"') ? match[1].slice(1, -1).replaceAll('""', '"') : match[1]);
    if (match[2] !== "," && cells.lastIndex < content.length) records.push([]);
  }
  return records.filter(record => record.some(cell => cell));
}

/** Rows of a CSV file as JSON lines: the columns that tasks read, else the first one as text. */
async function readFile(file) {
  const [header, ...records] = csvRecords((await file.text()).replace(/^\ufeff/, ""));
  const fields = new Set(Object.values(model.tasks).flatMap(task => task.fields));
  const columns = header.flatMap((name, place) => fields.has(name) ? [[name, place]] : []);
  const used = columns.length ? columns : [["text", 0]];
  byId("texts").value = records.map(record => JSON.stringify(Object.fromEntries(used.map(([name, place]) => [name, record[place] ?? ""])))).join("\n");
  say(`${records.length} rows of ${file.name}`);
}

async function predict(event) {
  event.preventDefault();
  byId("results").replaceChildren();
  try {
    const tasks = [...document.querySelectorAll("[name=task]:checked")].map(box => box.value);
    if (!tasks.length) throw new Error("choose a task");
    const texts = textsOf(byId("texts").value);
    for (let first = 0; first < texts.length; first += CHUNK) {
      say(`predicting ${first + 1} of ${texts.length}`);
      const chunk = texts.slice(first, first + CHUNK);
      const reply = await call("/predict", {texts: chunk, tasks});
      byId("version").textContent = reply.model;
      byId("results").append(...chunk.map((text, place) => article(text, reply.predictions[place])));
    }
    say(texts.length === 1 ? "1 text" : `${texts.length} texts`);
  } catch (error) {
    say(error.message, true);
  }
}

// --- predictions -------------------------------------------------------------------------------------------------

function article(text, predictions) {
  const fields = typeof text === "string" ? {text} : text.tokens && !text.text ? {...text, text: text.tokens.join(" ")} : text;
  const shown = Object.entries(fields).filter(([name]) => name !== "tokens").map(([name, value]) =>
    make("blockquote", {}, name === "text" ? value : `${name}: ${value}`));
  const made = Object.entries(predictions).filter(([, prediction]) => prediction);
  return make("article", {}, ...shown, ...made.map(([name, prediction]) => taskRow(text, fields, name, prediction)));
}

function taskRow(text, fields, name, prediction) {
  const source = fields[model.tasks[name].field];
  const row = make("div", {className: "task"}, make("h2", {}, name), make("div", {className: "prediction"}, ...shownPrediction(prediction, source)));
  const form = model.corrections ? correctionForm(prediction, model.tasks[name].classes, source) : null;
  if (form) {
    const open = make("button", {type: "button", onclick: () => { form.hidden = !form.hidden; }}, "Correct");
    form.hidden = true;
    form.addEventListener("submit", event => save(event, text, name, form));
    row.append(open, form);
  }
  return row;
}

function shownPrediction(prediction, source) {
  if ("label" in prediction) return [bar(prediction)];
  if ("labels" in prediction) return prediction.labels.length ? prediction.labels.map(bar) : ["none"];
  if ("value" in prediction) return [make("output", {}, prediction.value.toFixed(3))];
  if ("entities" in prediction) return marked(source, prediction.entities);
  if ("answer" in prediction) return prediction.answer === null ? ["no answer"] : marked(source, [{...prediction, type: "answer"}]);
  return [JSON.stringify(prediction)];
}

function bar({label, probability}) {
  return make("div", {className: "class"}, make("span", {}, label), make("meter", {value: probability, ariaLabel: label}), `${Math.round(100 * probability)} %`);
}

/** The text with its entities; offsets count code points, not the units of a JavaScript string. */
function marked(source, entities) {
  const points = Array.from(source), parts = [];
  let place = 0;
  for (const entity of entities) {
    parts.push(points.slice(place, entity.start).join(""), make("mark", {title: `confidence ${entity.confidence.toFixed(2)}`},
      points.slice(entity.start, entity.end).join(""), make("small", {}, entity.type)));
    place = entity.end;
  }
  return [...parts, points.slice(place).join("")];
}

// --- corrections -------------------------------------------------------------------------------------------------

function choice(classes, value) {
  return make("select", {ariaLabel: "class"}, ...classes.map(name => make("option", {selected: name === value}, name)));
}

/** A form whose ``correction()`` is the corrected prediction. */
function correctionForm(prediction, classes, source) {
  const form = make("form", {className: "row"});
  if ("label" in prediction) {
    const select = choice(classes, prediction.label);
    form.append(select);
    form.correction = () => ({label: select.value});
  } else if ("labels" in prediction) {
    const chosen = new Set(prediction.labels.map(each => each.label));
    const boxes = classes.map(name => make("input", {type: "checkbox", value: name, checked: chosen.has(name)}));
    form.append(...boxes.map(box => make("label", {}, box, ` ${box.value}`)));
    form.correction = () => ({labels: boxes.filter(box => box.checked).map(box => box.value)});
  } else if ("value" in prediction) {
    const number = make("input", {type: "number", step: "any", required: true, value: Number(prediction.value.toFixed(3)), ariaLabel: "value"});
    form.append(number);
    form.correction = () => ({value: number.valueAsNumber});
  } else if ("entities" in prediction) {
    entityEditor(form, prediction.entities, classes, source);
  } else {
    return null;
  }
  form.append(make("button", {}, "Save"));
  return form;
}

function entityEditor(form, entities, classes, source) {
  const list = make("div", {className: "row"}), area = make("textarea", {value: source, readOnly: true, rows: 2, ariaLabel: "select the characters of an entity"});
  const add = ({type, start, end}) => {
    const select = choice(classes, type);
    const item = make("span", {className: "row"}, Array.from(source).slice(start, end).join(""), select,
      make("button", {type: "button", onclick: () => item.remove()}, "Remove"));
    item.entity = () => ({type: select.value, start, end});
    list.append(item);
  };
  const addSelected = () => {
    const [start, end] = [area.selectionStart, area.selectionEnd].map(units => Array.from(source.slice(0, units)).length);
    if (start < end) add({type: classes[0], start, end});
    else say("select the characters of an entity first", true);
  };
  entities.forEach(add);
  form.append(area, make("button", {type: "button", onclick: addSelected}, "Add selected"), list);
  form.correction = () => ({entities: [...list.children].map(item => item.entity())});
}

async function save(event, text, task, form) {
  event.preventDefault();
  try {
    await call("/corrections", {text, task, correction: form.correction()});
    form.hidden = true;
    say(`saved: ${task}`);
  } catch (error) {
    say(error.message, true);
  }
}

// --- events ------------------------------------------------------------------------------------------------------

byId("login").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  start();
});
byId("input").addEventListener("submit", predict);
byId("file").addEventListener("change", event => event.target.files[0] && readFile(event.target.files[0]));
byId("texts").addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("input").requestSubmit(); });
for (const kind of ["dragover", "dragleave", "drop"]) {
  byId("texts").addEventListener(kind, event => {
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (kind === "dragover" || file) event.preventDefault();
    byId("texts").classList.toggle("over", kind === "dragover");
    if (file) readFile(file);
  });
}
start();
