// @ts-check
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const repoRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Everything the harness installs or writes between runs; git-ignored, safe to delete. */
export const cacheDir = process.env.PARTICLIZE_CACHE ?? path.join(repoRoot, '.cache');

/** What esbuild.mjs writes. */
export const distDir = path.join(repoRoot, 'dist');

/** The sample workspace as committed; tests and `npm start` work on copies of it. */
export const sampleDir = path.join(repoRoot, 'media', 'samples', 'digits');
