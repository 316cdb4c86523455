// What a record is after a change is taken back, where another tab may have changed it since.
//
//     const left = takenBack(now, before, after);     // null: there is none
//
// Reads and writes  nothing

/**
 * now is the record as it is, before and after as the change found it and left it; null where there was none.
 * @param {any} now
 * @param {any} before
 * @param {any} after
 */
export function takenBack(now, before, after) {
  if (!now) return after === null ? before : null; // what another tab removed stays removed
  if (!before) return now.count > after.count ? { ...now, count: now.count - after.count } : null;
  if (!after) return now;
  const left = { ...now };
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[name]) === JSON.stringify(after[name])) continue;
    if (name === "count") left.count = Math.max(1, now.count + before.count - after.count);
    else left[name] = before[name];
  }
  return left;
}
