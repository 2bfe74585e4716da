// How many columns a grid of pictures needs. A pure function.

const usual = 16 / 9;
const smallest = 300; // px: below that a picture is better scrolled to than shrunk

// layout finds the columns that make `count` pictures largest in a box of
// `width` × `height` px. When they would get too small all the same, `scrolls`
// says to give them their width and let the grid grow downwards.
export function layout(count, width, height, gap) {
  let best = { columns: 1, picture: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (width - gap * (columns - 1)) / columns;
    const cellHeight = (height - gap * (rows - 1)) / rows;
    const picture = Math.min(cellWidth, cellHeight * usual);
    if (picture > best.picture) {
      best = { columns, picture };
    }
  }
  if (count > 1 && best.picture < smallest) {
    return { columns: Math.max(1, Math.floor((width + gap) / (smallest + gap))), scrolls: true };
  }
  return { columns: Math.max(1, best.columns), scrolls: false };
}
