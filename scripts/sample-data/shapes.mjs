/**
 * Signed distance to the outline of each flat shape, negative inside, in a frame where the shape is centred, upright
 * and about one unit in radius.
 *
 * @type {Record<string, (x: number, y: number) => number>}
 */
export const shapes = {
  circle: (x, y) => Math.hypot(x, y) - 0.95,
  square: (x, y) => box(x, y, 0.78, 0.78) - 0.04,
  triangle,
  star: (x, y) => star(x, y, 5, 1.08, 0.46),
  ring: (x, y) => Math.abs(Math.hypot(x, y) - 0.74) - 0.25,
  cross: (x, y) => Math.min(box(x, y, 0.95, 0.28), box(x, y, 0.28, 0.95)) - 0.03,
};

/** Distance to a rectangle of half-sides (w, h). */
function box(x, y, w, h) {
  const dx = Math.abs(x) - w;
  const dy = Math.abs(y) - h;
  return Math.hypot(Math.max(dx, 0), Math.max(dy, 0)) + Math.min(Math.max(dx, dy), 0);
}

/** Equilateral, a corner on top (y grows downwards). */
function triangle(x, y) {
  const s = Math.sqrt(3);
  return Math.max(y - 0.55, (Math.abs(x) * s - y) / 2 - 0.55) - 0.02;
}

/** Star with `points` tips at radius `outer` and notches at `inner`. */
function star(x, y, points, outer, inner) {
  const sector = Math.PI / points;
  // Folds the plane so that one half-tip remains, its tip on the x axis and its notch at angle `sector`.
  const angle = Math.atan2(x, -y);
  const folded = Math.abs(angle - 2 * sector * Math.round(angle / (2 * sector)));
  const radius = Math.hypot(x, y);
  const px = radius * Math.cos(folded) - outer;
  const py = radius * Math.sin(folded);
  const ex = inner * Math.cos(sector) - outer;
  const ey = inner * Math.sin(sector);
  const along = Math.min(1, Math.max(0, (px * ex + py * ey) / (ex * ex + ey * ey)));
  const side = ex * py - ey * px;
  return Math.hypot(px - ex * along, py - ey * along) * (side < 0 ? 1 : -1);
}
