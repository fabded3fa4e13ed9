import { colourDomain, colourRamp, rampIndex } from '../core/charts/colourScales';
import type { ThemeKind } from '../core/charts/chartTheme';
import type { ColumnData, LayerSummary } from '../compute/protocol';
import { rowIds } from './columnRows';
import { originText, shownColumns, type ReportContent } from './reportContent';
import { figure } from './textTable';

/** A page that needs nothing else: no script, no network; heatmaps are inline SVG, and light or dark follows the reader. */
export function htmlReport(content: ReportContent): string {
  const { summary, suggestions: { baseline, suggestions, refusals }, maxDrop, recipe } = content;
  const columns = shownColumns(content);
  const name = summary.path.split(/[/\\]/).pop()!;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(name)} · Particlize</title>
<style>${style}</style>
</head>
<body>
<h1>${escaped(name)}</h1>
<p>${escaped(summary.formatTitle)}${summary.producer ? `, ${escaped(summary.producer)}` : ''}. ${figure(summary.particleCount)} particles in ${summary.layers.filter(({ particles }) => particles).length} layers, ${figure(summary.parameters)} parameters, ${figure(summary.macs)} multiply-accumulates for one sample.</p>
<h2>How good it is</h2>
${table(['measure', 'value'], [['loss', baseline.loss], ...Object.entries(baseline.metrics), ['samples', baseline.samples], ['data', recipe], ['engine', baseline.engine]])}
<h2>Its particles</h2>
<p>One cell a particle, one row a layer.</p>
${columns.map((column, index) => heatmap(column, summary.layers, rowIds(summary), index === 0)).join('\n')}
<h2>What can go</h2>
${suggestions.length
    ? `<p>Within a drop of ${figure(maxDrop)} in ${escaped(baseline.decisive.name)}; all particles of a suggestion were switched off together.</p>${table(
      ['suggestion', 'removes', `change of ${baseline.decisive.name}`, 'parameters left', 'MACs left', 'why'],
      suggestions.map(({ title, particles, predicted, evidence }) => [title, particles.length, predicted.metric?.change, predicted.parameters, predicted.macs, evidence]))}`
    : `<p>Nothing within a drop of ${figure(maxDrop)} in ${escaped(baseline.decisive.name)}.</p>`}
${refusals.length ? `<h3>What stays</h3>${table(['layer', 'because'], refusals.map(({ layer, reason }) => [layer, reason]))}` : ''}
<h2>Its layers</h2>
${table(['layer', 'type', 'particles', 'output', 'parameters', 'MACs'], summary.layers.map((layer) => [
    layer.name, layer.type, layer.particles?.count, layer.outputShape?.map((dim) => dim ?? '?').join('×'), layer.parameters, layer.macs]))}
${summary.findings.length ? `<h2>Findings</h2>${table(['', 'place', 'what'], summary.findings.map(({ severity, place, message }) => [severity, place, message]))}` : ''}
<footer>SHA-256 of the model ${summary.sha256}</footer>
</body>
</html>
`;
}

const cell = 14;
const perLine = 64;
const labelWidth = 150;
/** More cells than this make a page that no browser likes. */
const mostCells = 20_000;

function heatmap(column: ColumnData, layers: readonly LayerSummary[], ids: ReturnType<typeof rowIds>, open: boolean): string {
  const domain = colourDomain(column.values, column.scale);
  if (!domain) return '';
  const parts: string[] = [];
  let [y, cells, left] = [0, 0, 0];
  for (const { name, particles } of layers) {
    if (!particles) continue;
    parts.push(`<text x="0" y="${y + cell - 3}">${escaped(name.length > 22 ? `…${name.slice(-21)}` : name)}</text>`);
    for (let index = 0; index < particles.count; index++) {
      if (++cells > mostCells) {
        left++;
        continue;
      }
      const value = column.values[particles.firstRow + index]!;
      const x = labelWidth + (index % perLine) * cell;
      const step = rampIndex(value, domain);
      parts.push(`<rect x="${x}" y="${y + Math.floor(index / perLine) * cell}" class="${step < 0 ? 'none' : `v${Math.round(step / 15)}`}"><title>${escaped(ids[particles.firstRow + index]!.id)}: ${figure(value) || 'no value'}</title></rect>`);
    }
    y += Math.ceil(particles.count / perLine) * cell + 6;
  }
  const unit = column.unit ? ` [${column.unit}]` : '';
  return `<details${open ? ' open' : ''}><summary>${escaped(column.title + unit)} <small>${figure(domain.min)} to ${figure(domain.max)}</small></summary>
<p>${escaped(column.meaning)} ${escaped(originText(column))}${left ? ` ${figure(left)} particles are not drawn.` : ''}</p>
<svg class="${column.scale}" width="${labelWidth + perLine * cell}" height="${y}" viewBox="0 0 ${labelWidth + perLine * cell} ${y}" role="img" aria-label="${escaped(column.title)} of every particle">${parts.join('')}</svg></details>`;
}

function table(head: readonly string[], rows: readonly (readonly (string | number | undefined)[])[]): string {
  const line = (row: readonly (string | number | undefined)[]): string =>
    `<tr>${row.map((value) => (typeof value === 'number' ? `<td class="number">${figure(value)}</td>` : `<td>${escaped(value ?? '')}</td>`)).join('')}</tr>`;
  return `<table><thead><tr>${head.map((title) => `<th>${escaped(title)}</th>`).join('')}</tr></thead><tbody>${rows.map(line).join('')}</tbody></table>`;
}

/** 18 steps of each ramp as classes, so that one page suits light and dark. */
function rampStyle(theme: ThemeKind): string {
  return (['sequential', 'diverging', 'categorical'] as const).map((scale) => {
    const ramp = colourRamp(scale, theme);
    return Array.from({ length: 18 }, (_, step) => {
      const at = Math.min(255, step * 15) * 3;
      return `.${scale} .v${step}{fill:rgb(${ramp[at]} ${ramp[at + 1]} ${ramp[at + 2]})}`;
    }).join('');
  }).join('');
}

const style = `:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0}th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8884;vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums}details{margin:.6rem 0;overflow-x:auto}summary{cursor:pointer;font-weight:600}small,footer{font-weight:400;opacity:.75}
svg text{font:12px system-ui,sans-serif;fill:currentColor}svg rect{width:${cell - 1}px;height:${cell - 1}px}.none{fill:none;stroke:#8886}footer{margin-top:3rem;font-size:12px;overflow-wrap:anywhere}
${rampStyle('light')}@media (prefers-color-scheme:dark){${rampStyle('dark')}}`;

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
