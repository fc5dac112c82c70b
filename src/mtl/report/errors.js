// The error browser. Rows are in the page; this hides those that the filters do not ask for, and keeps the filters in the address.
const form = document.getElementById("filters");
const groups = [...document.querySelectorAll("#wrong tbody")];
const names = ["task", "model", "gold", "predicted", "other", "text"];
const rows = new Map(groups.map(group => [group, [...group.rows].slice(1).map(row => ({
  row, pairs: JSON.parse(row.dataset.pairs), better: row.dataset.better, text: row.cells[0].textContent.toLowerCase(),
}))]));

function narrow(select, task) {
  for (const option of select.options) {
    option.hidden = option.disabled = Boolean(task && option.dataset.tasks && !JSON.parse(option.dataset.tasks).includes(task));
  }
  if (select.selectedIndex < 0 || select.selectedOptions[0].disabled) select.selectedIndex = 0;
}

function apply() {
  narrow(form.gold, form.task.value);
  narrow(form.predicted, form.task.value);
  const [task, model, gold, predicted, other] = names.map(name => form[name].value);
  const text = form.text.value.toLowerCase();
  let shown = 0, all = 0;
  for (const group of groups) {
    const wanted = (!task || group.dataset.task === task) && (!model || group.dataset.model === model);
    let found = 0;
    for (const item of wanted ? rows.get(group) : []) {
      const pair = item.pairs.some(([a, b]) => (!gold || a === gold) && (!predicted || b === predicted));
      const fits = pair && (!other || item.better === other) && item.text.includes(text);
      item.row.hidden = !fits;
      found += fits;
    }
    group.hidden = !found;
    shown += found;
    all += wanted ? rows.get(group).length : 0;
  }
  document.getElementById("found").textContent = `${shown} of ${all} listed predictions match.`;
}

function read() {
  if (!location.hash.startsWith("#errors?")) return false;
  const asked = new URLSearchParams(location.hash.slice(8));
  for (const name of names) {
    form[name].value = asked.get(name) ?? "";
    if (form[name].selectedIndex < 0) form[name].selectedIndex = 0;
  }
  return true;
}

function show() {
  if (read()) document.getElementById("errors").scrollIntoView();
  apply();
}

form.addEventListener("input", () => {
  apply();
  const asked = new URLSearchParams(names.map(name => [name, form[name].value]).filter(([, value]) => value));
  history.replaceState(null, "", `#errors?${asked}`);
});
form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("input"))));
form.addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", () => { if (location.hash.startsWith("#errors?")) show(); });
form.hidden = false;
show();
