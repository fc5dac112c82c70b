// Draws the charts: each .chart has its Vega-Lite specification in the script element that follows it. Colours are variables of the style sheet.
const font = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const label = { labelColor: "var(--ink)", labelFont: font, labelFontSize: 12, titleColor: "var(--muted)", titleFont: font, titleFontSize: 12, titleFontWeight: "normal" };
const config = {
  aria: false,
  background: null,
  font,
  padding: 0,
  view: { stroke: null },
  axis: { ...label, domain: false, ticks: false, gridColor: "var(--line)", labelPadding: 6 },
  axisX: { labelFlush: true, titleAlign: "right", titleAnchor: "end" },
  axisQuantitative: { labelColor: "var(--muted)" },
  legend: { ...label, labelFontSize: 11, columnPadding: 8, layout: { top: { anchor: "start", bounds: "full", direction: "vertical" } }, offset: 4, rowPadding: 3, symbolSize: 90, symbolStrokeWidth: 2.5 },
  line: { strokeWidth: 2, strokeJoin: "round" },
};
const options = {
  actions: false,
  ast: true, // the page's policy forbids code made from text
  config,
  defaultStyle: false,
  formatLocale: { decimal: ".", thousands: "\u202f", grouping: [3], currency: ["", ""], percent: "\u202f%" },
  mode: "vega-lite",
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};
const failures = [];
for (const place of document.querySelectorAll(".chart")) {
  try {
    await vegaEmbed(place, JSON.parse(place.nextElementSibling.textContent), options);
  } catch (error) {
    failures.push(String(error));
    place.textContent = "This chart could not be drawn.";
  }
}
document.documentElement.dataset.charts = failures.length ? failures.join("; ") : "drawn";
