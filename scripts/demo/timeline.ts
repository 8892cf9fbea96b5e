import { styleText } from 'node:util';

/** What the demonstration prints, and what it counts for its last line. Nothing printed is a secret or a person's data. */
export interface Timeline {
  scene(title: string): void;
  /** Somebody did, saw or was told something. */
  step(who: string, what: string): void;
  webhook(to: string, type: string, numbers: string): void;
  note(text: string): void;
  /** Prints the end of it all: what went well, or what did not. Nothing is printed after it. */
  end(text: string, went_well: boolean): void;
  counts: { steps: number; webhooks: number };
  seconds(): string;
}

const NAME_WIDTH = 31;

export function startTimeline(out: NodeJS.WriteStream): Timeline {
  const started = performance.now();
  const counts = { steps: 0, webhooks: 0 };
  let ended = false;
  const print = (line: string) => void (ended || out.write(`${line}\n`));
  const style = (format: Parameters<typeof styleText>[0], text: string) => (out.isTTY ? styleText(format, text) : text);
  const seconds = () => `${((performance.now() - started) / 1_000).toFixed(1)} s`;
  return {
    counts,
    seconds,
    scene: title => print(`\n${style('bold', title)}`),
    step(who, what) {
      counts.steps += 1;
      print(`${seconds().padStart(8)}  ${style('cyan', who.padEnd(NAME_WIDTH))} ${what}`);
    },
    webhook(to, type, numbers) {
      counts.webhooks += 1;
      const line = `${' '.repeat(10)}${style('green', '✓ signature verified')}  webhook to ${to}: ${style('bold', type)}`;
      print(`${line}  ${style('dim', numbers)}`);
    },
    note: text => print(style('dim', text)),
    end(text, went_well) {
      print(`\n${style(went_well ? 'green' : 'red', text)}`);
      ended = true;
    },
  };
}
