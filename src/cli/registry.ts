import type { Stage } from './stage';
import { apply } from './stages/apply';
import { attributes } from './stages/attributes';
import { behaviour } from './stages/behaviour';
import { data } from './stages/data';
import { evaluate } from './stages/evaluate';
import { loop } from './stages/loop';
import { particles } from './stages/particles';
import { read } from './stages/read';
import { report } from './stages/report';
import { suggest } from './stages/suggest';
import { train } from './stages/train';

/** Every stage of the command line; a new one is one file and one line here. */
export const stages: readonly Stage[] = [read, particles, attributes, data, behaviour, suggest, apply, train, evaluate, loop, report];
