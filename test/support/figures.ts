/** A sample of Prometheus' text format: `name{label="value"} 1`. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Reads the text format. @throws Error at a line that is none of it */
export function parseFigures(text: string): Sample[] {
  return text
    .split('\n')
    .filter(line => line !== '' && !/^# (HELP|TYPE) \w+ \S/.test(line))
    .map(line => {
      const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (-?\d\S*|\+Inf|nan)$/i.exec(line) ?? [];
      if (name === undefined) throw new Error(`not a sample: ${line}`);
      const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, it]) => [label, it]);
      return { name, labels: Object.fromEntries(pairs), value: Number(value === '+Inf' ? Infinity : value) };
    });
}

/** The value of the one sample with this name and these labels; undefined where there is none. */
export const figure = (samples: readonly Sample[], name: string, labels: Record<string, string> = {}): number | undefined =>
  samples.find(
    it =>
      it.name === name &&
      Object.keys(it.labels).length === Object.keys(labels).length &&
      Object.entries(labels).every(([label, value]) => it.labels[label] === value),
  )?.value;
