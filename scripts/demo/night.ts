import { compareEvents } from './afterwards.ts';
import { inTime } from './in-time.ts';
import { endTheNight } from './morning.ts';
import { playFirstCall } from './scenes/first-call.ts';
import { findTwoWorkers } from './scenes/labour-inspection.ts';
import { followUpNoShow } from './scenes/no-show.ts';
import { contestTheTelephone } from './scenes/telephone.ts';
import type { Stage } from './stage.ts';
import { followUpComplaint } from './trail.ts';
import { keepConfidences, walkRound } from './who-sees-what.ts';

/** What happened, with whom: what is looked at when the night is over. */
export interface Night {
  call: Awaited<ReturnType<typeof playFirstCall>>;
  found: Awaited<ReturnType<typeof findTwoWorkers>>;
  contested: Awaited<ReturnType<typeof contestTheTelephone>>;
  missed: Awaited<ReturnType<typeof followUpNoShow>>;
}

/** The night from the first call to the morning. @throws NotAsTold at the first step that is not as told */
export async function playNight(stage: Stage): Promise<void> {
  const { scene } = stage.timeline;
  const call = await inTime(stage, 1, () => playFirstCall(stage));
  scene('Two workers are found together');
  const found = await inTime(stage, 0, () => findTwoWorkers(stage));
  scene('A yes on the telephone is contested');
  const contested = await inTime(stage, 0, () => contestTheTelephone(stage));
  scene('Somebody does not arrive');
  const missed = await inTime(stage, 0, () => followUpNoShow(stage));
  const night = { call, found, contested, missed };

  scene('Who may see what: every agency looks up every case and every referral of the night');
  const refusals = await walkRound(stage, night);
  scene('The auditor reads the trail');
  await followUpComplaint(stage, night, refusals);
  scene('In the morning');
  await endTheNight(stage, night);
  await compareEvents(stage);
  keepConfidences(stage, night);
}
