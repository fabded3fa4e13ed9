import { axisFormat, chartSpec, type Chart } from './chart';
import { formatNumber } from './numberFormat';

export interface BarsInput {
  readonly labels: readonly string[];
  readonly values: ArrayLike<number>;
  readonly labelTitle: string;
  readonly valueTitle: string;
  readonly limit?: number;
}

/** One value a label: numbers stand side by side in their order, names below each other, those of the largest size first. */
export const bars: Chart<BarsInput> = {
  name: 'bars',
  draw({ labels, values, labelTitle, valueTitle, limit = 30 }, options) {
    const all = labels.map((label, index) => ({ label, value: values[index]!, text: formatNumber(values[index]!) }));
    const known = all.filter(({ value }) => Number.isFinite(value));
    const numeric = known.length > 12 && known.every(({ label }) => label.trim() !== '' && Number.isFinite(Number(label)));
    const bySize = [...known].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, limit);
    const shown = numeric ? known : known.length > limit ? bySize : known;
    const [first] = bySize;
    const description = first ? `${valueTitle} by ${labelTitle}: largest ${first.label} with ${first.text}.` : valueTitle;
    const length = { field: 'value', type: 'quantitative', title: valueTitle, axis: { grid: true, tickCount: 5, format: axisFormat(known.map(({ value }) => value)) } };
    const place = numeric
      ? { field: 'label', type: 'ordinal', sort: null, title: labelTitle, axis: { labelOverlap: true, labelAngle: 0, labelExpr: 'format(toNumber(datum.label), ".2~g")' } }
      : { field: 'label', type: 'nominal', sort: null, title: labelTitle, axis: { labelLimit: 140 } };
    return {
      description,
      ...(shown.length < known.length ? { leftOut: `The ${shown.length} largest of ${known.length} shown.` } : {}),
      ...(shown.length === 0 ? { empty: `No ${labelTitle} has a value here.` } : {}),
      spec: chartSpec(
        {
          data: { values: shown },
          ...(numeric ? {} : { height: { step: 18 }, autosize: { type: 'fit-x', contains: 'padding' } }),
          mark: { type: 'bar', ...(numeric ? {} : { height: { band: 0.75 } }) },
          encoding: {
            ...(numeric ? { x: place, y: length } : { y: place, x: length }),
            tooltip: [{ field: 'label', type: 'nominal', title: labelTitle }, { field: 'text', type: 'nominal', title: valueTitle }],
          },
        },
        description,
        numeric ? { height: 160, ...options } : options,
      ),
    };
  },
};
