/** The wall clock, injected so that tests decide what time it is. */
export type Now = () => Date;

export const systemNow: Now = () => new Date();
