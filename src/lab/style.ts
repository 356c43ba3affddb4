/** Colours and styles of pages, and of charts that stand alone. */

/**
 * Eight colours that are readable as text on their background (contrast of 4.5 and more) and far apart for people with
 * and without each kind of colour blindness: found by a search, tested in tests/lab/page.test.ts.
 */
const palette = (colours: readonly string[]) => colours.map((colour, k) => `--c${k}:${colour}`).join(";");
export const lightColours = [
  "#2f19f6",
  "#810c04",
  "#13644b",
  "#ac337f",
  "#7b7316",
  "#1275b5",
  "#3b0bb6",
  "#3e3e3e",
];
export const darkColours = [
  "#8da7fd",
  "#f97931",
  "#67e746",
  "#e29eb0",
  "#edf7b5",
  "#4190ce",
  "#e4bff6",
  "#8a8a8a",
];

/** Light or dark, as the reader asks. */
const variables = `
:root{--back:#fff;--text:#1d2127;--soft:#59626f;--line:#d5dae1;--panel:#f6f7f9;
${palette(lightColours)}}
@media (prefers-color-scheme:dark){:root{--back:#14171c;--text:#e6e9ee;--soft:#a3adba;--line:#363d48;--panel:#1c2128;
${palette(darkColours)}}}
`;

const charts = `
.axis{fill:var(--soft)}.axis,.name{font-size:11px}
.name{fill:currentColor;font-weight:600}
.name,.over{paint-order:stroke;stroke:var(--panel);stroke-width:3px;stroke-linejoin:round}
.grid{stroke:var(--line);stroke-width:1}.tick{stroke:var(--soft);stroke-width:1}
.rule{stroke:var(--text);stroke-width:1;stroke-dasharray:5 4}
.line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.d1 .line,.d1.swatch .line{stroke-dasharray:6 3}
.leader{stroke:currentColor;stroke-width:.75}
.band{fill:currentColor;fill-opacity:.16;stroke:none}.end{fill:currentColor}
${Array.from({ length: 8 }, (_, k) => `.s${k}{color:var(--c${k})}`).join("")}
`;

/** Of a chart in a file of its own. */
export const pictureStyle = `${variables}${charts}
text{font-family:system-ui,sans-serif}.back{fill:var(--panel)}
.title,.entry{fill:var(--text)}.title{font-size:13px;font-weight:600}.entry{font-size:12px}
`;

/** Of a page: on a screen, on a phone, on paper. */
export const pageStyle = `${variables}${charts}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}
.summary{font-size:1.1rem;margin-top:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;min-width:min(100%,24rem);margin:.5rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:.25rem 0}
caption span{position:sticky;left:0;display:inline-block;max-width:min(100%,calc(100vw - 2rem))}
th,td{text-align:left;padding:.35rem 1.25rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
thead th{color:var(--soft);font-weight:600}tbody th{font-weight:600;white-space:nowrap}
th.n,td.n{text-align:right}td.n{white-space:nowrap}thead th{vertical-align:bottom}
tbody th{position:sticky;left:0;background:var(--back)}
.dense table{font-size:.85rem}.dense th,.dense td{padding-right:.6rem}.dense tbody th{white-space:normal;min-width:9rem}
small{color:var(--soft);font-size:.85em;font-weight:400}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.5rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1.25rem}
figure{max-width:46rem;margin:0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0}
figcaption{font-weight:600;margin-bottom:.25rem}
figure svg:not(.swatch){width:100%;max-width:40rem;height:auto;display:block;overflow:visible}
summary{cursor:pointer;color:var(--soft);margin-top:.5rem}
.strip{width:150px;height:16px;vertical-align:middle;display:block;margin-top:.25rem}.strip .end{fill-opacity:.6}
.swatch{width:24px;height:10px;vertical-align:middle}
.bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:.25rem .75rem;align-items:center}
.track{display:flex}.bar{height:1.4rem;background:currentColor}.patch{display:inline-block;width:.9em;height:.9em;background:currentColor;vertical-align:-.1em}
.bar.d1,.patch.d1{opacity:.45}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}dt{color:var(--soft)}dd{margin:0}
.places{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;list-style:none}td .places{margin:0 0 .25rem}a{color:var(--c0)}
@media (max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}main{padding:1rem .75rem 2rem}
.figures{grid-template-columns:1fr}.axis,.name{font-size:14px}.name{font-weight:400}tbody th{white-space:normal;overflow-wrap:anywhere;min-width:6rem;max-width:9rem}.bars{grid-template-columns:1fr max-content}.bars span:nth-child(3n+1){grid-column:1/-1}th,td{padding-right:.75rem}}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;overflow-x:auto}
@media print{:root{--back:#fff;--text:#000;--soft:#444;--line:#bbb;--panel:#fff;
${palette(lightColours)}}
body{font-size:11pt;print-color-adjust:exact}main{max-width:none;padding:0}details,.downloads{display:none}
.axis,.name{font-size:13px}table{font-size:9pt}.dense table{font-size:6.5pt}.dense th,.dense td{padding-right:.3rem}th,td{padding:.2rem .6rem .2rem 0}tbody th{position:static}
.figures{grid-template-columns:1fr 1fr}figure,tr{break-inside:avoid}main>figure svg:not(.swatch){max-width:28rem}h2{break-after:avoid}.scroll{overflow:visible}}
`;
