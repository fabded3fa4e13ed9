import type { Layout } from './layout';

/** What part of a layout is seen: screen = layout * scale - offset. */
export interface Camera {
  readonly scale: number;
  readonly left: number;
  readonly top: number;
}

export interface ViewSize {
  readonly width: number;
  readonly height: number;
}

export const wholeWidth: Camera = { scale: 1, left: 0, top: 0 };
export const maxScale = 32;

/** Zooms so that the point (x, y) of the screen stays where it is. */
export function zoomed(camera: Camera, factor: number, x: number, y: number, layout: Layout, view: ViewSize): Camera {
  const scale = Math.max(1, Math.min(maxScale, camera.scale * factor));
  const change = scale / camera.scale;
  return clamped(
    { scale, left: (camera.left + x) * change - x, top: (camera.top + y) * change - y },
    layout,
    view,
  );
}

export function panned(camera: Camera, dx: number, dy: number, layout: Layout, view: ViewSize): Camera {
  return clamped({ ...camera, left: camera.left + dx, top: camera.top + dy }, layout, view);
}

/** Moves as little as needed to see a rectangle of the layout, with some margin. */
export function revealing(
  camera: Camera,
  area: { left: number; top: number; width: number; height: number },
  layout: Layout,
  view: ViewSize,
): Camera {
  const { scale } = camera;
  const margin = Math.min(32, view.height / 4);
  const left = area.left * scale;
  const top = area.top * scale;
  const right = left + area.width * scale;
  const bottom = top + area.height * scale;
  return clamped(
    {
      scale,
      left: left < camera.left ? left - margin : right > camera.left + view.width ? right - view.width + margin : camera.left,
      top: top < camera.top + margin ? top - margin : bottom > camera.top + view.height ? bottom - view.height + margin : camera.top,
    },
    layout,
    view,
  );
}

/** Keeps the layout in sight. */
export function clamped(camera: Camera, layout: Layout, view: ViewSize): Camera {
  const { scale } = camera;
  return {
    scale,
    left: Math.max(0, Math.min(camera.left, layout.width * scale - view.width)),
    top: Math.max(0, Math.min(camera.top, layout.height * scale - view.height)),
  };
}
