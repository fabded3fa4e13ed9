import embed, { type Result } from 'vega-embed';
import { expressionInterpreter } from 'vega-interpreter';
import type { ChartResult } from '../../src/core/charts/chart';
import { fill, h } from './dom';
import { strings } from './strings';
import type { Tooltip } from './tooltip';

export interface VegaHostOptions {
  readonly tooltip: Tooltip;
  /** A mark with a datum was clicked. */
  readonly clicked?: (datum: Readonly<Record<string, unknown>>) => void;
}

/**
 * A place for a Vega-Lite chart: draws, redraws, follows its width, cleans up. Expressions are interpreted
 * (`ast: true`), because the content security policy forbids making functions of text.
 */
export class VegaHost {
  readonly element: HTMLElement;
  private readonly plot = h('div', { class: 'chart-plot' });
  private readonly note = h('div', { class: 'chart-note' });
  private readonly resizes: ResizeObserver;
  private current: Result | undefined;
  private shown: ChartResult | undefined;
  private width = 0;
  /** Drawing takes a while; only the last one asked for counts. */
  private turn = 0;
  private disposed = false;

  constructor(private readonly options: VegaHostOptions) {
    this.element = h('figure', { class: 'chart' }, this.plot, this.note);
    this.resizes = new ResizeObserver(() => this.resized());
    this.resizes.observe(this.element);
  }

  show(chart: ChartResult): void {
    this.shown = chart;
    this.width = this.element.clientWidth;
    void this.draw();
  }

  dispose(): void {
    this.disposed = true;
    this.resizes.disconnect();
    this.current?.finalize();
    this.current = undefined;
  }

  private resized(): void {
    const width = this.element.clientWidth;
    if (!this.shown || width === 0 || Math.abs(width - this.width) < 2) return;
    this.width = width;
    void this.draw();
  }

  private async draw(): Promise<void> {
    const chart = this.shown;
    const turn = ++this.turn;
    // Hidden, it has no width yet; the resize observer calls again when it has.
    if (!chart || this.disposed || this.element.clientWidth === 0) return;
    this.note.textContent = chart.leftOut ?? '';
    this.note.hidden = !chart.leftOut;
    if (chart.empty) {
      this.current?.finalize();
      this.current = undefined;
      fill(this.plot, h('p', { class: 'empty' }, chart.empty));
      return;
    }
    const target = h('div', { class: 'chart-canvas', attributes: { 'data-description': chart.description } });
    try {
      const spec = { ...chart.spec, width: Math.max(120, this.element.clientWidth - 2) } as ChartResult['spec'];
      const result = await embed(target, spec, {
        mode: 'vega-lite',
        renderer: 'svg',
        actions: false,
        ast: true,
        expr: expressionInterpreter,
        defaultStyle: false,
        // The specification names the version for others; ours is the one bundled here.
        logLevel: 0,
        tooltip: (_handler: unknown, event: MouseEvent, _item: unknown, value: unknown) => this.tooltip(event, value),
      });
      if (turn !== this.turn || this.disposed) {
        result.finalize();
        return;
      }
      if (this.options.clicked) {
        result.view.addEventListener('click', (_event, item) => {
          const datum = item?.datum as Record<string, unknown> | undefined;
          if (datum) this.options.clicked?.(datum);
        });
      }
      this.current?.finalize();
      this.current = result;
      const svg = target.querySelector('svg');
      svg?.setAttribute('role', 'img');
      svg?.setAttribute('aria-label', chart.description);
      fill(this.plot, target);
    } catch (error) {
      if (turn !== this.turn) return;
      fill(this.plot, h('p', { class: 'empty' }, strings.chartFailed(String(error))));
    }
  }

  private tooltip(event: MouseEvent, value: unknown): void {
    if (value === null || value === undefined || value === '') {
      this.options.tooltip.hide();
      return;
    }
    const lines =
      typeof value === 'object'
        ? Object.entries(value).map(([label, text]) => ({ label, value: String(text) }))
        : [{ label: '', value: String(value) }];
    this.options.tooltip.show(event.clientX, event.clientY, '', lines);
  }
}
