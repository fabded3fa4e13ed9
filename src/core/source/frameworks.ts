import type { FrameworkReader } from './frameworkReader';
import { keras } from './keras';
import { pytorch } from './pytorch';
import { tfjs } from './tfjs';

/** Every framework whose definitions are found: one file and one line here. */
export const frameworks: readonly FrameworkReader[] = [keras, pytorch, tfjs];
