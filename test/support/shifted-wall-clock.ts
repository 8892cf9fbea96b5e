/** Loaded before a program (`--import`): the clock on its wall is WALL_CLOCK_SHIFT_MS ahead of the machine's. */
const SHIFT_MS = Number(process.env.WALL_CLOCK_SHIFT_MS);
const MachineDate = Date;

globalThis.Date = new Proxy(MachineDate, {
  construct: (target, args, self) => Reflect.construct(target, args.length === 0 ? [target.now() + SHIFT_MS] : args, self),
  apply: target => new target(target.now() + SHIFT_MS).toString(),
  get: (target, name) => (name === 'now' ? () => target.now() + SHIFT_MS : Reflect.get(target, name)),
});
